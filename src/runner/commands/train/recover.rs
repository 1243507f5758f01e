//! Training through the loss of a device: the run goes on by itself from its last checkpoint when the
//! same adapter is back, or stops with everything saved. A watchdog may have reset the GPU, so each loss halves its submits.

use super::Asked;
use super::once::train as once;
use crate::device::Gpu;
use crate::graph::{LONGEST_SUBMIT, Machine};
use crate::platform;
use crate::runner::devices::Opened;
use crate::runner::protocol::TrainRequest;
use crate::runner::{Event, Stop, Tuning, resume_command};
use crate::train::{Ending, TrainEvent, checkpoints};
use anyhow::{Result, anyhow};
use std::path::Path;
use std::sync::Arc;

/// How long a device is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Tries to go on before the run stops; they begin anew when it gets further.
    pub(super) tries: u32,
    /// Seconds before the first try; each later one waits twice as long.
    pub(super) pause: f64,
}

/// A driver that was reset is back in seconds; half a minute is enough for one that was updated.
pub(super) const PATIENCE: Patience = Patience { tries: 5, pause: 1.0 };

/// Losses after which submits get no shorter: no watchdog is that strict (8 ms).
const MOST_HALVINGS: u32 = 5;

/// Runs a training to its end, or until `stop` asks. `open` opens the machine that a device's name means.
pub(super) async fn train(
    mut request: TrainRequest, tuning: Tuning, asked: Asked<'_>, emit: &mut dyn FnMut(Event), patience: Patience,
    open: impl AsyncFn(&str, Option<&str>) -> Result<Opened>,
) -> Result<Ending> {
    let mut first: Option<Seen> = None;
    let mut losses = 0;
    let mut recovery = Recovery { patience, tries: 0, from: None };
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
        let result = once(&request, tuning, asked, &mut watch, async |device, before| {
            let mut found = open(device, before).await?;
            shorten_submits(&mut found, losses);
            let seen = Seen { name: found.name.clone(), gpu: found.machine.device().cloned() };
            // Another adapter would give other bits, and may be meant for something else.
            if let Some(first) = first.as_ref().filter(|first| first.name != seen.name) {
                return Err(anyhow!("{} did not come back; there is {}", first.name, found.name));
            }
            opened = Some(seen);
            Ok(found)
        });
        let error = match result.await {
            Ok(ending) => return Ok(ending),
            Err(error) => error,
        };
        match created {
            Some(path) => request = TrainRequest { run: path, numbered: false, ..request },
            // Under this name may be the run of another process.
            None if request.numbered => return Err(error),
            None => {}
        }
        let lost = opened.as_ref().and_then(Seen::lost);
        // After a loss, a device that cannot be opened is one that is not back yet.
        if !platform::exists(&request.run.join("run.toml")) || lost.is_none() && (first.is_none() || opened.is_some()) {
            return Err(error);
        }
        if let Some(seen) = opened {
            request = seen.resumed(request, begun);
            first = Some(Seen { gpu: None, ..seen });
        }
        losses += u32::from(lost.is_some());
        let reason = lost.map_or_else(|| format!("{error:#}"), |reason| format!("the GPU was lost: {reason}"));
        if !recovery.wait(&request, &reason, asked.stop, emit).await? {
            return Ok(Ending::Stopped);
        }
    }
}

/// Halves the longest submit for each time that the GPU was lost, and notes it. The bits stay the same.
fn shorten_submits(opened: &mut Opened, losses: u32) {
    if let (Machine::Gpu(gpu), 1..) = (&mut opened.machine, losses) {
        let seconds = LONGEST_SUBMIT / f64::from(1 << losses.min(MOST_HALVINGS));
        gpu.set_longest_submit(seconds);
        opened.notes.push(format!("since the GPU was lost, submits should take at most {:.0} ms", 1e3 * seconds));
    }
}

/// A machine that a run was on.
struct Seen {
    name: String,
    gpu: Option<Arc<Gpu>>,
}

impl Seen {
    fn lost(&self) -> Option<String> {
        self.gpu.as_ref().and_then(|gpu| gpu.lost())
    }

    /// The request that goes on with the run, on the same adapter. Once the run has `begun`, the newest
    /// checkpoint is that to resume from, since those after the one that was named are moved aside.
    fn resumed(&self, request: TrainRequest, begun: bool) -> TrainRequest {
        let device = match (&self.gpu, &*request.device) {
            (Some(gpu), "auto") => gpu.name().to_string(),
            _ => request.device.clone(),
        };
        TrainRequest { config: None, resume: true, from_step: request.from_step.filter(|_| !begun), device, ..request }
    }
}

/// The tries since the run last got further.
struct Recovery {
    patience: Patience,
    tries: u32,
    /// Step of the checkpoint that they begin from.
    from: Option<u64>,
}

impl Recovery {
    /// Waits before the next try; false if it was asked to stop meanwhile. An error when there were enough.
    async fn wait(&mut self, request: &TrainRequest, reason: &str, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<bool> {
        let run = &*request.run;
        let last = checkpoints(run)?.last().copied();
        if last != self.from {
            *self = Recovery { tries: 0, from: last, ..*self };
        }
        let (saved, tries) = (last.unwrap_or(0), self.patience.tries);
        if self.tries == tries {
            let message = format!(
                "{reason}. {tries} tries to go on did not get further. {} is saved up to step {saved}: resume it when the device is back, or on \
                 another with --device",
                run.display()
            );
            log(run, &format!("{message}: {}", resume_command(run, &request.device, request.memory)))?;
            return Err(anyhow!(message));
        }
        let pause = self.patience.pause * f64::from(1 << self.tries);
        self.tries += 1;
        log(run, &format!("{reason}; going on from step {saved} in {pause} s (try {} of {tries})", self.tries))?;
        emit(Event::Train(TrainEvent::Lost { reason: reason.into(), attempt: self.tries, of: tries, pause }));
        let clock = platform::Clock::start();
        while clock.seconds() < pause && !stop.asked() {
            platform::rest(0.05).await;
        }
        Ok(!stop.asked())
    }
}

/// Adds a line to the log of a run that nobody has open.
fn log(run: &Path, line: &str) -> Result<()> {
    Ok(platform::append(&run.join("log.txt"), format!("{line}\n").as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Checks, adapters};
    use crate::graph::{Class, Home, Spec, Tape};
    use crate::ops::Matmul;
    use crate::train::{Loss, Source, TrainConfig};
    use std::cell::RefCell;
    use std::path::PathBuf;

    const STEPS: u64 = 24;
    const SMALL: &str = r#"{"hidden_size": 32, "intermediate_size": 72, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 4096}"#;

    /// A directory of its own for a test.
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
                teacher: Source::None,
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

        /// What a run came to: parameters, moments and metrics without their timings.
        fn result(&self, name: &str) -> (Vec<u8>, Vec<u8>, Vec<String>) {
            let run = self.0.join(name);
            let last = run.join(format!("checkpoints/step-{STEPS:08}"));
            let metrics = crate::train::read_piece(&run, Default::default()).unwrap().metrics;
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

    /// Runs on the first adapter, which `fault` is shown after every step; there are `machines` to be had.
    fn run(request: TrainRequest, machines: usize, fault: &mut dyn FnMut(u64, &Gpu)) -> (Result<Ending>, usize) {
        let gpus = RefCell::new(Vec::<Arc<Gpu>>::new());
        let open = async |_: &str, _: Option<&str>| {
            if gpus.borrow().len() == machines {
                return Err(anyhow!("no device"));
            }
            let gpu = Arc::new(Gpu::open(&adapters().await[0], Checks::Off).await?);
            gpus.borrow_mut().push(gpu.clone());
            Ok(Opened::gpu(gpu, "the adapter".into()))
        };
        let mut tries = 0;
        let mut emit = |event| match event {
            Event::Train(TrainEvent::Step(metrics)) => fault(metrics.step, gpus.borrow().last().unwrap()),
            Event::Train(TrainEvent::Lost { .. }) => tries += 1,
            _ => {}
        };
        let patience = Patience { tries: 3, pause: 0.01 };
        let (stop, orders) = Default::default();
        let asked = Asked { stop: &stop, orders: &orders };
        let result = platform::wait(train(request, Tuning::default(), asked, &mut emit, patience, open));
        (result, tries)
    }

    #[test]
    fn a_run_that_did_not_begin_is_resumed_from_the_same_step() {
        let seen = Seen { name: "card".into(), gpu: None };
        let request = TrainRequest { run: "r".into(), numbered: false, config: None, resume: true, from_step: Some(5), device: "0".into(), memory: None };
        assert_eq!(seen.resumed(request.clone(), false).from_step, Some(5));
        assert_eq!(seen.resumed(request, true).from_step, None);
    }

    #[test]
    fn a_run_goes_on_by_itself_to_the_same_bits_when_its_device_is_lost() {
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
        let told: Vec<&str> = log.split("submits should take at most ").skip(1).filter_map(|rest| rest.split(" ms").next()).collect();
        assert_eq!(told, ["125", "62", "31", "16"], "{log}");
    }

    #[test]
    fn products_are_cut_shorter_after_each_loss() {
        let dispatches = |losses: u32| {
            let gpu = platform::wait(async { Gpu::open(&adapters().await[0], Checks::Off).await }).unwrap();
            let mut opened = Opened::gpu(Arc::new(gpu), "the adapter".into());
            shorten_submits(&mut opened, losses);
            let (mut machine, mut tape) = (opened.machine, Tape::new());
            let [x, weight] = [1024, 2048].map(|rows| {
                let spec = Spec::f32(rows, 512);
                tape.lasting(Home { memory: machine.allocate(Class::Real, spec.words()).unwrap(), offset: 0, spec })
            });
            tape.push(Matmul::LINEAR, &[x, weight], &[]).unwrap();
            machine.compile(tape).unwrap().dispatches()
        };
        assert_eq!([0, 1, 3, 4, 5, 40].map(dispatches), [1, 1, 2, 4, 6, 6]);
    }

    #[test]
    fn a_run_whose_device_stays_away_or_is_lost_again_and_again_stops_with_everything_saved() {
        let scratch = Scratch::new("away");
        run(scratch.request("whole", false), 1, &mut |_, _| {}).0.unwrap();
        for (name, machines) in [("away", 1), ("again", 9)] {
            let (result, tries) = run(scratch.request(name, false), machines, &mut |step, gpu| {
                if step == 12 {
                    gpu.destroy();
                }
            });
            let said = format!("{:#}", result.unwrap_err());
            assert!(said.contains("up to step 10") && tries == 3, "{tries}: {said}");
            let log = platform::read_text(&scratch.0.join(name).join("log.txt")).unwrap();
            assert!(log.contains(&format!("train --resume --name {name} --runs ")) && log.contains("--device 0"), "{log}");
            run(scratch.request(name, true), 1, &mut |_, _| {}).0.unwrap();
            assert!(scratch.result("whole") == scratch.result(name), "the results differ");
        }
    }

    #[test]
    fn a_run_on_auto_whose_card_cannot_be_opened_trains_on_the_cpu_and_says_so() {
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
                Event::Train(TrainEvent::Begun { summary: told, .. }) => summary = told,
                _ => {}
            };
            let (stop, orders) = Default::default();
            let asked = Asked { stop: &stop, orders: &orders };
            let result = platform::wait(train(request, Tuning::default(), asked, &mut emit, PATIENCE, open));
            (result, notes, summary)
        };
        let (result, notes, summary) = train_on("auto", "auto");
        assert_eq!(result.unwrap(), Ending::Finished);
        let told = "auto took the CPU device, because card 0 (";
        let log = platform::read_text(&scratch.0.join("auto/log.txt")).unwrap();
        assert!(notes.iter().any(|note| note.starts_with(told)) && summary.contains(told) && log.contains(told), "{notes:?}, {summary}, {log}");
        let (result, ..) = train_on("card 0", "named");
        assert!(result.unwrap_err().to_string().contains("cannot be opened") && !scratch.0.join("named").exists());
    }

    #[test]
    fn a_run_that_finds_no_memory_stops_at_once_and_stays_whole() {
        let scratch = Scratch::new("memory");
        run(scratch.request("whole", false), 1, &mut |_, _| {}).0.unwrap();
        for fault in [12, 15] {
            let name = format!("short-{fault}");
            // At 15 it strikes while a checkpoint is due.
            let (result, tries) = run(scratch.request(&name, false), 9, &mut |step, gpu| {
                if step == fault {
                    gpu.fail_next_allocation();
                }
            });
            let said = format!("{:#}", result.unwrap_err());
            assert!(said.contains("no memory") && tries == 0, "{tries}: {said}");
            assert!(checkpoints(&scratch.0.join(&name)).unwrap().contains(&10));
            run(scratch.request(&name, true), 1, &mut |_, _| {}).0.unwrap();
            assert!(scratch.result("whole") == scratch.result(&name), "the results differ");
        }
    }
}
