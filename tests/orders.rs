//! Orders to a run in training: they are executed, and the results are those of an uninterrupted run.

use crate::train::{SMALL, Scratch};
use signet::runner::{Changed, Command, Event, Loss, Metrics, Order, Runner, SettingValue, Stop, TrainConfig, TrainEvent, TrainRequest};
use signet::train::{GuardConfig, MetricsPosition, ModelSource, read_metrics_chunk};
use std::path::PathBuf;

const STEPS: u64 = 24;

/// Settings with a guard that decides at every step, and whose threshold depends on the reports so far.
fn settings(scratch: &Scratch) -> TrainConfig {
    std::fs::write(scratch.path("small.json"), SMALL).unwrap();
    TrainConfig {
        model: scratch.path("small.json").display().to_string(),
        teacher: ModelSource::None,
        loss: Loss::Ar,
        batch: 2,
        seq: 32,
        steps: STEPS,
        warmup: 4,
        eval_every: 0,
        eval_batches: 1,
        sample_every: 10,
        sample_tokens: 8,
        checkpoint_every: 10,
        keep: 9,
        guard: GuardConfig { window: 4, patience: 2, ..GuardConfig::default() },
        ..TrainConfig::default()
    }
}

/// Starts or resumes the run `name`; `hear` receives events and may send orders.
fn train(scratch: &Scratch, name: &str, resume: bool, hear: &mut dyn FnMut(&TrainEvent, &signet::runner::Orders, &Stop)) -> Result<Vec<TrainEvent>, String> {
    train_on("cpu", scratch, name, resume, hear)
}

/// The same, on a device.
fn train_on(
    device: &str, scratch: &Scratch, name: &str, resume: bool, hear: &mut dyn FnMut(&TrainEvent, &signet::runner::Orders, &Stop),
) -> Result<Vec<TrainEvent>, String> {
    let config = (!resume).then(|| settings(scratch));
    let request = TrainRequest { run: scratch.path(name), numbered: false, config, resume, from_step: None, device: device.into(), memory: None };
    let mut runner = Runner::new(Stop::default());
    let (orders, stop) = (runner.orders().clone(), runner.stop().clone());
    let mut events = Vec::new();
    let result = runner.run(Command::Train(Box::new(request)), &mut |event| {
        if let Event::Train(event) = event {
            hear(&event, &orders, &stop);
            events.push(event);
        }
    });
    result.map(|()| events).map_err(|error| format!("{error:#}"))
}

fn checkpoint(scratch: &Scratch, name: &str, step: u64) -> PathBuf {
    scratch.path(name).join(format!("checkpoints/step-{step:08}"))
}

/// The results of a run: parameters, moments, and metrics without timings.
fn result(scratch: &Scratch, name: &str) -> (Vec<u8>, Vec<u8>, Vec<Metrics>) {
    let file = |file: &str| std::fs::read(checkpoint(scratch, name, STEPS).join(file)).unwrap();
    let metrics = read_metrics_chunk(&scratch.path(name), MetricsPosition::default()).unwrap().metrics;
    let untimed = metrics.into_iter().map(|line| Metrics { tokens_per_s: 0.0, seconds: 0.0, ..line });
    (file("model.safetensors"), file("optimizer.safetensors"), untimed.collect())
}

fn step(event: &TrainEvent) -> Option<u64> {
    match event {
        TrainEvent::Step(metrics) => Some(metrics.step),
        _ => None,
    }
}

#[test]
fn orders_do_not_change_the_bits_of_a_run() {
    let scratch = Scratch::new("spoken");
    train(&scratch, "whole", false, &mut |_, _, _| {}).unwrap();
    let mut rests = Vec::new();
    let mut speak = |event: &TrainEvent, orders: &signet::runner::Orders, stop: &Stop| match event {
        TrainEvent::Step(metrics) if metrics.step == 5 => orders.send(Order::Pause),
        TrainEvent::Step(metrics) if metrics.step == 13 => [Order::Save, Order::Sample, Order::Snapshot].map(|order| orders.send(order)).into_iter().collect(),
        TrainEvent::Step(metrics) if metrics.step == 16 => stop.request(),
        TrainEvent::Paused { step } => {
            rests.push(*step);
            orders.send(if rests.len() < 3 { Order::StepOnce } else { Order::Continue });
        }
        _ => {}
    };
    let events = train(&scratch, "spoken", false, &mut speak).unwrap();
    assert!(rests.len() == 3 && rests[1] == rests[0] + 1 && rests[2] == rests[1] + 1, "{rests:?}");
    assert!(events.iter().any(|event| matches!(event, TrainEvent::Resumed { step } if *step == rests[2])));
    let saved: Vec<u64> = events.iter().filter_map(|event| if let TrainEvent::Saved { step, .. } = event { Some(*step) } else { None }).collect();
    let [10, asked, stopped] = saved[..] else { panic!("{saved:?}") };
    assert!((13..16).contains(&asked) && (16..18).contains(&stopped), "{saved:?}");
    // From the stop, and from the requested save.
    train(&scratch, "spoken", true, &mut |_, _, _| {}).unwrap();
    assert!(result(&scratch, "whole") == result(&scratch, "spoken"), "the results differ");
    for later in [stopped, 20, STEPS] {
        std::fs::remove_dir_all(checkpoint(&scratch, "spoken", later)).unwrap();
    }
    let events = train(&scratch, "spoken", true, &mut |_, _, _| {}).unwrap();
    assert_eq!(events.iter().find_map(step), Some(asked + 1));
    assert!(result(&scratch, "whole") == result(&scratch, "spoken"), "the results differ");
}

#[test]
fn a_snapshot_equals_the_packed_checkpoint() {
    let scratch = Scratch::new("snapshot");
    let mut speak = |event: &TrainEvent, orders: &signet::runner::Orders, stop: &Stop| match event {
        TrainEvent::Step(metrics) if metrics.step == 6 => [Order::Snapshot, Order::Save].map(|order| orders.send(order)).into_iter().collect(),
        TrainEvent::Saved { .. } => stop.request(),
        _ => {}
    };
    let events = train(&scratch, "run", false, &mut speak).unwrap();
    let snapshot = events.iter().find_map(|event| if let TrainEvent::Snapshot { step, bytes, .. } = event { Some((*step, bytes.clone())) } else { None });
    let (step, bytes) = snapshot.expect("a snapshot");
    let pack = Command::Pack { model: checkpoint(&scratch, "run", step).display().to_string(), out: scratch.path("packed") };
    Runner::new(Stop::default()).run(pack, &mut |_| {}).unwrap();
    assert!(std::fs::read(scratch.path("packed")).unwrap() == *bytes, "the snapshot is another file");
    let model = signet::model::ModelFile::from_snapshot("the student", bytes.clone()).unwrap();
    assert!(model.packed() && model.tokenizer.is_some());
    let cut = std::sync::Arc::new(bytes[..bytes.len() / 2].to_vec());
    assert!(signet::model::ModelFile::from_snapshot("the student", cut).unwrap_err().to_string().contains("the student"));
}

/// The order to change a setting.
fn change_to(name: &str, value: impl Into<SettingValue>) -> Order {
    Order::Change { what: Changed::new(name, value) }
}

/// Changes the learning rate, and later the prompt and the learning rate.
fn change(event: &TrainEvent, orders: &signet::runner::Orders) {
    match step(event) {
        Some(3) => orders.send(change_to("lr", 0.01)),
        Some(14) => {
            orders.send(change_to("lr", 1e-4));
            orders.send(change_to(
                "sample_prompt",
                "Once upon a time there was a small model, and somebody asked it to say something else than before.".to_string(),
            ));
        }
        _ => {}
    }
}

#[test]
fn a_changed_run_resumes_before_the_change_to_the_same_bits() {
    let scratch = Scratch::new("changed");
    train(&scratch, "plain", false, &mut |_, _, _| {}).unwrap();
    let events = train(&scratch, "whole", false, &mut |event, orders, _| change(event, orders)).unwrap();
    let mut stopped = |event: &TrainEvent, orders: &signet::runner::Orders, stop: &Stop| {
        change(event, orders);
        if step(event) == Some(18) {
            stop.request();
        }
    };
    train(&scratch, "stopped", false, &mut stopped).unwrap();
    // As if killed after its first checkpoint: the change at 5 is in it, the one at 16 is replayed.
    let path = scratch.path("stopped/checkpoints");
    for entry in std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("step-00000010")) {
        std::fs::remove_dir_all(entry).unwrap();
    }
    let again = train(&scratch, "stopped", true, &mut |_, _, _| {}).unwrap();
    let begun = again.iter().find_map(|event| if let TrainEvent::Begun { step, lr, .. } = event { Some((*step, *lr)) } else { None });
    assert_eq!(begun, Some((10, 0.01)));
    let (plain, whole) = (result(&scratch, "plain"), result(&scratch, "whole"));
    assert!(whole == result(&scratch, "stopped"), "the results differ");
    assert!(plain.0 != whole.0, "the change did nothing");
    let changed: Vec<u64> = whole.2.iter().filter(|line| line.changed.is_some()).map(|line| line.step).collect();
    assert!(plain.2.iter().all(|line| line.changed.is_none()) && changed.len() == 2, "{changed:?}");
    assert!((4..7).contains(&changed[0]) && (15..18).contains(&changed[1]), "{changed:?}");
    let samples =
        |events: &[TrainEvent]| events.iter().filter(|event| matches!(event, TrainEvent::Sample { text, .. } if text.starts_with("Once upon"))).count();
    assert_eq!((samples(&events), samples(&again)), (2, 2));
}

#[test]
fn invalid_orders_are_answered_and_change_nothing() {
    let scratch = Scratch::new("impossible");
    train(&scratch, "plain", false, &mut |_, _, _| {}).unwrap();
    let mut speak = |event: &TrainEvent, orders: &signet::runner::Orders, _: &Stop| {
        if step(event) == Some(3) {
            for lr in [f64::NAN, -1.0, 11.0, f64::INFINITY] {
                orders.send(change_to("lr", lr));
            }
            for text in [String::new(), "word ".repeat(1000)] {
                orders.send(change_to("sample_prompt", text));
            }
        }
    };
    let events = train(&scratch, "asked", false, &mut speak).unwrap();
    let refused = |want: &str| events.iter().filter(|event| matches!(event, TrainEvent::Note { text } if text.contains(want))).count();
    assert_eq!((refused("setting lr"), refused("sample_prompt has")), (4, 2));
    assert!(!scratch.path("asked/changes.jsonl").exists() && result(&scratch, "plain") == result(&scratch, "asked"));
    std::fs::write(scratch.path("asked/changes.jsonl"), "{\"step\": 3, \"lr\": 99}\n").unwrap();
    let error = train(&scratch, "asked", true, &mut |_, _, _| {}).unwrap_err();
    assert!(error.contains("changes.jsonl") && error.contains("it differs from the checkpoint"), "{error}");
    std::fs::remove_dir_all(checkpoint(&scratch, "asked", STEPS)).unwrap();
    let error = train(&scratch, "asked", true, &mut |_, _, _| {}).unwrap_err();
    assert!(error.contains("changes.jsonl") && error.contains("must be between 0 and 10, not 99"), "{error}");
}

/// Trains with pauses, saves, samples, stops and resumes; returns a step whose metrics include other time than the step's.
fn mistimed(scratch: &Scratch, name: &str, device: &str) -> Option<String> {
    const REST: f64 = 1.5;
    let mut rests = 0;
    let mut speak = |event: &TrainEvent, orders: &signet::runner::Orders, stop: &Stop| match event {
        TrainEvent::Step(metrics) if [4, 5, 9, 16, 17].contains(&metrics.step) => orders.send(Order::Pause),
        TrainEvent::Step(metrics) if metrics.step % 3 == 0 => {
            [Order::Save, Order::Snapshot, Order::Sample].into_iter().for_each(|order| orders.send(order));
        }
        TrainEvent::Step(metrics) if metrics.step == 20 => stop.request(),
        TrainEvent::Paused { .. } => {
            std::thread::sleep(std::time::Duration::from_secs_f64(REST));
            rests += 1;
            orders.send(if rests % 2 == 0 { Order::StepOnce } else { Order::Continue });
        }
        _ => {}
    };
    train_on(device, scratch, name, false, &mut speak).unwrap();
    train_on(device, scratch, name, true, &mut |_, _, _| {}).unwrap();
    assert!(rests >= 5, "{rests}");
    let metrics = read_metrics_chunk(&scratch.path(name), MetricsPosition::default()).unwrap().metrics;
    let tokens = (settings(scratch).batch * settings(scratch).seq) as f64;
    let seconds: Vec<f64> = metrics.iter().map(|line| tokens / line.tokens_per_s).collect();
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let odd = seconds.iter().position(|seconds| !(median / 10.0..REST * 0.8).contains(seconds))?;
    Some(format!("step {} took {} s, the median {median}", metrics[odd].step, seconds[odd]))
}

#[test]
fn pauses_saves_and_samples_do_not_count_in_the_speed() {
    let scratch = Scratch::new("speed");
    let adapter = pollster::block_on(signet::device::adapters()).first().map(|adapter| adapter.index.to_string());
    for (n, device) in ["cpu".to_string()].iter().chain(&adapter).enumerate() {
        // A busy machine may delay any step, but not in every run.
        let odd: Vec<String> = ["first", "second", "third"].iter().map_while(|name| mistimed(&scratch, &format!("{name}-{n}"), device)).collect();
        assert!(odd.len() < 3, "{device}: {odd:?}");
    }
}
