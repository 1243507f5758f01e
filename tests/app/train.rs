//! The Train tab, with a real small run on the CPU device.

use super::Driver;
use crate::shared::Scratch;
use eframe::egui::accesskit::{self, ActionData, ActionRequest, Role};
use eframe::egui::{Event, Key, MissingGlyphPolicy, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use signet::runner::{Loss, TrainConfig};
use signet::train::{GuardConfig, MetricsPosition, ModelSource, read_metrics_chunk};
use signet_app::{Action, Tab};
use std::path::Path;

const SMALL: &str = r#"{"hidden_size": 32, "intermediate_size": 72, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 4096}"#;

/// An app whose Start button starts the long run `name` of a small model on the CPU device.
fn app(scratch: &Scratch, name: &str) -> Driver {
    let model = scratch.0.join("small.json");
    std::fs::write(&model, SMALL).unwrap();
    let config = TrainConfig {
        model: model.display().to_string(),
        data: vec![scratch.text()],
        teacher: ModelSource::None,
        loss: Loss::Ar,
        batch: 1,
        seq: 32,
        steps: 1_000_000,
        warmup: 4,
        eval_every: 0,
        eval_batches: 1,
        checkpoint_every: 0,
        sample_tokens: 8,
        // An overfitted text has loss spikes, and a rollback would remove steps that the test counts.
        guard: GuardConfig { enabled: false, ..GuardConfig::default() },
        ..TrainConfig::default()
    };
    let mut driver = Driver::new(&scratch.0.join("runs"), Tab::Train);
    driver.harness.state_mut().shared.ask(Action::UseSettings { config: Box::new(config), name: name.into() });
    driver.harness.run_steps(3);
    // After a few steps, the model's output is arbitrary.
    driver.harness.ctx.set_missing_glyph_policy(MissingGlyphPolicy::Tofu);
    driver.harness.state_mut().shared.settings.form.device = "cpu".into();
    driver
}

/// Presses Start once it is enabled.
fn start(driver: &mut Driver) {
    let ready = |driver: &Driver| driver.harness.query_by_role_and_label(Role::Button, "Start").is_some_and(|start| !start.accesskit_node().is_disabled());
    driver.wait_until("Start", ready);
    driver.harness.get_by_role_and_label(Role::Button, "Start").click_accesskit();
    driver.harness.run_steps(3);
}

/// Replaces the text of a field.
fn write(driver: &mut Driver, label: &str, text: &str) {
    let field = || Role::TextInput;
    driver.harness.get_by_role_and_label(field(), label).focus();
    driver.harness.run_steps(2);
    driver.harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    driver.harness.run_steps(2);
    driver.harness.get_by_role_and_label(field(), label).type_text(text);
    driver.harness.run_steps(2);
}

fn step(driver: &Driver) -> u64 {
    driver.harness.state().shared.training.as_ref().expect("a run trains").step
}

fn wait_for_part(driver: &mut Driver, part: &str) {
    driver.wait_until(part, |driver| driver.shows(part, true));
}

/// Returns the recorded steps, after checking that there is no gap.
fn steps(run: &Path) -> u64 {
    let mut piece = read_metrics_chunk(run, MetricsPosition::default()).unwrap();
    let mut metrics = std::mem::take(&mut piece.metrics);
    while piece.more {
        piece = read_metrics_chunk(run, piece.until).unwrap();
        metrics.append(&mut piece.metrics);
    }
    assert!(piece.broken.is_empty(), "{:?}", piece.broken);
    assert!(metrics.iter().map(|line| line.step).eq(1..=metrics.len() as u64));
    metrics.len() as u64
}

#[test]
fn a_run_is_started_paused_stepped_changed_stopped_resumed_and_closed() {
    let scratch = Scratch::new("train");
    let mut driver = app(&scratch, "mine");
    let run = scratch.0.join("runs/mine");
    start(&mut driver);
    driver.wait_until("some steps", |driver| driver.harness.state().shared.training.as_ref().is_some_and(|training| training.step > 3));
    driver.click("Pause");
    wait_for_part(&mut driver, "mine: paused at step");
    let rests = step(&driver);
    driver.click("Step once");
    wait_for_part(&mut driver, &format!("paused at step {}", rests + 1));
    write(&mut driver, "Learning-rate override", "much");
    driver.click("Apply learning rate");
    wait_for_part(&mut driver, "\"much\" is not a number");
    write(&mut driver, "Learning-rate override", "99");
    driver.click("Apply learning rate");
    wait_for_part(&mut driver, "nothing was changed: setting lr");
    write(&mut driver, "Learning-rate override", "0.001");
    driver.click("Apply learning rate");
    wait_for_part(&mut driver, &format!("from step {} on, lr is 0.001", rests + 2));
    write(&mut driver, "Sample prompt", "Once upon a time");
    driver.click("Apply prompt");
    driver.click("Generate sample");
    driver.wait_until("a sample", |driver| driver.harness.query_all_by_label_contains("Once upon a time").count() > 1);
    driver.click("Save now");
    wait_for_part(&mut driver, &format!("step {}: checkpoint saved", rests + 1));
    driver.click("Continue");
    driver.wait_until("going on", |driver| driver.harness.state().shared.training.as_ref().is_some_and(|training| training.step > rests + 3));
    driver.click("Stop");
    wait_for_part(&mut driver, "everything is saved");
    let stopped = steps(&run);
    assert!(driver.harness.state().shared.training.is_none() && run.join(format!("checkpoints/step-{stopped:08}")).exists());
    let changes = std::fs::read_to_string(run.join("changes.jsonl")).unwrap();
    assert_eq!(changes, format!("{{\"step\":{},\"lr\":0.001,\"sample_prompt\":\"Once upon a time\"}}\n", rests + 2));
    driver.click("Resume");
    driver.wait_until("going on", |driver| driver.harness.state().shared.training.as_ref().is_some_and(|training| training.step > stopped));
    assert!(!driver.harness.state_mut().may_close());
    driver.click("Save and close");
    driver.wait_until("the end", |driver| driver.harness.state().closes());
    let closed = steps(&run);
    assert!(closed > stopped);
    // After a restart, the app loads the steps of earlier sessions.
    let mut again = app(&scratch, "mine");
    again.harness.state_mut().shared.ask(Action::Continue(run));
    again.wait_until("going on", |driver| driver.harness.state().shared.training.as_ref().is_some_and(|training| training.step > closed));
    again.harness.run_steps(3);
    let labels = |part| again.harness.query_all_by_label_contains(part).filter_map(|node| node.accesskit_node().label()).collect::<Vec<_>>();
    assert!(
        labels("Gradient norm: ").iter().all(|label| !label.contains("known from step")) && !labels("Gradient norm: ").is_empty(),
        "earlier steps are drawn"
    );
    again.click("Stop");
    wait_for_part(&mut again, "everything is saved");
}

#[test]
fn missing_and_locked_runs_are_reported_with_recovery() {
    let scratch = Scratch::new("gone");
    let mut driver = app(&scratch, "mine");
    start(&mut driver);
    driver.wait_until("some steps", |driver| driver.harness.state().shared.training.as_ref().is_some_and(|training| training.step > 3));
    let mut other = app(&scratch, "other");
    other.harness.state_mut().shared.ask(Action::Continue(scratch.0.join("runs/mine")));
    wait_for_part(&mut other, "being trained by another process");
    other.click("Show run");
    assert_eq!(other.harness.state().shared.settings.tab, Tab::Runs);
    let before = step(&driver);
    driver.wait_until("going on", |driver| step(driver) > before + 2);
    std::fs::rename(scratch.0.join("runs/mine"), scratch.0.join("away")).unwrap();
    wait_for_part(&mut driver, "its folder was gone");
    let before = step(&driver);
    driver.wait_until("going on", |driver| step(driver) > before + 2);
    driver.click("Stop");
    wait_for_part(&mut driver, "everything is saved");
    driver.click("Resume");
    driver.wait_until("going on", |driver| driver.harness.state().shared.training.as_ref().is_some_and(|training| training.step > before + 3));
}

#[test]
fn a_failed_start_is_reported_and_can_be_retried() {
    let scratch = Scratch::new("refused");
    let mut driver = app(&scratch, "mine");
    let gone = scratch.0.join("runs/gone");
    driver.harness.state_mut().shared.ask(Action::Continue(gone));
    wait_for_part(&mut driver, "there is no run to resume");
    driver.click("Dismiss error");
    start(&mut driver);
    driver.wait_until("some steps", |driver| driver.harness.state().shared.training.as_ref().is_some_and(|training| training.step > 3));
    assert!(!driver.shows("The run failed", false));
    driver.click("Stop");
    wait_for_part(&mut driver, "everything is saved");
}

/// Screen readers and the page's elements press Start in the state of the last frame.
#[test]
fn start_after_a_typed_setting_uses_it() {
    let scratch = Scratch::new("pressed");
    for frames in [0, 1, 2] {
        let name = format!("after-{frames}");
        let mut driver = app(&scratch, &name);
        driver.wait_until("the plan", |driver| driver.shows("It fits", false));
        driver.harness.get_by_role_and_label(Role::TextInput, "Steps").set_text_value_accesskit("123456");
        driver.harness.run_steps(frames);
        driver.harness.get_by_role_and_label(Role::Button, "Start").click_accesskit();
        driver.wait_until("some steps", |driver| driver.harness.state().shared.training.as_ref().is_some_and(|training| training.step > 1));
        let settings = std::fs::read_to_string(scratch.0.join("runs").join(&name).join("run.toml")).unwrap();
        assert!(settings.lines().any(|line| line == "steps = 123456"), "{frames} frames later: {settings}");
        driver.click("Stop");
        wait_for_part(&mut driver, "everything is saved");
    }
}

/// A slow page receives the correction and the press in one frame, in which Start is still drawn disabled.
#[test]
fn start_in_the_frame_of_a_correction_starts_the_run() {
    let scratch = Scratch::new("corrected");
    let mut driver = app(&scratch, "mine");
    for (field, text) in [("Warm-up", "50"), ("Steps", "20")] {
        driver.harness.get_by_role_and_label(Role::TextInput, field).set_text_value_accesskit(text);
        driver.harness.run_steps(2);
    }
    wait_for_part(&mut driver, "The run cannot start: Warm-up: ");
    let request = |role: Role, name: &str, action, data| {
        let (target_node, target_tree) = driver.harness.get_by_role_and_label(role, name).accesskit_node().locate();
        Event::AccessKitActionRequest(ActionRequest { action, target_tree, target_node, data })
    };
    let corrected = request(Role::TextInput, "Warm-up", accesskit::Action::SetValue, Some(ActionData::Value("5".into())));
    let pressed = request(Role::Button, "Start", accesskit::Action::Click, None);
    // The harness draws a frame for each event queued by a node; queue these two for one frame.
    driver.harness.input_mut().events.extend([corrected, pressed]);
    driver.harness.step();
    wait_for_part(&mut driver, "finished after 20 steps");
    let settings = std::fs::read_to_string(scratch.0.join("runs/mine/run.toml")).unwrap();
    assert!(settings.lines().any(|line| line == "warmup = 5"), "{settings}");
}

/// Otherwise it would start much later, perhaps with other settings.
#[test]
fn leaving_the_tab_cancels_a_pending_start() {
    let scratch = Scratch::new("behind");
    let mut driver = app(&scratch, "mine");
    driver.wait_until("the plan", |driver| driver.shows("It fits", false));
    driver.harness.get_by_role_and_label(Role::TextInput, "Steps").set_text_value_accesskit("123456");
    driver.harness.run_steps(1);
    driver.harness.get_by_role_and_label(Role::Button, "Start").click_accesskit();
    driver.harness.step();
    assert!(driver.shows("It starts once it is known what it takes", false), "it waits for the plan");
    driver.harness.state_mut().shared.ask(Action::Open(Tab::Runs));
    driver.harness.run_steps(3);
    driver.harness.state_mut().shared.ask(Action::Open(Tab::Train));
    driver.wait_until("the plan", |driver| driver.shows("It fits", false));
    driver.harness.run_steps(5);
    assert!(driver.harness.state().shared.training.is_none() && !scratch.0.join("runs/mine").exists());
}
