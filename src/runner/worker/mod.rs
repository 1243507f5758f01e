//! What a front end has of a [`Runner`](super::Runner): commands go in, replies are polled for, and who
//! draws never waits. The runner lives on a thread of its own, or in a page, where there are no threads,
//! in the engine's worker.

mod host;
mod hub;
mod thread;
mod wire;

pub use host::{Host, Say, Spawn};
pub use hub::{Hear, Heard, Link, Start, connect, restart};

use super::{Command, Event, Orders, Stop, Tuning};
use crate::platform::{self, Thread};
use std::collections::VecDeque;
use std::sync::mpsc::{Sender, channel};
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
    /// The runner is another one: what was open in it is gone, as after [`Worker::spawn`]. Commands that
    /// were under way end with an error behind this.
    Anew {
        /// What became of the one before.
        why: String,
    },
    /// A command is done.
    Ended {
        /// Why it failed, if it did; a panic too arrives here.
        error: Option<String>,
    },
}

/// Replies that wait to be polled. Clones are the same.
#[derive(Clone)]
struct Inbox {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    wake: Wake,
}

impl Inbox {
    fn put(&self, reply: Reply) {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner).push_back(reply);
        (self.wake)();
    }
}

/// Does commands one after the other. Dropping it asks its work to stop, and waits until the runner has ended:
/// graphics drivers crash if the process ends while a thread is inside them.
pub struct Worker {
    way: Way,
    inbox: Inbox,
    stop: Stop,
    orders: Orders,
    /// Commands sent whose end was not polled yet.
    open: usize,
}

/// Where the runner is.
enum Way {
    /// `None` once the worker is being dropped.
    Thread(Option<(Sender<Command>, Thread)>),
    Line(u32),
}

impl Worker {
    /// A worker, called `name` where threads are listed.
    ///
    /// # Panics
    /// If the system gives no thread.
    pub fn spawn(name: &str, tuning: Tuning, wake: Wake) -> Self {
        let inbox = Inbox { replies: Arc::default(), wake };
        if let Some(line) = hub::open(tuning, &inbox) {
            let stop = Stop::forwarding(move || hub::stop(line));
            let orders = Orders::forwarding(move |order| hub::order(line, order));
            return Self { way: Way::Line(line), inbox, stop, orders, open: 0 };
        }
        let (sender, commands) = channel();
        let (stop, orders) = (Stop::default(), Orders::default());
        let thread = thread::Thread { commands, inbox: inbox.clone(), stop: stop.clone(), orders: orders.clone(), tuning };
        let thread = platform::spawn(name, move || thread.run()).expect("a thread can be started");
        Self { way: Way::Thread(Some((sender, thread))), inbox, stop, orders, open: 0 }
    }

    /// Adds a command to the queue. Where nothing is under way, an earlier wish to stop and earlier orders
    /// are forgotten.
    pub fn send(&mut self, command: Command) {
        let fresh = self.open == 0;
        if fresh {
            self.stop.clear();
            self.orders.clear();
        }
        self.open += 1;
        match &self.way {
            // The thread only ends when the worker is dropped.
            Way::Thread(runner) => runner.as_ref().expect("not dropped").0.send(command).expect("its thread lives"),
            Way::Line(line) => hub::command(*line, command, fresh),
        }
    }

    /// What was said since the last time; never waits.
    pub fn poll(&mut self) -> Vec<Reply> {
        let replies: Vec<Reply> = self.inbox.replies.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
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
        match &mut self.way {
            Way::Thread(runner) => {
                self.stop.ask();
                if let Some((commands, thread)) = runner.take() {
                    // The thread ends once no more commands can come; a panic in it was reported.
                    drop(commands);
                    thread.join().ok();
                }
            }
            Way::Line(line) => hub::close(*line),
        }
    }
}

/// What a panic means to a person.
pub fn bug(message: &str) -> String {
    format!("this is a bug in Signet: {message}. What was saved before is whole; please report it")
}

#[cfg(test)]
mod tests;
