//! The current run in the Train tab: speed, curves, and the run that Resume continues.

use super::Driver;
use crate::shared::Scratch;
use eframe::egui::{Color32, Shape, accesskit::Role};
use egui_kittest::kittest::{NodeT, Queryable};
use signet::runner::{Event, Loss, Metrics, Reply, TrainConfig, TrainEvent};
use signet::train::ModelSource;
use signet_app::plots::palette;
use signet_app::{Action, Tab, Training};
use std::path::{Path, PathBuf};

const SMALL: &str = r#"{"hidden_size": 32, "intermediate_size": 72, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 4096}"#;

fn send_event(driver: &mut Driver, event: TrainEvent) {
    driver.harness.state_mut().handle(Tab::Train, Reply::Event(Event::Train(event)));
}

fn begin(driver: &mut Driver, steps: u64) {
    let begun = serde_json::json!({
        "train": "begun", "step": 0, "steps": steps, "summary": "a run", "device": "the CPU device", "memory": 1, "tokens": 64, "lr": 0.001,
        "sample_prompt": "", "matrices": []
    });
    send_event(driver, serde_json::from_value(begun).expect("an event as `train --json` prints it"));
}

fn step(step: u64, tokens_per_s: f64) -> TrainEvent {
    TrainEvent::Step(Box::new(Metrics { step, loss: 2.0, norm: Some(0.5), lr: 0.001, taken: true, tokens_per_s, ..Metrics::default() }))
}

#[test]
fn an_outlier_in_step_time_changes_neither_speed_nor_time_left() {
    let scratch = Scratch::new("live-speed");
    let mut driver = Driver::new(&scratch.0, Tab::Train);
    begin(&mut driver, 1000);
    for n in 1..=40 {
        // Like after a pause, a snapshot or a checkpoint.
        send_event(&mut driver, step(n, if n % 10 == 0 { 1.1e7 } else { 1000.0 }));
        driver.harness.step();
        if n >= 9 {
            assert!(driver.shows("tokens/s 1000", false), "at step {n}");
        }
    }
    // 960 steps of 64 tokens at 1000 tokens/s.
    assert!(driver.shows("time left 1 min 1 s", false));
}

#[test]
fn a_run_in_preparation_shows_no_step_0_of_0() {
    let scratch = Scratch::new("live-preparing");
    let mut driver = Driver::new(&scratch.0, Tab::Runs);
    let training = Training { run: "runs/mine".into(), step: 0, steps: 0, tokens_per_s: 0.0, paused: false, orders: Default::default() };
    driver.harness.state_mut().shared.training = Some(training.clone());
    driver.harness.run_steps(2);
    assert!(driver.shows("mine: preparing…", false) && !driver.shows("step 0 of 0", true) && !driver.shows("0 tokens/s", true));
    driver.harness.state_mut().shared.training = Some(Training { step: 7, steps: 10, tokens_per_s: 1234.4, ..training });
    driver.harness.run_steps(2);
    assert!(driver.shows("mine: step 7 of 10, 1234 tokens/s", false));
}

#[test]
fn the_marker_stays_with_its_run() {
    let scratch = Scratch::new("live-pin");
    let mut driver = Driver::new(&scratch.0, Tab::Train);
    begin(&mut driver, 100);
    (1..=50).for_each(|n| send_event(&mut driver, step(n, 1000.0)));
    driver.harness.run_steps(3);
    driver.harness.query_all_by_label_contains("Loss: ").next().expect("the plot of the loss").click();
    driver.harness.run_steps(3);
    assert!(driver.shows("Marker at step", true));
    driver.harness.state_mut().shared.ask(Action::Continue(scratch.0.join("another")));
    driver.wait_until("another run", |driver| driver.shows("another: ", true));
    assert!(!driver.shows("Marker at step", true));
}

/// Number of filled circles of a colour.
fn dots(driver: &Driver, colour: Color32) -> usize {
    let is_dot = |shape: &Shape| matches!(shape, Shape::Circle(circle) if circle.fill == colour);
    driver.harness.output().shapes.iter().filter(|clipped| is_dot(&clipped.shape)).count()
}

#[test]
fn a_series_of_one_point_is_drawn() {
    let scratch = Scratch::new("live-point");
    let mut driver = Driver::new(&scratch.0, Tab::Train);
    begin(&mut driver, 100);
    driver.harness.run_steps(3);
    let before = dots(&driver, palette(0));
    send_event(&mut driver, step(1, 1000.0));
    driver.harness.run_steps(3);
    // Loss, gradient norm and learning rate.
    assert_eq!(dots(&driver, palette(0)) - before, 3);
    send_event(&mut driver, step(2, 1000.0));
    driver.harness.run_steps(3);
    assert_eq!(dots(&driver, palette(0)), before);
}

/// An app whose Start button starts the run `mine` with these settings.
fn prepared(scratch: &Scratch, steps: u64, checkpoint_every: u64) -> Driver {
    let model = scratch.0.join("small.json");
    std::fs::write(&model, SMALL).unwrap();
    let config = TrainConfig {
        model: model.display().to_string(),
        data: vec![scratch.text()],
        teacher: ModelSource::None,
        loss: Loss::Ar,
        batch: 1,
        seq: 32,
        steps,
        warmup: 2,
        eval_every: 0,
        eval_batches: 1,
        sample_every: 0,
        checkpoint_every,
        ..TrainConfig::default()
    };
    let mut driver = Driver::new(&scratch.0.join("runs"), Tab::Train);
    driver.harness.state_mut().shared.ask(Action::UseSettings { config: Box::new(config), name: "mine".into() });
    driver.harness.run_steps(3);
    driver.harness.state_mut().shared.settings.form.device = "cpu".into();
    driver
}

fn is_enabled(driver: &Driver, button: &str) -> bool {
    driver.harness.query_by_role_and_label(Role::Button, button).is_some_and(|button| !button.accesskit_node().is_disabled())
}

fn start(driver: &mut Driver) {
    driver.wait_until("Start", |driver| is_enabled(driver, "Start"));
    driver.harness.get_by_role_and_label(Role::Button, "Start").click_accesskit();
    driver.harness.run_steps(3);
}

/// An app with a stored last run.
fn app_with_last_run(scratch: &Scratch, run: &Path) -> Driver {
    let mut driver = Driver::new(&scratch.0.join("runs"), Tab::Train);
    driver.harness.state_mut().shared.settings.last_run = Some(run.into());
    driver
}

#[test]
fn a_finished_run_cannot_be_resumed_and_the_reason_is_shown() {
    let scratch = Scratch::new("live-finished");
    let mut driver = prepared(&scratch, 4, 0);
    assert!(driver.shows("No active run", false) && !is_enabled(&driver, "Resume"));
    start(&mut driver);
    driver.wait_for("mine: finished after 4 steps");
    driver.harness.run_steps(3);
    driver.wait_until("Resume to be disabled", |driver| !is_enabled(driver, "Resume"));
    let run = scratch.0.join("runs/mine");
    // The same after a restart, with the run's name.
    let mut again = app_with_last_run(&scratch, &run);
    again.wait_for("No active run. mine is finished: all 4 steps are done");
    assert!(!is_enabled(&again, "Resume"));
    // A resume by another way ends at once, with the reason.
    again.harness.state_mut().shared.ask(Action::Continue(run));
    again.wait_for("mine: finished after 4 steps");
    assert!(again.shows("is finished: all 4 steps are done", true) && again.harness.state().shared.training.is_none());
}

#[test]
fn resume_names_the_run_that_it_continues() {
    let scratch = Scratch::new("live-resume");
    let mut driver = prepared(&scratch, 1_000_000, 3);
    start(&mut driver);
    driver.wait_until("some steps", |driver| driver.harness.state().shared.training.as_ref().is_some_and(|training| training.step > 5));
    driver.click("Stop");
    driver.wait_until("the end", |driver| driver.shows("everything is saved", true));
    let run: PathBuf = scratch.0.join("runs/mine");
    let mut again = app_with_last_run(&scratch, &run);
    again.wait_until("the run's name", |driver| driver.shows("No active run. Resume continues mine from step", true));
    assert!(again.shows("of 1000000", true) && is_enabled(&again, "Resume"));
    again.click("Resume");
    again.wait_until("going on", |driver| driver.harness.state().shared.training.as_ref().is_some_and(|training| training.step > 6));
    again.click("Stop");
    again.wait_until("the end", |driver| driver.shows("everything is saved", true));
    // The folder was removed meanwhile.
    std::fs::remove_dir_all(&run).unwrap();
    let mut gone = app_with_last_run(&scratch, &run);
    gone.wait_for("No active run. mine is no longer in its folder");
    assert!(!is_enabled(&gone, "Resume"));
}
