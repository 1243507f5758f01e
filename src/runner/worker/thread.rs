//! A runner on a thread of its own.

use super::super::{Command, Orders, Runner, Stop, Tuning};
use super::{Inbox, Reply};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;

/// The worker's side of the thread.
pub(super) struct RunnerThread {
    pub(super) commands: Receiver<Command>,
    pub(super) inbox: Inbox,
    pub(super) stop: Stop,
    pub(super) orders: Orders,
    pub(super) tuning: Tuning,
}

impl RunnerThread {
    /// Runs commands until the worker is dropped.
    pub(super) fn run(self) {
        let mut runner = self.runner();
        while let Ok(command) = self.commands.recv() {
            let work = AssertUnwindSafe(|| runner.run(command, &mut |event| self.inbox.push(Reply::Event(event))));
            let error = match catch_unwind(work) {
                Ok(result) => result.err().map(Into::into),
                Err(panic) => {
                    // The runner may be in an inconsistent state: the next command gets a new one.
                    runner = self.runner();
                    let why = super::internal_error(&message(&*panic));
                    self.inbox.push(Reply::Restarted { why: why.clone() });
                    Some(why.into())
                }
            };
            self.inbox.push(Reply::Ended { error });
        }
    }

    fn runner(&self) -> Runner {
        Runner::new(self.stop.clone()).with_tuning(self.tuning).with_orders(self.orders.clone())
    }
}

/// Returns the message of a panic.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string()).or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".into())
}
