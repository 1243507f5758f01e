//! The Chat tab, with the demo student on the CPU device: replies, regeneration, editing, side by side with a teacher.

use super::Driver;
use crate::shared::Scratch;
use eframe::egui::accesskit::Role;
use eframe::egui::{Key, MissingGlyphPolicy, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use signet::runner::{Orders, Snapshot};
use signet_app::{RunSnapshot, Tab, Training};
use std::sync::Arc;

/// Part of the statistics below a complete reply.
const DONE: &str = "tokens/s, first after";

fn open(name: &str) -> (Scratch, Driver) {
    let scratch = Scratch::new(&format!("chat-{name}"));
    let mut driver = Driver::new(&scratch.0, Tab::Chat);
    let chat = &mut driver.harness.state_mut().shared.settings.chat;
    chat.device = "cpu".into();
    chat.request.max_tokens = 12;
    driver.harness.run_steps(2);
    (scratch, driver)
}

/// Replaces the text of a field.
fn write(driver: &mut Driver, field: &str, text: &str) {
    driver.harness.get_by_role_and_label(Role::MultilineTextInput, field).focus();
    driver.harness.run_steps(2);
    driver.harness.get_by_role_and_label(Role::MultilineTextInput, field).type_text(text);
    driver.harness.run_steps(2);
}

fn enabled(driver: &Driver, button: &str) -> bool {
    driver.harness.query_by_role_and_label(Role::Button, button).is_some_and(|node| !node.accesskit_node().is_disabled())
}

/// Waits until the chat is idle.
fn wait(driver: &mut Driver) {
    driver.wait_until("the end of the reply", |driver| !enabled(driver, "Stop"));
    driver.harness.run_steps(3);
}

/// Sends a message and waits for the reply.
fn send(driver: &mut Driver, text: &str) {
    write(driver, "Message", text);
    driver.click("Send");
    wait(driver);
}

/// All accessible names, one a line.
fn labels(driver: &Driver) -> String {
    driver.harness.root().children_recursive().filter_map(|node| node.accesskit_node().label().or(node.accesskit_node().value())).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_reply_streams_and_is_regenerated() {
    let (_scratch, mut driver) = open("reply");
    write(&mut driver, "Message", "hello there");
    driver.harness.key_press_modifiers(Modifiers::SHIFT, Key::Enter);
    driver.harness.run_steps(2);
    assert!(!driver.shows("Edit of turn 1", false), "Shift+Enter is a new line");
    driver.harness.key_press(Key::Enter);
    driver.harness.run_steps(2);
    wait(&mut driver);
    assert!(driver.shows("hello there", true) && driver.shows(DONE, true) && driver.shows("context ", true), "{}", labels(&driver));
    send(&mut driver, "what do you like?");
    let before = labels(&driver);
    driver.click("Regenerate");
    wait(&mut driver);
    let after = labels(&driver);
    assert_ne!(before, after, "another seed gives another reply");
    assert!(driver.shows("what do you like?", false) && driver.shows("Edit of turn 2", false) && !driver.shows("Edit of turn 3", false));
    driver.click("Undo the last change");
    assert!(!enabled(&driver, "Undo the last change"));
    assert_eq!(labels(&driver).lines().rfind(|line| line.contains(DONE)), before.lines().rfind(|line| line.contains(DONE)));
}

#[test]
fn a_reply_is_stopped_by_escape() {
    let (_scratch, mut driver) = open("stop");
    driver.harness.ctx.set_missing_glyph_policy(MissingGlyphPolicy::Tofu);
    let request = &mut driver.harness.state_mut().shared.settings.chat.request;
    // At this temperature, all tokens are about equally likely, so few replies end soon.
    (request.max_tokens, request.sampling.temperature, request.sampling.top_k, request.sampling.top_p) = (4096, 5.0, 0, 1.0);
    write(&mut driver, "Message", "go on for ever");
    driver.click("Send");
    for attempt in 0..20 {
        driver.harness.key_press(Key::Escape);
        wait(&mut driver);
        if driver.shows("; stopped", true) {
            break;
        }
        assert!(attempt < 19, "{}", labels(&driver));
        driver.click(if driver.shows("Edit of turn 1", false) { "Regenerate" } else { "Send" });
        driver.wait_until("the first words", |driver| driver.shows("Copy reply of turn 1", false) && !driver.shows("…", false));
    }
    driver.harness.state_mut().shared.settings.chat.request.max_tokens = 5;
    send(&mut driver, "and now?");
    assert!(driver.shows("Edit of turn 2", false) && driver.harness.query_all_by_label_contains(DONE).count() == 2);
}

#[test]
fn an_edited_turn_is_sent_and_a_new_conversation_is_undone() {
    let (_scratch, mut driver) = open("edit");
    send(&mut driver, "hello there");
    send(&mut driver, "what do you like?");
    driver.click("Edit of turn 1");
    write(&mut driver, "Turn 1 anew", " my friend");
    driver.click("Send again");
    wait(&mut driver);
    assert!(driver.shows("my friend", true) && !driver.shows("what do you like?", false), "{}", labels(&driver));
    driver.click("New conversation");
    assert!(driver.shows("Nothing was said yet", true));
    driver.click("Undo the last change");
    assert!(driver.shows("my friend", true));
    driver.click("Undo the last change");
    assert!(driver.shows("what do you like?", false) && !driver.shows("my friend", true));
}

#[test]
fn a_teacher_replies_side_by_side_and_every_token_has_its_kl() {
    let (_scratch, mut driver) = open("teacher");
    driver.click("Side by side with a teacher");
    send(&mut driver, "hello there");
    let printed = labels(&driver);
    assert!(driver.shows("Student", false) && driver.shows("Teacher", false), "{printed}");
    assert_eq!(driver.harness.query_all_by_label_contains(DONE).count(), 2, "{printed}");
    assert!(driver.shows("nats a token; farthest at", true) && driver.shows("KL by token, in nats: ", true), "{printed}");
}

#[test]
fn an_invalid_model_is_reported_and_the_tab_stays_usable() {
    let (scratch, mut driver) = open("bad");
    send(&mut driver, "hello there");
    let path = scratch.0.join("notes.txt");
    std::fs::write(&path, "milk, eggs").unwrap();
    driver.harness.state_mut().shared.settings.chat.model = path.display().to_string();
    driver.click("Load model");
    driver.wait_until("the error", |driver| driver.shows("notes.txt: is not a complete safetensors file", true));
    driver.click("Use embedded again");
    wait(&mut driver);
    assert!(!driver.shows("is not a complete safetensors file", true));
    send(&mut driver, "and you?");
    assert_eq!(driver.harness.query_all_by_label_contains(DONE).count(), 2);
    // A template without a system role is refused too; the message is not lost.
    driver.harness.state_mut().shared.settings.chat.system = "be kind".into();
    send(&mut driver, "hm");
    assert!(driver.shows("not system", true) && enabled(&driver, "Send"), "{}", labels(&driver));
}

#[test]
fn the_model_in_training_replies_and_is_refreshed() {
    let (scratch, mut driver) = open("training");
    let run = scratch.0.join("run-1");
    let training = Training { run: run.clone(), step: 8, steps: 100, tokens_per_s: 1234.0, paused: false, orders: Orders::default() };
    driver.harness.state_mut().shared.training = Some(training);
    let give = |driver: &mut Driver, step| {
        let snapshot = Snapshot { step, bytes: Arc::new(signet::assets::student().unwrap().to_vec()) };
        driver.harness.state_mut().shared.snapshot = Some(RunSnapshot { run: run.clone(), snapshot, seconds: 0.25 });
    };
    driver.harness.run_steps(2);
    driver.click("Model in training");
    driver.wait_until("the order", |driver| driver.shows("Waiting for the model between two steps", true));
    give(&mut driver, 8);
    driver.wait_for("Snapshot of step 8");
    wait(&mut driver);
    send(&mut driver, "hello there");
    assert!(driver.shows("1234 tokens/s before, 1234 during the last reply; the snapshot of step 8 took it 0.250 s", true), "{}", labels(&driver));
    driver.click("Refresh from training");
    give(&mut driver, 9);
    driver.wait_for("Snapshot of step 9");
    wait(&mut driver);
    send(&mut driver, "and now?");
    assert!(driver.shows("hello there", false) && driver.harness.query_all_by_label_contains(DONE).count() == 2);
    // After the run has ended, the loaded model stays.
    driver.harness.state_mut().shared.training = None;
    driver.harness.run_steps(2);
    send(&mut driver, "still there?");
    assert_eq!(driver.harness.query_all_by_label_contains(DONE).count(), 3, "{}", labels(&driver));
}
