//! Bit rot: flipped bits and truncation in all files of a run, `pack`, the token cache and `teach`. Each is either found by
//! `check`, or in a file that nothing depends on; and no training continues from it to other weights.

use crate::runs::ask;
use crate::shared::root;
use crate::train::{Scratch, run};
use signet::data::{CacheWriter, Callbacks, ChatRenderer, Corpus, Ids, Origin, TeacherCache, TokenStore, TokenizeOptions, Tokenizer};
use signet::formats::to_checksummed_json;
use signet::model::ModelFile;
use signet::rng::Key;
use signet::runner::{Command, Event, Loss, Outcome, TrainConfig, TrainEvent, TrainRequest};
use signet::train::{Changes, Checkpoint, ModelSource, Verifying, verify_run};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A model with small checkpoints, except for its vocabulary.
const TINY: &str = r#""hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "tie_word_embeddings": true"#;
/// Files of a run that only users read.
const FOR_PEOPLE: [&str; 4] = ["log.txt", "samples.txt", "curves.svg", ".lock"];

fn settings(scratch: &Scratch) -> TrainConfig {
    let text = "a cat and a dog sat on the mat and the log. ".repeat(300);
    std::fs::write(scratch.path("text.txt"), &text).unwrap();
    let tokenizer = signet::data::train_tokenizer(&[&text], 280).unwrap();
    std::fs::write(scratch.path("tokenizer.json"), tokenizer.to_json().unwrap()).unwrap();
    std::fs::write(scratch.path("tiny.json"), format!("{{{TINY}, \"vocab_size\": {}}}", tokenizer.vocabulary())).unwrap();
    TrainConfig {
        model: scratch.path("tiny.json").display().to_string(),
        tokenizer: scratch.path("tokenizer.json").display().to_string().into(),
        data: vec![scratch.path("text.txt")],
        teacher: ModelSource::None,
        loss: Loss::Ar,
        batch: 2,
        seq: 16,
        steps: 12,
        warmup: 2,
        eval_every: 0,
        eval_batches: 1,
        sample_every: 6,
        sample_prompt: "a cat".into(),
        sample_tokens: 4,
        checkpoint_every: 4,
        keep: 9,
        ..TrainConfig::default()
    }
}

/// Trains or resumes a run; returns the notes.
fn train(path: &Path, config: Option<TrainConfig>, from_step: Option<u64>) -> Result<Vec<String>, String> {
    let resume = config.is_none();
    let request = TrainRequest { run: path.into(), numbered: false, config, resume, from_step, device: "cpu".into(), memory: None };
    let events = ask(Command::Train(Box::new(request)))?;
    Ok(events.into_iter().filter_map(|event| if let Event::Train(TrainEvent::Note { text }) = event { Some(text) } else { None }).collect())
}

/// Findings of `check` by file.
fn check(path: &Path) -> Vec<(PathBuf, Outcome)> {
    let events = ask(Command::Check { path: path.into(), repair: false }).unwrap();
    events.into_iter().filter_map(|event| if let Event::Checked { path, outcome } = event { Some((path, outcome)) } else { None }).collect()
}

fn is_damaged(path: &Path) -> bool {
    check(path).iter().any(|(_, outcome)| matches!(outcome, Outcome::Damaged { .. }))
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let to = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&file, to).unwrap();
    }
}

/// Damages a file in several ways: bit flips, then truncation. The file is restored at the end.
fn each_damage(file: &Path, tries: u64, then: &mut dyn FnMut(&str)) {
    let whole = std::fs::read(file).unwrap();
    let key = Key::new(3, &file.file_name().unwrap().to_string_lossy());
    let bits = 8 * whole.len() as u64;
    for n in 0..tries.min(bits) {
        // The first and the last bit, and others between.
        let bit = match n {
            0 => 0,
            1 => bits - 1,
            _ => key.bits(n) % bits,
        };
        let mut bytes = whole.clone();
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        std::fs::write(file, bytes).unwrap();
        then(&format!("bit {bit} of {}", file.display()));
    }
    for n in 0..(tries / 2).min(whole.len() as u64) {
        let length = if n < 2 { n } else { key.bits(1000 + n) % whole.len() as u64 };
        std::fs::write(file, &whole[..length as usize]).unwrap();
        then(&format!("{} cut to {length}", file.display()));
    }
    std::fs::write(file, whole).unwrap();
}

/// Tries bit flips, and half as many truncations, of each file; returns how many `found` detects, by file.
fn count(of: &[PathBuf], tries: u64, found: &mut dyn FnMut(&str) -> bool) -> BTreeMap<String, (u64, u64)> {
    let mut counts = BTreeMap::new();
    for file in of {
        let count: &mut (u64, u64) = counts.entry(file.file_name().unwrap().to_string_lossy().into_owned()).or_default();
        each_damage(file, tries, &mut |what| {
            count.1 += 1;
            count.0 += u64::from(found(what));
        });
    }
    for (file, (found, of)) in &counts {
        println!("{file:24} {found:4} of {of:4} found");
    }
    counts
}

fn all_found(counts: &BTreeMap<String, (u64, u64)>) {
    let missed: Vec<_> = counts.iter().filter(|(_, (found, of))| found != of).collect();
    assert!(missed.is_empty() && !counts.is_empty(), "{missed:?}");
}

#[test]
fn damage_in_every_file_of_a_run_is_detected_and_never_trained_on() {
    let scratch = Scratch::new("rot-run");
    let whole = scratch.path("whole");
    train(&whole, Some(settings(&scratch)), None).unwrap();
    assert!(!is_damaged(&whole), "{:?}", check(&whole));
    let (for_people, others): (Vec<_>, Vec<_>) = files(&whole).into_iter().partition(|file| FOR_PEOPLE.iter().any(|name| file.ends_with(name)));
    all_found(&count(&others, 30, &mut |what| {
        let found = is_damaged(&whole);
        assert!(found, "not found: {what}");
        found
    }));
    count(&for_people, 30, &mut |what| {
        assert!(!is_damaged(&whole), "{what}");
        false
    });
    // The same run before its last checkpoint, which a resume recomputes.
    let short = scratch.path("short");
    copy(&whole, &short);
    std::fs::remove_dir_all(short.join("checkpoints/step-00000012")).unwrap();
    let last = |run: &Path| ["model.safetensors", "optimizer.safetensors"].map(|name| std::fs::read(run.join("checkpoints/step-00000012").join(name)).unwrap());
    let right = last(&whole);
    let resumed = scratch.path("resumed");
    let resume = |what: &str| {
        std::fs::remove_dir_all(&resumed).unwrap_or_default();
        copy(&short, &resumed);
        let printed = train(&resumed, None, None);
        assert!(printed.is_err() || last(&resumed) == right, "other weights from {what}");
        printed
    };
    let notes = resume("nothing").unwrap();
    assert!(notes.iter().all(|note| !note.contains("damaged")), "{notes:?}");
    let (mut refused, mut same) = (0, 0);
    for file in files(&short).into_iter().filter(|file| !file.ends_with(".lock")) {
        each_damage(&file, 3, &mut |what| match resume(what) {
            Err(_) => refused += 1,
            Ok(_) => same += 1,
        });
    }
    println!("resumes: {refused} refused, {same} to the same weights, 0 to others");
    assert!(refused >= 16 && same >= 16, "{refused} refused, {same} to the same weights");
}

#[test]
fn intact_files_are_not_reported_as_damaged() {
    let scratch = Scratch::new("rot-whole");
    let run_path = scratch.path("whole");
    train(&run_path, Some(settings(&scratch)), None).unwrap();
    let step = |step: u64| run_path.join(format!("checkpoints/step-{step:08}"));
    // A file is checked together with its directory.
    assert_eq!(check(&run_path.join("run.toml")), check(&run_path));
    for name in ["model.safetensors", "optimizer.safetensors", "state.json", "config.json", "tokenizer.json"] {
        let found = check(&step(12).join(name));
        assert!(found.len() > 4 && found.iter().all(|(_, outcome)| *outcome == Outcome::Whole), "{name}: {found:?}");
    }
    // A newer version may have unknown fields.
    let file = step(12).join("state.json");
    let right = std::fs::read_to_string(&file).unwrap();
    let mut state: serde_json::Value = serde_json::from_str(&right).unwrap();
    state["format"] = 99.into();
    std::fs::write(&file, to_checksummed_json(state)).unwrap();
    let found = check(&step(12));
    assert!(matches!(&found[..], [(_, Outcome::Newer { problem })] if problem.contains("format 99") && problem.contains("Update")), "{found:?}");
    assert_eq!(signet::train::newest_intact(&run_path, 99), Some(8));
    std::fs::write(&file, right).unwrap();
    // As a run that keeps at most two checkpoints.
    let mut found = Vec::new();
    let mut progress = |verifying| {
        if let Verifying::File { path, outcome } = verifying {
            std::fs::remove_dir_all(step(4)).unwrap_or_default();
            found.push((path, outcome));
        }
        true
    };
    verify_run(&run_path, &mut progress).unwrap();
    assert!(found.iter().all(|(path, outcome)| *outcome == Outcome::Whole && !path.starts_with(step(4))), "{found:?}");
    assert!(found.iter().any(|(path, _)| path.starts_with(step(8))));
}

#[test]
fn an_older_intact_checkpoint_is_named_and_resumed_on_request() {
    let scratch = Scratch::new("rot-older");
    let run_path = scratch.path("runs/older");
    train(&run_path, Some(settings(&scratch)), None).unwrap();
    let right = std::fs::read(run_path.join("checkpoints/step-00000012/model.safetensors")).unwrap();
    // Other files in the directory are not checkpoints.
    let strays =
        ["step-00000200 (copy)", ".DS_Store", "step-abc", "step-00000100.bak", "step-100", "step-99999999999999999999", "step-000000013", "step-+0000016"];
    strays.iter().for_each(|name| std::fs::create_dir_all(run_path.join("checkpoints").join(name)).unwrap());
    std::fs::write(run_path.join("checkpoints/step-00000200"), "a file").unwrap();
    assert_eq!(signet::train::checkpoints(&run_path).unwrap(), [4, 8, 12]);
    let tokenizer = run_path.join("checkpoints/step-00000012/tokenizer.json");
    let whole = std::fs::read(&tokenizer).unwrap();
    let mut bytes = whole.clone();
    let at = bytes.len() / 2;
    bytes[at] ^= 4;
    std::fs::write(&tokenizer, &bytes).unwrap();
    let printed = train(&run_path, None, None).unwrap_err();
    assert!(printed.contains("step-00000012") && printed.contains("tokenizer.json") && printed.contains("--from-step 8"), "{printed}");
    std::fs::remove_file(&tokenizer).unwrap();
    let printed = train(&run_path, None, Some(12)).unwrap_err();
    assert!(printed.contains("tokenizer.json: is missing") && printed.contains("--from-step 8"), "{printed}");
    std::fs::write(&tokenizer, &whole).unwrap();
    let model = run_path.join("checkpoints/step-00000012/model.safetensors");
    let mut bytes = right.clone();
    let at = bytes.len() - 100;
    bytes[at] ^= 4;
    std::fs::write(&model, &bytes).unwrap();
    let printed = train(&run_path, None, None).unwrap_err();
    assert!(
        printed.contains("model.safetensors") && printed.contains("damaged") && printed.contains("step 8") && printed.contains("--from-step 8"),
        "{printed}"
    );
    let name = run_path.display().to_string();
    for arguments in
        [vec!["generate", &name, "--prompt", "a", "--device", "cpu"], vec!["pack", &name, scratch.path("out.signet").to_str().unwrap()], vec!["inspect", &name]]
    {
        let (good, printed) = run(&arguments);
        assert!(!good && printed.contains("damaged") && printed.contains("step-00000008. Pass its path"), "{arguments:?}: {printed}");
    }
    assert!(!scratch.path("out.signet").exists());
    let (good, printed) = run(&["check", &name]);
    assert!(!good && printed.contains("damaged      ") && printed.contains("step-00000012/model.safetensors") && printed.contains("1 of "), "{printed}");
    let printed = train(&run_path, None, Some(7)).unwrap_err();
    assert!(printed.contains("no checkpoint of this step") && printed.contains("4, 8, 12"), "{printed}");
    let notes = train(&run_path, None, Some(8)).unwrap();
    assert!(notes.iter().any(|note| note.contains("step-00000012.aside")), "{notes:?}");
    assert!(std::fs::read(&model).unwrap() == right, "other weights");
    assert!(std::fs::read(run_path.join("checkpoints/step-00000012.aside/model.safetensors")).unwrap() == bytes, "what was moved aside is lost");
    assert!(!is_damaged(&run_path), "{:?}", check(&run_path));
    // Changed lines of recorded steps are only reported.
    let metrics = std::fs::read_to_string(run_path.join("metrics.jsonl")).unwrap();
    std::fs::write(run_path.join("metrics.jsonl"), metrics.replacen("\"lr\":", "\"lr\":1", 1)).unwrap();
    let notes = train(&run_path, None, None).unwrap();
    assert!(notes.iter().any(|note| note.contains("metrics.jsonl is damaged")), "{notes:?}");
    let lines = std::fs::read_to_string(run_path.join("metrics.jsonl")).unwrap().lines().count();
    assert_eq!(lines, 12);
}

#[test]
fn changed_settings_are_refused_by_name_and_restored() {
    let scratch = Scratch::new("rot-settings");
    let run_path = scratch.path("settings");
    train(&run_path, Some(settings(&scratch)), None).unwrap();
    let file = run_path.join("run.toml");
    let right = std::fs::read_to_string(&file).unwrap();
    let other = right.replace("lr = 0.002", "lr = 0.02");
    for (text, why) in [(other.as_str(), "lr was 0.002, is 0.02"), ("", "it is empty"), (&right[..right.len() / 2], "--repair")] {
        std::fs::write(&file, text).unwrap();
        let printed = train(&run_path, None, None).unwrap_err();
        assert!(printed.contains("run.toml") && printed.contains(why), "{printed}");
        // Nor does any other command use them.
        let [name, config, out] = [&run_path, &file, &scratch.path("out.json")].map(|path| path.display().to_string());
        for arguments in [&["compare", &name][..], &["train", "--plan", "--config", &config], &["landscape", &name, "--out", &out, "--device", "cpu"]] {
            let (good, printed) = run(arguments);
            assert!(!good && printed.contains("run.toml") && printed.contains(why), "{arguments:?}: {printed}");
        }
    }
    let (good, printed) = run(&["check", "--repair", run_path.to_str().unwrap()]);
    assert!(good && printed.contains("restored from") && std::fs::read_to_string(&file).unwrap() == right, "{printed}");
    assert!(run_path.join("run.toml.damaged").exists());
    // Before the first checkpoint, only the file itself can show damage.
    std::fs::remove_dir_all(run_path.join("checkpoints")).unwrap();
    std::fs::create_dir_all(run_path.join("checkpoints")).unwrap();
    for text in [other.as_str(), "", &right[..right.len() / 2]] {
        std::fs::write(&file, text).unwrap();
        let printed = train(&run_path, None, None).unwrap_err();
        assert!(printed.contains("run.toml"), "{printed}");
    }
}

#[test]
fn missing_settings_are_restored_and_no_new_run_starts_there() {
    let scratch = Scratch::new("rot-missing");
    let run_path = scratch.path("missing");
    let config = settings(&scratch);
    train(&run_path, Some(config.clone()), None).unwrap();
    let file = run_path.join("run.toml");
    let right = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let other = TrainConfig { steps: 3, lr: 0.1, ..config };
    for config in [None, Some(other)] {
        let printed = train(&run_path, config, None).unwrap_err();
        assert!(printed.contains("run.toml: it is missing") && printed.contains("check --repair"), "{printed}");
    }
    assert!(run(&["check", "--repair", run_path.to_str().unwrap()]).0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), right);
    train(&run_path, None, None).unwrap();
}

#[test]
fn changed_metrics_are_reported_by_every_reader() {
    let scratch = Scratch::new("rot-records");
    let run_path = scratch.path("records");
    train(&run_path, Some(settings(&scratch)), None).unwrap();
    let [name, svg, csv] = ["records", "curves.svg", "curves.csv"].map(|name| scratch.path(name).display().to_string());
    let commands = [&["compare", &name][..], &["curves", &name, "--out", &svg], &["curves", &name, "--out", &csv]];
    let tried = || commands.map(run);
    for (good, printed) in tried() {
        assert!(good && !printed.contains("metrics.jsonl"), "{printed}");
    }
    let metrics = std::fs::read_to_string(run_path.join("metrics.jsonl")).unwrap();
    std::fs::write(run_path.join("metrics.jsonl"), metrics.replacen("\"lr\":", "\"lr\":1", 1)).unwrap();
    for (good, printed) in tried() {
        assert!(good && printed.contains("metrics.jsonl: up to step 12 it is not what was recorded"), "{printed}");
    }
}

#[test]
fn damage_in_a_packed_file_is_detected() {
    let scratch = Scratch::new("rot-pack");
    let run_path = scratch.path("packed");
    train(&run_path, Some(settings(&scratch)), None).unwrap();
    let out = scratch.path("model.signet");
    ask(Command::Pack { model: run_path.display().to_string(), out: out.clone() }).unwrap();
    assert_eq!(check(&out), [(out.clone(), Outcome::Whole)]);
    all_found(&count(std::slice::from_ref(&out), 200, &mut |what| {
        let found = is_damaged(&out);
        assert!(found, "not found: {what}");
        found
    }));
}

#[test]
fn damage_in_a_token_cache_is_detected_or_the_cache_is_rebuilt() {
    let scratch = Scratch::new("rot-tokens");
    let text: String = (0..50_000).map(|n| format!("line {n} of a long text\n\n")).collect();
    std::fs::write(scratch.path("text.txt"), &text).unwrap();
    let tokenizer = Tokenizer::from_json(signet::assets::tokenizer().unwrap()).unwrap();
    let cache = scratch.path("tokens");
    let open = || {
        let options =
            TokenizeOptions { tokenizer: &tokenizer, field: "auto", chat: ChatRenderer { id: 0, render: &|_| Ok(String::new()) }, cache: Some(&cache) };
        let store = TokenStore::open(&[scratch.path("text.txt")], &options, &mut Callbacks { stop: &|| false, progress: &mut |_| {} })?;
        let mut ids = Vec::new();
        store.read(0..store.info().tokens, &mut ids)?;
        (0..store.info().documents).try_for_each(|n| store.document(n).map(drop))?;
        Ok::<_, signet::data::DataError>(ids)
    };
    let right = open().unwrap();
    let dir = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    assert_eq!(check(&dir), [(dir.clone(), Outcome::Whole)]);
    assert_eq!(check(&cache).len(), 1);
    all_found(&count(&files(&dir), 12, &mut |_| is_damaged(&dir)));
    for name in ["ids", "documents", "checksums", "about.json"] {
        let file = dir.join(name);
        let whole = std::fs::read(&file).unwrap();
        let mut bytes = whole.clone();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        match open() {
            Err(error) => {
                let error = error.to_string();
                assert!(error.matches("is damaged").count() == 1 && error.contains(name) && error.contains("Delete it"), "{error}");
                std::fs::remove_dir_all(&dir).unwrap();
            }
            Ok(ids) => assert!(ids == right && std::fs::read(&file).unwrap() == whole, "{name}: other ids"),
        }
        assert!(open().unwrap() == right, "{name}");
    }
    // A cache of an earlier version has no checksums, and is used unchecked.
    std::fs::remove_file(dir.join("checksums")).unwrap();
    let mut about: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("about.json")).unwrap()).unwrap();
    let about = about.as_object_mut().unwrap();
    assert!(about.remove("checksum").is_some() && about.remove("checksums").is_some());
    std::fs::write(dir.join("about.json"), serde_json::to_vec_pretty(about).unwrap()).unwrap();
    assert_eq!(check(&dir), [(dir.clone(), Outcome::NoChecksum)]);
    assert!(open().unwrap() == right && !dir.join("checksums").exists());
    let mut offsets = std::fs::read(dir.join("documents")).unwrap();
    offsets[15] = 0xff;
    std::fs::write(dir.join("documents"), offsets).unwrap();
    let problem = format!("{}: is damaged: the offsets of document 0 are invalid. Delete it", dir.display());
    assert!(matches!(&check(&dir)[..], [(_, Outcome::Damaged { problem: found })] if found.starts_with(&problem)), "{:?}", check(&dir));
}

#[test]
fn damage_in_a_teacher_cache_is_detected_without_its_text() {
    let scratch = Scratch::new("rot-teacher");
    let ids = |n: u32| Ids::from((0..n).map(|n| n * 7 % 50).collect::<Vec<_>>());
    let corpus = Corpus { train: ids(200), held_out: ids(90) };
    let origin = Origin { teacher: Some(1), vocabulary: 50, seq: 16, temperature: 1.0, top: Some(3), text: Origin::text(&corpus).unwrap() };
    let dir = scratch.path("cache");
    let mut writer = CacheWriter::open(&dir, &origin, &corpus, &[("device", "a device".into())]).unwrap();
    let missing = writer.missing().to_vec();
    for (n, window) in missing.iter().enumerate() {
        if n == 2 {
            assert_eq!(check(&dir), [(dir.clone(), Outcome::Whole)], "unfinished");
        }
        let tokens = writer.grid().tokens(&corpus, *window).unwrap();
        let ids: Vec<u32> = (0..48).map(|n| n % 3 * 10 + (*window as u32 + n) % 7).collect();
        writer.write(*window, &tokens, &ids, &[9000; 48]).unwrap();
    }
    writer.sync().unwrap();
    drop(writer);
    TeacherCache::open(&dir, &origin).unwrap();
    assert_eq!(check(&dir), [(dir.clone(), Outcome::Whole)]);
    all_found(&count(&[dir.join("teacher.safetensors")], 400, &mut |what| {
        let found = is_damaged(&dir);
        assert!(found, "not found: {what}");
        found
    }));
}

#[test]
fn files_of_earlier_versions_are_resumed_and_opened() {
    let scratch = Scratch::new("rot-earlier");
    let run_path = scratch.path("earlier");
    train(&run_path, Some(settings(&scratch)), None).unwrap();
    let right = std::fs::read(run_path.join("checkpoints/step-00000012/model.safetensors")).unwrap();
    std::fs::remove_dir_all(run_path.join("checkpoints/step-00000012")).unwrap();
    for step in [4, 8] {
        let file = run_path.join(format!("checkpoints/step-{step:08}/state.json"));
        let mut state: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        ["checksum", "checksums", "run"].iter().for_each(|name| drop(state.as_object_mut().unwrap().remove(*name).unwrap()));
        std::fs::write(&file, serde_json::to_vec_pretty(&state).unwrap()).unwrap();
    }
    let text = std::fs::read_to_string(run_path.join("run.toml")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    std::fs::write(run_path.join("run.toml"), lines.join("\n") + "\n").unwrap();
    let found = check(&run_path);
    assert!(found.len() > 8 && found.iter().all(|(_, outcome)| *outcome == Outcome::NoChecksum), "{found:?}");
    ask(Command::Inspect { model: run_path.display().to_string() }).unwrap();
    train(&run_path, None, None).unwrap();
    assert!(std::fs::read(run_path.join("checkpoints/step-00000012/model.safetensors")).unwrap() == right, "other weights");
    assert!(!is_damaged(&run_path), "{:?}", check(&run_path));
}

/// The seed is made independently by `fuzz/seeds.py`, from the description in `docs/formats.md`.
#[test]
fn checksums_match_their_description() {
    let seed = |name: &str| std::fs::read(root().join("fuzz/seeds").join(name)).unwrap();
    let model = ModelFile::from_snapshot("sealed", Arc::new(seed("packed/sealed"))).unwrap();
    assert!(model.has_sums());
    model.verify(&mut |_, _| true).unwrap();
    let state = Checkpoint::parse(Path::new("state.json"), std::str::from_utf8(&seed("state/sealed")).unwrap()).unwrap();
    assert!(state.sums.is_some() && state.run.is_some());
    let changes = Changes::read(std::str::from_utf8(&seed("state/changes")).unwrap()).unwrap();
    assert_eq!([9, 12].map(|step| changes.over(&TrainConfig::default(), step).lr), [0.1, 0.2]);
}
