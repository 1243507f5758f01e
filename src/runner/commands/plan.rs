//! Memory plans for training and for inference.

use crate::bench;
use crate::graph::{Machine, Storage};
use crate::infer::Engine;
use crate::model::{Linears, MemoryPlan, PRESETS, Purpose, TEACHERS, Weights};
use crate::runner::devices::PlannedDevice;
use crate::runner::plan_cache::PlanCache;
use crate::runner::protocol::{ModelNumbers, PlanModelRequest, PlanReport, PlanTrainRequest, RunLength};
use crate::runner::run_plan::{DeviceMemory, RunPlan, recompute_text};
use crate::runner::shapes::cached_shapes;
use crate::runner::{Event, model_loader};
use crate::train::SettingError;
use anyhow::Result;

/// Plans a run and emits the plan. An invalid setting is also emitted by name, for the form of the app.
pub(super) async fn plan_train(request: PlanTrainRequest, cache: &mut PlanCache, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let result = planned(request, cache).await;
    match &result {
        Ok(report) => emit(Event::Planned(report.clone())),
        Err(error) => {
            if let Some(SettingError { name, problem }) = error.downcast_ref() {
                emit(Event::SettingRefused { name: name.to_string(), problem: problem.clone() });
            }
        }
    }
    result.map(drop)
}

/// Returns the memory plan of a run.
pub(super) async fn planned(request: PlanTrainRequest, cache: &mut PlanCache) -> Result<PlanReport> {
    let PlanTrainRequest { train: request, teacher_shape } = request;
    let config = request.settings()?;
    config.check()?;
    let (shapes, tokenizer) = cached_shapes(&config, request.saved()?.as_deref(), teacher_shape.as_deref(), cache)?;
    let text_tokens = cache.text_tokens(&config, &tokenizer);
    let PlannedDevice { counter, memory, name } = cache.device(&request.device).await?;
    let planned = RunPlan::new(&config, &shapes, DeviceMemory::new(counter, memory, request.memory))?;
    let advice = (!planned.fits()).then(|| planned.advice(&config, &shapes));
    let what = format!("training {}, {} × {} tokens{}", config.model, config.batch, config.seq, recompute_text(planned.recompute));
    let model = ModelNumbers::of(&shapes.student, config.binary);
    let length = Some(RunLength::of(&config, text_tokens));
    Ok(report(what, planned.memory, name, planned.device_memory, model, length, advice))
}

/// Plans a model for inference and emits the plan.
pub(super) async fn plan_model(request: PlanModelRequest, cache: &mut PlanCache, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let PlanModelRequest { model: name, device, context, memory: given } = request;
    // A file or directory of a public model's name comes before its shape.
    let is_shape = PRESETS.contains(&name.as_str()) || TEACHERS.contains(&name.as_str()) && model_loader::open(&name).is_err();
    let (config, linears, storage) = if is_shape {
        (bench::shape(&name)?, Linears::Binary, Storage::F16)
    } else {
        let file = model_loader::open(&name)?;
        let storage = file.storage();
        (file.config, file.linears, storage)
    };
    let context = model_loader::context(&config, context)?;
    let PlannedDevice { counter, memory, name: device } = cache.device(&device).await?;
    let device_memory = DeviceMemory::new(counter, memory, given);
    let mut counting = Machine::Counting(device_memory.counter.clone());
    let weights = Weights::allocate(&mut counting, &config, linears, Purpose::Inference(storage))?;
    let plan = Engine::new(&mut counting, &weights, context)?.memory(&counting, &weights);
    let advice = (!device_memory.fits(plan.total())).then(|| "use a smaller --context or model, or another device".into());
    let numbers = ModelNumbers::of(&config, linears == Linears::Binary);
    emit(Event::Planned(report(format!("{name} with a context of {context} tokens"), plan, device, device_memory, numbers, None, advice)));
    Ok(())
}

fn report(
    what: String, plan: MemoryPlan, device: String, device_memory: DeviceMemory, model: ModelNumbers, length: Option<RunLength>, advice: Option<String>,
) -> PlanReport {
    let binding_bytes = (device_memory.counter.max_words() < usize::MAX).then(|| 4 * device_memory.counter.max_words() as u64);
    let fits = device_memory.usable.map(|_| device_memory.fits(plan.total()));
    PlanReport { what, plan, device, memory: device_memory.total, binding_bytes, fits, model, length, advice }
}
