//! Tests of the mirror: egui draws small apps, and a mock page records their elements.

use super::*;
use eframe::egui::{Context, DragValue, RawInput, Rect, TextEdit, Ui, Vec2};
use signet::runner::dom::{Bounds, ROOT};
use std::collections::BTreeMap;

/// An element of the mock page.
#[derive(Debug, Default)]
struct MockElement {
    tag: &'static str,
    parent: ElementKey,
    attributes: BTreeMap<&'static str, String>,
    text: String,
    value: String,
    bounds: Bounds,
}

/// An app, its mirror, and a mock page.
#[derive(Default)]
struct Harness {
    context: Context,
    mirror: Mirror,
    shown: BTreeMap<ElementKey, MockElement>,
    focused: Option<ElementKey>,
    inputs: Vec<InputEvent>,
    changes: usize,
}

impl Harness {
    fn frame(&mut self, draw: &mut dyn FnMut(&mut Ui)) {
        self.context.enable_accesskit();
        let events = self.mirror.input_events(std::mem::take(&mut self.inputs));
        let rect = Rect::from_min_size(Default::default(), Vec2::new(640.0, 480.0));
        let input = RawInput { events, screen_rect: Some(rect), focused: true, ..RawInput::default() };
        let output = self.context.run_ui(input, |ui| draw(ui));
        let update = output.platform_output.accesskit_update.expect("it was enabled");
        let changes = self.mirror.update(&update, 2.0, &[], false);
        self.changes = changes.len();
        changes.into_iter().for_each(|change| self.apply(change));
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Make { key, parent, tag, .. } => assert!(self.shown.insert(key, MockElement { tag, parent, ..MockElement::default() }).is_none()),
            Change::Move { key, parent, .. } => self.at(key).parent = parent,
            Change::Remove { key } => assert!(self.shown.remove(&key).is_some()),
            Change::Attribute { key, name, value: Some(value) } => _ = self.at(key).attributes.insert(name, value),
            Change::Attribute { key, name, value: None } => _ = self.at(key).attributes.remove(name),
            Change::Text { key, text } => self.at(key).text = text,
            Change::Append { key, text } => self.at(key).text += &text,
            Change::Value { key, text, .. } => self.at(key).value = text,
            Change::Put { key, bounds } => self.at(key).bounds = bounds,
            Change::Focus { key } => self.focused = Some(key),
        }
    }

    fn at(&mut self, key: ElementKey) -> &mut MockElement {
        self.shown.get_mut(&key).expect("a change is to what is there")
    }

    /// Finds the only element with this tag and name.
    fn find(&self, tag: &str, name: &str) -> ElementKey {
        let named = |shown: &MockElement| shown.text == name || shown.attributes.get("aria-label").is_some_and(|label| label == name);
        let found: Vec<ElementKey> = self.shown.iter().filter(|(_, shown)| shown.tag == tag && named(shown)).map(|(key, _)| *key).collect();
        assert_eq!(found.len(), 1, "{tag} {name}: {:#?}", self.shown);
        found[0]
    }

    /// Types into a field: the page has the text before the app has it.
    fn type_text(&mut self, key: ElementKey, text: &str) {
        self.at(key).value = text.into();
        let end = text.encode_utf16().count() as u32;
        self.inputs.extend([InputEvent::Value { key, text: text.into() }, InputEvent::Select { key, anchor: end, focus: end }]);
    }
}

#[test]
fn every_kind_of_widget_is_an_element_that_acts() {
    let (mut harness, mut checked, mut number, mut clicked, mut choice) = (Harness::default(), false, 3.0f64, 0, 0);
    let mut draw = |ui: &mut Ui| {
        ui.label("Some text");
        clicked += i32::from(ui.button("Press").clicked());
        ui.checkbox(&mut checked, "Check");
        let label = ui.label("Number");
        ui.add(DragValue::new(&mut number).range(0.0..=10.0).speed(1.0)).labelled_by(label.id);
        ui.add_enabled(false, egui::Button::new("Never"));
        ui.selectable_value(&mut choice, 1, "Other");
    };
    harness.frame(&mut draw);
    let (press, check, spin) = (harness.find("button", "Press"), harness.find("button", "Check"), harness.find("input", "Number"));
    let (never, other) = (harness.find("button", "Never"), harness.find("button", "Other"));
    harness.find("span", "Some text");
    assert_eq!(harness.at(check).attributes["aria-checked"], "false");
    assert_eq!((harness.at(spin).value.clone(), harness.at(spin).attributes["role"].clone()), ("3".into(), "spinbutton".into()));
    assert_eq!((harness.at(never).attributes["aria-disabled"].clone(), harness.at(never).attributes["tabindex"].clone()), ("true".into(), "-1".into()));
    assert!(harness.at(press).bounds.width > 20 && harness.at(press).bounds.top > 0 && harness.at(press).parent == ROOT);
    harness.frame(&mut draw);
    harness.frame(&mut draw);
    assert_eq!(harness.changes, 0, "where nothing happens nothing is touched");
    for key in [press, check, never, other] {
        harness.inputs.push(InputEvent::Click { key });
    }
    harness.inputs.push(InputEvent::Step { key: spin, up: true });
    harness.frame(&mut draw);
    harness.frame(&mut draw);
    assert_eq!((harness.at(check).attributes["aria-checked"].clone(), harness.at(other).attributes["aria-pressed"].clone()), ("true".into(), "true".into()));
    assert_eq!(harness.at(spin).value, "4");
    harness.type_text(spin, "7 steps");
    harness.frame(&mut draw);
    assert_eq!(harness.at(spin).value, "7 steps", "what is typed stays until it is left");
    harness.inputs.push(InputEvent::Leave);
    harness.frame(&mut draw);
    harness.frame(&mut draw);
    assert_eq!(harness.at(spin).value, "7");
    harness.type_text(spin, "none");
    harness.inputs.push(InputEvent::Leave);
    harness.frame(&mut draw);
    assert_eq!(harness.at(spin).value, "7", "what is no number changes nothing");
    assert!(checked && clicked == 1 && number == 7.0 && choice == 1);
}

#[test]
fn text_is_synchronized_and_the_app_handles_enter() {
    let (mut harness, mut text, mut sent) = (Harness::default(), String::new(), Vec::new());
    let mut draw = |ui: &mut Ui| {
        let label = ui.label("Message");
        let field = ui.add(TextEdit::multiline(&mut text).return_key(egui::KeyboardShortcut::new(Modifiers::SHIFT, egui::Key::Enter))).labelled_by(label.id);
        if field.has_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter) && !input.modifiers.shift) {
            sent.push(std::mem::take(&mut text));
        }
    };
    harness.frame(&mut draw);
    let field = harness.find("textarea", "Message");
    harness.inputs.push(InputEvent::Focus { key: field });
    harness.type_text(field, "ein Bär 🐻!");
    harness.frame(&mut draw);
    harness.frame(&mut draw);
    // Insert a line break at the caret, before the exclamation mark.
    harness.inputs.push(InputEvent::Select { key: field, anchor: 10, focus: 10 });
    harness.frame(&mut draw);
    harness.frame(&mut draw);
    harness.inputs.push(InputEvent::Press { name: "Enter".into(), modifiers: KeyModifiers { shift: true, ..KeyModifiers::default() } });
    harness.frame(&mut draw);
    harness.frame(&mut draw);
    assert_eq!(harness.at(field).value, "ein Bär 🐻\n!");
    harness.inputs.push(InputEvent::Press { name: "Enter".into(), modifiers: KeyModifiers::default() });
    harness.frame(&mut draw);
    harness.frame(&mut draw);
    assert_eq!(harness.at(field).value, "");
    // Escape drops egui's focus but not the page's: text typed after it is sent as well.
    harness.inputs.push(InputEvent::Press { name: "Escape".into(), modifiers: KeyModifiers::default() });
    harness.frame(&mut draw);
    harness.type_text(field, "more");
    harness.frame(&mut draw);
    harness.inputs.push(InputEvent::Press { name: "Enter".into(), modifiers: KeyModifiers::default() });
    harness.frame(&mut draw);
    assert_eq!(sent, ["ein Bär 🐻\n!", "more"]);
}

#[test]
fn focus_follows_between_egui_and_the_page() {
    let (mut harness, mut pressed) = (Harness::default(), 0);
    let mut draw = |ui: &mut Ui| {
        pressed += i32::from(ui.button("One").clicked());
        let _ = ui.button("Two");
    };
    harness.frame(&mut draw);
    let (one, two) = (harness.find("button", "One"), harness.find("button", "Two"));
    harness.inputs.push(InputEvent::Focus { key: one });
    harness.frame(&mut draw);
    assert_eq!(harness.focused, None, "the page has it there already");
    harness.inputs.push(InputEvent::Press { name: "ArrowDown".into(), modifiers: KeyModifiers::default() });
    harness.frame(&mut draw);
    harness.frame(&mut draw);
    assert_eq!(harness.focused, Some(two));
    harness.inputs.push(InputEvent::Press { name: "Tab".into(), modifiers: KeyModifiers { shift: true, ..KeyModifiers::default() } });
    harness.frame(&mut draw);
    harness.frame(&mut draw);
    assert_eq!(harness.focused, Some(one));
}

#[test]
fn a_combo_box_is_a_list_that_closes() {
    let (mut harness, mut choice) = (Harness::default(), 0);
    let mut draw = |ui: &mut Ui| {
        egui::ComboBox::from_label("Colour").selected_text(["red", "green"][choice]).show_ui(ui, |ui| {
            ui.selectable_value(&mut choice, 0, "red");
            ui.selectable_value(&mut choice, 1, "green");
        });
    };
    harness.frame(&mut draw);
    let combo =
        harness.shown.iter().find(|(_, shown)| shown.attributes.get("role").is_some_and(|role| role == "combobox")).map(|(key, _)| *key).expect("it is there");
    assert_eq!((harness.at(combo).text.clone(), harness.at(combo).attributes["aria-label"].clone()), ("red".into(), "Colour".into()));
    harness.inputs.push(InputEvent::Click { key: combo });
    for _ in 0..3 {
        harness.frame(&mut draw);
    }
    let green = harness.shown.iter().find(|(_, shown)| shown.text == "green").map(|(key, _)| *key).expect("the list is open");
    assert_eq!(harness.at(green).attributes["role"], "option");
    let list = harness.at(green).parent;
    assert_eq!(harness.at(list).attributes["role"], "listbox");
    harness.inputs.extend([InputEvent::Focus { key: green }, InputEvent::Click { key: green }]);
    for _ in 0..4 {
        harness.frame(&mut draw);
    }
    assert_eq!(harness.at(combo).text, "green");
    assert!(!harness.shown.contains_key(&green), "the list closes");
    assert_eq!(harness.focused, Some(combo), "and the keyboard is where it was");
}

#[test]
fn a_removed_element_loses_the_focus() {
    let mut harness = Harness::default();
    let frame = |harness: &mut Harness, there: bool| {
        harness.frame(&mut |ui: &mut Ui| {
            if there {
                let _ = ui.button("Gone");
            }
        });
    };
    frame(&mut harness, true);
    let gone = harness.find("button", "Gone");
    harness.inputs.push(InputEvent::Focus { key: gone });
    frame(&mut harness, true);
    assert!(harness.mirror.has_keyboard());
    frame(&mut harness, false);
    assert!(!harness.mirror.has_keyboard() && !harness.shown.contains_key(&gone));
}

#[test]
fn numbers_and_utf16_offsets_are_parsed() {
    assert_eq!([number(" 12.5 %"), number("1e3"), number("-4"), number("-"), number("inf"), number("")], [Some(12.5), Some(1e3), Some(-4.0), None, None, None]);
    assert_eq!([characters("a🐻b", 0), characters("a🐻b", 1), characters("a🐻b", 2), characters("a🐻b", 3), characters("a🐻b", 9)], [0, 1, 1, 2, 3]);
}
