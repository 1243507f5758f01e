//! Recovers a training from a lost device: resumes from the last checkpoint once the same adapter is available again, or stops
//! after several attempts. The loss may be a reset by a watchdog, so each one halves the maximum duration of a submit.

use super::TrainControl;
use super::once::train as once;
use crate::device::Gpu;
use crate::graph::{MAX_SUBMIT_SECONDS, Machine};
use crate::platform;
use crate::runner::devices::OpenedDevice;
use crate::runner::protocol::TrainRequest;
use crate::runner::{Event, Stop, Tuning, resume_command};
use crate::train::{Ending, TrainEvent, checkpoints};
use anyhow::{Result, anyhow};
use std::path::Path;
use std::sync::Arc;

/// Retries with exponential backoff.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryPolicy {
    /// Attempts before the run stops, counted from its last progress.
    pub(super) tries: u32,
    /// Seconds before the first attempt; doubled for each later one.
    pub(super) pause: f64,
}

/// A driver restarts within seconds after a reset, and within half a minute after an update.
pub(super) const RETRY_POLICY: RetryPolicy = RetryPolicy { tries: 5, pause: 1.0 };

/// Maximum number of halvings of the submit duration, to 8 ms; no watchdog is stricter.
const MAX_HALVINGS: u32 = 5;

/// Runs a training to its end or a stop request. `open` opens the device of a name.
pub(super) async fn train(
    mut request: TrainRequest, tuning: Tuning, control: TrainControl<'_>, emit: &mut dyn FnMut(Event), policy: RetryPolicy,
    open: impl AsyncFn(&str, Option<&str>) -> Result<OpenedDevice>,
) -> Result<Ending> {
    let mut first: Option<UsedDevice> = None;
    let mut losses = 0;
    let mut recovery = Recovery { policy, tries: 0, from: None };
    loop {
        let (mut opened, mut created, mut begun) = (None, None, false);
        let mut watch = |event| {
            match &event {
                Event::RunCreated { path } => created = Some(path.clone()),
                Event::Train(TrainEvent::Begun { .. }) => begun = true,
                _ => {}
            }
            emit(event);
        };
        let result = once(&request, tuning, control, &mut watch, async |device, before| {
            let mut found = open(device, before).await?;
            shorten_submits(&mut found, losses);
            let used = UsedDevice { name: found.name.clone(), gpu: found.machine.device().cloned() };
            // Another adapter would give different bits, and may be reserved for other work.
            if let Some(first) = first.as_ref().filter(|first| first.name != used.name) {
                return Err(anyhow!("{} is not available again; found {}", first.name, found.name));
            }
            opened = Some(used);
            Ok(found)
        });
        let error = match result.await {
            Ok(ending) => return Ok(ending),
            Err(error) => error,
        };
        match created {
            Some(path) => request = TrainRequest { run: path, numbered: false, ..request },
            // The path may belong to the run of another process.
            None if request.numbered => return Err(error),
            None => {}
        }
        let lost = opened.as_ref().and_then(UsedDevice::lost);
        // After a loss, a device that cannot be opened may become available later.
        if !platform::exists(&request.run.join("run.toml")) || lost.is_none() && (first.is_none() || opened.is_some()) {
            return Err(error);
        }
        if let Some(used) = opened {
            request = used.resume_request(request, begun);
            first = Some(UsedDevice { gpu: None, ..used });
        }
        losses += u32::from(lost.is_some());
        let reason = lost.map_or_else(|| format!("{error:#}"), |reason| format!("the GPU was lost: {reason}"));
        if !recovery.wait(&request, &reason, control.stop, emit).await? {
            return Ok(Ending::Stopped);
        }
    }
}

/// Halves the maximum duration of a submit for each loss of the GPU, and adds a note. Results do not change.
fn shorten_submits(opened: &mut OpenedDevice, losses: u32) {
    if let (Machine::Gpu(gpu), 1..) = (&mut opened.machine, losses) {
        let seconds = MAX_SUBMIT_SECONDS / f64::from(1 << losses.min(MAX_HALVINGS));
        gpu.set_max_submit_seconds(seconds);
        opened.notes.push(format!("since the GPU was lost, submits should take at most {:.0} ms", 1e3 * seconds));
    }
}

/// The device that a run was on.
struct UsedDevice {
    name: String,
    gpu: Option<Arc<Gpu>>,
}

impl UsedDevice {
    fn lost(&self) -> Option<String> {
        self.gpu.as_ref().and_then(|gpu| gpu.lost())
    }

    /// Returns the request that resumes the run on the same adapter. Once the run has `begun`, it resumes from the newest
    /// checkpoint, since those after a requested `from_step` were moved aside.
    fn resume_request(&self, request: TrainRequest, begun: bool) -> TrainRequest {
        let device = match (&self.gpu, &*request.device) {
            (Some(gpu), "auto") => gpu.name().to_string(),
            _ => request.device.clone(),
        };
        TrainRequest { config: None, resume: true, from_step: request.from_step.filter(|_| !begun), device, ..request }
    }
}

/// Attempts since the run's last progress.
struct Recovery {
    policy: RetryPolicy,
    tries: u32,
    /// Step of the checkpoint that they resume from.
    from: Option<u64>,
}

impl Recovery {
    /// Waits before the next attempt; returns false after a stop request, and an error if no attempts are left.
    async fn wait(&mut self, request: &TrainRequest, reason: &str, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<bool> {
        let run = &*request.run;
        let last = checkpoints(run)?.last().copied();
        if last != self.from {
            *self = Recovery { tries: 0, from: last, ..*self };
        }
        let (saved, tries) = (last.unwrap_or(0), self.policy.tries);
        if self.tries == tries {
            let message = format!(
                "{reason}. {tries} attempts to resume made no progress. {} is saved up to step {saved}. Resume it when the device is available, or on \
                 another with --device",
                run.display()
            );
            log(run, &format!("{message}: {}", resume_command(run, &request.device, request.memory)))?;
            return Err(anyhow!(message));
        }
        let pause = self.policy.pause * f64::from(1 << self.tries);
        self.tries += 1;
        log(run, &format!("{reason}; resuming from step {saved} in {pause} s (attempt {} of {tries})", self.tries))?;
        emit(Event::Train(TrainEvent::Lost { reason: reason.into(), attempt: self.tries, of: tries, pause }));
        let clock = platform::Clock::start();
        while clock.seconds() < pause && !stop.is_requested() {
            platform::sleep(0.05).await;
        }
        Ok(!stop.is_requested())
    }
}

/// Appends a line to the log of a run that is not open.
fn log(run: &Path, line: &str) -> Result<()> {
    Ok(platform::append(&run.join("log.txt"), format!("{line}\n").as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Checks, adapters};
    use crate::graph::{BufferKind, Spec, Tape, TensorLocation};
    use crate::ops::Matmul;
    use crate::train::{Loss, ModelSource, TrainConfig};
    use std::cell::RefCell;
    use std::path::PathBuf;

    const STEPS: u64 = 24;
    const SMALL: &str = r#"{"hidden_size": 32, "intermediate_size": 72, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 4096}"#;

    /// A temporary directory, removed on drop.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("signet-{name}-{}", std::process::id()));
            platform::remove_dir(&path).unwrap();
            platform::make_dir(&path).unwrap();
            platform::write_atomic(&path.join("small.json"), SMALL.as_bytes()).unwrap();
            platform::write_atomic(&path.join("text.txt"), "a cat and a dog sat on the mat and the log. ".repeat(200).as_bytes()).unwrap();
            Self(path)
        }

        fn request(&self, name: &str, resume: bool) -> TrainRequest {
            let config = TrainConfig {
                model: self.0.join("small.json").display().to_string(),
                data: vec![self.0.join("text.txt")],
                teacher: ModelSource::None,
                loss: Loss::Ar,
                steps: STEPS,
                warmup: 2,
                seq: 16,
                batch: 2,
                checkpoint_every: 5,
                eval_batches: 1,
                sample_every: 0,
                ..TrainConfig::default()
            };
            TrainRequest { run: self.0.join(name), numbered: false, config: Some(config), resume, from_step: None, device: "0".into(), memory: None }
        }

        /// Returns a run's parameters, moments, and metrics without timings.
        fn result(&self, name: &str) -> (Vec<u8>, Vec<u8>, Vec<String>) {
            let run = self.0.join(name);
            let last = run.join(format!("checkpoints/step-{STEPS:08}"));
            let metrics = crate::train::read_metrics_chunk(&run, Default::default()).unwrap().metrics;
            let metrics = metrics.into_iter().map(|line| format!("{:?}", crate::train::Metrics { tokens_per_s: 0.0, seconds: 0.0, ..line }));
            let file = |name: &str| platform::read(&last.join(name)).unwrap();
            (file("model.safetensors"), file("optimizer.safetensors"), metrics.collect())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = platform::remove_dir(&self.0);
        }
    }

    /// Trains on the first adapter, which can be opened `machines` times. `fault` is called after each step.
    fn run(request: TrainRequest, machines: usize, fault: &mut dyn FnMut(u64, &Gpu)) -> (Result<Ending>, usize) {
        let gpus = RefCell::new(Vec::<Arc<Gpu>>::new());
        let open = async |_: &str, _: Option<&str>| {
            if gpus.borrow().len() == machines {
                return Err(anyhow!("no device"));
            }
            let gpu = Arc::new(Gpu::open(&adapters().await[0], Checks::Off).await?);
            gpus.borrow_mut().push(gpu.clone());
            Ok(OpenedDevice::gpu(gpu, "the adapter".into()))
        };
        let mut tries = 0;
        let mut emit = |event| match event {
            Event::Train(TrainEvent::Step(metrics)) => fault(metrics.step, gpus.borrow().last().unwrap()),
            Event::Train(TrainEvent::Lost { .. }) => tries += 1,
            _ => {}
        };
        let policy = RetryPolicy { tries: 3, pause: 0.01 };
        let (stop, orders) = Default::default();
        let control = TrainControl { stop: &stop, orders: &orders };
        let result = platform::wait(train(request, Tuning::default(), control, &mut emit, policy, open));
        (result, tries)
    }

    #[test]
    fn a_run_that_did_not_start_is_resumed_from_the_same_step() {
        let used = UsedDevice { name: "card".into(), gpu: None };
        let request = TrainRequest { run: "r".into(), numbered: false, config: None, resume: true, from_step: Some(5), device: "0".into(), memory: None };
        assert_eq!(used.resume_request(request.clone(), false).from_step, Some(5));
        assert_eq!(used.resume_request(request, true).from_step, None);
    }

    #[test]
    fn a_run_resumes_to_the_same_bits_after_its_device_is_lost() {
        let scratch = Scratch::new("lost");
        assert!(matches!(run(scratch.request("whole", false), 1, &mut |_, _| {}), (Ok(Ending::Finished), 0)));
        // Before the first checkpoint, between two, and twice in a row.
        let mut losses = vec![13, 13, 8, 3];
        let (result, tries) = run(scratch.request("lost", false), 9, &mut |step, gpu| {
            if losses.last() == Some(&step) {
                losses.pop();
                gpu.destroy();
            }
        });
        assert_eq!((result.unwrap(), tries), (Ending::Finished, 4));
        assert!(scratch.result("whole") == scratch.result("lost"), "the results differ");
        let log = platform::read_text(&scratch.0.join("lost/log.txt")).unwrap();
        assert!(log.contains("the GPU was lost: "));
        let durations: Vec<&str> = log.split("submits should take at most ").skip(1).filter_map(|rest| rest.split(" ms").next()).collect();
        assert_eq!(durations, ["125", "62", "31", "16"], "{log}");
    }

    #[test]
    fn dispatches_are_split_further_after_each_loss() {
        let dispatches = |losses: u32| {
            let gpu = platform::wait(async { Gpu::open(&adapters().await[0], Checks::Off).await }).unwrap();
            let mut opened = OpenedDevice::gpu(Arc::new(gpu), "the adapter".into());
            shorten_submits(&mut opened, losses);
            let (mut machine, mut tape) = (opened.machine, Tape::new());
            let [x, weight] = [1024, 2048].map(|rows| {
                let spec = Spec::f32(rows, 512);
                tape.persistent(TensorLocation { memory: machine.allocate(BufferKind::Real, spec.words()).unwrap(), offset: 0, spec })
            });
            tape.push(Matmul::LINEAR, &[x, weight], &[]).unwrap();
            machine.compile(tape).unwrap().dispatches()
        };
        assert_eq!([0, 1, 3, 4, 5, 40].map(dispatches), [1, 1, 2, 4, 6, 6]);
    }

    #[test]
    fn a_run_whose_device_does_not_return_or_is_lost_repeatedly_stops_with_its_checkpoint() {
        let scratch = Scratch::new("away");
        run(scratch.request("whole", false), 1, &mut |_, _| {}).0.unwrap();
        for (name, machines) in [("away", 1), ("again", 9)] {
            let (result, tries) = run(scratch.request(name, false), machines, &mut |step, gpu| {
                if step == 12 {
                    gpu.destroy();
                }
            });
            let error = format!("{:#}", result.unwrap_err());
            assert!(error.contains("up to step 10") && tries == 3, "{tries}: {error}");
            let log = platform::read_text(&scratch.0.join(name).join("log.txt")).unwrap();
            assert!(log.contains(&format!("train --resume --name {name} --runs ")) && log.contains("--device 0"), "{log}");
            run(scratch.request(name, true), 1, &mut |_, _| {}).0.unwrap();
            assert!(scratch.result("whole") == scratch.result(name), "the results differ");
        }
    }

    #[test]
    fn auto_trains_on_the_cpu_with_a_note_if_the_card_cannot_be_opened() {
        use crate::runner::devices::{open_among, tests};
        let scratch = Scratch::new("unopened");
        let cards = tests::cards(&[wgpu::DeviceType::DiscreteGpu]);
        let open = async |device: &str, before: Option<&str>| {
            let Ok(choice) = device.parse();
            open_among(&cards, &choice, before, async |adapter| Err(tests::refused(adapter))).await
        };
        let train_on = |device: &str, name: &str| {
            let request = TrainRequest { device: device.into(), ..scratch.request(name, false) };
            let (mut notes, mut summary) = (Vec::new(), String::new());
            let mut emit = |event| match event {
                Event::Note { text } => notes.push(text),
                Event::Train(TrainEvent::Begun { summary: text, .. }) => summary = text,
                _ => {}
            };
            let (stop, orders) = Default::default();
            let control = TrainControl { stop: &stop, orders: &orders };
            let result = platform::wait(train(request, Tuning::default(), control, &mut emit, RETRY_POLICY, open));
            (result, notes, summary)
        };
        let (result, notes, summary) = train_on("auto", "auto");
        assert_eq!(result.unwrap(), Ending::Finished);
        let reason = "auto selected the CPU device, because card 0 (";
        let log = platform::read_text(&scratch.0.join("auto/log.txt")).unwrap();
        assert!(notes.iter().any(|note| note.starts_with(reason)) && summary.contains(reason) && log.contains(reason), "{notes:?}, {summary}, {log}");
        let (result, ..) = train_on("card 0", "named");
        assert!(result.unwrap_err().to_string().contains("cannot be opened") && !scratch.0.join("named").exists());
    }

    #[test]
    fn a_run_that_is_out_of_memory_stops_at_once_and_can_be_resumed() {
        let scratch = Scratch::new("memory");
        run(scratch.request("whole", false), 1, &mut |_, _| {}).0.unwrap();
        for fault in [12, 15] {
            let name = format!("short-{fault}");
            // At step 15, a checkpoint is due.
            let (result, tries) = run(scratch.request(&name, false), 9, &mut |step, gpu| {
                if step == fault {
                    gpu.fail_next_call();
                }
            });
            let error = format!("{:#}", result.unwrap_err());
            assert!(error.contains("no memory") && tries == 0, "{tries}: {error}");
            assert!(checkpoints(&scratch.0.join(&name)).unwrap().contains(&10));
            run(scratch.request(&name, true), 1, &mut |_, _| {}).0.unwrap();
            assert!(scratch.result("whole") == scratch.result(&name), "the results differ");
        }
    }
}
