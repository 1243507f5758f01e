//! A thread of its own that owns a [`Runner`]: commands go in, replies are polled for. Who draws never
//! waits, and each worker has its own device.

use super::{Command, Event, Orders, Runner, Stop, Tuning};
use crate::platform;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Called whenever there is something to poll.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// What a worker says.
#[derive(Clone, Debug)]
// Nearly all are events: a box would only be one more allocation for each.
#[allow(clippy::large_enum_variant)]
pub enum Reply {
    /// Something happened.
    Event(Event),
    /// A command is done.
    Ended {
        /// Why it failed, if it did; a panic too arrives here.
        error: Option<String>,
    },
}

/// Does commands one after the other on a thread of its own. When it is dropped, its work is asked to
/// stop, and the thread ends with it.
pub struct Worker {
    commands: Sender<Command>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    stop: Stop,
    orders: Orders,
    /// Commands sent whose end was not polled yet.
    open: usize,
}

impl Worker {
    /// A worker, called `name` where threads are listed.
    ///
    /// # Panics
    /// If the system gives no thread.
    pub fn spawn(name: &str, tuning: Tuning, wake: Wake) -> Self {
        let (commands, inbox) = channel();
        let (replies, stop, orders) = (Arc::default(), Stop::default(), Orders::default());
        let thread = Thread { inbox, replies: Arc::clone(&replies), stop: stop.clone(), orders: orders.clone(), tuning, wake };
        platform::spawn(name, move || thread.run()).expect("a thread can be started");
        Self { commands, replies, stop, orders, open: 0 }
    }

    /// Adds a command to the queue. Where nothing is under way, an earlier wish to stop and earlier orders
    /// are forgotten.
    pub fn send(&mut self, command: Command) {
        if self.open == 0 {
            self.stop.clear();
            self.orders.clear();
        }
        // The thread only ends when the worker is dropped.
        if self.commands.send(command).is_ok() {
            self.open += 1;
        }
    }

    /// What was said since the last time; never waits.
    pub fn poll(&mut self) -> Vec<Reply> {
        let replies: Vec<Reply> = self.replies.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        self.open -= replies.iter().filter(|reply| matches!(reply, Reply::Ended { .. })).count();
        replies
    }

    /// Whether a command is under way or waits.
    pub fn busy(&self) -> bool {
        self.open > 0
    }

    /// Speaks to a training while it runs.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Asks the work at hand, and what waits behind it, to stop.
    pub fn stop(&self) {
        self.stop.ask();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.ask();
    }
}

/// The worker's side of the thread.
struct Thread {
    inbox: Receiver<Command>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    stop: Stop,
    orders: Orders,
    tuning: Tuning,
    wake: Wake,
}

impl Thread {
    fn run(self) {
        let mut runner = self.runner();
        while let Ok(command) = self.inbox.recv() {
            let work = AssertUnwindSafe(|| runner.run(command, &mut |event| self.say(Reply::Event(event))));
            let error = match catch_unwind(work) {
                Ok(result) => result.err().map(|error| format!("{error:#}")),
                Err(panic) => {
                    // What it was at may be half done: the next command finds a new one.
                    runner = self.runner();
                    Some(format!("this is a bug in Signet: {}. What was saved before is whole; please report it", message(&*panic)))
                }
            };
            self.say(Reply::Ended { error });
        }
    }

    fn runner(&self) -> Runner {
        Runner::new(self.stop.clone()).with_tuning(self.tuning).with_orders(self.orders.clone())
    }

    fn say(&self, reply: Reply) {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner).push_back(reply);
        (self.wake)();
    }
}

/// What a panic says.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string()).or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it says no more".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn wait(worker: &mut Worker) -> Vec<Reply> {
        let mut replies = Vec::new();
        while worker.busy() {
            replies.extend(worker.poll());
            platform::pause(0.001);
        }
        replies
    }

    #[test]
    fn commands_are_done_in_order_and_errors_arrive_as_replies() {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let wake = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let mut worker = Worker::spawn("test", Tuning::Off, wake);
        worker.send(Command::ResetChat);
        worker.send(Command::Devices);
        let replies = wait(&mut worker);
        let Reply::Ended { error: Some(error) } = &replies[0] else { panic!("{replies:?}") };
        assert!(error.contains("no conversation"), "{error}");
        assert!(matches!(&replies[1..], [Reply::Event(Event::Devices { .. }), Reply::Ended { error: None }]), "{replies:?}");
        assert_eq!(woken.load(Ordering::SeqCst), replies.len());
    }
}
