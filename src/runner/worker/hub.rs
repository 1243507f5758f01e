//! The page's side of the engine's worker. Each of the page's workers is a line to a runner there. When
//! the engine fails, another is started in its place, and every line has a new runner.

use super::super::{Order, Tuning};
use super::wire::{Asked, Bulk, Call, Said, pack_call, unpack_told};
use super::{Inbox, Reply};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

/// What comes from the engine.
pub enum Heard {
    /// A message.
    Message(String, Option<Bulk>),
    /// It has failed and does nothing any more; why.
    Failed(String),
}

/// A way to the engine. When it is dropped, the engine ends at once.
pub trait Link {
    /// Sends text, and bytes beside it.
    fn post(&self, text: &str, bulk: Option<&Bulk>);
}

/// Where what comes from the engine goes.
pub type Hear = Box<dyn Fn(Heard)>;
/// Starts an engine.
pub type Start = Rc<dyn Fn(Hear) -> io::Result<Rc<dyn Link>>>;

/// Bytes from which on an engine with nothing to do is started anew: WebAssembly never gives memory back,
/// and has 4 GiB at most.
const MUCH: u64 = 2 << 30;
/// Engines that may fail one after the other without having done anything.
const TRIES: u32 = 3;

/// The lines to one engine.
struct Hub {
    start: Start,
    link: Option<Rc<dyn Link>>,
    lines: BTreeMap<u32, Line>,
    next: u32,
    /// Counts engines, so that a late word of an earlier one is not taken for this one's.
    engine: u32,
    /// Engines that failed since the last one that did something.
    failed: u32,
}

struct Line {
    tuning: Tuning,
    inbox: Inbox,
    /// Commands that it has not ended.
    open: usize,
}

thread_local! {
    static HUB: RefCell<Option<Hub>> = const { RefCell::new(None) };
}

/// From now on, workers of this thread have their runners behind what `start` starts.
pub fn connect(start: Start) {
    HUB.set(Some(Hub { start, link: None, lines: BTreeMap::new(), next: 0, engine: 0, failed: 0 }));
}

/// Ends the engine, and starts another with the same lines: what was open in its runners is gone.
pub fn restart(why: &str) {
    let engine = HUB.with_borrow(|hub| hub.as_ref().map(|hub| hub.engine));
    if let Some(engine) = engine {
        fail(engine, why);
    }
}

/// A new line, if this thread is connected.
pub(super) fn open(tuning: Tuning, inbox: &Inbox) -> Option<u32> {
    let line = HUB.with_borrow_mut(|hub| {
        let hub = hub.as_mut()?;
        hub.next += 1;
        hub.lines.insert(hub.next, Line { tuning, inbox: inbox.clone(), open: 0 });
        Some(hub.next)
    })?;
    // The first line starts the engine, which then opens every line.
    if HUB.with_borrow(|hub| hub.as_ref().is_some_and(|hub| hub.link.is_some())) {
        post(line, Asked::Open { tuning });
    } else {
        start();
    }
    Some(line)
}

/// Sends something that is not a command.
pub(super) fn order(line: u32, order: Order) {
    post(line, Asked::Order(order));
}

/// Asks a line's work to stop.
pub(super) fn stop(line: u32) {
    post(line, Asked::Stop);
}

/// Closes a line.
pub(super) fn close(line: u32) {
    post(line, Asked::Close);
    // Gone with its thread: then there is nothing left to close.
    let _ = HUB.try_with(|hub| hub.borrow_mut().as_mut().map(|hub| hub.lines.remove(&line)));
}

/// Sends a command; `fresh` if no other was under way.
pub(super) fn command(line: u32, command: super::Command, fresh: bool) {
    HUB.with_borrow_mut(|hub| {
        if let Some(line) = hub.as_mut().and_then(|hub| hub.lines.get_mut(&line)) {
            line.open += 1;
        }
    });
    if !post(line, Asked::Do { command: Box::new(command), fresh }) {
        ended(line, Some("the engine could not be started; reload the page".into()));
    }
}

/// Whether it was sent.
fn post(line: u32, what: Asked) -> bool {
    let link = HUB.try_with(|hub| hub.borrow().as_ref().and_then(|hub| hub.link.clone()));
    let Ok(Some(link)) = link else { return false };
    let (text, bulk) = pack_call(&Call { line, what });
    link.post(&text, bulk.as_ref());
    true
}

/// Starts an engine, and opens every line in it.
fn start() {
    let Some((start, engine)) = HUB.with_borrow_mut(|hub| {
        let hub = hub.as_mut()?;
        hub.engine += 1;
        Some((hub.start.clone(), hub.engine))
    }) else {
        return;
    };
    match start(Box::new(move |heard| hear(engine, heard))) {
        Ok(link) => {
            let lines: Vec<(u32, Tuning)> = HUB.with_borrow_mut(|hub| {
                let hub = hub.as_mut().expect("connected");
                hub.link = Some(link);
                hub.lines.iter().map(|(line, about)| (*line, about.tuning)).collect()
            });
            for (line, tuning) in lines {
                post(line, Asked::Open { tuning });
            }
        }
        Err(error) => fail(engine, &format!("the engine could not be started: {error}")),
    }
}

fn hear(engine: u32, heard: Heard) {
    if HUB.with_borrow(|hub| hub.as_ref().is_none_or(|hub| hub.engine != engine)) {
        return;
    }
    match heard {
        Heard::Failed(why) => fail(engine, &why),
        Heard::Message(text, bulk) => match unpack_told(&text, bulk) {
            Ok(told) => {
                HUB.with_borrow_mut(|hub| hub.as_mut().expect("connected").failed = 0);
                match told.what {
                    Said::Event(event) => reply(told.line, Reply::Event(*event)),
                    Said::Ended { error, bytes } => {
                        ended(told.line, error);
                        if bytes > MUCH && idle() {
                            restart("its memory was full of what is no longer needed");
                        }
                    }
                }
            }
            Err(why) => fail(engine, &format!("the engine said what this page does not understand ({why}); reload the page")),
        },
    }
}

/// Whether no command is under way.
fn idle() -> bool {
    HUB.with_borrow(|hub| hub.as_ref().is_some_and(|hub| hub.lines.values().all(|line| line.open == 0)))
}

fn reply(line: u32, reply: Reply) {
    let inbox = HUB.with_borrow(|hub| hub.as_ref().and_then(|hub| hub.lines.get(&line)).map(|line| line.inbox.clone()));
    if let Some(inbox) = inbox {
        inbox.put(reply);
    }
}

fn ended(line: u32, error: Option<String>) {
    HUB.with_borrow_mut(|hub| {
        if let Some(line) = hub.as_mut().and_then(|hub| hub.lines.get_mut(&line)) {
            line.open = line.open.saturating_sub(1);
        }
    });
    reply(line, Reply::Ended { error });
}

/// Tells every line that its runner is gone and why, and starts another engine.
fn fail(engine: u32, why: &str) {
    let Some((link, lines, again)) = HUB.with_borrow_mut(|hub| {
        let hub = hub.as_mut().filter(|hub| hub.engine == engine)?;
        // What it still says is no longer heard.
        hub.engine += 1;
        hub.failed += 1;
        let lines: Vec<(Inbox, usize)> = hub.lines.values_mut().map(|line| (line.inbox.clone(), std::mem::take(&mut line.open))).collect();
        Some((hub.link.take(), lines, hub.failed < TRIES))
    }) else {
        return;
    };
    drop(link);
    for (inbox, open) in lines {
        inbox.put(Reply::Anew { why: why.into() });
        for _ in 0..open {
            inbox.put(Reply::Ended { error: Some(why.into()) });
        }
    }
    if again {
        start();
    }
}
