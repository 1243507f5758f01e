//! Tests of the mirror: egui draws small apps, and a mock page records their elements.

use super::*;
use eframe::egui::{Context, DragValue, RawInput, Rect, TextEdit, Ui, Vec2};
use signet::runner::dom::{Place, ROOT};
use std::collections::BTreeMap;

/// An element of the mock page.
#[derive(Debug, Default)]
struct MockElement {
    tag: &'static str,
    parent: Key,
    attributes: BTreeMap<&'static str, String>,
    text: String,
    value: String,
    place: Place,
}

/// An app, its mirror, and a mock page.
#[derive(Default)]
struct Bench {
    context: Context,
    mirror: Mirror,
    shown: BTreeMap<Key, MockElement>,
    focused: Option<Key>,
    deeds: Vec<Deed>,
    changes: usize,
}

impl Bench {
    fn frame(&mut self, draw: &mut dyn FnMut(&mut Ui)) {
        self.context.enable_accesskit();
        let events = self.mirror.input_events(std::mem::take(&mut self.deeds));
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
            Change::Put { key, place } => self.at(key).place = place,
            Change::Focus { key } => self.focused = Some(key),
        }
    }

    fn at(&mut self, key: Key) -> &mut MockElement {
        self.shown.get_mut(&key).expect("a change is to what is there")
    }

    /// Finds the only element with this tag and name.
    fn find(&self, tag: &str, name: &str) -> Key {
        let named = |shown: &MockElement| shown.text == name || shown.attributes.get("aria-label").is_some_and(|label| label == name);
        let found: Vec<Key> = self.shown.iter().filter(|(_, shown)| shown.tag == tag && named(shown)).map(|(key, _)| *key).collect();
        assert_eq!(found.len(), 1, "{tag} {name}: {:#?}", self.shown);
        found[0]
    }

    /// Types into a field: the page has the text before the app has it.
    fn types(&mut self, key: Key, text: &str) {
        self.at(key).value = text.into();
        let end = text.encode_utf16().count() as u32;
        self.deeds.extend([Deed::Value { key, text: text.into() }, Deed::Select { key, anchor: end, focus: end }]);
    }
}

#[test]
fn every_kind_of_widget_is_an_element_that_acts() {
    let (mut bench, mut checked, mut number, mut clicked, mut choice) = (Bench::default(), false, 3.0f64, 0, 0);
    let mut draw = |ui: &mut Ui| {
        ui.label("Some text");
        clicked += i32::from(ui.button("Press").clicked());
        ui.checkbox(&mut checked, "Check");
        let label = ui.label("Number");
        ui.add(DragValue::new(&mut number).range(0.0..=10.0).speed(1.0)).labelled_by(label.id);
        ui.add_enabled(false, egui::Button::new("Never"));
        ui.selectable_value(&mut choice, 1, "Other");
    };
    bench.frame(&mut draw);
    let (press, check, spin) = (bench.find("button", "Press"), bench.find("button", "Check"), bench.find("input", "Number"));
    let (never, other) = (bench.find("button", "Never"), bench.find("button", "Other"));
    bench.find("span", "Some text");
    assert_eq!(bench.at(check).attributes["aria-checked"], "false");
    assert_eq!((bench.at(spin).value.clone(), bench.at(spin).attributes["role"].clone()), ("3".into(), "spinbutton".into()));
    assert_eq!((bench.at(never).attributes["aria-disabled"].clone(), bench.at(never).attributes["tabindex"].clone()), ("true".into(), "-1".into()));
    assert!(bench.at(press).place.width > 20 && bench.at(press).place.top > 0 && bench.at(press).parent == ROOT);
    bench.frame(&mut draw);
    bench.frame(&mut draw);
    assert_eq!(bench.changes, 0, "where nothing happens nothing is touched");
    for key in [press, check, never, other] {
        bench.deeds.push(Deed::Click { key });
    }
    bench.deeds.push(Deed::Step { key: spin, up: true });
    bench.frame(&mut draw);
    bench.frame(&mut draw);
    assert_eq!((bench.at(check).attributes["aria-checked"].clone(), bench.at(other).attributes["aria-pressed"].clone()), ("true".into(), "true".into()));
    assert_eq!(bench.at(spin).value, "4");
    bench.types(spin, "7 steps");
    bench.frame(&mut draw);
    assert_eq!(bench.at(spin).value, "7 steps", "what is typed stays until it is left");
    bench.deeds.push(Deed::Leave);
    bench.frame(&mut draw);
    bench.frame(&mut draw);
    assert_eq!(bench.at(spin).value, "7");
    bench.types(spin, "none");
    bench.deeds.push(Deed::Leave);
    bench.frame(&mut draw);
    assert_eq!(bench.at(spin).value, "7", "what is no number changes nothing");
    assert!(checked && clicked == 1 && number == 7.0 && choice == 1);
}

#[test]
fn text_is_synchronized_and_the_app_handles_enter() {
    let (mut bench, mut text, mut sent) = (Bench::default(), String::new(), Vec::new());
    let mut draw = |ui: &mut Ui| {
        let label = ui.label("Message");
        let field = ui.add(TextEdit::multiline(&mut text).return_key(egui::KeyboardShortcut::new(Modifiers::SHIFT, egui::Key::Enter))).labelled_by(label.id);
        if field.has_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter) && !input.modifiers.shift) {
            sent.push(std::mem::take(&mut text));
        }
    };
    bench.frame(&mut draw);
    let field = bench.find("textarea", "Message");
    bench.deeds.push(Deed::Focus { key: field });
    bench.types(field, "ein Bär 🐻!");
    bench.frame(&mut draw);
    bench.frame(&mut draw);
    // Insert a line break at the caret, before the exclamation mark.
    bench.deeds.push(Deed::Select { key: field, anchor: 10, focus: 10 });
    bench.frame(&mut draw);
    bench.frame(&mut draw);
    bench.deeds.push(Deed::Press { name: "Enter".into(), held: Held { shift: true, ..Held::default() } });
    bench.frame(&mut draw);
    bench.frame(&mut draw);
    assert_eq!(bench.at(field).value, "ein Bär 🐻\n!");
    bench.deeds.push(Deed::Press { name: "Enter".into(), held: Held::default() });
    bench.frame(&mut draw);
    bench.frame(&mut draw);
    assert_eq!(bench.at(field).value, "");
    // Escape drops egui's focus but not the page's: text typed after it is sent as well.
    bench.deeds.push(Deed::Press { name: "Escape".into(), held: Held::default() });
    bench.frame(&mut draw);
    bench.types(field, "more");
    bench.frame(&mut draw);
    bench.deeds.push(Deed::Press { name: "Enter".into(), held: Held::default() });
    bench.frame(&mut draw);
    assert_eq!(sent, ["ein Bär 🐻\n!", "more"]);
}

#[test]
fn focus_follows_between_egui_and_the_page() {
    let (mut bench, mut pressed) = (Bench::default(), 0);
    let mut draw = |ui: &mut Ui| {
        pressed += i32::from(ui.button("One").clicked());
        let _ = ui.button("Two");
    };
    bench.frame(&mut draw);
    let (one, two) = (bench.find("button", "One"), bench.find("button", "Two"));
    bench.deeds.push(Deed::Focus { key: one });
    bench.frame(&mut draw);
    assert_eq!(bench.focused, None, "the page has it there already");
    bench.deeds.push(Deed::Press { name: "ArrowDown".into(), held: Held::default() });
    bench.frame(&mut draw);
    bench.frame(&mut draw);
    assert_eq!(bench.focused, Some(two));
    bench.deeds.push(Deed::Press { name: "Tab".into(), held: Held { shift: true, ..Held::default() } });
    bench.frame(&mut draw);
    bench.frame(&mut draw);
    assert_eq!(bench.focused, Some(one));
}

#[test]
fn a_combo_box_is_a_list_that_closes() {
    let (mut bench, mut choice) = (Bench::default(), 0);
    let mut draw = |ui: &mut Ui| {
        egui::ComboBox::from_label("Colour").selected_text(["red", "green"][choice]).show_ui(ui, |ui| {
            ui.selectable_value(&mut choice, 0, "red");
            ui.selectable_value(&mut choice, 1, "green");
        });
    };
    bench.frame(&mut draw);
    let combo =
        bench.shown.iter().find(|(_, shown)| shown.attributes.get("role").is_some_and(|role| role == "combobox")).map(|(key, _)| *key).expect("it is there");
    assert_eq!((bench.at(combo).text.clone(), bench.at(combo).attributes["aria-label"].clone()), ("red".into(), "Colour".into()));
    bench.deeds.push(Deed::Click { key: combo });
    for _ in 0..3 {
        bench.frame(&mut draw);
    }
    let green = bench.shown.iter().find(|(_, shown)| shown.text == "green").map(|(key, _)| *key).expect("the list is open");
    assert_eq!(bench.at(green).attributes["role"], "option");
    let list = bench.at(green).parent;
    assert_eq!(bench.at(list).attributes["role"], "listbox");
    bench.deeds.extend([Deed::Focus { key: green }, Deed::Click { key: green }]);
    for _ in 0..4 {
        bench.frame(&mut draw);
    }
    assert_eq!(bench.at(combo).text, "green");
    assert!(!bench.shown.contains_key(&green), "the list closes");
    assert_eq!(bench.focused, Some(combo), "and the keyboard is where it was");
}

#[test]
fn a_removed_element_loses_the_focus() {
    let mut bench = Bench::default();
    let frame = |bench: &mut Bench, there: bool| {
        bench.frame(&mut |ui: &mut Ui| {
            if there {
                let _ = ui.button("Gone");
            }
        });
    };
    frame(&mut bench, true);
    let gone = bench.find("button", "Gone");
    bench.deeds.push(Deed::Focus { key: gone });
    frame(&mut bench, true);
    assert!(bench.mirror.has_keyboard());
    frame(&mut bench, false);
    assert!(!bench.mirror.has_keyboard() && !bench.shown.contains_key(&gone));
}

#[test]
fn numbers_and_utf16_offsets_are_parsed() {
    assert_eq!([number(" 12.5 %"), number("1e3"), number("-4"), number("-"), number("inf"), number("")], [Some(12.5), Some(1e3), Some(-4.0), None, None, None]);
    assert_eq!([characters("a🐻b", 0), characters("a🐻b", 1), characters("a🐻b", 2), characters("a🐻b", 3), characters("a🐻b", 9)], [0, 1, 1, 2, 3]);
}
