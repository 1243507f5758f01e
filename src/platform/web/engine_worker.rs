//! The engine's worker, as the page sees it. The page's script starts it with the module that it has compiled; this
//! module sends and receives messages.

use super::failure::words;
use super::link::{message, parts};
use super::page_requests;
use js_sys::{Function, Reflect};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use wasm_bindgen::prelude::*;
use web_sys::{File, MessageEvent, Worker};

/// A message from the engine.
pub enum EngineMessage {
    /// A message, with optional binary data.
    Message(String, Option<Arc<Vec<u8>>>),
    /// The engine failed, for this reason.
    Failed(String),
}

/// A running engine. Dropping it terminates the worker.
pub struct EngineWorker {
    worker: Worker,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

thread_local! {
    /// Files that the user chose, by path; a restarted engine receives them again.
    static FILES: RefCell<Vec<(String, File)>> = const { RefCell::new(Vec::new()) };
    /// The current engine.
    static CURRENT: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

impl EngineWorker {
    /// Starts an engine; `on_event` receives its messages.
    pub fn start(on_event: impl Fn(EngineMessage) + 'static) -> io::Result<Rc<Self>> {
        let worker = start().map_err(|exception| io::Error::other(words(exception)))?;
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let data = event.data();
            let text = |name: &str| Reflect::get(&data, &name.into()).ok().and_then(|value| value.as_string());
            if let Some(name) = text("download") {
                page_requests::offer(&name, &Reflect::get(&data, &"blob".into()).unwrap_or_default());
            } else if Reflect::has(&data, &"persist".into()).unwrap_or(false) {
                page_requests::persist();
            } else if let Some(why) = text("failed") {
                on_event(EngineMessage::Failed(why));
            } else if let Some((text, bulk)) = parts(&data) {
                on_event(EngineMessage::Message(text, bulk));
            }
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        CURRENT.set(Some(worker.clone()));
        FILES.with_borrow(|files| files.iter().for_each(|(path, file)| send_file(&worker, path, file)));
        Ok(Rc::new(Self { worker, _on_message: on_message }))
    }

    /// Sends text, with optional binary data.
    pub fn post(&self, text: &str, bulk: Option<&Arc<Vec<u8>>>) {
        // It fails only for values that cannot be cloned; text and bytes can.
        let _ = self.worker.post_message(&message(text, bulk));
    }
}

impl Drop for EngineWorker {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.terminate();
    }
}

/// Passes a file that the user chose to the engine; returns its path there.
pub fn give(file: File) -> String {
    let path = FILES.with_borrow_mut(|files| {
        let name = file.name().replace('/', "_");
        let mut path = format!("/files/{name}");
        let mut n = 1;
        while files.iter().any(|(taken, _)| *taken == path) {
            n += 1;
            path = format!("/files/{n} {name}");
        }
        files.push((path.clone(), file.clone()));
        path
    });
    CURRENT.with_borrow(|worker| {
        if let Some(worker) = worker {
            send_file(worker, &path, &file);
        }
    });
    path
}

fn send_file(worker: &Worker, path: &str, file: &File) {
    let data = js_sys::Object::new();
    let _ = Reflect::set(&data, &"path".into(), &path.into());
    let _ = Reflect::set(&data, &"file".into(), file);
    let _ = worker.post_message(&data);
}

fn start() -> Result<Worker, JsValue> {
    let signet = Reflect::get(&js_sys::global(), &"signet".into())?;
    let start: Function = Reflect::get(&signet, &"startWorker".into())?.dyn_into()?;
    start.call0(&signet)?.dyn_into()
}
