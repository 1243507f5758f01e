//! Runs a program under ptrace, counts its system calls on files of one folder, and injects a fault at one of them.

use super::durability::Durability;
use nix::errno::Errno;
use nix::libc::{self, user_regs_struct};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The fault of one trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No fault: calls are only counted.
    None,
    /// SIGKILL at the entry of the `n`-th call that changes files, from 1.
    Kill(usize),
    /// The `n`-th call fails with this error, without effect.
    Error(usize, Errno),
    /// From the `n`-th call that changes files on, calls that allocate disk space fail with ENOSPC.
    Full(usize),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("no fault"),
            Self::Kill(n) => write!(f, "killed at change {n}"),
            Self::Error(n, error) => write!(f, "{error:?} at call {n}"),
            Self::Full(n) => write!(f, "disk full from change {n} on"),
        }
    }
}

/// The effect of a system call on the folder's files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Opens for reading, or reads.
    Read,
    /// Creates a file or folder, or writes: allocates disk space.
    Grow,
    /// Renames, removes, truncates, syncs.
    Change,
}

/// The outcome of a traced program.
pub(super) struct Ended {
    /// Its exit status, or the signal that ended it.
    pub(super) status: Result<i32, Signal>,
    /// Number of calls on the folder's files.
    pub(super) calls: usize,
    /// Number of those that change files.
    pub(super) changes: usize,
    /// The call at which the fault was injected; none if it was not reached.
    pub(super) hit: Option<String>,
    /// Violations of the sync order; checked only without a fault.
    pub(super) unsynced: Vec<String>,
}

/// Runs `command` to its end with a fault. Only calls on files of `folder`, by path or descriptor, count.
pub(super) fn run(command: &mut Command, folder: &Path, fault: Fault) -> io::Result<Ended> {
    // SAFETY: between fork and exec only one system call is made.
    unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
    let child = command.spawn()?;
    let main = Pid::from_raw(child.id() as i32);
    waitpid(main, None)?;
    ptrace::setoptions(main, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL)?;
    ptrace::syscall(main, None)?;
    let memory = File::open(format!("/proc/{main}/mem"))?;
    let mut tracer =
        Tracer { main, memory, folder, fault, calls: 0, changes: 0, hit: None, durability: Durability::default(), threads: HashMap::from([(main, None)]) };
    loop {
        // Other threads of this process trace their own children.
        match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD))? {
            WaitStatus::PtraceSyscall(thread) => ignore_killed(tracer.call(thread).and_then(|()| ptrace::syscall(thread, None)))?,
            // A new thread starts with a SIGSTOP from ptrace, which is not passed to the program.
            WaitStatus::Stopped(thread, Signal::SIGSTOP) if !tracer.threads.contains_key(&thread) => {
                tracer.threads.insert(thread, None);
                ignore_killed(ptrace::syscall(thread, None))?;
            }
            WaitStatus::Stopped(thread, signal) => ignore_killed(ptrace::syscall(thread, signal))?,
            WaitStatus::PtraceEvent(thread, ..) => ignore_killed(ptrace::syscall(thread, None))?,
            WaitStatus::Exited(thread, code) if thread == main => return Ok(tracer.ended(Ok(code))),
            WaitStatus::Signaled(thread, signal, _) if thread == main => return Ok(tracer.ended(Err(signal))),
            _ => {}
        }
    }
}

/// Ignores ESRCH: the thread was killed meanwhile.
fn ignore_killed(result: nix::Result<()>) -> nix::Result<()> {
    if result == Err(Errno::ESRCH) { Ok(()) } else { result }
}

struct Tracer<'a> {
    main: Pid,
    memory: File,
    folder: &'a Path,
    fault: Fault,
    calls: usize,
    changes: usize,
    hit: Option<String>,
    durability: Durability,
    /// Threads; the outer option is set within a system call, the inner one is the error to return from it.
    threads: HashMap<Pid, Option<Option<Errno>>>,
}

impl Tracer<'_> {
    /// Handles a thread's entry into a system call or its exit.
    fn call(&mut self, thread: Pid) -> nix::Result<()> {
        if let Some(forced) = self.threads.get_mut(&thread).and_then(Option::take) {
            let Some(error) = forced else { return Ok(()) };
            let mut registers = ptrace::getregs(thread)?;
            registers.rax = -(error as i64) as u64;
            return ptrace::setregs(thread, registers);
        }
        let mut registers = ptrace::getregs(thread)?;
        let forced = self.enter(thread, &registers);
        if forced.is_some() {
            // An invalid call number: the kernel does nothing.
            registers.orig_rax = u64::MAX;
            ptrace::setregs(thread, registers)?;
        }
        self.threads.insert(thread, Some(forced));
        Ok(())
    }

    /// Counts a call; returns the error to inject.
    fn enter(&mut self, thread: Pid, registers: &user_regs_struct) -> Option<Errno> {
        let (kind, name, path) = self.touches(thread, registers)?;
        // mkdir of an existing directory creates nothing.
        if !(name.starts_with("mkdir") && self.folder.join(&path).is_dir()) {
            self.durability.call(name, &path);
        }
        self.calls += 1;
        self.changes += usize::from(kind != Kind::Read);
        let (now, error) = match self.fault {
            Fault::None => return None,
            Fault::Kill(n) => (kind != Kind::Read && self.changes == n, None),
            Fault::Error(n, error) => (self.calls == n, Some(error)),
            Fault::Full(n) => (kind == Kind::Grow && self.changes >= n, Some(Errno::ENOSPC)),
        };
        if !now {
            return None;
        }
        self.hit.get_or_insert_with(|| format!("{name} {}", path.display()));
        if error.is_none() {
            // The process may have ended already, which is fine.
            let _ = kill(self.main, Signal::SIGKILL);
        }
        error
    }

    /// Returns kind, name and relative path of a call on a file of the folder; `None` for other calls.
    fn touches(&self, thread: Pid, registers: &user_regs_struct) -> Option<(Kind, &'static str, PathBuf)> {
        let at = |directory: u64, path: u64| self.path(thread, directory as i32, path);
        let open = fs::read_link(format!("/proc/{thread}/fd/{}", registers.rdi as i32)).ok();
        let (a, b, c, d) = (registers.rdi, registers.rsi, registers.rdx, registers.r10);
        let here = libc::AT_FDCWD as u64;
        let opened = |flags: u64| match flags as i32 & (libc::O_CREAT | libc::O_ACCMODE) {
            libc::O_RDONLY => Kind::Read,
            flags if flags & libc::O_CREAT != 0 => Kind::Grow,
            _ => Kind::Change,
        };
        let (kind, name, path) = match registers.orig_rax as i64 {
            libc::SYS_open => (opened(b), "open", at(here, a)),
            libc::SYS_openat => (opened(c), "openat", at(a, b)),
            libc::SYS_read | libc::SYS_pread64 | libc::SYS_readv => (Kind::Read, "read", open),
            libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev => (Kind::Grow, "write", open),
            libc::SYS_copy_file_range | libc::SYS_fallocate => (Kind::Grow, "allocate", open),
            libc::SYS_fsync | libc::SYS_fdatasync => (Kind::Change, "fsync", open),
            libc::SYS_ftruncate => (Kind::Change, "ftruncate", open),
            libc::SYS_mkdir => (Kind::Grow, "mkdir", at(here, a)),
            libc::SYS_mkdirat => (Kind::Grow, "mkdirat", at(a, b)),
            libc::SYS_rename => (Kind::Change, "rename", at(here, b)),
            libc::SYS_renameat | libc::SYS_renameat2 => (Kind::Change, "renameat", at(c, d)),
            libc::SYS_link => (Kind::Grow, "link", at(here, b)),
            libc::SYS_linkat => (Kind::Grow, "linkat", at(c, d)),
            libc::SYS_unlink | libc::SYS_rmdir => (Kind::Change, "unlink", at(here, a)),
            libc::SYS_unlinkat => (Kind::Change, "unlinkat", at(a, b)),
            _ => return None,
        };
        Some((kind, name, path?.strip_prefix(self.folder).ok()?.to_path_buf()))
    }

    /// Resolves the path argument of a call, relative to an open or the current directory.
    fn path(&self, thread: Pid, directory: i32, address: u64) -> Option<PathBuf> {
        let mut bytes = [0; libc::PATH_MAX as usize];
        let read = self.memory.read_at(&mut bytes, address).ok()?;
        let end = bytes[..read].iter().position(|&byte| byte == 0)?;
        let path = Path::new(std::str::from_utf8(&bytes[..end]).ok()?);
        let base = match directory {
            libc::AT_FDCWD => format!("/proc/{thread}/cwd"),
            open => format!("/proc/{thread}/fd/{open}"),
        };
        Some(if path.is_absolute() { path.to_path_buf() } else { fs::read_link(base).ok()?.join(path) })
    }

    fn ended(self, status: Result<i32, Signal>) -> Ended {
        let unsynced = if self.fault == Fault::None { self.durability.problems() } else { Vec::new() };
        Ended { status, calls: self.calls, changes: self.changes, hit: self.hit, unsynced }
    }
}
