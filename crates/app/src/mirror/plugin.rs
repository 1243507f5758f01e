//! The mirror as an egui plugin: it receives each frame's accessibility tree, which eframe drops in a browser,
//! and feeds user input on the elements back to egui.

use super::Mirror;
use super::log::Said;
use eframe::egui::{Context, Event, FullOutput, Plugin, RawInput};
use signet::runner::dom::{Change, Deed};
use std::sync::{Arc, Mutex, PoisonError};

/// Access to the page's elements.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Applies changes.
    pub apply: fn(&[Change]),
    /// Returns user input on the elements since the last call.
    pub deeds: fn() -> Vec<Deed>,
}

/// An owned message, kept until the end of the frame.
#[derive(Clone, Debug)]
struct Message {
    who: String,
    text: String,
    done: bool,
}

/// The conversation that the mirror shows.
#[derive(Clone, Debug, Default)]
pub struct Reflect(Arc<Mutex<Vec<Message>>>);

impl Reflect {
    /// Starts the mirror of the app that `context` draws.
    pub fn start(context: &Context, screen: Screen) -> Self {
        let reflect = Self::default();
        context.enable_accesskit();
        context.add_plugin(Shown { mirror: Mirror::default(), screen, said: reflect.clone() });
        reflect
    }

    /// Replaces the messages of the conversation.
    pub fn say<'a>(&self, said: impl Iterator<Item = Said<'a>>) {
        let mut messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for (n, Said { who, text, done }) in said.enumerate() {
            count = n + 1;
            match messages.get_mut(n) {
                Some(known) if known.who == who && known.text == text => known.done = done,
                Some(known) => *known = Message { who: who.into(), text: text.into(), done },
                None => messages.push(Message { who: who.into(), text: text.into(), done }),
            }
        }
        messages.truncate(count);
    }
}

struct Shown {
    mirror: Mirror,
    screen: Screen,
    said: Reflect,
}

impl Plugin for Shown {
    fn debug_name(&self) -> &'static str {
        "mirror"
    }

    fn input_hook(&mut self, _context: &Context, input: &mut RawInput) {
        input.events.extend(self.mirror.take((self.screen.deeds)()));
        if self.mirror.has_keyboard() {
            // Focus on an element of the page counts as focus on the canvas.
            input.focused = true;
            input.events.retain(|event| !matches!(event, Event::WindowFocused(false)));
        }
    }

    fn output_hook(&mut self, context: &Context, output: &mut FullOutput) {
        let Some(update) = output.platform_output.accesskit_update.take() else { return };
        let pointed = context.input(|input| input.pointer.any_down() || input.pointer.any_released());
        let messages = self.said.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said: Vec<Said> = messages.iter().map(|Message { who, text, done }| Said { who, text, done: *done }).collect();
        let changes = self.mirror.update(&update, context.zoom_factor().into(), &said, pointed);
        if !changes.is_empty() {
            (self.screen.apply)(&changes);
        }
        if self.mirror.waits() {
            context.request_repaint();
        }
    }
}
