//! Settings and inputs before a run: absurd settings are rejected or planned quickly and never panic; presets are valid
//! for `train`; files of another kind give clear errors.

mod earlier;

use crate::shared::root;
use crate::train::{Scratch, run};
use signet::runner::{Command, Event, Init, InputKind, ModelSource, PlanReport, PlanTrainRequest, Runner, Stop, TrainConfig, TrainRequest, settings};
use std::path::Path;
use std::time::{Duration, Instant};

/// Maximum time of a plan, since a form requests one after every change.
const LONGEST: Duration = Duration::from_secs(20);

fn plan(runner: &mut Runner, config: TrainConfig, device: &str) -> Result<PlanReport, (Option<String>, String)> {
    let train =
        TrainRequest { run: "unused".into(), numbered: false, config: Some(config), resume: false, from_step: None, device: device.into(), memory: None };
    let (mut report, mut refused) = (None, None);
    let result = runner.run(Command::PlanTrain(Box::new(PlanTrainRequest { train, teacher_shape: None })), &mut |event| match event {
        Event::Planned(planned) => report = Some(planned),
        Event::SettingRefused { name, .. } => refused = Some(name),
        _ => {}
    });
    match result {
        Ok(()) => Ok(report.expect("a plan that succeeds was reported")),
        Err(error) => Err((refused, format!("{error:#}"))),
    }
}

/// The settings with the number called `name` (`guard.x` for the guard's) replaced, if it can hold that.
fn with_number(name: &str, value: &toml::Value) -> Option<TrainConfig> {
    let mut table = toml::Table::try_from(TrainConfig::default()).unwrap();
    match name.strip_prefix("guard.") {
        Some(name) => table["guard"].as_table_mut().unwrap().insert(name.into(), value.clone()),
        None => table.insert(name.into(), value.clone()),
    };
    table.try_into().ok()
}

#[test]
fn extreme_values_are_refused_by_name_or_planned() {
    let table = toml::Table::try_from(TrainConfig::default()).unwrap();
    let numbers = |prefix: &str, table: &toml::Table| -> Vec<String> {
        table.iter().filter(|(_, value)| value.is_integer() || value.is_float()).map(|(name, _)| format!("{prefix}{name}")).collect()
    };
    let names = [numbers("", &table), numbers("guard.", table["guard"].as_table().unwrap())].concat();
    assert!(names.len() > 25, "{names:?}");
    let whole = [0, 1, -1, 65_536, 1 << 20, 1 << 40, i64::MAX].map(toml::Value::Integer);
    let real = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, -1.0, 1e-320, 1e300, 0.5].map(toml::Value::Float);
    let (mut planned, mut refused) = (0, 0);
    let mut runner = Runner::new(Stop::default());
    for name in &names {
        for value in whole.iter().chain(&real) {
            let Some(config) = with_number(name, value) else { continue };
            let began = Instant::now();
            match plan(&mut runner, config, "cpu") {
                Ok(report) => {
                    assert!(report.plan.total() > 0);
                    planned += 1;
                }
                Err((setting, error)) => {
                    // A number may be too large for another: batch · seq, steps · batch.
                    assert!(setting.is_some_and(|setting| names.contains(&setting)), "{name} = {value}: {error}");
                    refused += 1;
                }
            }
            assert!(began.elapsed() < LONGEST, "{name} = {value} took {:?}", began.elapsed());
        }
    }
    assert!(planned > 60 && refused > 150, "{planned} planned, {refused} refused");
}

#[test]
fn an_oversized_model_is_refused_at_once() {
    let dir = Scratch::new("shapes");
    let path = dir.path("config.json");
    let shape = |layers: u64, width: u64| {
        format!(
            r#"{{"hidden_size":{width},"intermediate_size":{width},"num_hidden_layers":{layers},"num_attention_heads":{width},"head_dim":256,"vocab_size":4096,"max_position_embeddings":1048576}}"#
        )
    };
    let mut runner = Runner::new(Stop::default());
    for (text, word) in [(shape(100_000, 64), "num_hidden_layers"), (shape(1000, 1 << 20), "parameters"), ("{".into(), "EOF"), ("[]".into(), "config.json")] {
        std::fs::write(&path, text).unwrap();
        let began = Instant::now();
        let (setting, error) = plan(&mut runner, TrainConfig { model: path.display().to_string(), ..Default::default() }, "cpu").unwrap_err();
        assert!(setting.as_deref() == Some("model") && error.contains(word), "{setting:?} {error}");
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn errors_of_inputs_name_their_setting() {
    let mut runner = Runner::new(Stop::default());
    let config = TrainConfig::default;
    let missing = || ModelSource::Path("no/such/thing".into());
    for (name, config) in [
        ("teacher", TrainConfig { teacher: missing(), ..config() }),
        ("tokenizer", TrainConfig { tokenizer: missing(), ..config() }),
        ("model", TrainConfig { model: "no-such-model".into(), ..config() }),
        ("teacher_cache", TrainConfig { teacher_cache: Some("no/such/thing".into()), ..config() }),
        ("seq", TrainConfig { seq: 600, ..config() }),
        ("sample_tokens", TrainConfig { sample_tokens: 600, ..config() }),
    ] {
        let (setting, error) = plan(&mut runner, config, "cpu").unwrap_err();
        assert_eq!(setting.as_deref(), Some(name), "{error}");
    }
}

#[test]
fn a_plan_has_the_numbers_of_the_model_and_the_run() {
    let mut runner = Runner::new(Stop::default());
    let report = plan(&mut runner, TrainConfig { model: "5M".into(), accumulate: 2, ..Default::default() }, "cpu").unwrap();
    let length = report.length.unwrap();
    assert_eq!((length.tokens_per_step, length.tokens), (2048, 2_048_000));
    // The corpus has 7.8 MB, about four bytes per token.
    let text = length.text_tokens.unwrap();
    assert!((1_000_000..4_000_000).contains(&text), "{text}");
    assert!((length.epochs().unwrap() - length.tokens as f64 / text as f64).abs() < 1e-9);
    let model = &report.model;
    assert!(model.binarized > 3_000_000 && model.parameters > model.binarized && model.width == 256);
    assert!((1.0..1.2).contains(&model.bits_per_weight) && model.packed_bytes < model.parameters, "{model:?}");
    let dense = plan(&mut runner, TrainConfig { model: "5M".into(), binary: false, ..Default::default() }, "cpu").unwrap().model;
    assert_eq!((dense.binarized, dense.bits_per_weight, dense.packed_bytes), (0, 16.0, 2 * dense.parameters));
}

#[test]
fn a_plan_from_adapter_limits_equals_that_of_the_device() {
    use signet::device::{Checks, Gpu, adapters};
    use signet::graph::Machine;
    let adapters = pollster::block_on(adapters());
    let open = pollster::block_on(Gpu::open(&adapters[0], Checks::Off)).unwrap();
    let memory = open.memory();
    let machine = Machine::gpu(open.into(), signet::ops::FUSIONS);
    let report = plan(&mut Runner::new(Stop::default()), TrainConfig::default(), "0").unwrap();
    assert_eq!(report.binding_bytes, Some(4 * machine.counter().max_words() as u64));
    assert_eq!(report.memory, memory);
}

#[test]
fn a_saved_preset_is_read_by_train() {
    let dir = Scratch::new("presets");
    let path = dir.path("mine.toml");
    let config = TrainConfig { lr: 1e-3, data: vec!["a b.txt".into(), "ü.txt".into()], init: Init::Teacher, steps: 1 << 40, ..Default::default() };
    let mut runner = Runner::new(Stop::default());
    runner.run(Command::SaveSettings { config: Box::new(config.clone()), path: path.clone() }, &mut |_| ()).unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("# Settings of a Signet run"));
    assert_eq!(settings(&path).unwrap(), config);
    let error = runner.run(Command::SaveSettings { config: config.into(), path: dir.path("no/such/place.toml") }, &mut |_| ()).unwrap_err();
    assert!(format!("{error:#}").contains("place.toml"), "{error:#}");
    std::fs::write(&path, "steps = 3\nlr = \"fast\"\n").unwrap();
    let error = format!("{:#}", runner.run(Command::OpenSettings { path }, &mut |_| ()).unwrap_err());
    assert!(error.contains("mine.toml") && error.contains("line 2"), "{error}");
}

fn inspect_input(path: &Path, kind: InputKind) -> (InputKind, Result<String, String>) {
    let mut found = None;
    Runner::new(Stop::default())
        .run(Command::CheckInput { path: path.into(), kind }, &mut |event| {
            let Event::Input { kind, problem, what, .. } = event else { return };
            found = Some((kind, problem.map_or(Ok(what), Err)));
        })
        .unwrap();
    found.expect("an answer")
}

#[test]
fn kinds_of_dropped_files_are_recognized() {
    let dir = Scratch::new("dropped");
    let at = |name: &str| dir.path(name);
    std::fs::write(at("story.md"), "Es war einmal").unwrap();
    std::fs::write(at("picture"), [b'a', b'b', 0xff, 0xd8]).unwrap();
    std::fs::write(at("nothing.txt"), "").unwrap();
    std::fs::write(at("mine.toml"), "steps = 3").unwrap();
    std::fs::write(at("wrong.toml"), "stepps = 3").unwrap();
    std::fs::write(at("tokenizer.json"), include_bytes!("../assets/tokenizer.json")).unwrap();
    std::fs::copy(root().join("assets/student.signet"), at("student.signet")).unwrap();
    std::fs::write(at("broken.signet"), "short").unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    let good = [
        ("story.md", InputKind::Text, "13 B of text"),
        ("mine.toml", InputKind::Settings, "tiny"),
        ("tokenizer.json", InputKind::Tokenizer, "4096 tokens"),
        ("student.signet", InputKind::Model, "a packed student"),
    ];
    for (name, kind, words) in good {
        let (found, what) = inspect_input(&at(name), InputKind::Any);
        assert!(found == kind && what.as_ref().is_ok_and(|what| what.contains(words)), "{name}: {found:?} {what:?}");
    }
    let bad = [
        ("picture", "byte 2 begins no character"),
        ("nothing.txt", "is empty"),
        ("wrong.toml", "stepps"),
        ("broken.signet", "broken.signet"),
        ("folder", "not a model"),
        ("absent", "no such file"),
    ];
    for (name, words) in bad {
        let problem = inspect_input(&at(name), InputKind::Any).1.unwrap_err();
        assert!(problem.contains(words) && problem.contains(name), "{name}: {problem}");
    }
    // A file of another kind gives an error that says so.
    assert!(inspect_input(&at("story.md"), InputKind::Model).1.is_err() && inspect_input(&at("story.md"), InputKind::Tokenizer).1.is_err());
}

#[test]
fn a_file_that_is_not_text_is_named() {
    let dir = Scratch::new("no-text");
    let path = dir.path("image.png");
    std::fs::write(&path, [0x89, b'P', b'N', b'G', 0xff]).unwrap();
    let (done, error) = run(&["train", "--device", "cpu", "--runs", dir.path("runs").to_str().unwrap(), "--data", path.to_str().unwrap()]);
    assert!(!done && error.contains("setting data") && error.contains("image.png") && error.contains("byte 0"), "{error}");
}

#[test]
fn a_repeated_plan_is_cached() {
    let mut runner = Runner::new(Stop::default());
    for device in ["cpu", "0"] {
        for model in ["tiny", "5M", "130M", "1.3B", "7B"] {
            let config = TrainConfig { model: model.into(), seq: 512, ..Default::default() };
            plan(&mut runner, config.clone(), device).unwrap();
            let began = Instant::now();
            let report = plan(&mut runner, config, device).unwrap();
            let took = began.elapsed();
            println!("{model} on {device}: {:.1} ms, fits: {:?}", took.as_secs_f64() * 1e3, report.fits);
            // A slow and busy machine took 6 s.
            assert!(took < Duration::from_secs(20), "{model} on {device}: {took:?}");
        }
    }
}
