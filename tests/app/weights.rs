//! The Weights tab: planes are shown, moved and zoomed; flips are counted; invalid models are refused.

use super::Driver;
use crate::shared::Scratch;
use crate::shared::root;
use eframe::egui::{Event, Key, Modifiers, MouseWheelUnit, TouchPhase, Vec2};
use egui_kittest::kittest::{NodeT, Queryable};
use signet_app::{Action, Tab};
use std::path::{Path, PathBuf};

/// The accessible name of the image, with the visible range.
fn picture(driver: &Driver) -> String {
    let node = driver.harness.query_all_by_label_contains("Signs of ").next().expect("there is a picture");
    node.accesskit_node().label().expect("it has a name")
}

fn first(rows: &str) -> String {
    format!("Signs of model.layers.0.self_attn.q_proj: {rows}")
}

/// Opens a model by its typed name.
fn open(driver: &mut Driver, path: &Path) {
    driver.harness.state_mut().shared.ask(Action::Weights(path.display().to_string()));
    driver.harness.run_steps(2);
}

#[test]
fn the_embedded_students_plane_is_shown_moved_and_zoomed() {
    let scratch = Scratch::new("plane");
    let mut driver = Driver::new(&scratch.0, Tab::Weights);
    driver.wait_until("the share of +1", |app| app.shows(" % are +1", true));
    driver.wait_for(&first("rows 0 to 255, columns 0 to 255"));
    driver.wait_for("256 outputs × 256 inputs");
    driver.wait_until("bits per weight", |app| app.shows("bits per weight, packed", true));
    driver.wait_for("α by input column");
    driver.wait_for("Histogram of β");

    driver.click("Zoom in");
    let seen = picture(&driver);
    assert_ne!(seen, first("rows 0 to 255, columns 0 to 255"));
    driver.harness.get_by_label(&seen).focus();
    driver.harness.run_steps(2);
    driver.harness.key_press(Key::ArrowRight);
    driver.harness.run_steps(2);
    let moved = picture(&driver);
    assert_ne!(moved, seen, "an arrow moves the plane");
    driver.harness.key_press(Key::Plus);
    driver.harness.run_steps(2);
    let near = picture(&driver);
    assert_ne!(near, moved, "a key zooms");

    // The wheel zooms around the pointer, and the weight under it is described.
    let middle = driver.harness.get_by_label(&near).rect().center();
    driver.harness.hover_at(middle);
    driver.harness.run_steps(2);
    driver.wait_until("a weight", |app| app.shows("row ", true) && (app.shows(": +1", true) || app.shows(": −1", true)));
    let wheel = Event::MouseWheel {
        unit: MouseWheelUnit::Point,
        delta: Vec2::new(0.0, 300.0),
        phase: TouchPhase::Move,
        source: eframe::egui::MouseWheelSource::Wheel,
        modifiers: Modifiers::NONE,
    };
    driver.harness.event(wheel);
    driver.harness.run_steps(20);
    assert_ne!(picture(&driver), near, "the wheel zooms");
    driver.click("Whole");
    driver.wait_for(&first("rows 0 to 255, columns 0 to 255"));

    driver.click("Next layer");
    driver.wait_until("the next layer", |app| app.shows("Signs of model.layers.0.self_attn.k_proj", true));
    driver.wait_until("its share", |app| app.shows(" % are +1", true));
}

/// A run of two checkpoints, the later of which has some latent weights of the first layer negated.
fn run(scratch: &Scratch, flipped: usize) -> PathBuf {
    use signet::formats::safetensors::{Dtype, TensorFile};
    let golden = root().join("tests/golden/ad/student");
    let run = scratch.0.join("run");
    for step in [5, 9] {
        let to = run.join(format!("checkpoints/step-{step:08}"));
        std::fs::create_dir_all(&to).unwrap();
        std::fs::copy(golden.join("config.json"), to.join("config.json")).unwrap();
        let mut bytes = std::fs::read(golden.join("model.safetensors")).unwrap();
        if step == 9 {
            let file = TensorFile::open(&golden.join("model.safetensors")).unwrap();
            let (dtype, _, tensor) = file.raw("model.layers.0.self_attn.q_proj.weight").unwrap();
            assert_eq!(dtype, Dtype::F32);
            let start = bytes.windows(tensor.len()).position(|window| window == &tensor[..]).unwrap();
            // The highest byte of a float contains its sign.
            (0..flipped).for_each(|n| bytes[start + 4 * n + 3] ^= 0x80);
        }
        std::fs::write(to.join("model.safetensors"), bytes).unwrap();
    }
    std::fs::write(run.join("run.toml"), "").unwrap();
    run
}

#[test]
fn flips_since_a_checkpoint_are_counted() {
    let scratch = Scratch::new("flips");
    let run = run(&scratch, 37);
    let mut driver = Driver::new(&scratch.0, Tab::Weights);
    open(&mut driver, &run);
    driver.wait_until("the run's last checkpoint", |app| app.shows("step-00000009", true));
    driver.click("Flips since");
    driver.click("step 5");
    driver.wait_until("the count of flips", |app| app.shows("flipped since step 5 (37 weights)", true));
    driver.wait_for("flipped to +1");
    driver.click("Flips since");
    driver.click("step 9");
    driver.wait_until("no flips", |app| app.shows("flipped since step 9 (0 weights)", true));
    driver.click("Flips since");
    driver.click("nothing");
    driver.wait_until("nothing to compare with", |app| !app.shows("flipped since", true));
}

#[test]
fn an_invalid_model_is_reported_and_the_shown_one_stays() {
    let scratch = Scratch::new("no-model");
    let notes = scratch.0.join("notes.txt");
    std::fs::write(&notes, "no model at all").unwrap();
    let mut driver = Driver::new(&scratch.0, Tab::Weights);
    driver.wait_until("the embedded student", |app| app.shows(" % are +1", true));
    open(&mut driver, &notes);
    driver.wait_until("the refusal", |app| app.shows("notes.txt: is not a complete safetensors file", true));
    assert!(driver.shows(" % are +1", true) && driver.shows("Signs of model.layers.0", true));
    driver.click("Embedded");
    driver.wait_until("the refusal to go", |app| !app.shows("is not a complete safetensors file", true));
}
