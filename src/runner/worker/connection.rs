//! The page's side of its connection to the engine in the web worker. Each [`Worker`](super::Worker) of the page has a channel
//! to a runner there. If the engine fails, it is restarted, with a new runner for each channel.

use super::super::{CommandError, Order, Tuning};
use super::wire::{Bulk, EngineRequest, RequestBody, ResponseBody, decode_response, encode_request};
use super::{Inbox, Reply};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

/// An event of the engine.
pub enum EngineEvent {
    /// A message.
    Message(String, Option<Bulk>),
    /// The engine has failed, with the reason.
    Failed(String),
}

/// A link to the engine. Dropping it terminates the engine.
pub trait EngineLink {
    /// Sends JSON and a byte array.
    fn post(&self, text: &str, bulk: Option<&Bulk>);
}

/// A callback for events of the engine.
pub type OnEngineEvent = Box<dyn Fn(EngineEvent)>;
/// A function that starts an engine.
pub type StartEngine = Rc<dyn Fn(OnEngineEvent) -> io::Result<Rc<dyn EngineLink>>>;

/// Bytes of memory above which an idle engine is restarted: WebAssembly never frees memory, and has at most 4 GiB.
const RESTART_MEMORY: u64 = 2 << 30;
/// Consecutive failures without any response after which the engine is not restarted.
const MAX_FAILURES: u32 = 3;

/// The connection to the current engine.
struct Connection {
    start: StartEngine,
    link: Option<Rc<dyn EngineLink>>,
    channels: BTreeMap<u32, Channel>,
    next: u32,
    /// Number of the current engine, to ignore late events of earlier ones.
    engine: u32,
    /// Failures since the last response.
    failed: u32,
}

/// A worker's channel to its runner.
struct Channel {
    tuning: Tuning,
    inbox: Inbox,
    /// Commands sent that have not ended.
    open: usize,
}

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// Connects this thread: its workers have their runners in the engine that `start` starts.
pub fn connect(start: StartEngine) {
    CONNECTION.set(Some(Connection { start, link: None, channels: BTreeMap::new(), next: 0, engine: 0, failed: 0 }));
}

/// Restarts the engine. Channels stay open, with new runners; the state of the old ones is lost.
pub fn restart(why: &str) {
    let engine = CONNECTION.with_borrow(|connection| connection.as_ref().map(|connection| connection.engine));
    if let Some(engine) = engine {
        fail(engine, why);
    }
}

/// Opens a channel; none if this thread is not connected.
pub(super) fn open(tuning: Tuning, inbox: &Inbox) -> Option<u32> {
    let channel = CONNECTION.with_borrow_mut(|connection| {
        let connection = connection.as_mut()?;
        connection.next += 1;
        connection.channels.insert(connection.next, Channel { tuning, inbox: inbox.clone(), open: 0 });
        Some(connection.next)
    })?;
    // The first channel starts the engine, which opens all channels.
    if CONNECTION.with_borrow(|connection| connection.as_ref().is_some_and(|connection| connection.link.is_some())) {
        post(channel, RequestBody::Open { tuning });
    } else {
        start();
    }
    Some(channel)
}

/// Sends an order to the training of a channel.
pub(super) fn order(channel: u32, order: Order) {
    post(channel, RequestBody::Order(order));
}

/// Requests that a channel's commands stop.
pub(super) fn stop(channel: u32) {
    post(channel, RequestBody::Stop);
}

/// Closes a channel.
pub(super) fn close(channel: u32) {
    post(channel, RequestBody::Close);
    // The thread local may be destroyed already; then nothing is open.
    let _ = CONNECTION.try_with(|connection| connection.borrow_mut().as_mut().map(|connection| connection.channels.remove(&channel)));
}

/// Sends a command. `fresh` is true if no other is running or queued.
pub(super) fn command(channel: u32, command: super::Command, fresh: bool) {
    CONNECTION.with_borrow_mut(|connection| {
        if let Some(channel) = connection.as_mut().and_then(|connection| connection.channels.get_mut(&channel)) {
            channel.open += 1;
        }
    });
    if !post(channel, RequestBody::Run { command: Box::new(command), fresh }) {
        ended(channel, Some("cannot start the engine. Reload the page".into()));
    }
}

/// Sends a request; returns false if there is no engine.
fn post(channel: u32, body: RequestBody) -> bool {
    let link = CONNECTION.try_with(|connection| connection.borrow().as_ref().and_then(|connection| connection.link.clone()));
    let Ok(Some(link)) = link else { return false };
    let (text, bulk) = encode_request(&EngineRequest { runner: channel, body });
    link.post(&text, bulk.as_ref());
    true
}

/// Starts an engine and opens all channels in it.
fn start() {
    let Some((start, engine)) = CONNECTION.with_borrow_mut(|connection| {
        let connection = connection.as_mut()?;
        connection.engine += 1;
        Some((connection.start.clone(), connection.engine))
    }) else {
        return;
    };
    match start(Box::new(move |event| handle(engine, event))) {
        Ok(link) => {
            let channels: Vec<(u32, Tuning)> = CONNECTION.with_borrow_mut(|connection| {
                let connection = connection.as_mut().expect("connected");
                connection.link = Some(link);
                connection.channels.iter().map(|(id, channel)| (*id, channel.tuning)).collect()
            });
            for (channel, tuning) in channels {
                post(channel, RequestBody::Open { tuning });
            }
        }
        Err(error) => fail(engine, &format!("cannot start the engine: {error}")),
    }
}

fn handle(engine: u32, event: EngineEvent) {
    if CONNECTION.with_borrow(|connection| connection.as_ref().is_none_or(|connection| connection.engine != engine)) {
        return;
    }
    match event {
        EngineEvent::Failed(why) => fail(engine, &why),
        EngineEvent::Message(text, bulk) => match decode_response(&text, bulk) {
            Ok(response) => {
                CONNECTION.with_borrow_mut(|connection| connection.as_mut().expect("connected").failed = 0);
                match response.body {
                    ResponseBody::Event(event) => reply(response.runner, Reply::Event(*event)),
                    ResponseBody::Ended { error, bytes } => {
                        ended(response.runner, error);
                        if bytes > RESTART_MEMORY && is_idle() {
                            restart("it was restarted to free memory");
                        }
                    }
                }
            }
            Err(why) => fail(engine, &format!("cannot decode a response of the engine: {why}. Reload the page")),
        },
    }
}

/// Returns true if no command is running or queued.
fn is_idle() -> bool {
    CONNECTION.with_borrow(|connection| connection.as_ref().is_some_and(|connection| connection.channels.values().all(|channel| channel.open == 0)))
}

fn reply(channel: u32, reply: Reply) {
    let inbox =
        CONNECTION.with_borrow(|connection| connection.as_ref().and_then(|connection| connection.channels.get(&channel)).map(|channel| channel.inbox.clone()));
    if let Some(inbox) = inbox {
        inbox.push(reply);
    }
}

fn ended(channel: u32, error: Option<CommandError>) {
    CONNECTION.with_borrow_mut(|connection| {
        if let Some(channel) = connection.as_mut().and_then(|connection| connection.channels.get_mut(&channel)) {
            channel.open = channel.open.saturating_sub(1);
        }
    });
    reply(channel, Reply::Ended { error });
}

/// Reports a failure of the engine to all channels, and restarts it.
fn fail(engine: u32, why: &str) {
    let Some((link, channels, retry)) = CONNECTION.with_borrow_mut(|connection| {
        let connection = connection.as_mut().filter(|connection| connection.engine == engine)?;
        // Late events of the failed engine are ignored.
        connection.engine += 1;
        connection.failed += 1;
        let channels: Vec<(Inbox, usize)> =
            connection.channels.values_mut().map(|channel| (channel.inbox.clone(), std::mem::take(&mut channel.open))).collect();
        Some((connection.link.take(), channels, connection.failed < MAX_FAILURES))
    }) else {
        return;
    };
    drop(link);
    for (inbox, open) in channels {
        inbox.push(Reply::Restarted { why: why.into() });
        for _ in 0..open {
            inbox.push(Reply::Ended { error: Some(why.into()) });
        }
    }
    if retry {
        start();
    }
}
