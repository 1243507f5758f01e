//! Processes that answer requests line by line, each request within a time limit. A process that exceeds it is killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of a process's last messages that an error quotes.
const QUOTED: usize = 400;

/// A request for a process of one kind.
pub(crate) struct Job {
    /// The kind: a GPU family.
    pub(crate) kind: String,
    /// The request, one line.
    pub(crate) request: String,
}

/// Runs all jobs on `workers` processes at once, started by `command` of their kind; returns the answers in the order of the
/// jobs. The error of a job without answer says why.
pub(crate) fn run(jobs: &[Job], workers: usize, limit: Duration, command: impl Fn(&str) -> Command + Sync) -> Vec<Result<String, String>> {
    let next = AtomicUsize::new(0);
    let answers: Vec<Mutex<Option<Result<String, String>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..workers.min(jobs.len()) {
            scope.spawn(|| {
                let mut process: Option<(String, Process)> = None;
                while let Some((job, answer)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((jobs.get(n)?, &answers[n]))) {
                    if process.as_ref().is_none_or(|(kind, _)| *kind != job.kind) {
                        process = None;
                    }
                    let result = match &mut process {
                        Some((_, process)) => process.ask(&job.request, limit),
                        None => {
                            Process::start(&mut command(&job.kind)).and_then(|started| process.insert((job.kind.clone(), started)).1.ask(&job.request, limit))
                        }
                    };
                    if result.is_err() {
                        process = None;
                    }
                    *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                }
            });
        }
    });
    let answer = |answer: Mutex<Option<_>>| answer.into_inner().unwrap_or_else(PoisonError::into_inner).expect("every job was taken");
    answers.into_iter().map(answer).collect()
}

/// A running process, killed when dropped.
struct Process {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<String>,
    /// Reads its messages until it ends, and returns the last.
    messages: Option<JoinHandle<Vec<u8>>>,
}

impl Process {
    fn start(command: &mut Command) -> Result<Self, String> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
        let requests = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut errors = child.stderr.take().expect("piped");
        let (send, answers) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let messages = std::thread::spawn(move || {
            let (mut buffer, mut last) = ([0; 4096], Vec::new());
            while let Ok(read @ 1..) = errors.read(&mut buffer) {
                last.extend_from_slice(&buffer[..read]);
                let excess = last.len().saturating_sub(QUOTED);
                last.drain(..excess);
            }
            last
        });
        let messages = Some(messages);
        Ok(Self { child, requests, answers, messages })
    }

    /// Sends a request and waits for its answer.
    fn ask(&mut self, request: &str, limit: Duration) -> Result<String, String> {
        let sent = writeln!(self.requests, "{request}").and_then(|()| self.requests.flush());
        match sent.map_err(|_| RecvTimeoutError::Disconnected).and_then(|()| self.answers.recv_timeout(limit)) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => Err(format!("did not end within {} s, and was stopped", limit.as_secs_f64())),
            Err(RecvTimeoutError::Disconnected) => Err(self.end()),
        }
    }

    /// Returns how the process ended, with its last messages.
    fn end(&mut self) -> String {
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let messages = self.messages.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        let messages = String::from_utf8_lossy(&messages);
        format!("the compiler's process ended ({status}): {}", messages.trim())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Answers each request with the kind and the request; does not answer `hang`, and ends at `crash`.
    fn shell(kind: &str) -> Command {
        let mut command = Command::new("sh");
        let script =
            format!("while read line; do case $line in hang) exec sleep 1000;; crash) echo 'out of registers' >&2; exit 7;; *) echo {kind} $line;; esac; done");
        command.args(["-c", &script]);
        command
    }

    fn jobs(requests: &[(&str, &str)]) -> Vec<Job> {
        requests.iter().map(|(kind, request)| Job { kind: kind.to_string(), request: request.to_string() }).collect()
    }

    #[test]
    fn a_request_that_does_not_end_is_stopped_and_the_others_are_answered() {
        let jobs = jobs(&[("navi", "one"), ("navi", "hang"), ("navi", "two"), ("vega", "crash"), ("vega", "three")]);
        let answers = run(&jobs, 2, Duration::from_secs(2), shell);
        let answered: Vec<Option<&str>> = answers.iter().map(|answer| answer.as_deref().ok()).collect();
        assert_eq!(answered, [Some("navi one"), None, Some("navi two"), None, Some("vega three")]);
        let errors: Vec<String> = answers.into_iter().filter_map(Result::err).collect();
        assert_eq!(errors[0], "did not end within 2 s, and was stopped");
        assert!(errors[1].contains("7") && errors[1].ends_with("out of registers"), "{}", errors[1]);
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error_of_each_job() {
        let answers = run(&jobs(&[("navi", "one")]), 2, Duration::from_secs(9), |_| Command::new("no/such/program"));
        assert!(answers[0].as_ref().is_err_and(|error| error.contains("no/such/program")));
    }
}
