//! Tests of both kinds of workers, used as by a front end.

use super::*;
use crate::runner::{Order, Snapshot};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn wait(worker: &mut Worker) -> Vec<Reply> {
    let mut replies = Vec::new();
    while worker.busy() {
        replies.extend(worker.poll());
        platform::block_for(0.001);
    }
    replies
}

fn expect_error_then_devices(replies: &[Reply]) {
    let Reply::Ended { error: Some(error) } = &replies[0] else { panic!("{replies:?}") };
    assert!(error.text.contains("no conversation"), "{error}");
    assert!(matches!(&replies[1..], [Reply::Event(Event::Devices { .. }), Reply::Ended { error: None }]), "{replies:?}");
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
    expect_error_then_devices(&replies);
    assert_eq!(woken.load(Ordering::SeqCst), replies.len());
}

#[test]
fn dropping_a_worker_waits_until_its_runner_has_ended() {
    let alive = Arc::new(());
    let held = alive.clone();
    let mut worker = Worker::spawn("test", Tuning::Off, Arc::new(move || _ = &held));
    worker.send(Command::Devices);
    drop(worker);
    assert_eq!(Arc::strong_count(&alive), 1);
}

type Message = (String, Option<Arc<Vec<u8>>>);
type Listener = Rc<dyn Fn(EngineEvent)>;

/// An engine on the same thread, which queues requests until `work` is called.
#[derive(Default)]
struct Engine {
    calls: RefCell<Vec<Message>>,
    host: RefCell<Option<Host>>,
    listener: RefCell<Option<Listener>>,
    started: Cell<usize>,
}

struct ToEngine(Rc<Engine>);

impl EngineLink for ToEngine {
    fn post(&self, text: &str, bulk: Option<&Arc<Vec<u8>>>) {
        self.0.calls.borrow_mut().push((text.into(), bulk.cloned()));
    }
}

impl Engine {
    fn connected() -> Rc<Self> {
        let engine = Rc::new(Self::default());
        let shared = engine.clone();
        connect(Rc::new(move |listener| {
            let listener: Listener = listener.into();
            let page = listener.clone();
            let post = move |text: &str, bulk: Option<&Arc<Vec<u8>>>| page(EngineEvent::Message(text.into(), bulk.cloned()));
            *shared.host.borrow_mut() = Some(Host::new(Rc::new(post), platform::wait));
            *shared.listener.borrow_mut() = Some(listener);
            shared.calls.borrow_mut().clear();
            shared.started.set(shared.started.get() + 1);
            Ok(Rc::new(ToEngine(shared.clone())) as Rc<dyn EngineLink>)
        }));
        engine
    }

    fn work(&self) {
        for (text, bulk) in self.calls.take() {
            let host = self.host.borrow().clone().expect("started");
            host.receive(&text, bulk).unwrap();
        }
    }

    fn fail(&self) {
        let listener = self.listener.borrow().clone().expect("started");
        listener(EngineEvent::Failed("it fell".into()));
    }
}

fn spawn() -> Worker {
    Worker::spawn("test", Tuning::Off, Arc::new(|| ()))
}

#[test]
fn a_page_sends_commands_to_runners_as_messages() {
    let engine = Engine::connected();
    let mut worker = spawn();
    worker.send(Command::ResetChat);
    worker.send(Command::Devices);
    assert!(worker.poll().is_empty() && worker.busy());
    engine.work();
    expect_error_then_devices(&worker.poll());
    assert!(!worker.busy() && engine.started.get() == 1);
    // Byte arrays are passed beside the JSON.
    let student = Snapshot { step: 1, bytes: Arc::new(crate::assets::student().unwrap().to_vec()) };
    let request = crate::runner::ChatRequest {
        model: "a snapshot".into(),
        snapshot: Some(student),
        teacher: None,
        device: "cpu".into(),
        context: Some(64),
        system: None,
        request: Default::default(),
    };
    worker.send(Command::OpenChat(Box::new(request)));
    engine.work();
    let replies = worker.poll();
    assert!(matches!(replies[..], [Reply::Event(Event::Loaded { .. }), Reply::Ended { error: None }]), "{replies:?}");
}

#[test]
fn orders_and_stop_requests_reach_a_running_command() {
    let engine = Engine::connected();
    let worker = spawn();
    worker.orders().clone().send(Order::Pause);
    worker.stop();
    let calls: Vec<String> = engine.calls.borrow().iter().map(|(text, _)| text.clone()).collect();
    assert!(calls.len() == 3 && calls[1].contains("pause") && calls[2].contains("Stop"), "{calls:?}");
    drop(worker);
    assert!(engine.calls.borrow()[3].0.contains("Close"));
}

#[test]
fn a_failed_engine_is_restarted_and_every_worker_is_notified() {
    let engine = Engine::connected();
    let (mut busy, mut idle) = (spawn(), spawn());
    busy.send(Command::Devices);
    engine.fail();
    let replies = busy.poll();
    assert!(matches!(&replies[..], [Reply::Restarted { .. }, Reply::Ended { error: Some(why) }] if why.text == "it fell"), "{replies:?}");
    assert!(matches!(idle.poll()[..], [Reply::Restarted { .. }]) && !busy.busy());
    assert_eq!(engine.started.get(), 2);
    // Both have a runner in the new engine.
    for worker in [&mut busy, &mut idle] {
        worker.send(Command::Devices);
        engine.work();
        assert!(matches!(worker.poll()[..], [Reply::Event(Event::Devices { .. }), Reply::Ended { error: None }]));
    }
    // After repeated failures it is not restarted.
    for _ in 0..5 {
        engine.fail();
    }
    assert_eq!(engine.started.get(), 4);
    busy.send(Command::Devices);
    let replies = busy.poll();
    assert!(matches!(replies.last(), Some(Reply::Ended { error: Some(_) })), "{replies:?}");
}
