//! Shapes of a run's models: the student's, the teacher's, and checks that depend on them.

use super::model_loader;
use super::plan_cache::PlanCache;
use super::sources::{check_vocabulary, setting};
use crate::data::{TeacherCache, Tokenizer};
use crate::model::{Linears, ModelConfig, PRESETS, Purpose, TEACHERS, checkpoint_shape, checkpoint_tokenizer};
use crate::train::{ModelSource, Shapes, TeacherShape, TrainConfig};
use anyhow::{Context, Result, anyhow};
use std::path::Path;
use std::sync::Arc;

/// Returns the teacher's shape, with the storage format of the settings.
pub(super) fn teacher_shape(settings: &TrainConfig, config: ModelConfig, linears: Linears) -> TeacherShape {
    TeacherShape { config, linears, purpose: Purpose::Inference(settings.teacher_storage.storage()) }
}

/// Returns the shapes of a run. `own` is the student's shape in the checkpoint of a resumed run.
pub(super) fn shapes(config: &TrainConfig, own: Option<ModelConfig>, teacher: Option<TeacherShape>, tokenizer: &Tokenizer) -> Result<Shapes> {
    let cached = config.teacher_cache.as_deref().map(TeacherCache::header).transpose().map_err(|error| setting("teacher_cache", error))?;
    let vocabulary = teacher.as_ref().map(|teacher| teacher.config.vocab_size).or(cached.map(|(vocabulary, _)| vocabulary));
    let student = student_shape(config, own, vocabulary.unwrap_or(tokenizer.vocabulary()))?;
    // A run that trains on a cache loads its teacher only for evaluation.
    let teacher = teacher.filter(|_| cached.is_none() || config.eval_teacher);
    let prompt = if config.sample_every == 0 { Vec::new() } else { tokenizer.encode(&config.sample_prompt)? };
    let (needed, context) = (prompt.len() + config.sample_tokens + 1, student.max_position_embeddings);
    if !prompt.is_empty() && needed > context {
        let problem = anyhow!("the prompt and {} tokens need a context of {needed}, but the model's is {context}", config.sample_tokens);
        return Err(setting("sample_tokens", problem));
    }
    Ok(Shapes { student, teacher, top: cached.map(|(_, top)| top), prompt })
}

/// Returns the shapes and the tokenizer of a run, with its files read through a cache. `teacher` may name the shape of a
/// teacher that need not exist. A resumed run keeps the shape and tokenizer of its checkpoint `saved`.
pub(super) fn cached_shapes(config: &TrainConfig, saved: Option<&Path>, teacher: Option<&str>, cache: &mut PlanCache) -> Result<(Shapes, Arc<Tokenizer>)> {
    let (taught, own) = match teacher {
        Some(name) => {
            let shape = match ModelConfig::teacher(name) {
                Some(shape) => shape,
                None => model_loader::config(Path::new(name))
                    .with_context(|| format!("--teacher-shape {name}: neither a known shape ({}) nor a config.json that can be read", TEACHERS.join(", ")))?,
            };
            (Some((shape, Linears::Dense)), None)
        }
        None => match cache.teacher(&config.teacher) {
            // The teacher is missing, but its distributions are in the teacher cache.
            Err(_) if saved.is_some() && config.teacher_cache.is_some() && !config.eval_teacher => (None, None),
            found => found?.map_or((None, None), |found| (Some((found.config, found.linears)), found.tokenizer)),
        },
    };
    let known_ids = taught.as_ref().map_or(usize::MAX, |(shape, _)| shape.vocab_size);
    let stored = saved.map(checkpoint_tokenizer).transpose()?.flatten();
    let tokenizer = match (stored, &config.tokenizer, own) {
        (Some(stored), ..) => Arc::new(stored.within(known_ids)),
        (None, ModelSource::Path(_), _) | (None, _, None) => cache.tokenizer(&config.tokenizer).map_err(|error| setting("tokenizer", error))?,
        (None, _, Some(own)) => own,
    };
    if teacher.is_none() {
        check_vocabulary(&tokenizer, taught.as_ref().map(|(shape, _)| shape))?;
    }
    let taught = taught.map(|(shape, linears)| teacher_shape(config, shape, linears));
    let shapes = shapes(config, saved.map(checkpoint_shape).transpose()?, taught, &tokenizer)?;
    Ok((shapes, tokenizer))
}

/// Returns the shape of a preset, with `vocabulary` tokens, or of a `config.json`.
pub(super) fn named_shape(model: &str, vocabulary: usize) -> Result<ModelConfig> {
    if PRESETS.contains(&model) {
        return Ok(ModelConfig::preset(model, vocabulary)?);
    }
    let missing = || format!("neither a preset ({}) nor a config.json that can be read", PRESETS.join(", "));
    model_loader::config(Path::new(model)).with_context(missing).map_err(|error| setting("model", error))
}

/// Returns the student's shape: `own` of a checkpoint, else that of the settings. `vocabulary` is the teacher's.
fn student_shape(config: &TrainConfig, own: Option<ModelConfig>, vocabulary: usize) -> Result<ModelConfig> {
    let shape = match own {
        Some(own) => own,
        None => named_shape(&config.model, vocabulary)?,
    };
    shape.check().map_err(|error| setting("model", error))?;
    if shape.vocab_size != vocabulary {
        let problem = anyhow!("its vocabulary of {} must equal that of the teacher or tokenizer, {vocabulary}", shape.vocab_size);
        return Err(setting("model", problem));
    }
    if config.seq > shape.max_position_embeddings {
        let problem = anyhow!("must be at most the model's context of {1}, not {0}", config.seq, shape.max_position_embeddings);
        return Err(setting("seq", problem));
    }
    Ok(shape)
}
