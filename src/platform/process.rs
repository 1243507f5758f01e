//! The process: its executable, its exit, and the file size limit.

use super::command_line;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program's name for command lines.
pub fn program() -> OsString {
    let started = std::env::args_os().next().unwrap_or_default();
    if Path::new(&started).file_stem().is_some_and(|stem| stem == "signet") {
        return started;
    }
    // The app has no commands: use the command line program next to it.
    beside("signet").map_or_else(|| "signet".into(), PathBuf::into_os_string)
}

/// The path of another program in the directory of this one; `name` may be a relative path.
pub fn beside(name: &str) -> Option<PathBuf> {
    beside_program(&std::env::current_exe().ok()?, name)
}

/// As [`beside`], for the program `here`: in its directory, or in that of the file that it links to. Linux resolves
/// links itself, macOS does not.
fn beside_program(here: &Path, name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let places = [Some(here.to_path_buf()), here.canonicalize().ok()];
    places.into_iter().flatten().map(|program| program.with_file_name(&name)).find(|path| path.is_file())
}

/// True where [`replace_process`] runs a child process and forwards its output, because the system cannot replace a process.
pub const RUNS_CHILD: bool = cfg!(not(unix));

/// Replaces this process by another program, with its streams, signals and exit code. On Windows, runs it, forwards its
/// output, since a GUI program has no console, closes its standard input when `stop` returns true, since Ctrl-C does not
/// reach it, and returns its exit code.
pub fn replace_process(command: &mut Command, stop: impl Fn() -> bool + Send + 'static) -> io::Result<i32> {
    #[cfg(unix)]
    {
        drop(stop);
        Err(std::os::unix::process::CommandExt::exec(command))
    }
    #[cfg(not(unix))]
    run_child(command, stop)
}

#[cfg(any(test, not(unix)))]
fn run_child(command: &mut Command, stop: impl Fn() -> bool + Send + 'static) -> io::Result<i32> {
    use std::process::Stdio;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (input, mut out, mut errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::spawn(move || {
        while !stop() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        drop(input);
    });
    let passed = std::thread::spawn(move || errors.as_mut().map(|errors| io::copy(errors, &mut io::stderr())));
    out.as_mut().map(|out| io::copy(out, &mut io::stdout())).transpose()?;
    let status = child.wait()?;
    let _ = passed.join();
    Ok(status.code().unwrap_or(1))
}

/// A command line of this program for a shell: words, then a path.
pub fn command_on(words: &[&str], path: &Path) -> String {
    // An argument with a leading dash would be parsed as an option.
    let path = match path.as_os_str().as_encoded_bytes().first() {
        Some(b'-') => Path::new(".").join(path),
        Some(_) => path.into(),
        None => PathBuf::from("."),
    };
    let program = program();
    command_line([program.as_os_str()].into_iter().chain(words.iter().map(OsStr::new)).chain([path.as_os_str()]))
}

/// Makes writes beyond the file size limit fail with an error, instead of the signal that ends the process.
pub fn fail_at_file_size_limit() {
    #[cfg(unix)]
    // SAFETY: no handler is installed, so no code of ours runs in a signal.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Exits at once, without the exit handlers of libraries: those of graphics drivers crash while another thread is in
/// the driver. Streams are not flushed, since that could block.
pub fn exit(code: i32) -> ! {
    #[cfg(unix)]
    // SAFETY: the call uses no memory and does not return.
    unsafe {
        libc::_exit(code)
    }
    // Windows ends the other threads before it notifies libraries.
    #[cfg(not(unix))]
    std::process::exit(code)
}

/// The file size limit of this process in bytes, if there is one.
fn file_size_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the call writes only to the struct.
        let read = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) };
        // The type depends on the system.
        (read == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as _)
    }
    #[cfg(not(unix))]
    None
}

/// Advice for a full disk or quota; `None` for other errors.
pub fn space_advice(error: &io::Error) -> Option<String> {
    // The error of a file above a read limit has no OS error code.
    let kind = Some(error.kind()).filter(|kind| *kind != ErrorKind::FileTooLarge || error.raw_os_error().is_some())?;
    Some(match (kind, file_size_limit()) {
        (ErrorKind::StorageFull, _) => "free some disk space".into(),
        (ErrorKind::QuotaExceeded, _) => "free some disk space: your quota on this disk is exhausted".into(),
        (ErrorKind::FileTooLarge, Some(bytes)) => format!("files are limited to {bytes} bytes here: raise the limit (ulimit -f)"),
        (ErrorKind::FileTooLarge, None) => "the file system does not support files of this size: use another one".into(),
        _ => return None,
    })
}

/// The advice of [`space_advice`] as the end of a sentence; empty for other errors.
pub fn space_advice_suffix(error: &io::Error) -> String {
    space_advice(error).map_or(String::new(), |advice| format!("; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_given_only_if_space_is_missing() {
        for (kind, word) in [(ErrorKind::StorageFull, "free some disk space"), (ErrorKind::QuotaExceeded, "quota")] {
            assert!(space_advice(&kind.into()).expect("advice").contains(word), "{kind}");
        }
        for kind in [ErrorKind::FileTooLarge, ErrorKind::PermissionDenied, ErrorKind::NotFound, ErrorKind::ReadOnlyFilesystem, ErrorKind::Other] {
            assert_eq!(space_advice(&kind.into()), None, "{kind}");
            assert_eq!(space_advice_suffix(&kind.into()), "", "{kind}");
        }
        assert_eq!(space_advice_suffix(&ErrorKind::StorageFull.into()), "; free some disk space");
        #[cfg(unix)]
        {
            assert!(space_advice(&io::Error::from_raw_os_error(libc::EFBIG)).expect("advice").contains("file"));
            // EIO, as from a broken disk.
            assert_eq!(space_advice(&io::Error::from_raw_os_error(libc::EIO)), None);
        }
    }

    #[test]
    fn a_path_in_a_command_is_quoted_and_not_an_option() {
        let command = |path: &str| command_on(&["check", "--repair"], Path::new(path)).replace(['\'', '"', '\\'], "/");
        assert_eq!(command("runs/run-1"), "signet check --repair runs/run-1");
        assert_eq!(command("my runs/r"), "signet check --repair /my runs/r/");
        assert_eq!((command("-r"), command("")), ("signet check --repair ./-r".into(), "signet check --repair .".into()));
    }

    /// A folder of its own, with a program called `signet-app` in it.
    #[cfg(unix)]
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("signet-process-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("links")).unwrap();
        for program in ["signet", "signet-app"] {
            std::fs::write(folder.join(program), "").unwrap();
        }
        folder.canonicalize().unwrap()
    }

    #[test]
    #[cfg(unix)]
    fn a_link_to_the_program_finds_what_is_beside_the_program() {
        let folder = folder("link");
        let link = folder.join("links/signet");
        std::os::unix::fs::symlink(folder.join("signet"), &link).unwrap();
        for here in [folder.join("signet"), link] {
            assert_eq!(beside_program(&here, "signet-app"), Some(folder.join("signet-app")), "{}", here.display());
            assert_eq!(beside_program(&here, "Signet.app/Signet"), None);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn a_program_that_output_is_passed_on_of_hears_of_a_stop() {
        let begun = std::time::Instant::now();
        let stop = move || begun.elapsed().as_secs_f64() > 0.3;
        // It ends with its input, and not before.
        assert_eq!(run_child(Command::new("sh").args(["-c", "cat; exit 7"]), stop).unwrap(), 7);
        assert!(begun.elapsed().as_secs_f64() > 0.3);
    }

    #[test]
    fn another_program_than_the_command_line_is_not_named() {
        assert_eq!(program(), "signet");
    }
}
