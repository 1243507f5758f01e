//! Tasks and time in a page, which has one thread: tasks take turns at each await.

use js_sys::{Function, Promise, Reflect};
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::MessageChannel;

/// Milliseconds that a task may run before it yields.
const TURN: f64 = 8.0;

/// A stopwatch.
#[derive(Clone, Copy, Debug)]
pub struct Clock(f64);

impl Default for Clock {
    fn default() -> Self {
        Self(milliseconds())
    }
}

impl Clock {
    /// Starts a stopwatch.
    pub fn start() -> Self {
        Self::default()
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        (milliseconds() - self.0).max(0.0) / 1e3
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        Duration::from_secs_f64(self.seconds())
    }
}

thread_local! {
    static PERFORMANCE: web_sys::Performance = Reflect::get(&js_sys::global(), &"performance".into()).unwrap_throw().unchecked_into();
    static LAST_TURN: Cell<f64> = const { Cell::new(0.0) };
    static TURNS: RefCell<Option<Turns>> = const { RefCell::new(None) };
}

/// Milliseconds since the page or the worker was started.
fn milliseconds() -> f64 {
    PERFORMANCE.with(web_sys::Performance::now)
}

/// A channel to this thread itself: its messages arrive after those already queued, and without a timer's delay.
struct Turns {
    channel: MessageChannel,
    _on_message: Closure<dyn FnMut()>,
    waiting: std::rc::Rc<RefCell<Vec<Function>>>,
}

impl Turns {
    fn new() -> Self {
        let channel = MessageChannel::new().expect_throw("a message channel");
        let waiting = std::rc::Rc::<RefCell<Vec<Function>>>::default();
        let receivers = waiting.clone();
        let on_message = Closure::<dyn FnMut()>::new(move || {
            for go_on in receivers.take() {
                let _ = go_on.call0(&JsValue::NULL);
            }
        });
        channel.port1().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Self { channel, _on_message: on_message, waiting }
    }
}

/// Yields to other tasks of this thread, if this one has run for a while.
pub async fn yield_now() {
    if milliseconds() - LAST_TURN.get() < TURN {
        return;
    }
    let turn = Promise::new(&mut |resolve, _| {
        TURNS.with_borrow_mut(|turns| {
            let turns = turns.get_or_insert_with(Turns::new);
            turns.waiting.borrow_mut().push(resolve);
            let _ = turns.channel.port2().post_message(&JsValue::NULL);
        });
    });
    let _ = JsFuture::from(turn).await;
    super::storage::grow().await;
    LAST_TURN.set(milliseconds());
}

/// Sleeps; other tasks of this thread run meanwhile.
pub async fn sleep(seconds: f64) {
    let timer = Promise::new(&mut |resolve, _| {
        let set: Function = Reflect::get(&js_sys::global(), &"setTimeout".into()).unwrap_throw().unchecked_into();
        let _ = set.call2(&JsValue::NULL, &resolve, &(1e3 * seconds).into());
    });
    let _ = JsFuture::from(timer).await;
    LAST_TURN.set(milliseconds());
}

/// Returns the result of a future that is ready at once.
///
/// # Panics
/// If the future is pending: a page's thread cannot block.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a page cannot block on a pending future"),
    }
}

/// Seconds since 1970.
pub fn now() -> f64 {
    js_sys::Date::now() / 1e3
}

/// A number that differs between visits.
pub fn seed() -> u64 {
    (js_sys::Math::random() * 4_294_967_296.0) as u64
}

/// Does nothing: a page cannot sleep.
pub fn block_for(_seconds: f64) {}

/// Runs `work`; a page has no thread that could be left behind, so there is no limit.
pub fn within<T>(_seconds: f64, work: impl FnOnce() -> T) -> Option<T> {
    Some(work())
}

/// Fails: a page cannot start threads.
pub fn spawn(_name: &str, _work: impl FnOnce() + Send + 'static) -> std::io::Result<crate::platform::ThreadHandle> {
    Err(std::io::ErrorKind::Unsupported.into())
}
