//! Workers of both kinds, driven as a front end does.

use super::*;
use crate::runner::{Order, Snapshot};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn wait(worker: &mut Worker) -> Vec<Reply> {
    let mut replies = Vec::new();
    while worker.busy() {
        replies.extend(worker.poll());
        platform::pause(0.001);
    }
    replies
}

fn told(replies: &[Reply]) {
    let Reply::Ended { error: Some(error) } = &replies[0] else { panic!("{replies:?}") };
    assert!(error.contains("no conversation"), "{error}");
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
    told(&replies);
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

type Kept = (String, Option<Arc<Vec<u8>>>);
type Hears = Rc<dyn Fn(Heard)>;

/// An engine in the same thread, which keeps what it is asked until it is let work.
#[derive(Default)]
struct Engine {
    calls: RefCell<Vec<Kept>>,
    host: RefCell<Option<Host>>,
    hear: RefCell<Option<Hears>>,
    started: Cell<usize>,
}

struct ToEngine(Rc<Engine>);

impl Link for ToEngine {
    fn post(&self, text: &str, bulk: Option<&Arc<Vec<u8>>>) {
        self.0.calls.borrow_mut().push((text.into(), bulk.cloned()));
    }
}

impl Engine {
    fn connected() -> Rc<Self> {
        let engine = Rc::new(Self::default());
        let kept = engine.clone();
        connect(Rc::new(move |hear| {
            let hear: Hears = hear.into();
            let said = hear.clone();
            let say = move |text: &str, bulk: Option<&Arc<Vec<u8>>>| said(Heard::Message(text.into(), bulk.cloned()));
            *kept.host.borrow_mut() = Some(Host::new(Rc::new(say), platform::wait));
            *kept.hear.borrow_mut() = Some(hear);
            kept.calls.borrow_mut().clear();
            kept.started.set(kept.started.get() + 1);
            Ok(Rc::new(ToEngine(kept.clone())) as Rc<dyn Link>)
        }));
        engine
    }

    fn work(&self) {
        for (text, bulk) in self.calls.take() {
            let host = self.host.borrow().clone().expect("started");
            host.hear(&text, bulk).unwrap();
        }
    }

    fn fail(&self) {
        let hear = self.hear.borrow().clone().expect("started");
        hear(Heard::Failed("it fell".into()));
    }
}

fn spawn() -> Worker {
    Worker::spawn("test", Tuning::Off, Arc::new(|| ()))
}

#[test]
fn a_page_speaks_to_runners_by_messages() {
    let engine = Engine::connected();
    let mut worker = spawn();
    worker.send(Command::ResetChat);
    worker.send(Command::Devices);
    assert!(worker.poll().is_empty() && worker.busy());
    engine.work();
    told(&worker.poll());
    assert!(!worker.busy() && engine.started.get() == 1);
    // Bytes go beside the text: as text they would be lost, and no model.
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
fn wishes_reach_a_runner_while_it_works() {
    let engine = Engine::connected();
    let worker = spawn();
    worker.orders().clone().give(Order::Pause);
    worker.stop();
    let calls: Vec<String> = engine.calls.borrow().iter().map(|(text, _)| text.clone()).collect();
    assert!(calls.len() == 3 && calls[1].contains("pause") && calls[2].contains("Stop"), "{calls:?}");
    drop(worker);
    assert!(engine.calls.borrow()[3].0.contains("Close"));
}

#[test]
fn a_failed_engine_is_replaced_and_every_worker_told() {
    let engine = Engine::connected();
    let (mut busy, mut idle) = (spawn(), spawn());
    busy.send(Command::Devices);
    engine.fail();
    let replies = busy.poll();
    assert!(matches!(&replies[..], [Reply::Anew { .. }, Reply::Ended { error: Some(why) }] if why == "it fell"), "{replies:?}");
    assert!(matches!(idle.poll()[..], [Reply::Anew { .. }]) && !busy.busy());
    assert_eq!(engine.started.get(), 2);
    // Both have a runner in the new one.
    for worker in [&mut busy, &mut idle] {
        worker.send(Command::Devices);
        engine.work();
        assert!(matches!(worker.poll()[..], [Reply::Event(Event::Devices { .. }), Reply::Ended { error: None }]));
    }
    // One that only ever fails is given up.
    for _ in 0..5 {
        engine.fail();
    }
    assert_eq!(engine.started.get(), 4);
    busy.send(Command::Devices);
    let replies = busy.poll();
    assert!(matches!(replies.last(), Some(Reply::Ended { error: Some(_) })), "{replies:?}");
}
