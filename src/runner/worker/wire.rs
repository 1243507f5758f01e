//! Messages between a web page and the engine in its web worker: JSON, with large byte arrays passed beside it.

use super::super::{Command, CommandError, Event, Order, Snapshot, TrainEvent, Tuning};
use crate::runner::ChatRequest;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A byte array that is passed beside the JSON, not within it.
pub(super) type Bulk = Arc<Vec<u8>>;

/// A request to the runner with the id `runner`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EngineRequest {
    pub(super) runner: u32,
    pub(super) body: RequestBody,
}

/// The content of a request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum RequestBody {
    /// Create the runner.
    Open { tuning: Tuning },
    /// Queue a command. If it is `fresh`, clear earlier stop requests and orders.
    Run { command: Box<Command>, fresh: bool },
    /// Stop the running command and the queued ones.
    Stop,
    /// Pass an order to the running training.
    Order(Order),
    /// Remove the runner.
    Close,
}

/// A response of the runner with the id `runner`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EngineResponse {
    pub(super) runner: u32,
    pub(super) body: ResponseBody,
}

/// The content of a response.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ResponseBody {
    /// An event of the running command.
    Event(Box<Event>),
    /// A command has ended. `bytes` is the memory size of the engine.
    Ended { error: Option<CommandError>, bytes: u64 },
}

/// Encodes a request as JSON, with its byte array.
pub(super) fn encode_request(request: &EngineRequest) -> (String, Option<Bulk>) {
    let bulk = match &request.body {
        RequestBody::Run { command, .. } => bulk_of_command(command).cloned(),
        _ => None,
    };
    (to_json(request), bulk)
}

/// Decodes a request; an error if the JSON is invalid.
pub(super) fn decode_request(text: &str, bulk: Option<Bulk>) -> Result<EngineRequest, String> {
    let mut request: EngineRequest = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let (RequestBody::Run { command, .. }, Some(bulk)) = (&mut request.body, bulk)
        && let Some(bytes) = bulk_of_command_mut(command)
    {
        *bytes = bulk;
    }
    Ok(request)
}

/// Encodes a response as JSON, with its byte array.
pub(super) fn encode_response(response: &EngineResponse) -> (String, Option<Bulk>) {
    let bulk = match &response.body {
        ResponseBody::Event(event) => bulk_of_event(event).cloned(),
        ResponseBody::Ended { .. } => None,
    };
    (to_json(response), bulk)
}

/// Decodes a response; an error if the JSON is invalid.
pub(super) fn decode_response(text: &str, bulk: Option<Bulk>) -> Result<EngineResponse, String> {
    let mut response: EngineResponse = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let (ResponseBody::Event(event), Some(bulk)) = (&mut response.body, bulk)
        && let Some(bytes) = bulk_of_event_mut(event)
    {
        *bytes = bulk;
    }
    Ok(response)
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("commands and events are plain data")
}

fn bulk_of_command(command: &Command) -> Option<&Bulk> {
    match command {
        Command::OpenChat(request) => request.snapshot.as_ref().map(|snapshot| &snapshot.bytes),
        Command::RefreshChat { snapshot } => Some(&snapshot.bytes),
        _ => None,
    }
}

fn bulk_of_command_mut(command: &mut Command) -> Option<&mut Bulk> {
    match command {
        Command::OpenChat(request) => {
            let ChatRequest { snapshot, .. } = &mut **request;
            snapshot.as_mut().map(|snapshot| &mut snapshot.bytes)
        }
        Command::RefreshChat { snapshot: Snapshot { bytes, .. } } => Some(bytes),
        _ => None,
    }
}

fn bulk_of_event(event: &Event) -> Option<&Bulk> {
    match event {
        Event::Train(TrainEvent::Snapshot { bytes, .. }) | Event::Plane { pixels: bytes, .. } => Some(bytes),
        _ => None,
    }
}

fn bulk_of_event_mut(event: &mut Event) -> Option<&mut Bulk> {
    match event {
        Event::Train(TrainEvent::Snapshot { bytes, .. }) | Event::Plane { pixels: bytes, .. } => Some(bytes),
        _ => None,
    }
}
