//! The engine: runs the runners of a web page in a web worker, as tasks of its single thread.

use super::super::{Command, Event, Orders, Runner, Stop, Tuning};
use super::wire::{Bulk, EngineRequest, EngineResponse, RequestBody, ResponseBody, decode_request, encode_response};
use crate::platform;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

/// Sends JSON and a byte array to the page.
pub type PostMessage = Rc<dyn Fn(&str, Option<&Bulk>)>;
/// Spawns a task on the current thread.
pub type Spawn = fn(Pin<Box<dyn Future<Output = ()>>>);

/// Runners, each with its command queue.
#[derive(Clone)]
pub struct Host {
    slots: Rc<RefCell<BTreeMap<u32, RunnerSlot>>>,
    post: PostMessage,
    spawn: Spawn,
}

/// A runner and its queue.
struct RunnerSlot {
    queue: VecDeque<Command>,
    /// None while a command runs.
    runner: Option<Runner>,
    stop: Stop,
    orders: Orders,
}

impl RunnerSlot {
    fn new(tuning: Tuning) -> Self {
        let (stop, orders) = (Stop::default(), Orders::default());
        let runner = Runner::new(stop.clone()).with_tuning(tuning).with_orders(orders.clone());
        Self { queue: VecDeque::new(), runner: Some(runner), stop, orders }
    }
}

impl Host {
    /// Creates a host without runners.
    pub fn new(post: PostMessage, spawn: Spawn) -> Self {
        Self { slots: Rc::default(), post, spawn }
    }

    /// Handles a request of the page; an error if it is invalid.
    pub fn receive(&self, text: &str, bulk: Option<Bulk>) -> Result<(), String> {
        let EngineRequest { runner: id, body } = decode_request(text, bulk)?;
        match body {
            RequestBody::Open { tuning } => {
                self.slots.borrow_mut().insert(id, RunnerSlot::new(tuning));
            }
            RequestBody::Run { command, fresh } => self.enqueue(id, *command, fresh),
            RequestBody::Stop => self.with(id, |slot| slot.stop.request()),
            RequestBody::Order(order) => self.with(id, |slot| slot.orders.send(order)),
            RequestBody::Close => {
                if let Some(slot) = self.slots.borrow_mut().remove(&id) {
                    slot.stop.request();
                }
            }
        }
        Ok(())
    }

    fn with(&self, id: u32, act: impl FnOnce(&mut RunnerSlot)) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(&id) {
            act(slot);
        }
    }

    /// Queues a command, and starts the runner if it is idle.
    fn enqueue(&self, id: u32, command: Command, fresh: bool) {
        let mut idle = None;
        self.with(id, |slot| {
            if fresh {
                slot.stop.clear();
                slot.orders.clear();
            }
            slot.queue.push_back(command);
            idle = slot.runner.take();
        });
        if let Some(runner) = idle {
            (self.spawn)(Box::pin(self.clone().work(id, runner)));
        }
    }

    /// Runs the queued commands of a runner in order.
    async fn work(self, id: u32, mut runner: Runner) {
        while let Some(command) = self.next_command(id) {
            let mut emit = |event: Event| self.send(id, ResponseBody::Event(Box::new(event)));
            let error = runner.perform(command, &mut emit).await.err().map(Into::into);
            self.send(id, ResponseBody::Ended { error, bytes: platform::used_memory() });
            // Yields between commands, so that the worker can prepare files.
            platform::yield_now().await;
        }
        self.with(id, |slot| slot.runner = Some(runner));
    }

    fn next_command(&self, id: u32) -> Option<Command> {
        self.slots.borrow_mut().get_mut(&id)?.queue.pop_front()
    }

    fn send(&self, id: u32, body: ResponseBody) {
        let (text, bulk) = encode_response(&EngineResponse { runner: id, body });
        (self.post)(&text, bulk.as_ref());
    }
}
