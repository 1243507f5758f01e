//! Keyboard focus: every field keeps it, and so receives every key, whatever else appears meanwhile.

use super::Driver;
use crate::shared::Scratch;
use eframe::egui::{Key, Modifiers, Role};
use egui_kittest::kittest::{NodeT, Queryable};
use signet_app::Tab;

const TEXTS: [Role; 2] = [Role::TextInput, Role::MultilineTextInput];

/// Role and name of all text fields.
fn fields(driver: &Driver) -> Vec<(Role, String)> {
    let of = |role| driver.harness.query_all_by_role(role).filter_map(move |node| Some((role, node.accesskit_node().label()?))).collect::<Vec<_>>();
    TEXTS.into_iter().flat_map(of).collect()
}

/// Focuses a field and selects its text.
fn enter(driver: &mut Driver, role: Role, name: &str) {
    driver.harness.get_by_role_and_label(role, name).focus();
    driver.harness.run_steps(2);
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    driver.harness.run_steps(2);
}

/// Types key by key into the focused widget.
fn type_keys(driver: &mut Driver, text: &str) {
    for key in text.chars() {
        driver.harness.event(eframe::egui::Event::Text(key.into()));
        driver.harness.run_steps(2);
    }
}

fn value(driver: &Driver, role: Role, name: &str) -> (String, bool) {
    let node = driver.harness.get_by_role_and_label(role, name);
    (node.value().unwrap_or_default(), node.accesskit_node().is_focused())
}

#[test]
fn typing_300_into_steps_yields_300() {
    let scratch = Scratch::new("focus-steps");
    let mut driver = Driver::new(&scratch.0, Tab::Train);
    driver.click("Reset all");
    enter(&mut driver, Role::TextInput, "Steps");
    type_keys(&mut driver, "300");
    assert_eq!(value(&driver, Role::TextInput, "Steps"), ("300".into(), true));
    assert_eq!(driver.harness.state().shared.settings.form.typed["steps"], "300");
}

#[test]
fn every_field_of_the_form_receives_every_key() {
    let scratch = Scratch::new("focus-form");
    let mut driver = Driver::new(&scratch.0, Tab::Train);
    driver.harness.query_all_by_label("Advanced").next().expect("a heading").click_accesskit();
    driver.harness.run_steps(20);
    // The path field is shown if the text is none of the choices.
    driver.harness.state_mut().shared.settings.form.typed.insert("init".into(), "models/a".into());
    driver.harness.run_steps(3);
    let fields = fields(&driver);
    assert!(fields.len() > 25 && fields.iter().any(|(_, name)| name == "First weights: path"), "{fields:?}");
    for (role, name) in fields {
        enter(&mut driver, role, &name);
        type_keys(&mut driver, "742");
        assert_eq!(value(&driver, role, &name), ("742".into(), true), "{name}");
        // Reset for the next field.
        let form = &mut driver.harness.state_mut().shared.settings.form;
        *form = signet_app::Form { typed: [("init".to_string(), "models/a".to_string())].into(), ..Default::default() };
        driver.harness.run_steps(2);
    }
}

#[test]
fn a_path_that_starts_like_a_choice_can_be_typed() {
    let scratch = Scratch::new("focus-path");
    let mut driver = Driver::new(&scratch.0, Tab::Train);
    driver.harness.query_all_by_label("Advanced").next().expect("a heading").click_accesskit();
    driver.harness.run_steps(20);
    for (setting, name, path) in [
        ("init", "First weights: path", "teacher/model"),
        ("init", "First weights: path", "scratch/model"),
        ("teacher", "Teacher: path", "embedded/model"),
        ("teacher", "Teacher: path", "none/model"),
        ("teacher_cache", "Teacher cache: path", "none/cache"),
        ("model", "Model: path", "7B/config.json"),
    ] {
        driver.harness.state_mut().shared.settings.form = signet_app::Form { typed: [(setting.to_string(), "a".to_string())].into(), ..Default::default() };
        driver.harness.run_steps(3);
        enter(&mut driver, Role::TextInput, name);
        type_keys(&mut driver, path);
        assert_eq!(value(&driver, Role::TextInput, name), (path.into(), true), "{setting}");
        assert_eq!(driver.harness.state().shared.settings.form.typed[setting], path);
    }
}

#[test]
fn a_check_box_keeps_the_focus_when_it_leaves_its_default() {
    let scratch = Scratch::new("focus-box");
    let mut driver = Driver::new(&scratch.0, Tab::Train);
    driver.click("Reset all");
    let named = |driver: &Driver| driver.harness.get_by_role_and_label(Role::CheckBox, "Binarize the linear layers").accesskit_node().is_focused();
    driver.harness.get_by_role_and_label(Role::CheckBox, "Binarize the linear layers").focus();
    driver.harness.run_steps(2);
    for _ in 0..3 {
        driver.harness.key_press(Key::Space);
        driver.harness.run_steps(2);
        assert!(named(&driver));
    }
    assert_eq!(driver.harness.state().shared.settings.form.typed["binary"], "false");
}

#[test]
fn a_field_keeps_the_focus_when_a_line_appears_elsewhere() {
    let scratch = Scratch::new("focus-tabs");
    for &tab in Tab::ALL {
        let mut driver = Driver::new(&scratch.0, tab);
        driver.wait_until("the tab", |driver| !fields(driver).is_empty());
        driver.harness.run_steps(4);
        for (n, (role, name)) in fields(&driver).into_iter().enumerate() {
            enter(&mut driver, role, &name);
            type_keys(&mut driver, "1");
            driver.harness.state_mut().shared.notices.tell(format!("line {n}"));
            driver.harness.run_steps(2);
            type_keys(&mut driver, "2");
            assert_eq!(value(&driver, role, &name), ("12".into(), true), "{name} of {}", tab.name());
        }
    }
}

#[test]
fn a_message_can_be_typed_while_the_model_loads_and_replies() {
    let scratch = Scratch::new("focus-chat");
    let mut driver = Driver::new(&scratch.0, Tab::Chat);
    driver.harness.state_mut().shared.settings.chat.device = "cpu".into();
    enter(&mut driver, Role::MultilineTextInput, "Message");
    type_keys(&mut driver, "hi");
    driver.harness.key_press(Key::Enter);
    driver.harness.run_steps(2);
    // The field is cleared once the model is loaded and the message sent.
    driver.wait_until("the reply", |driver| value(driver, Role::MultilineTextInput, "Message").0.is_empty());
    type_keys(&mut driver, "and");
    driver.wait_until("the end of the reply", |driver| driver.shows("tokens/s, first after", true));
    type_keys(&mut driver, " you");
    assert_eq!(value(&driver, Role::MultilineTextInput, "Message"), ("and you".into(), true));
}
