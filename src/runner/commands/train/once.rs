//! Training on one device: opens the inputs of the run and starts the trainer.

use super::{TrainControl, advice};
use crate::graph::{Machine, Recompute};
use crate::model::Rounding;
use crate::runner::devices::OpenedDevice;
use crate::runner::protocol::TrainRequest;
use crate::runner::run_inputs::Inputs;
use crate::runner::run_plan::{self, DeviceMemory, RunPlan};
use crate::runner::{Event, Tuning, damage, sources, text_reader, tuning};
use crate::train::{
    Checkpoint, Ending, Precision, RunDir, Setup, TrainConfig, TrainError, TrainEvent, Trainer, TrainerParts, check_same, checkpoints, close, newest_intact,
};
use anyhow::Result;
use std::path::Path;

/// Trains until the last step or a stop request, on the device that `open` returns. `open` is called after all other checks.
pub(super) async fn train(
    request: &TrainRequest, tuning: Tuning, control: TrainControl<'_>, emit: &mut dyn FnMut(Event),
    open: impl AsyncFnOnce(&str, Option<&str>) -> Result<OpenedDevice>,
) -> Result<Ending> {
    // A new run's directory is created after all other checks.
    let (mut opened, config) = if request.resume {
        let (run, config) = open_run(request)?;
        damage::check_resume(request)?;
        (Some(run), config)
    } else {
        if !request.numbered {
            RunDir::check_free(&request.run)?;
        }
        (None, text_reader::reject_stdin(text_reader::expand_data(request.config.clone().unwrap_or_default())?)?)
    };
    config.check()?;
    if let (Some(run), None) = (&mut opened, request.from_step)
        && is_finished(&request.run, config.steps)?
    {
        if let Some(text) = close(run, &config)? {
            emit(Event::Train(TrainEvent::Note { text }));
        }
        emit(Event::Note { text: format!("{} is finished: all {} steps are done", request.run.display(), config.steps) });
        return Ok(Ending::Finished);
    }
    let saved = request.saved()?;
    let inputs = Inputs::open(&config, saved.as_deref(), control.stop, emit).map_err(|error| damage::with_older(error, request))?;
    // Rounding is only for a teacher that is loaded onto the device, not for one whose probabilities are cached.
    let teacher = inputs.teacher.as_ref().filter(|_| inputs.shapes.teacher.is_some());
    let rounding = teacher.map(|file| Rounding::of(file, config.teacher_storage)).transpose()?;
    // A checkpoint that cannot be read is reported when it is loaded.
    let saved_device = saved.as_deref().and_then(|saved| Checkpoint::read(saved).ok()).map(|read| read.state.device);
    let OpenedDevice { mut machine, name: device, notes } = open(&request.device, saved_device.as_deref()).await?;
    notes.iter().for_each(|text| emit(Event::Note { text: text.clone() }));
    let half = config.precision == Precision::F16;
    let record = |machine: &mut Machine| Ok(Setup::new(machine, &config, &inputs.shapes, Recompute::Off).map(drop)?);
    // A resumed run keeps its kernel variants, since other variants give other bits.
    let variants = match &opened {
        Some(run) => {
            let variants = run.variants()?;
            if !run.has_variants() {
                let text = "variants.json is missing, and no checkpoint has it: the run resumes with portable kernels, and results may not be bit-identical";
                run.log(text)?;
                emit(Event::Note { text: text.into() });
            }
            for text in tuning::resume(&mut machine, variants.clone(), record)? {
                run.log(&text)?;
                emit(Event::Note { text });
            }
            variants
        }
        None => tuning::tune(&mut machine, tuning, half, record, emit).await?,
    };
    let setup = set_up(&inputs, &mut machine, &config, request.memory, emit)?;
    let first_weights = sources::first_weights(&config, inputs.teacher, opened.is_some())?;
    let run = match opened {
        Some(run) => run,
        None if request.numbered => RunDir::create_numbered(request.run.parent().unwrap_or(Path::new(".")), &config, &variants)?,
        None => RunDir::create(&request.run, &config, &variants)?,
    };
    if !request.resume {
        emit(Event::RunCreated { path: run.path().to_path_buf() });
    }
    notes.iter().try_for_each(|line| run.log(line))?;
    // The directory of a numbered run is known only now.
    let request = &TrainRequest { run: run.path().to_path_buf(), ..request.clone() };
    let parts = TrainerParts {
        machine,
        setup,
        config,
        rounding,
        corpus: inputs.corpus,
        cache: inputs.cache,
        tokenizer: inputs.tokenizer,
        chat: inputs.chat,
        run,
        from_step: request.from_step,
        device,
        first_weights,
    };
    let mut trainer = Trainer::new(parts).await.map_err(|error| damage::with_older(error.into(), request))?;
    let trained = trainer.train(&|| control.stop.is_requested(), control.orders, &mut |event| emit(Event::Train(with_notes(event, &notes)))).await;
    trained.map_err(|error| match error {
        TrainError::Diverged(what) => TrainError::Diverged(format!("{what}. {}", advice::after_divergence(request, trainer.config(), trainer.rate()))).into(),
        error => damage::with_older(error.into(), request),
    })
}

/// Returns true if the last checkpoint of a run is that of its last step and intact.
fn is_finished(run: &Path, steps: u64) -> Result<bool> {
    let last = checkpoints(run)?.pop().filter(|&last| last >= steps);
    Ok(last.is_some_and(|last| newest_intact(run, last.saturating_add(1)) == Some(last)))
}

/// Adds the notes of the device selection to the event that starts a training.
fn with_notes(event: TrainEvent, notes: &[String]) -> TrainEvent {
    match event {
        TrainEvent::Begun { step, steps, summary, teacher, device, memory, tokens, lr, sample_prompt, matrices } => {
            let summary = [&[summary], notes].concat().join("; ");
            TrainEvent::Begun { step, steps, summary, teacher, device, memory, tokens, lr, sample_prompt, matrices }
        }
        other => other,
    }
}

fn open_run(request: &TrainRequest) -> Result<(RunDir, TrainConfig)> {
    let (run, saved) = RunDir::open(&request.run)?;
    if let Some(given) = &request.config {
        check_same(&request.run, &saved, &text_reader::expand_data(given.clone())?)?;
    }
    Ok((run, saved))
}

/// Plans the run's memory, allocates it if it fits, and loads the teacher.
fn set_up(inputs: &Inputs, machine: &mut Machine, config: &TrainConfig, memory: Option<u64>, emit: &mut dyn FnMut(Event)) -> Result<Setup> {
    let planned = RunPlan::new(config, &inputs.shapes, DeviceMemory::of(machine, memory))?;
    emit(Event::Note { text: planned.line() });
    run_plan::check_fits(&planned, config, &inputs.shapes)?;
    let setup = Setup::new(machine, config, &inputs.shapes, planned.recompute).map_err(|error| match run_plan::out_of_memory(&error) {
        true => anyhow::Error::from(error).context(format!("{}. The device ran out of memory; {}", planned.line(), planned.advice(config, &inputs.shapes))),
        false => error.into(),
    })?;
    if let (Some(file), Some(teacher)) = (&inputs.teacher, &setup.step.teacher) {
        file.fill(machine, teacher)?;
    }
    Ok(setup)
}
