//! The process: how it was started, and how much the system lets it write.

use super::command_line;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program as it was started, which a command line begins with.
pub fn program() -> OsString {
    let started = std::env::args_os().next().unwrap_or_default();
    if Path::new(&started).file_stem().is_some_and(|stem| stem == "signet") {
        return started;
    }
    // The app alone has no commands: those of the program beside it.
    beside("signet").map_or_else(|| "signet".into(), PathBuf::into_os_string)
}

/// The program of a name in this one's folder; `name` may be a path below it.
pub fn beside(name: &str) -> Option<PathBuf> {
    beside_program(&std::env::current_exe().ok()?, name)
}

/// The same of the program `here`, in its folder or in that of the file that it is a link to. Linux follows links itself,
/// macOS does not.
fn beside_program(here: &Path, name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let places = [Some(here.to_path_buf()), here.canonicalize().ok()];
    places.into_iter().flatten().map(|program| program.with_file_name(&name)).find(|path| path.is_file())
}

/// True where [`hand_over`] passes on what the other program writes, since the system cannot put it in this one's place.
pub const PASSES_ON: bool = cfg!(not(unix));

/// Lets another program take this one's place: signals, streams and the exit code are its own. Where the system cannot
/// do that, its output is passed on, since a program of the window has no console, and its standard input ends once `stop`
/// says so, since Ctrl-C does not reach it. Gives its exit code.
pub fn hand_over(command: &mut Command, stop: impl Fn() -> bool + Send + 'static) -> io::Result<i32> {
    #[cfg(unix)]
    {
        drop(stop);
        Err(std::os::unix::process::CommandExt::exec(command))
    }
    #[cfg(not(unix))]
    pass_on(command, stop)
}

#[cfg(any(test, not(unix)))]
fn pass_on(command: &mut Command, stop: impl Fn() -> bool + Send + 'static) -> io::Result<i32> {
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

/// A command line of this program that can be pasted into a shell: words, and a path at the end.
pub fn command_on(words: &[&str], path: &Path) -> String {
    // An argument that begins with a dash would be taken for an option.
    let path = match path.as_os_str().as_encoded_bytes().first() {
        Some(b'-') => Path::new(".").join(path),
        Some(_) => path.into(),
        None => PathBuf::from("."),
    };
    let program = program();
    command_line([program.as_os_str()].into_iter().chain(words.iter().map(OsStr::new)).chain([path.as_os_str()]))
}

/// Lets a write beyond the limit for files fail, with an error that names the file: by default the system
/// ends the process without a word.
pub fn fail_at_file_size_limit() {
    #[cfg(unix)]
    // SAFETY: no handler is installed, so that no code of ours runs in a signal.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Ends the process at once, without running the exit handlers of libraries: those of graphics drivers crash
/// while another thread is inside the driver, listing adapters or computing. Nothing is flushed: a reader that
/// does not read could hold that up.
pub fn exit(code: i32) -> ! {
    #[cfg(unix)]
    // SAFETY: the call takes no memory and does not return.
    unsafe {
        libc::_exit(code)
    }
    // Windows ends the other threads before libraries hear of it.
    #[cfg(not(unix))]
    std::process::exit(code)
}

/// Most bytes that this process may write to one file, if there is a limit.
fn file_size_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the call writes to the struct that it is given, and to nothing else.
        let read = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) };
        // The type differs from system to system.
        (read == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as _)
    }
    #[cfg(not(unix))]
    None
}

/// Advice for a full disk or quota; `None` for other errors.
pub fn make_room(error: &io::Error) -> Option<String> {
    // A file that is too long to be read has no number of the system.
    let kind = Some(error.kind()).filter(|kind| *kind != ErrorKind::FileTooLarge || error.raw_os_error().is_some())?;
    Some(match (kind, file_size_limit()) {
        (ErrorKind::StorageFull, _) => "make room on the disk".into(),
        (ErrorKind::QuotaExceeded, _) => "make room: your quota on this disk is used up".into(),
        (ErrorKind::FileTooLarge, Some(bytes)) => format!("files are limited to {bytes} bytes here: raise the limit (ulimit -f)"),
        (ErrorKind::FileTooLarge, None) => "this file system allows no larger file: use another one".into(),
        _ => return None,
    })
}

/// The advice of [`make_room`] as the end of a sentence; empty for other errors.
pub fn room_advice(error: &io::Error) -> String {
    make_room(error).map_or(String::new(), |advice| format!("; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_asked_for_only_where_it_is_missing() {
        for (kind, word) in [(ErrorKind::StorageFull, "make room on the disk"), (ErrorKind::QuotaExceeded, "quota")] {
            assert!(make_room(&kind.into()).expect("advice").contains(word), "{kind}");
        }
        for kind in [ErrorKind::FileTooLarge, ErrorKind::PermissionDenied, ErrorKind::NotFound, ErrorKind::ReadOnlyFilesystem, ErrorKind::Other] {
            assert_eq!(make_room(&kind.into()), None, "{kind}");
            assert_eq!(room_advice(&kind.into()), "", "{kind}");
        }
        assert_eq!(room_advice(&ErrorKind::StorageFull.into()), "; make room on the disk");
        #[cfg(unix)]
        {
            assert!(make_room(&io::Error::from_raw_os_error(libc::EFBIG)).expect("advice").contains("file"));
            // EIO, as of a broken disk.
            assert_eq!(make_room(&io::Error::from_raw_os_error(libc::EIO)), None);
        }
    }

    #[test]
    fn a_path_at_the_end_of_a_command_is_quoted_and_no_option() {
        let told = |path: &str| command_on(&["check", "--repair"], Path::new(path)).replace(['\'', '"', '\\'], "/");
        assert_eq!(told("runs/run-1"), "signet check --repair runs/run-1");
        assert_eq!(told("my runs/r"), "signet check --repair /my runs/r/");
        assert_eq!((told("-r"), told("")), ("signet check --repair ./-r".into(), "signet check --repair .".into()));
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
        assert_eq!(pass_on(Command::new("sh").args(["-c", "cat; exit 7"]), stop).unwrap(), 7);
        assert!(begun.elapsed().as_secs_f64() > 0.3);
    }

    #[test]
    fn another_program_than_the_command_line_is_not_named() {
        assert_eq!(program(), "signet");
    }
}
