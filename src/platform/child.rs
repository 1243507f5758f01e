//! Child processes with a time limit, whose output is passed on line by line.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The longest time without a call of the caller's function.
const TICK: Duration = Duration::from_millis(100);
/// Time that a killed process has to end. One that is stuck in a driver may never do.
const GRACE: Duration = Duration::from_secs(10);

/// Output of a child process, or a moment without any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildOutput {
    /// A line of standard output.
    Line(String),
    /// A line of standard error.
    ErrorLine(String),
    /// No output for a tenth of a second.
    Nothing,
}

/// The end of a child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildEnd {
    /// It exited by itself.
    Exited(ExitStatus),
    /// It was killed at its time limit.
    TimedOut,
    /// It was killed because the caller's function returned false.
    Stopped,
}

/// Runs a program without standard input for at most `seconds`, and passes its output to `on`, which returns false to
/// kill it. On Linux the child is also killed if this process ends.
pub fn run_with_limit(command: &mut Command, seconds: f64, on: &mut dyn FnMut(ChildOutput) -> bool) -> io::Result<ChildEnd> {
    let begun = Instant::now();
    die_with_parent(command);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (send, receive) = channel();
    pass_lines(child.stdout.take(), ChildOutput::Line, send.clone());
    pass_lines(child.stderr.take(), ChildOutput::ErrorLine, send);
    let end = loop {
        let output = match receive.recv_timeout(TICK) {
            Ok(output) => output,
            Err(problem) => {
                // Not before the pipes are empty. Another process may hold them open after the child's end.
                if let Some(status) = child.try_wait()? {
                    return Ok(ChildEnd::Exited(status));
                }
                if problem == RecvTimeoutError::Disconnected {
                    thread::sleep(TICK);
                }
                ChildOutput::Nothing
            }
        };
        if !on(output) {
            break ChildEnd::Stopped;
        }
        if begun.elapsed().as_secs_f64() > seconds {
            break ChildEnd::TimedOut;
        }
    };
    kill(&mut child);
    Ok(end)
}

/// Kills a process and waits for its end, but not forever.
fn kill(child: &mut Child) {
    // An error means that it has ended.
    let _ = child.kill();
    let killed = Instant::now();
    while killed.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(TICK / 10);
    }
}

/// Sends the lines of a pipe from a thread of its own, which ends with the pipe or its receiver.
fn pass_lines(pipe: Option<impl Read + Send + 'static>, make: fn(String) -> ChildOutput, to: Sender<ChildOutput>) {
    let Some(pipe) = pipe else { return };
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_string();
            if to.send(make(text)).is_err() {
                break;
            }
            line.clear();
        }
    });
}

/// Lets the system kill the child if this process ends, so that it does not keep the device busy.
fn die_with_parent(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        // SAFETY: between fork and exec only one system call is made, which uses no memory.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Runs a shell script; returns its end, its output, and the seconds that it took.
    fn run(script: &str, limit: f64, stop_at: &str) -> (ChildEnd, Vec<ChildOutput>, f64) {
        let (mut outputs, begun) = (Vec::new(), Instant::now());
        let end = run_with_limit(Command::new("sh").args(["-c", script]), limit, &mut |output| {
            let go_on = output != ChildOutput::Line(stop_at.into());
            if output != ChildOutput::Nothing {
                outputs.push(output);
            }
            go_on
        });
        (end.expect("sh starts"), outputs, begun.elapsed().as_secs_f64())
    }

    #[test]
    fn output_and_exit_code_are_passed_on() {
        let (end, outputs, _) = run("echo one; printf two; exit 3", 60.0, "");
        assert!(matches!(end, ChildEnd::Exited(status) if status.code() == Some(3)), "{end:?}");
        assert_eq!(outputs, [ChildOutput::Line("one".into()), ChildOutput::Line("two".into())]);
        let (_, outputs, _) = run("echo problem >&2", 60.0, "");
        assert_eq!(outputs, [ChildOutput::ErrorLine("problem".into())]);
    }

    #[test]
    fn a_hang_ends_at_the_limit_with_the_output_so_far() {
        let (end, outputs, seconds) = run("echo begun; exec sleep 600", 0.4, "");
        assert_eq!((end, outputs), (ChildEnd::TimedOut, vec![ChildOutput::Line("begun".into())]));
        assert!((0.4..30.0).contains(&seconds), "{seconds}");
    }

    #[test]
    fn the_caller_can_stop_it_and_a_crash_is_told_from_an_error() {
        let (end, outputs, seconds) = run("echo 1; echo 2; exec sleep 600", 600.0, "2");
        assert_eq!((end, outputs.len()), (ChildEnd::Stopped, 2));
        assert!(seconds < 60.0, "{seconds}");
        let (end, _, _) = run("kill -SEGV $$", 60.0, "");
        assert!(matches!(end, ChildEnd::Exited(status) if status.code().is_none() && status.to_string().contains("signal: 11")), "{end:?}");
    }

    #[test]
    fn a_process_that_keeps_the_pipes_does_not_delay_the_end() {
        let (end, _, seconds) = run("sleep 30 & echo done", 60.0, "");
        assert!(matches!(end, ChildEnd::Exited(status) if status.success()) && seconds < 20.0, "{end:?} after {seconds} s");
    }
}
