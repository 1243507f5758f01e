//! The app as elements of a page, for those who cannot see or point at the picture: screen readers,
//! keyboards, tests. From egui's accessibility tree come changes to the elements; from what people do
//! with them come egui's events. Pure: `platform` has the page.

mod element;
mod log;
mod plugin;
mod tree;

pub(crate) use log::SAID;
pub use log::Said;
pub use plugin::{Reflect, Screen};

use eframe::egui::accesskit::{Action, ActionData, ActionRequest, Node, NodeId, Role, TextPosition, TextSelection, TreeId, TreeUpdate};
use eframe::egui::{self, Event, Modifiers};
use log::Log;
use signet::runner::dom::{Change, Deed, Held, Key};
use std::collections::HashMap;
use tree::Tree;

/// What the page has, and who has the keyboard.
#[derive(Debug, Default)]
struct Mirror {
    tree: Tree,
    log: Log,
    /// What has egui's focus.
    focus: Option<NodeId>,
    /// The element that has the page's.
    at: Option<Key>,
    /// A number that is being typed.
    draft: Option<Key>,
    /// A part of a field's text that was selected, in UTF-16 units, until the app has the same text.
    selecting: Option<(Key, u32, u32)>,
    /// The list that was opened last, and what was chosen in it: egui closes a list for a pointer only.
    list: Option<Key>,
    chosen: Option<Key>,
    /// For the next frame.
    events: Vec<Event>,
}

impl Mirror {
    /// What has to change in the page after a frame. `scale` is a point in pixels of the page; `pointed`
    /// whether a pointer did something in the frame, which then has the keyboard on the picture.
    fn update(&mut self, update: &TreeUpdate, scale: f64, said: &[Said], pointed: bool) -> Vec<Change> {
        let nodes: HashMap<NodeId, &Node> = update.nodes.iter().map(|(id, node)| (*id, node)).collect();
        let mut next = vec![element::conversation()];
        next.extend(element::elements(update, scale));
        let at = self.at;
        let caret = |key| (at == Some(key)).then(|| caret(&nodes, key)).flatten();
        let mut changes = self.tree.update(next, self.draft, caret);
        if let Some(at) = self.at {
            // A browser forgets the keyboard of an element that is taken out, even to be put elsewhere.
            let taken = |change: &Change| matches!(change, Change::Remove { key } | Change::Move { key, .. } if *key == at);
            match self.tree.get(at) {
                None => self.at = None,
                Some(_) if changes.iter().any(taken) => changes.push(Change::Focus { key: at }),
                Some(_) => {}
            }
        }
        changes.extend(self.log.update(said));
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

    /// Whether there is something to tell egui in a next frame.
    fn waits(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether an element of the page has the keyboard.
    fn has_keyboard(&self) -> bool {
        self.at.is_some()
    }

    /// What people did, as egui's events for the next frame.
    fn take(&mut self, deeds: Vec<Deed>) -> Vec<Event> {
        let mut events = std::mem::take(&mut self.events);
        for deed in deeds {
            match deed {
                Deed::Click { key } if self.able(key) => {
                    match self.role(key) {
                        Some("combobox") => self.list = Some(key),
                        Some("option") => self.chosen = Some(key),
                        _ => {}
                    }
                    events.push(request(key, Action::Click, None));
                }
                Deed::Click { .. } => {}
                Deed::Focus { key } => {
                    self.went_to(Some(key));
                    events.extend([request(key, Action::Focus, None), request(key, Action::ScrollIntoView, None)]);
                }
                Deed::Leave => self.went_to(None),
                Deed::Value { key, text } => {
                    events.extend(self.refocus());
                    events.extend(self.value(key, text));
                }
                Deed::Select { key, anchor, focus } => self.selecting = Some((key, anchor, focus)),
                Deed::Step { key, up } => {
                    self.draft = None;
                    events.push(request(key, if up { Action::Increment } else { Action::Decrement }, None));
                }
                Deed::Press { name, held: with } => {
                    self.draft = None;
                    events.extend(self.refocus().filter(|_| name != "Escape"));
                    let modifiers = modifiers(with);
                    if let Some(key) = egui::Key::from_name(&name) {
                        events.push(Event::ModifiersChanged(modifiers));
                        events.extend([true, false].map(|pressed| Event::Key { key, physical_key: None, pressed, repeat: false, modifiers }));
                        // They hold for the whole frame.
                        self.events.push(Event::ModifiersChanged(Modifiers::NONE));
                    }
                }
            }
        }
        events
    }

    /// Brings egui's focus to where the page's is: Escape takes it away from a field that keeps the keyboard.
    fn refocus(&self) -> Option<Event> {
        let key = self.at.filter(|key| self.focus != Some(NodeId(*key)))?;
        Some(request(key, Action::Focus, None))
    }

    fn went_to(&mut self, key: Option<Key>) {
        self.at = key;
        self.draft = self.draft.filter(|draft| Some(*draft) == key);
    }

    fn able(&self, key: Key) -> bool {
        self.tree.get(key).is_some_and(|element| !element.attributes.iter().any(|(name, _)| *name == "aria-disabled"))
    }

    fn role(&self, key: Key) -> Option<&str> {
        self.tree.get(key)?.attributes.iter().find(|(name, _)| *name == "role").map(|(_, role)| &role[..])
    }

    /// What a field was changed to; none where it is no number yet.
    fn value(&mut self, key: Key, text: String) -> Option<Event> {
        let numeric = matches!(self.role(key), Some("spinbutton" | "slider"));
        self.tree.typed(key, text.clone());
        let data = match numeric {
            true => {
                self.draft = Some(key);
                ActionData::NumericValue(number(&text)?)
            }
            false => ActionData::Value(text.into()),
        };
        self.able(key).then(|| request(key, Action::SetValue, Some(data)))
    }

    /// A selection as egui takes it, once it has the text that the page has.
    fn selection(&self, nodes: &HashMap<NodeId, &Node>, key: Key, anchor: u32, focus: u32) -> Option<Event> {
        let text = self.tree.get(key)?.value.as_deref()?;
        let node = nodes.get(&NodeId(key)).filter(|node| node.value() == Some(text))?;
        let place = |units: u32| position(nodes, node, characters(text, units));
        let selection = TextSelection { anchor: place(anchor)?, focus: place(focus)? };
        Some(request(key, Action::SetTextSelection, Some(ActionData::SetTextSelection(selection))))
    }
}

fn request(key: Key, action: Action, data: Option<ActionData>) -> Event {
    Event::AccessKitActionRequest(ActionRequest { action, target_tree: TreeId::ROOT, target_node: NodeId(key), data })
}

fn modifiers(held: Held) -> Modifiers {
    Modifiers { alt: held.alt, ctrl: held.ctrl, shift: held.shift, mac_cmd: held.meta, command: held.ctrl || held.meta }
}

/// The number that a text begins with: units may follow it.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c))).unwrap_or(text.len());
    text[..end].parse().ok().filter(|number: &f64| number.is_finite())
}

/// Characters of a text within its first UTF-16 units.
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

/// The runs of a field's text: their nodes, and how many characters each has.
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

/// Where egui's caret is in a field, in UTF-16 units.
fn caret(nodes: &HashMap<NodeId, &Node>, key: Key) -> Option<u32> {
    let node = nodes.get(&NodeId(key))?;
    let at = node.text_selection()?.focus;
    let before: usize = runs(nodes, node).take_while(|(id, _)| *id != at.node).map(|(_, length)| length).sum();
    Some(node.value()?.chars().take(before + at.character_index).map(char::len_utf16).sum::<usize>() as u32)
}

#[cfg(test)]
mod tests;
