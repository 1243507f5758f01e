//! The mirror as an egui plugin: it receives each frame's accessibility tree, which eframe drops in a browser,
//! and feeds user input on the elements back to egui.

use super::Mirror;
use super::log::LogMessage;
use eframe::egui::{Context, Event, FullOutput, Plugin, RawInput};
use signet::runner::dom::{Change, InputEvent};
use std::sync::{Arc, Mutex, PoisonError};

/// Access to the page's elements.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Applies changes.
    pub apply: fn(&[Change]),
    /// Returns user input on the elements since the last call.
    pub take_events: fn() -> Vec<InputEvent>,
}

/// An owned message, kept until the end of the frame.
#[derive(Clone, Debug)]
struct OwnedMessage {
    who: String,
    text: String,
    done: bool,
}

/// The conversation that the mirror shows.
#[derive(Clone, Debug, Default)]
pub struct MirrorHandle(Arc<Mutex<Vec<OwnedMessage>>>);

impl MirrorHandle {
    /// Starts the mirror of the app that `context` draws.
    pub fn start(context: &Context, screen: Screen) -> Self {
        let handle = Self::default();
        context.enable_accesskit();
        context.add_plugin(MirrorPlugin { mirror: Mirror::default(), screen, messages: handle.clone() });
        handle
    }

    /// Replaces the messages of the conversation.
    pub fn set_messages<'a>(&self, new: impl Iterator<Item = LogMessage<'a>>) {
        let mut messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for (n, LogMessage { who, text, done }) in new.enumerate() {
            count = n + 1;
            match messages.get_mut(n) {
                Some(known) if known.who == who && known.text == text => known.done = done,
                Some(known) => *known = OwnedMessage { who: who.into(), text: text.into(), done },
                None => messages.push(OwnedMessage { who: who.into(), text: text.into(), done }),
            }
        }
        messages.truncate(count);
    }
}

struct MirrorPlugin {
    mirror: Mirror,
    screen: Screen,
    messages: MirrorHandle,
}

impl Plugin for MirrorPlugin {
    fn debug_name(&self) -> &'static str {
        "mirror"
    }

    fn input_hook(&mut self, _context: &Context, input: &mut RawInput) {
        input.events.extend(self.mirror.input_events((self.screen.take_events)()));
        if self.mirror.has_keyboard() {
            // Focus on an element of the page counts as focus on the canvas.
            input.focused = true;
            input.events.retain(|event| !matches!(event, Event::WindowFocused(false)));
        }
    }

    fn output_hook(&mut self, context: &Context, output: &mut FullOutput) {
        let Some(update) = output.platform_output.accesskit_update.take() else { return };
        let pointed = context.input(|input| input.pointer.any_down() || input.pointer.any_released());
        let messages = self.messages.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shown: Vec<LogMessage> = messages.iter().map(|OwnedMessage { who, text, done }| LogMessage { who, text, done: *done }).collect();
        let changes = self.mirror.update(&update, context.zoom_factor().into(), &shown, pointed);
        if !changes.is_empty() {
            (self.screen.apply)(&changes);
        }
        if self.mirror.has_events() {
            context.request_repaint();
        }
    }
}
