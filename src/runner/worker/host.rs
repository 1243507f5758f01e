//! Runners in the engine's worker: tasks of its one thread, which take turns where they await.

use super::super::{Command, Event, Orders, Runner, Stop, Tuning};
use super::wire::{Asked, Bulk, Call, Said, Told, pack_told, unpack_call};
use crate::platform;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

/// Sends text and bytes to the page.
pub type Say = Rc<dyn Fn(&str, Option<&Bulk>)>;
/// Runs a task beside others.
pub type Spawn = fn(Pin<Box<dyn Future<Output = ()>>>);

/// Runners, each with the commands that wait for it.
#[derive(Clone)]
pub struct Host {
    seats: Rc<RefCell<BTreeMap<u32, Seat>>>,
    say: Say,
    spawn: Spawn,
}

struct Seat {
    waiting: VecDeque<Command>,
    /// None while it works.
    runner: Option<Runner>,
    stop: Stop,
    orders: Orders,
}

impl Seat {
    fn new(tuning: Tuning) -> Self {
        let (stop, orders) = (Stop::default(), Orders::default());
        let runner = Runner::new(stop.clone()).with_tuning(tuning).with_orders(orders.clone());
        Self { waiting: VecDeque::new(), runner: Some(runner), stop, orders }
    }
}

impl Host {
    /// Without runners yet.
    pub fn new(say: Say, spawn: Spawn) -> Self {
        Self { seats: Rc::default(), say, spawn }
    }

    /// Takes what the page sent. What it never sends is an error in words.
    pub fn hear(&self, text: &str, bulk: Option<Bulk>) -> Result<(), String> {
        let Call { line, what } = unpack_call(text, bulk)?;
        match what {
            Asked::Open { tuning } => {
                self.seats.borrow_mut().insert(line, Seat::new(tuning));
            }
            Asked::Do { command, fresh } => self.take(line, *command, fresh),
            Asked::Stop => self.with(line, |seat| seat.stop.ask()),
            Asked::Order(order) => self.with(line, |seat| seat.orders.give(order)),
            Asked::Close => {
                if let Some(seat) = self.seats.borrow_mut().remove(&line) {
                    seat.stop.ask();
                }
            }
        }
        Ok(())
    }

    fn with(&self, line: u32, act: impl FnOnce(&mut Seat)) {
        if let Some(seat) = self.seats.borrow_mut().get_mut(&line) {
            act(seat);
        }
    }

    /// Puts a command behind those that wait; begins to work if nothing is under way.
    fn take(&self, line: u32, command: Command, fresh: bool) {
        let mut idle = None;
        self.with(line, |seat| {
            if fresh {
                seat.stop.clear();
                seat.orders.clear();
            }
            seat.waiting.push_back(command);
            idle = seat.runner.take();
        });
        if let Some(runner) = idle {
            (self.spawn)(Box::pin(self.clone().work(line, runner)));
        }
    }

    /// Does what waits for a runner, one command after the other.
    async fn work(self, line: u32, mut runner: Runner) {
        while let Some(command) = self.next(line) {
            let mut emit = |event: Event| self.tell(line, Said::Event(Box::new(event)));
            let error = runner.perform(command, &mut emit).await.err().map(|error| format!("{error:#}"));
            self.tell(line, Said::Ended { error, bytes: platform::used_memory() });
            // Also where no command waits for anything: files are made ready for those to come.
            platform::breathe().await;
        }
        self.with(line, |seat| seat.runner = Some(runner));
    }

    fn next(&self, line: u32) -> Option<Command> {
        self.seats.borrow_mut().get_mut(&line)?.waiting.pop_front()
    }

    fn tell(&self, line: u32, what: Said) {
        let (text, bulk) = pack_told(&Told { line, what });
        (self.say)(&text, bulk.as_ref());
    }
}
