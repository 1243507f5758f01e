//! A non-blocking handle to a [`Runner`](super::Runner) for front ends: commands are queued, replies are polled. The runner is on a
//! thread of its own, or for a web page, which has no threads, in the engine in its web worker.

mod connection;
mod host;
mod thread;
mod wire;

pub use connection::{EngineEvent, EngineLink, OnEngineEvent, StartEngine, connect, restart};
pub use host::{Host, PostMessage, Spawn};

use super::{Command, CommandError, Event, Orders, Stop, Tuning};
use crate::platform::{self, ThreadHandle};
use std::collections::VecDeque;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// A callback that is called when a reply can be polled.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A reply of a worker.
#[derive(Clone, Debug)]
// Nearly all replies are events, so boxing them would cost an allocation each.
#[allow(clippy::large_enum_variant)]
pub enum Reply {
    /// An event of the running command.
    Event(Event),
    /// The runner was replaced after a failure: its state is lost, as after [`Worker::spawn`]. Commands that were running or
    /// queued then end with an error.
    Restarted {
        /// The reason of the failure.
        why: String,
    },
    /// A command has ended.
    Ended {
        /// The error, or the message of a panic; none if it succeeded.
        error: Option<CommandError>,
    },
}

/// A shared queue of replies that are not polled yet.
#[derive(Clone)]
struct Inbox {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    wake: Wake,
}

impl Inbox {
    fn push(&self, reply: Reply) {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner).push_back(reply);
        (self.wake)();
    }
}

/// A worker that runs commands in order. Dropping it requests a stop and waits for the runner to end, because graphics drivers
/// crash if the process exits while a thread is inside them.
pub struct Worker {
    backend: Backend,
    inbox: Inbox,
    stop: Stop,
    orders: Orders,
    /// Commands sent whose end is not polled yet.
    open: usize,
}

/// The location of the runner.
enum Backend {
    /// `None` once the worker is being dropped.
    Thread(Option<(Sender<Command>, ThreadHandle)>),
    Channel(u32),
}

impl Worker {
    /// Spawns a worker whose thread is named `name`.
    ///
    /// # Panics
    /// If the thread cannot be spawned.
    pub fn spawn(name: &str, tuning: Tuning, wake: Wake) -> Self {
        let inbox = Inbox { replies: Arc::default(), wake };
        if let Some(channel) = connection::open(tuning, &inbox) {
            let stop = Stop::forwarding(move || connection::stop(channel));
            let orders = Orders::forwarding(move |order| connection::order(channel, order));
            return Self { backend: Backend::Channel(channel), inbox, stop, orders, open: 0 };
        }
        let (sender, commands) = channel();
        let (stop, orders) = (Stop::default(), Orders::default());
        let thread = thread::RunnerThread { commands, inbox: inbox.clone(), stop: stop.clone(), orders: orders.clone(), tuning };
        let thread = platform::spawn(name, move || thread.run()).expect("a thread can be started");
        Self { backend: Backend::Thread(Some((sender, thread))), inbox, stop, orders, open: 0 }
    }

    /// Queues a command. If the worker is idle, clears earlier stop requests and orders.
    pub fn send(&mut self, command: Command) {
        let fresh = self.open == 0;
        if fresh {
            self.stop.clear();
            self.orders.clear();
        }
        self.open += 1;
        match &self.backend {
            // The thread only ends when the worker is dropped.
            Backend::Thread(runner) => runner.as_ref().expect("not dropped").0.send(command).expect("its thread lives"),
            Backend::Channel(channel) => connection::command(*channel, command, fresh),
        }
    }

    /// Returns the replies since the last call, without blocking.
    pub fn poll(&mut self) -> Vec<Reply> {
        let replies: Vec<Reply> = self.inbox.replies.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        self.open -= replies.iter().filter(|reply| matches!(reply, Reply::Ended { .. })).count();
        replies
    }

    /// Returns true if a command is running or queued.
    pub fn busy(&self) -> bool {
        self.open > 0
    }

    /// Returns the orders that reach a training while it runs.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Requests that the running command and the queued ones stop.
    pub fn stop(&self) {
        self.stop.request();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        match &mut self.backend {
            Backend::Thread(runner) => {
                self.stop.request();
                if let Some((commands, thread)) = runner.take() {
                    // The thread ends once its sender is dropped; a panic in it was reported.
                    drop(commands);
                    thread.join().ok();
                }
            }
            Backend::Channel(channel) => connection::close(*channel),
        }
    }
}

/// Returns the user-facing message of a panic.
pub fn internal_error(message: &str) -> String {
    format!("internal error: {message}. Saved files are intact. Please report this bug")
}

#[cfg(test)]
mod tests;
