//! Entry point in a browser: of the page, and of the Web Worker that runs the engine.

/// Starts the page or, in a worker, the engine.
pub(super) fn main() {
    use signet::platform::link;
    use signet::runner::internal_error;
    link::report_panics(internal_error);
    if link::in_worker() { engine() } else { page() }
}

/// Starts the runners, once the browser's storage is mounted.
fn engine() {
    use signet::platform::{link, mount};
    use signet::runner::Host;
    use std::cell::RefCell;
    use std::rc::Rc;
    let host = Host::new(Rc::new(|text: &str, bulk: Option<&std::sync::Arc<Vec<u8>>>| link::post(text, bulk)), link::spawn);
    // Messages that arrive before the storage is mounted are queued.
    let early = Rc::new(RefCell::new(Some(Vec::new())));
    let waiting = early.clone();
    let on_message = move |text: String, bulk| {
        if let Err(why) = host.receive(&text, bulk) {
            link::fail(&format!("the engine cannot parse a message of the page: {why}. Reload the page"));
        }
    };
    let ready = on_message.clone();
    link::listen(move |text, bulk| match &mut *waiting.borrow_mut() {
        Some(waiting) => waiting.push((text, bulk)),
        None => on_message(text, bulk),
    });
    link::spawn(Box::pin(async move {
        mount().await;
        for (text, bulk) in early.take().unwrap_or_default() {
            ready(text, bulk);
        }
    }));
}

/// Starts the app, connected to the runners in the worker.
fn page() {
    use signet::platform::engine_worker::{EngineMessage, EngineWorker};
    use signet::runner::{EngineEvent, EngineLink, OnEngineEvent, connect};
    use std::rc::Rc;
    struct ToEngine(Rc<EngineWorker>);
    impl EngineLink for ToEngine {
        fn post(&self, text: &str, bulk: Option<&std::sync::Arc<Vec<u8>>>) {
            self.0.post(text, bulk);
        }
    }
    connect(Rc::new(|on_message: OnEngineEvent| {
        let engine = EngineWorker::start(move |message| {
            on_message(match message {
                EngineMessage::Message(text, bulk) => EngineEvent::Message(text, bulk),
                EngineMessage::Failed(why) => EngineEvent::Failed(why),
            });
        })?;
        Ok(Rc::new(ToEngine(engine)) as Rc<dyn EngineLink>)
    }));
    signet_app::open_page(browser());
}

/// The browser's functions and facts for the app.
fn browser() -> signet_app::Browser {
    use signet::platform::{elements, engine_worker, page};
    use signet_app::{Browser, Page, mirror::Screen};
    let page::Facts { address, fragment, agent, webgpu, secure, touch } = page::facts();
    Browser {
        page: Page { address, agent, webgpu, secure },
        fragment,
        touch,
        screen: Screen { apply: elements::apply, take_events: elements::take_events },
        listen: |wake| elements::listen(wake).map_err(|error| format!("{error:?}")),
        give: engine_worker::give,
        leaving_loses: page::ask_before_leaving,
        drawn: page::drawn,
        certified: page::certified,
        cannot_draw: page::cannot_draw,
    }
}
