//! Creates a teacher cache.

use crate::data::{CacheWriter, Origin, TeacherCache};
use crate::model::Purpose;
use crate::ops::MAX_TOP_K;
use crate::platform::Clock;
use crate::runner::amounts::format_bytes;
use crate::runner::protocol::TeachRequest;
use crate::runner::run_inputs::{Inputs, origin};
use crate::runner::{Event, Stop, devices, text_reader};
use crate::train::{self, ModelSource, Teaching, TrainConfig};
use anyhow::{Context, Result, bail};

/// Creates or resumes a cache.
pub(super) async fn teach(request: TeachRequest, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let finished = make(request, stop, emit).await?;
    emit(Event::TeacherCacheEnded { finished });
    Ok(())
}

/// Writes the missing windows of a cache; returns true if it is complete.
async fn make(request: TeachRequest, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<bool> {
    let TeachRequest { out, top, config, device } = request;
    if config.teacher == ModelSource::None {
        bail!("cannot create a teacher cache: teacher is none. Use embedded or a model directory");
    }
    let config = TrainConfig { teacher_cache: None, eval_teacher: false, ..text_reader::expand_data(config)? };
    config.check()?;
    let inputs = Inputs::open(&config, None, stop, emit)?;
    let file = inputs.teacher.as_ref().context("cannot create a teacher cache: no teacher")?;
    let vocabulary = file.config.vocab_size;
    if top == 0 || top > MAX_TOP_K || top >= vocabulary {
        bail!("--top {top}: must be from 1 to {MAX_TOP_K} and less than the teacher's vocabulary of {vocabulary}");
    }
    let origin = Origin { teacher: Some(file.checksum()?), top: Some(top), ..origin(&config, None, vocabulary, &inputs.corpus)? };
    let bytes = TeacherCache::bytes(&origin, top);
    emit(Event::Note {
        text: format!("{}: {} in all, {top} tokens at each of {} positions", out.display(), format_bytes(bytes), origin.text.0 + origin.text.1),
    });
    let (mut machine, name) = devices::machine(&device, emit).await?;
    let teacher = file.load(&mut machine, Purpose::Inference(file.storage()))?;
    let notes = [("made_by", file.path().display().to_string()), ("device", name.clone())];
    let mut cache = CacheWriter::open(&out, &origin, &inputs.corpus, &notes)?;
    let (missing, windows) = (cache.missing().len(), cache.grid().windows());
    emit(Event::Note { text: format!("computing {missing} of {windows} windows of {} tokens on {name}", config.seq) });
    let teaching = Teaching { top, temperature: config.temperature, seq: config.seq };
    let clock = Clock::start();
    let mut progress = |done: usize, of: usize| {
        let rate = (done * config.seq) as f64 / clock.seconds().max(1e-9);
        let left = ((of - done) * config.seq) as f64 / rate;
        emit(Event::Progress { done, of, note: format!("{rate:.0} tokens/s, {left:.0} s left") });
    };
    let made = train::teach(&mut machine, &teacher, &mut cache, &inputs.corpus, teaching, &|| stop.is_requested(), &mut progress).await;
    made.context("the cache is incomplete. Run the same command to resume it")
}
