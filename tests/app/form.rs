//! The form of a new run: the plan follows the settings, invalid text is refused in place and kept, and dropped
//! files fill the right fields.

use super::Driver;
use crate::shared::Scratch;
use crate::shared::root;
use eframe::egui::{DroppedFile, Role};
use egui_kittest::kittest::{NodeT, Queryable};
use signet::runner::{TrainConfig, settings};
use signet_app::Tab;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug)]
struct Dropped(PathBuf);

impl DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}

fn form(scratch: &Scratch) -> Driver {
    let mut driver = Driver::new(&scratch.0, Tab::Train);
    driver.harness.state_mut().shared.settings.form.device = "cpu".into();
    driver.wait_until("a plan", |driver| driver.shows("It fits", false));
    driver
}

/// Replaces the text of a field.
fn fill(driver: &mut Driver, name: &str, text: &str) {
    driver.harness.get_by_role_and_label(Role::TextInput, name).set_text_value_accesskit(text);
    driver.harness.run_steps(2);
}

/// Presses a button, wherever it is scrolled to.
fn press(driver: &mut Driver, name: &str) {
    driver.wait_for(name);
    driver.harness.query_all_by_label(name).next().expect("it was there").click_accesskit();
    driver.harness.run_steps(3);
}

fn drop_file(driver: &mut Driver, path: &Path) {
    driver.harness.input_mut().dropped_files.push(Arc::new(Dropped(path.into())));
    driver.harness.step();
}

fn start_is_offered(driver: &Driver) -> bool {
    let start = driver.harness.get_by_role_and_label(Role::Button, "Start");
    !start.accesskit_node().is_disabled()
}

#[test]
fn numbers_and_memory_follow_the_model() {
    let scratch = Scratch::new("form-model");
    let mut driver = form(&scratch);
    driver.wait_until("Start", start_is_offered);
    assert!(driver.shows("of them binarized", true) && driver.shows("student: latent weights", true) && driver.shows("tokens a step", true));
    let numbers = |driver: &Driver| driver.harness.get_by_label_contains("of them binarized").accesskit_node().value();
    let small = numbers(&driver);
    assert!(small.as_ref().is_some_and(|small| small.contains("4096 token ids")), "{small:?}");
    driver.harness.get_by_role_and_label(Role::ComboBox, "Model").click();
    driver.harness.run_steps(3);
    driver.harness.get_by_label_contains("7B: 32 blocks").click();
    driver.harness.run_steps(3);
    driver.wait_until("a plan that does not fit", |driver| driver.shows("It does not fit; ", true));
    assert_ne!(numbers(&driver), small);
    assert!(!start_is_offered(&driver) && driver.shows("The run cannot start: it does not fit", true));
    press(&mut driver, "Reset Model");
    driver.wait_until("a plan that fits", |driver| driver.shows("It fits", false) && start_is_offered(driver));
}

#[test]
fn invalid_text_is_refused_in_place_and_kept() {
    let scratch = Scratch::new("form-nonsense");
    let mut driver = form(&scratch);
    press(&mut driver, "Advanced");
    driver.harness.run_steps(20);
    let texts = ["Sample prompt", "Field of rows", "Run name", "Path of a preset", "Path of a text file"];
    let fields: Vec<String> = driver.harness.query_all_by_role(Role::TextInput).filter_map(|node| node.accesskit_node().label()).collect();
    let numbers: Vec<&String> = fields.iter().filter(|name| !texts.contains(&name.as_str())).collect();
    assert!(numbers.len() > 25, "{fields:?}");
    for name in numbers {
        for absurd in ["", "abc", "NaN", "-1", "inf", "1e400", "9223372036854775808", "18446744073709551616", "1e-400e5"] {
            // The maximum gradient norm has no upper bound.
            if name == "Clip" && absurd.len() > 10 {
                continue;
            }
            fill(&mut driver, name, absurd);
            let shown = driver.harness.get_by_role_and_label(Role::TextInput, name).value().unwrap_or_default();
            assert_eq!(shown, absurd, "{name} keeps what was typed");
            assert!(!start_is_offered(&driver), "{name} = {absurd}");
            assert!(driver.shows("The run cannot start: ", true));
            let problem =
                |driver: &Driver| ["is not a number", "is not a whole number", "must be between", "power of two"].iter().any(|text| driver.shows(text, true));
            assert!(problem(&driver), "{name} = {absurd}: nothing says what is wrong");
        }
        press(&mut driver, &format!("Reset {name}"));
    }
    fill(&mut driver, "Learning rate", "3e-4");
    driver.wait_until("Start", start_is_offered);
    press(&mut driver, "Reset all");
    assert!(driver.harness.state().shared.settings.form.typed.is_empty());
    press(&mut driver, "Undo resetting all");
    assert_eq!(driver.harness.state().shared.settings.form.typed["lr"], "3e-4");
    press(&mut driver, "Redo resetting all");
    assert!(driver.harness.state().shared.settings.form.typed.is_empty());
}

#[test]
fn a_preset_is_saved_as_train_reads_it_and_opened_again() {
    let scratch = Scratch::new("form-preset");
    let mut driver = form(&scratch);
    let path = scratch.0.join("mine.toml");
    fill(&mut driver, "Steps", "1e4");
    fill(&mut driver, "Path of a preset", &path.display().to_string());
    press(&mut driver, "Save preset…");
    driver.wait_until("the preset", |driver| driver.shows("The settings were saved in", true));
    assert_eq!(settings(&path).unwrap(), TrainConfig { steps: 10_000, ..TrainConfig::default() });
    press(&mut driver, "Reset all");
    press(&mut driver, "Open preset…");
    driver.wait_until("the steps", |driver| driver.harness.state().shared.settings.form.typed.get("steps").is_some_and(|steps| steps == "10000"));
    std::fs::write(&path, "steps = \"many\"").unwrap();
    press(&mut driver, "Open preset…");
    driver.wait_until("what is wrong", |driver| driver.shows("mine.toml", true) && driver.shows("line 1", true));
    assert_eq!(driver.harness.state().shared.settings.form.typed["steps"], "10000");
}

#[test]
fn dropped_files_fill_the_right_fields() {
    let scratch = Scratch::new("form-drop");
    let mut driver = form(&scratch);
    let at = |name: &str| scratch.0.join(name);
    std::fs::write(at("story.txt"), "Es war einmal ein Modell. ".repeat(2000)).unwrap();
    std::fs::write(at("picture.png"), [0x89, b'P', 0xff, 0xd8]).unwrap();
    std::fs::write(at("tokenizer.json"), "{}").unwrap();
    std::fs::write(at("mine.toml"), "seed = 77").unwrap();
    std::fs::copy(root().join("assets/teacher.signet"), at("teacher.signet")).unwrap();
    drop_file(&mut driver, &at("story.txt"));
    driver.wait_for("story.txt: 52.0 kB of text");
    for name in ["picture.png", "tokenizer.json"] {
        drop_file(&mut driver, &at(name));
        driver.wait_until(name, |driver| driver.shows("Cannot use the file: ", true) && driver.shows(name, true));
    }
    let held = |driver: &Driver| driver.harness.state().shared.settings.form.clone();
    assert_eq!((held(&driver).data, held(&driver).typed.len()), (vec![at("story.txt")], 0));
    drop_file(&mut driver, &at("teacher.signet"));
    let path = at("teacher.signet").display().to_string();
    driver.wait_until("the teacher", |driver| held(driver).typed.get("teacher") == Some(&path));
    press(&mut driver, "Remove story.txt");
    assert!(held(&driver).data.is_empty());
    press(&mut driver, "Undo removing story.txt");
    assert_eq!(held(&driver).data, [at("story.txt")]);
    drop_file(&mut driver, &at("mine.toml"));
    driver.wait_until("the preset", |driver| held(driver).typed.get("seed").is_some_and(|seed| seed == "77"));
    // A path that is no text file shows its error in the list, and the run cannot start.
    fill(&mut driver, "Path of a text file", &at("picture.png").display().to_string());
    press(&mut driver, "Add");
    driver.wait_until("what is wrong", |driver| driver.shows("The run cannot start: ", true) && driver.shows("is not UTF-8 text: byte 0", true));
    assert!(!start_is_offered(&driver));
}

#[test]
fn errors_of_the_plan_are_shown_at_their_setting() {
    let scratch = Scratch::new("form-refused");
    let mut driver = form(&scratch);
    fill(&mut driver, "Sequence length", "600");
    driver.wait_until("the refusal", |driver| driver.shows("must be at most the model's context of 512, not 600", false));
    assert!(!start_is_offered(&driver));
}
