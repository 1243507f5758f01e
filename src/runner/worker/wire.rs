//! What goes between a page and the engine's worker: text, and bulk bytes beside it.

use super::super::{Command, Event, Order, Snapshot, TrainEvent, Tuning};
use crate::runner::ChatRequest;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bytes that are no text.
pub(super) type Bulk = Arc<Vec<u8>>;

/// What a page asks of the runner `line`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) line: u32,
    pub(super) what: Asked,
}

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Asked {
    /// A runner.
    Open { tuning: Tuning },
    /// To do a command, behind those sent before. If it is `fresh`, earlier wishes to stop and earlier
    /// orders are forgotten.
    Do { command: Box<Command>, fresh: bool },
    /// To stop.
    Stop,
    /// An order to its training.
    Order(Order),
    /// To end.
    Close,
}

/// What the runner `line` says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) line: u32,
    pub(super) what: Said,
}

/// What is said.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// Something happened.
    Event(Box<Event>),
    /// A command is done, and the engine has `bytes` of memory by now.
    Ended { error: Option<String>, bytes: u64 },
}

/// As text, and what goes beside it.
pub(super) fn pack_call(call: &Call) -> (String, Option<Bulk>) {
    let bulk = match &call.what {
        Asked::Do { command, .. } => bulk_of_command(command).cloned(),
        _ => None,
    };
    (text(call), bulk)
}

/// What was packed.
pub(super) fn unpack_call(text: &str, bulk: Option<Bulk>) -> Result<Call, String> {
    let mut call: Call = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let (Asked::Do { command, .. }, Some(bulk)) = (&mut call.what, bulk)
        && let Some(place) = place_in_command(command)
    {
        *place = bulk;
    }
    Ok(call)
}

/// As text, and what goes beside it.
pub(super) fn pack_told(told: &Told) -> (String, Option<Bulk>) {
    let bulk = match &told.what {
        Said::Event(event) => bulk_of_event(event).cloned(),
        Said::Ended { .. } => None,
    };
    (text(told), bulk)
}

/// What was packed.
pub(super) fn unpack_told(text: &str, bulk: Option<Bulk>) -> Result<Told, String> {
    let mut told: Told = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let (Said::Event(event), Some(bulk)) = (&mut told.what, bulk)
        && let Some(place) = place_in_event(event)
    {
        *place = bulk;
    }
    Ok(told)
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("commands and events are plain data")
}

fn bulk_of_command(command: &Command) -> Option<&Bulk> {
    match command {
        Command::OpenChat(request) => request.snapshot.as_ref().map(|snapshot| &snapshot.bytes),
        Command::RefreshChat { snapshot } => Some(&snapshot.bytes),
        _ => None,
    }
}

fn place_in_command(command: &mut Command) -> Option<&mut Bulk> {
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

fn place_in_event(event: &mut Event) -> Option<&mut Bulk> {
    match event {
        Event::Train(TrainEvent::Snapshot { bytes, .. }) | Event::Plane { pixels: bytes, .. } => Some(bytes),
        _ => None,
    }
}
