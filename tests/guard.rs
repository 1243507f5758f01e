//! The training guard with loss spikes at chosen steps: checkpoints, rollbacks, and that runs that are stopped, killed or
//! saved give the same bits as uninterrupted ones.

use crate::rot::copy;
use crate::train::{SMALL, Scratch};
use signet::data::Batches;
use signet::runner::{Changed, Command, DataRequest, Event, Loss, Metrics, Order, Orders, Runner, Stop, TrainConfig, TrainEvent, TrainRequest};
use signet::train::{Checkpoint, GuardAction, GuardConfig, MetricsPosition, ModelSource, TrainState, read_metrics_chunk};
use std::path::PathBuf;

const STEPS: u64 = 70;
const TOKENS: usize = 4000;
const SEQ: usize = 16;

/// A number of a fixed pseudorandom sequence.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

struct Spiky {
    scratch: Scratch,
    config: TrainConfig,
}

impl Spiky {
    /// A text of few words in which batches `bad` are noise. Each step takes one batch; after a rollback the numbers of steps
    /// and batches differ.
    fn new(name: &str, bad: &[u64]) -> Self {
        let scratch = Scratch::new(name);
        std::fs::write(scratch.path("small.json"), SMALL).unwrap();
        let mut draw = Draw(7);
        let mut ids: Vec<u64> = (0..TOKENS).map(|_| 300 + draw.below(8)).collect();
        let held: Vec<u64> = (0..200).map(|_| 300 + draw.below(8)).collect();
        let write = |name: &str, ids: &[u64]| std::fs::write(scratch.path(name), format!("{{\"token_ids\": {ids:?}}}\n")).unwrap();
        write("text.jsonl", &ids);
        write("held.jsonl", &held);
        let config = TrainConfig {
            model: scratch.path("small.json").display().to_string(),
            binary: false,
            data: vec![scratch.path("text.jsonl")],
            held_out: Some(scratch.path("held.jsonl")),
            teacher: ModelSource::None,
            loss: Loss::Ar,
            batch: 1,
            seq: SEQ,
            steps: STEPS,
            warmup: 2,
            lr: 0.01,
            eval_every: 0,
            eval_batches: 1,
            sample_every: 0,
            checkpoint_every: 10,
            guard: GuardConfig { window: 12, patience: 6, loss_z: 4.0, norm_z: 1e6, tolerate: 3, ..GuardConfig::default() },
            ..TrainConfig::default()
        };
        let mut length = 0;
        Runner::new(Stop::default())
            .run(Command::Data(Box::new(DataRequest { config: config.clone(), rows: 0 })), &mut |event| {
                if let Event::Data(report) = event {
                    length = report.train;
                }
            })
            .unwrap();
        let batches = Batches::new(config.seed, length, 1, SEQ);
        for start in bad.iter().map(|&batch| batches.starts(batch)[0]) {
            ids[start..start + SEQ + 1].iter_mut().for_each(|id| *id = 400 + draw.below(3600));
        }
        std::fs::write(scratch.path("text.jsonl"), format!("{{\"token_ids\": {ids:?}}}\n")).unwrap();
        Self { scratch, config }
    }

    /// Trains or resumes a run; `hear` receives all events and may send orders and stop it.
    fn train(&self, name: &str, hear: &mut dyn FnMut(&TrainEvent, &Orders, &Stop)) -> Result<Vec<TrainEvent>, String> {
        let resume = self.scratch.path(name).join("run.toml").exists();
        let config = (!resume).then(|| self.config.clone());
        let request = TrainRequest { run: self.scratch.path(name), numbered: false, config, resume, from_step: None, device: "cpu".into(), memory: None };
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

    /// Trains until the metrics of step `last` arrive, and stops. One more step may have started.
    fn train_until(&self, name: &str, last: u64) -> Vec<TrainEvent> {
        let mut stop_at = |event: &TrainEvent, _: &Orders, stop: &Stop| {
            if matches!(event, TrainEvent::Step(metrics) if metrics.step >= last) {
                stop.request();
            }
        };
        self.train(name, &mut stop_at).unwrap()
    }

    fn checkpoint(&self, name: &str, step: u64) -> PathBuf {
        self.scratch.path(name).join(format!("checkpoints/step-{step:08}"))
    }

    fn state(&self, name: &str, step: u64) -> TrainState {
        Checkpoint::read(&self.checkpoint(name, step)).unwrap().state
    }

    /// The steps of the existing checkpoints.
    fn steps(&self, name: &str) -> Vec<u64> {
        signet::train::checkpoints(&self.scratch.path(name)).unwrap()
    }

    /// Parameters, moments, and metrics without their timings.
    fn result(&self, name: &str) -> (Vec<u8>, Vec<u8>, Vec<Metrics>) {
        let file = |file: &str| std::fs::read(self.checkpoint(name, STEPS).join(file)).unwrap();
        let metrics = read_metrics_chunk(&self.scratch.path(name), MetricsPosition::default()).unwrap().metrics;
        let untimed = metrics.into_iter().map(|line| Metrics { tokens_per_s: 0.0, seconds: 0.0, ..line });
        (file("model.safetensors"), file("optimizer.safetensors"), untimed.collect())
    }
}

fn ignore(_: &TrainEvent, _: &Orders, _: &Stop) {}

/// The steps of checkpoints in the order of writing.
fn saved(events: &[TrainEvent]) -> Vec<u64> {
    events.iter().filter_map(|event| if let TrainEvent::Saved { step, .. } = event { Some(*step) } else { None }).collect()
}

/// The guard's actions, with their steps.
fn guard_actions(events: &[TrainEvent]) -> Vec<(u64, GuardAction)> {
    events.iter().filter_map(|event| if let TrainEvent::Guard { step, action, .. } = event { Some((*step, *action)) } else { None }).collect()
}

fn rollback_to(to: u64, rollbacks: usize) -> GuardAction {
    GuardAction::RolledBack { to, rollbacks }
}

#[test]
fn a_checkpoint_delayed_by_a_spike_is_written_at_the_next_normal_step() {
    use GuardAction::Watched;
    // Steps 29; 40 and 41; 50 to 52, the batches of which go on with 53.
    let spiky = Spiky::new("guard-owed", &[28, 39, 40, 49, 50, 51]);
    let mut scheduled = Vec::new();
    let events = spiky
        .train("run", &mut |event, _, _| {
            if let TrainEvent::Saved { step, .. } = event {
                let state = spiky.state("run", *step);
                assert!(!state.guard.suspicious() && !state.save_pending, "step {step}");
                scheduled.push(state.scheduled);
            }
        })
        .unwrap();
    assert_eq!(guard_actions(&events), [(29, Watched), (40, Watched), (41, Watched), (50, Watched), (51, Watched), (52, rollback_to(42, 1))]);
    // A spike right before a boundary delays nothing.
    assert_eq!(saved(&events), [10, 20, 30, 42, 50, 60, 70]);
    assert!(scheduled.iter().all(|&scheduled| scheduled == Some(true)));
    let held: Vec<u64> = spiky.result("run").2.iter().filter(|line| line.held_out.is_some()).map(|line| line.step).collect();
    assert_eq!(held, [10, 20, 30, 42, 50, 60, 70], "held-out losses are measured with each checkpoint");
}

#[test]
fn the_last_step_is_saved_even_after_a_spike() {
    let spiky = Spiky::new("guard-last", &[STEPS - 1]);
    let events = spiky.train("run", &mut ignore).unwrap();
    assert_eq!((guard_actions(&events).len(), saved(&events).last()), (1, Some(&STEPS)));
    let state = spiky.state("run", STEPS);
    assert_eq!((state.scheduled, state.guard.suspicious()), (Some(false), true));
}

#[test]
fn stops_saves_and_kills_change_no_numbers_of_a_run_that_rolls_back() {
    let spiky = Spiky::new("guard-stops", &[39, 40, 46, 47, 48, 60, 61, 62]);
    let whole = spiky.train("whole", &mut ignore).unwrap();
    let rollbacks: Vec<_> = guard_actions(&whole).into_iter().filter(|(_, action)| matches!(action, GuardAction::RolledBack { .. })).collect();
    assert_eq!(rollbacks, [(49, rollback_to(42, 1)), (56, rollback_to(50, 2))]);
    let result = spiky.result("whole");
    // Before, in and after a spike; while a checkpoint is delayed; before and after a rollback.
    for stop in [5, 30, 39, 40, 41, 43, 46, 47, 48, 49, 53, 55] {
        let name = format!("stopped-{stop}");
        let first = spiky.train_until(&name, stop);
        let last = *spiky.steps(&name).last().unwrap();
        let state = spiky.state(&name, last);
        assert_eq!(state.save_pending, (40..42).contains(&last), "stopped at {stop}, saved {last}");
        if !guard_actions(&first).iter().any(|(_, action)| matches!(action, GuardAction::RolledBack { .. })) {
            assert!((stop..stop + 2).contains(&last), "stopped at {stop}, saved {last}");
        }
        spiky.train(&name, &mut ignore).unwrap();
        assert!(spiky.result(&name) == result, "stopped at {stop}: the results differ");
    }
    // A stop right after a rollback saves it, and a later rollback may return there.
    spiky.train_until("back", 49);
    let state = spiky.state("back", 42);
    assert_eq!((spiky.steps("back").pop(), state.guard.rollbacks, state.scheduled), (Some(42), 1, Some(true)));
    let events = spiky.train("back", &mut ignore).unwrap();
    assert!(guard_actions(&events).contains(&(56, rollback_to(50, 2))) && spiky.result("back") == result, "the results differ");
    // As if killed while a checkpoint was delayed: only the checkpoint of the stop records that.
    spiky.train_until("killed", 40);
    let last = *spiky.steps("killed").last().unwrap();
    assert!(spiky.state("killed", last).save_pending && last == 40, "{last}");
    let events = spiky.train("killed", &mut ignore).unwrap();
    assert_eq!(saved(&events)[0], 42);
    assert!(spiky.result("killed") == result, "the results differ");
    // Saves at every third step are not targets of a rollback, and are pruned before those that are.
    let mut order = |event: &TrainEvent, orders: &Orders, _: &Stop| {
        if let TrainEvent::Step(metrics) = event
            && metrics.step.is_multiple_of(3)
        {
            orders.send(Order::Save);
        }
    };
    let events = spiky.train("saves", &mut order).unwrap();
    assert!(saved(&events).len() > 25 && spiky.result("saves") == result, "the results differ");
    assert!(spiky.steps("saves").contains(&70));
    // Stopped repeatedly.
    for stop in (2..STEPS).step_by(5) {
        spiky.train_until("often", stop);
        assert!(spiky.steps("often").len() <= 4, "{:?}", spiky.steps("often"));
    }
    spiky.train("often", &mut ignore).unwrap();
    assert!(spiky.result("often") == result, "the results differ");
}

#[test]
fn a_change_after_a_rollback_is_replayed_after_it() {
    let spiky = Spiky::new("guard-change", &[46, 47, 48]);
    let (mut gone_back, mut killed) = (false, false);
    let mut change = |event: &TrainEvent, orders: &Orders, _: &Stop| match event {
        TrainEvent::Guard { action: GuardAction::RolledBack { .. }, .. } => gone_back = true,
        TrainEvent::Step(metrics) if gone_back && metrics.step == 43 => orders.send(Order::Change { what: Changed::new("lr", 0.001) }),
        // As if killed two steps later.
        TrainEvent::Step(metrics) if gone_back && metrics.step == 46 && !killed => {
            copy(&spiky.scratch.path("whole"), &spiky.scratch.path("killed"));
            killed = true;
        }
        _ => {}
    };
    let events = spiky.train("whole", &mut change).unwrap();
    assert!(
        killed && guard_actions(&events).iter().filter(|(_, action)| matches!(action, GuardAction::RolledBack { .. })).count() == 1,
        "{:?}",
        guard_actions(&events)
    );
    assert!(spiky.scratch.path("killed/changes.jsonl").exists());
    // The steps before the rollback are not repeated: with the new learning rate they might not lead to it.
    let last = *spiky.steps("killed").last().unwrap();
    assert_eq!((last, spiky.state("killed", last).guard.rollbacks), (44, 1));
    spiky.train("killed", &mut ignore).unwrap();
    assert!(spiky.result("whole") == spiky.result("killed"), "the results differ");
}

/// Edits the state file of a checkpoint.
fn edit(spiky: &Spiky, name: &str, step: u64, edit: impl Fn(&mut serde_json::Map<String, serde_json::Value>)) {
    let path = spiky.checkpoint(name, step).join("state.json");
    let mut state: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    edit(state.as_object_mut().unwrap());
    std::fs::write(path, state.to_string()).unwrap();
}

#[test]
fn a_run_of_an_older_version_resumes() {
    let mut spiky = Spiky::new("guard-older", &[35, 45, 46, 47]);
    // A threshold that every step exceeds skips it.
    spiky.config.guard = GuardConfig { norm_z: 1.0, ..spiky.config.guard };
    spiky.train("whole", &mut ignore).unwrap();
    let whole = spiky.result("whole");
    let skipped = |upto: u64| whole.2.iter().filter(|line| line.step <= upto && !line.taken).count() as u64;
    assert!(skipped(40) > 0, "no step was skipped");
    spiky.train_until("older", 44);
    let steps = spiky.steps("older");
    for &step in &steps {
        let state = spiky.state("older", step);
        assert_eq!(state.taken, Some(step - skipped(step)), "step {step}");
        edit(&spiky, "older", step, |state| {
            for field in ["taken", "scheduled", "owed", "checksum", "checksums", "run"] {
                state.remove(field);
            }
        });
    }
    spiky.train("older", &mut ignore).unwrap();
    assert!(spiky.result("older") == whole, "the results differ");
}
