//! The process: how it was started, and how much the system lets it write.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::Path;

/// The program as it was started, which a command line begins with.
pub fn program() -> OsString {
    let started = std::env::args_os().next().unwrap_or_default();
    // The app alone has no commands.
    if Path::new(&started).file_stem().is_some_and(|stem| stem == "signet") { started } else { "signet".into() }
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

/// Most bytes that this process may write to one file, if there is a limit.
fn file_size_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the call writes to the struct that it is given, and to nothing else.
        let read = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) };
        (read == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
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
        }
        #[cfg(unix)]
        {
            assert!(make_room(&io::Error::from_raw_os_error(libc::EFBIG)).expect("advice").contains("file"));
            // EIO, as of a broken disk.
            assert_eq!(make_room(&io::Error::from_raw_os_error(libc::EIO)), None);
        }
    }

    #[test]
    fn another_program_than_the_command_line_is_not_named() {
        assert_eq!(program(), "signet");
    }
}
