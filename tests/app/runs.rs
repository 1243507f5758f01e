//! The Runs tab: compare, sort, filter, rename, trash and restore runs, and follow a growing run.

use super::Driver;
use crate::shared::{Scratch, line, recorded};
use eframe::egui::Role;
use egui_kittest::kittest::{NodeT, Queryable};
use signet_app::Tab;

/// Opens the tab on a folder with two runs of 20 and 30 steps.
fn two_runs(name: &str) -> (Scratch, Driver) {
    let scratch = Scratch::new(name);
    let folder = scratch.path("runs");
    recorded(&folder, "beta", 30);
    recorded(&folder, "alpha", 20);
    let other = std::fs::read_to_string(folder.join("alpha/run.toml")).unwrap().replace("lr = 0.002", "lr = 0.5");
    std::fs::write(folder.join("alpha/run.toml"), other).unwrap();
    let mut app = Driver::new(&folder, Tab::Runs);
    app.wait_for("beta");
    (scratch, app)
}

/// The names of the table's rows, from top to bottom.
fn order(app: &Driver) -> Vec<String> {
    // A plot's legend, below the buttons, has the names too.
    let end = app.harness.get_by_label("Continue").rect().top();
    let places = |name| app.harness.query_all_by_role_and_label(Role::CheckBox, name).map(|node| node.rect().top()).filter(|&top| top < end);
    let mut rows: Vec<(f32, &str)> = ["alpha", "beta"].into_iter().flat_map(|name| places(name).map(move |top| (top, name))).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    rows.into_iter().map(|(_, name)| name.to_string()).collect()
}

#[test]
fn runs_are_sorted_filtered_and_compared() {
    let (_scratch, mut app) = two_runs("app-runs-overlay");
    app.click("Step");
    assert_eq!(order(&app), ["alpha", "beta"]);
    app.click("Step");
    assert_eq!(order(&app), ["beta", "alpha"]);
    app.click("beta");
    app.wait_until("the curves of beta", |app| app.harness.query_by_label("loss: beta is 0.2667 at step 30").is_some());
    app.click("alpha");
    app.wait_until("both curves", |app| app.harness.query_by_label("loss: beta is 0.2667 at step 30, alpha is 0.4 at step 20").is_some());
    // Settings side by side: only those that differ.
    app.wait_until("the settings", |app| app.shows("1 setting differs", true) && app.shows("lr", false));
    assert!(app.shows("0.002", false) && app.shows("0.5", false));
    assert!(!app.shows("seed", false));
    app.harness.get_by_label("Filter").focus();
    app.harness.run_steps(2);
    app.harness.get_by_label("Filter").type_text("lr=0.5");
    app.wait_until("the filter", |app| app.shows("1 of 2 runs", false));
    assert_eq!(order(&app), ["alpha"]);
}

#[test]
fn a_run_is_renamed_trashed_and_restored() {
    let (scratch, mut app) = two_runs("app-runs-trash");
    let folder = scratch.path("runs");
    app.click("alpha");
    app.click("Rename…");
    app.harness.get_by_label("New name").focus();
    app.harness.run_steps(2);
    app.harness.get_by_label("New name").type_text("?");
    app.harness.run_steps(2);
    assert!(app.shows("must not contain", true), "a name that Windows refuses");
    app.harness.key_press(eframe::egui::Key::Backspace);
    app.harness.run_steps(2);
    app.harness.get_by_label("New name").type_text("-two");
    app.click("Rename");
    app.wait_until("the new name", |_| folder.join("alpha-two/run.toml").exists());
    app.wait_until("the row", |app| app.shows("alpha is called alpha-two now", false));
    app.wait_until("the refreshed row", |app| app.harness.query_all_by_label("alpha-two").count() >= 1);
    app.click("Move to trash");
    app.wait_until("the trash", |_| folder.join(".trash/alpha-two/run.toml").exists());
    app.wait_until("the notice", |app| app.shows("alpha-two is in the trash", false));
    app.wait_until("the row to go", |app| app.shows("1 run", false));
    app.click("Undo");
    app.wait_until("its return", |_| folder.join("alpha-two/run.toml").exists());
    app.wait_until("its row", |app| app.shows("2 runs", false));
}

#[test]
fn a_run_of_another_process_is_followed_until_it_is_removed() {
    let (scratch, mut app) = two_runs("app-runs-follow");
    let folder = scratch.path("runs");
    app.click("alpha");
    app.wait_until("its curve", |app| app.shows("loss: alpha is 0.4 at step 20", false));
    let file = folder.join("alpha/metrics.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.clone() + &line(21) + &line(22)).unwrap();
    app.wait_until("two more steps", |app| app.shows("loss: alpha is 0.3636 at step 22", false));
    // A rollback replaces the last steps.
    std::fs::write(&file, text + &line(21).replace("\"loss\":0.38", "\"loss\":0.88")).unwrap();
    app.wait_until("the rollback", |app| app.shows("loss: alpha is 0.881 at step 21", false));
    std::fs::remove_dir_all(folder.join("alpha")).unwrap();
    app.wait_until("its end", |app| app.shows("is no longer in the folder", true));
    assert!(app.shows("loss: alpha is 0.881 at step 21", false), "what was read stays");
    app.click("Remove alpha");
    assert!(!app.shows("loss: alpha is 0.881 at step 21", false));
}

#[test]
fn curves_are_exported_and_files_are_replaced_only_on_request() {
    let (scratch, mut app) = two_runs("app-runs-export");
    let out = scratch.path("runs/alpha.csv");
    app.click("alpha");
    app.click("Export…");
    app.click("CSV, every step");
    app.click("Export");
    app.wait_until("the file", |_| out.exists());
    assert_eq!(std::fs::read_to_string(&out).unwrap().lines().count(), 21);
    std::fs::write(&out, "mine").unwrap();
    app.wait_until("the end of the dialog", |app| !app.shows("File", false));
    app.click("Export…");
    app.click("CSV, every step");
    app.click("Export");
    app.wait_until("the question", |app| app.shows("Replace it", false));
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "mine");
    app.click("Replace it");
    app.wait_until("the file", |_| std::fs::read_to_string(&out).unwrap().starts_with("run,step"));
}

#[test]
fn the_marker_is_removed_with_its_runs() {
    let (_scratch, mut app) = two_runs("app-runs-pin");
    let tick = |app: &mut Driver, name: &str| {
        app.harness.query_all_by_role_and_label(Role::CheckBox, name).next().expect("a row").click_accesskit();
        app.harness.run_steps(4);
    };
    app.click("alpha");
    app.wait_until("its curve", |app| app.shows("loss: alpha is 0.4 at step 20", false));
    app.harness.query_all_by_label_contains("loss: ").next().expect("the plot of the loss").click();
    app.harness.run_steps(3);
    assert!(app.shows("Marker at step", true));
    tick(&mut app, "beta");
    app.wait_until("both curves", |app| app.shows("beta is 0.2667 at step 30", true));
    assert!(app.shows("Marker at step", true));
    tick(&mut app, "alpha");
    app.wait_until("one curve", |app| !app.shows("alpha is 0.4 at step 20", true));
    assert!(!app.shows("Marker at step", true));
}

#[test]
fn a_run_killed_after_its_last_step_resumes_from_its_checkpoint() {
    let scratch = Scratch::new("app-runs-killed");
    let folder = scratch.path("runs");
    let killed = recorded(&folder, "killed", 100);
    let saved = recorded(&folder, "saved", 100);
    std::fs::rename(saved.join("checkpoints/step-00000002"), saved.join("checkpoints/step-00000100")).unwrap();
    let mut app = Driver::new(&folder, Tab::Runs);
    let can_continue = |app: &Driver| !app.harness.get_by_role_and_label(Role::Button, "Continue").accesskit_node().is_disabled();
    for (run, can) in [(killed, true), (saved, false)] {
        let name = run.file_name().unwrap().to_str().unwrap().to_string();
        app.click(&name);
        app.wait_until(&name, |app| app.shows("loss: ", true));
        assert_eq!(can_continue(&app), can, "{name}");
        app.harness.query_all_by_role_and_label(Role::CheckBox, &name).next().expect("a row").click_accesskit();
        app.harness.run_steps(4);
    }
}
