//! A mirror of the app in HTML elements over the canvas, for screen readers, keyboards and tests. Changes of
//! egui's accessibility tree become changes of the elements; user input on the elements becomes egui events.
//! Pure: `signet::platform` accesses the page.

mod element;
mod log;
mod plugin;
mod tree;

pub(crate) use log::CHAT_MESSAGE;
pub use log::LogMessage;
pub use plugin::{MirrorHandle, Screen};

use eframe::egui::accesskit::{Action, ActionData, ActionRequest, Node, NodeId, Role, TextPosition, TextSelection, TreeId, TreeUpdate};
use eframe::egui::{self, Event, Modifiers};
use log::Log;
use signet::runner::dom::{Change, ElementKey, InputEvent, KeyModifiers};
use std::collections::HashMap;
use tree::Tree;

/// The state of the elements, and the keyboard focus.
#[derive(Debug, Default)]
struct Mirror {
    tree: Tree,
    log: Log,
    /// The node with egui's focus.
    focus: Option<NodeId>,
    /// The element with the page's focus.
    at: Option<ElementKey>,
    /// The number field being typed into.
    draft: Option<ElementKey>,
    /// A text selection, in UTF-16 units, kept until the app has the same text.
    selecting: Option<(ElementKey, u32, u32)>,
    /// The list that was opened last, and the option chosen in it: egui closes a list only for a pointer.
    list: Option<ElementKey>,
    chosen: Option<ElementKey>,
    /// Events for the next frame.
    events: Vec<Event>,
}

impl Mirror {
    /// Returns the changes of the page after a frame. `scale` is CSS pixels a point; `pointed` is true if a pointer
    /// was pressed or released in the frame, which puts the keyboard focus on the canvas.
    fn update(&mut self, update: &TreeUpdate, scale: f64, messages: &[LogMessage], pointed: bool) -> Vec<Change> {
        let nodes: HashMap<NodeId, &Node> = update.nodes.iter().map(|(id, node)| (*id, node)).collect();
        let mut next = vec![element::conversation()];
        next.extend(element::elements(update, scale));
        let at = self.at;
        let caret = |key| (at == Some(key)).then(|| caret(&nodes, key)).flatten();
        let mut changes = self.tree.update(next, self.draft, caret);
        if let Some(at) = self.at {
            // An element loses the browser's focus when it is removed, even to be moved.
            let taken = |change: &Change| matches!(change, Change::Remove { key } | Change::Move { key, .. } if *key == at);
            match self.tree.get(at) {
                None => self.at = None,
                Some(_) if changes.iter().any(taken) => changes.push(Change::Focus { key: at }),
                Some(_) => {}
            }
        }
        changes.extend(self.log.update(messages));
        if let Some((key, anchor, focus)) = self.selecting
            && let Some(request) = self.selection(&nodes, key, anchor, focus)
        {
            self.selecting = None;
            self.events.push(request);
        }
        if let (Some(chosen), Some(list)) = (self.chosen.take(), self.list)
            && self.tree.get(chosen).is_some()
        {
            self.events.extend([request(list, Action::Click, None), request(list, Action::Focus, None)]);
        }
        if self.focus != Some(update.focus) {
            self.focus = Some(update.focus);
            let key = update.focus.0;
            if self.tree.get(key).is_some() && self.at != Some(key) && (self.at.is_some() || !pointed) {
                self.at = Some(key);
                changes.push(Change::Focus { key });
            }
        }
        changes
    }

    /// True if there are events for the next frame.
    fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// True if an element of the page has the focus.
    fn has_keyboard(&self) -> bool {
        self.at.is_some()
    }

    /// Converts user input on the elements to egui events.
    fn input_events(&mut self, inputs: Vec<InputEvent>) -> Vec<Event> {
        let mut events = std::mem::take(&mut self.events);
        for input in inputs {
            match input {
                InputEvent::Click { key } if self.is_enabled(key) => {
                    match self.role(key) {
                        Some("combobox") => self.list = Some(key),
                        Some("option") => self.chosen = Some(key),
                        _ => {}
                    }
                    events.push(request(key, Action::Click, None));
                }
                InputEvent::Click { .. } => {}
                InputEvent::Focus { key } => {
                    self.set_focus(Some(key));
                    events.extend([request(key, Action::Focus, None), request(key, Action::ScrollIntoView, None)]);
                }
                InputEvent::Leave => self.set_focus(None),
                InputEvent::Value { key, text } => {
                    events.extend(self.refocus());
                    events.extend(self.value(key, text));
                }
                InputEvent::Select { key, anchor, focus } => self.selecting = Some((key, anchor, focus)),
                InputEvent::Step { key, up } => {
                    self.draft = None;
                    events.push(request(key, if up { Action::Increment } else { Action::Decrement }, None));
                }
                InputEvent::Press { name, modifiers: with } => {
                    self.draft = None;
                    events.extend(self.refocus().filter(|_| name != "Escape"));
                    let modifiers = modifiers(with);
                    if let Some(key) = egui::Key::from_name(&name) {
                        events.push(Event::ModifiersChanged(modifiers));
                        events.extend([true, false].map(|pressed| Event::Key { key, physical_key: None, pressed, repeat: false, modifiers }));
                        // Modifiers hold for the whole frame; release them in the next.
                        self.events.push(Event::ModifiersChanged(Modifiers::NONE));
                    }
                }
            }
        }
        events
    }

    /// Moves egui's focus to the element with the page's: on Escape egui drops its focus, the element does not.
    fn refocus(&self) -> Option<Event> {
        let key = self.at.filter(|key| self.focus != Some(NodeId(*key)))?;
        Some(request(key, Action::Focus, None))
    }

    fn set_focus(&mut self, key: Option<ElementKey>) {
        self.at = key;
        self.draft = self.draft.filter(|draft| Some(*draft) == key);
    }

    fn is_enabled(&self, key: ElementKey) -> bool {
        self.tree.get(key).is_some_and(|element| !element.attributes.iter().any(|(name, _)| *name == "aria-disabled"))
    }

    fn role(&self, key: ElementKey) -> Option<&str> {
        self.tree.get(key)?.attributes.iter().find(|(name, _)| *name == "role").map(|(_, role)| &role[..])
    }

    /// The event for a changed field; none while the text of a number field is no number.
    fn value(&mut self, key: ElementKey, text: String) -> Option<Event> {
        let numeric = matches!(self.role(key), Some("spinbutton" | "slider"));
        self.tree.typed(key, text.clone());
        let data = match numeric {
            true => {
                self.draft = Some(key);
                ActionData::NumericValue(number(&text)?)
            }
            false => ActionData::Value(text.into()),
        };
        self.is_enabled(key).then(|| request(key, Action::SetValue, Some(data)))
    }

    /// The event for a text selection; none until egui has the same text as the page.
    fn selection(&self, nodes: &HashMap<NodeId, &Node>, key: ElementKey, anchor: u32, focus: u32) -> Option<Event> {
        let text = self.tree.get(key)?.value.as_deref()?;
        let node = nodes.get(&NodeId(key)).filter(|node| node.value() == Some(text))?;
        let place = |units: u32| position(nodes, node, characters(text, units));
        let selection = TextSelection { anchor: place(anchor)?, focus: place(focus)? };
        Some(request(key, Action::SetTextSelection, Some(ActionData::SetTextSelection(selection))))
    }
}

fn request(key: ElementKey, action: Action, data: Option<ActionData>) -> Event {
    Event::AccessKitActionRequest(ActionRequest { action, target_tree: TreeId::ROOT, target_node: NodeId(key), data })
}

fn modifiers(modifiers: KeyModifiers) -> Modifiers {
    Modifiers { alt: modifiers.alt, ctrl: modifiers.ctrl, shift: modifiers.shift, mac_cmd: modifiers.meta, command: modifiers.ctrl || modifiers.meta }
}

/// Parses the number at the beginning of a text; a unit may follow.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c))).unwrap_or(text.len());
    text[..end].parse().ok().filter(|number: &f64| number.is_finite())
}

/// The number of characters in the first `units` UTF-16 units of a text.
fn characters(text: &str, units: u32) -> usize {
    let mut left = units as usize;
    text.chars()
        .take_while(|c| {
            let fits = c.len_utf16() <= left;
            left = left.saturating_sub(c.len_utf16());
            fits
        })
        .count()
}

/// The text runs of a field: node and number of characters of each.
fn runs<'a>(nodes: &'a HashMap<NodeId, &Node>, node: &'a Node) -> impl Iterator<Item = (NodeId, usize)> + 'a {
    let runs = node.children().iter().filter_map(|id| Some((*id, *nodes.get(id)?)));
    runs.filter(|(_, run)| run.role() == Role::TextRun).map(|(id, run)| (id, run.character_lengths().len()))
}

fn position(nodes: &HashMap<NodeId, &Node>, node: &Node, mut characters: usize) -> Option<TextPosition> {
    let mut last = None;
    for (id, length) in runs(nodes, node) {
        if characters < length {
            return Some(TextPosition { node: id, character_index: characters });
        }
        characters -= length;
        last = Some((id, length));
    }
    // At the end of the text.
    last.filter(|_| characters == 0).map(|(node, character_index)| TextPosition { node, character_index })
}

/// The position of egui's caret in a field, in UTF-16 units.
fn caret(nodes: &HashMap<NodeId, &Node>, key: ElementKey) -> Option<u32> {
    let node = nodes.get(&NodeId(key))?;
    let at = node.text_selection()?.focus;
    let before: usize = runs(nodes, node).take_while(|(id, _)| *id != at.node).map(|(_, length)| length).sum();
    Some(node.value()?.chars().take(before + at.character_index).map(char::len_utf16).sum::<usize>() as u32)
}

#[cfg(test)]
mod tests;
