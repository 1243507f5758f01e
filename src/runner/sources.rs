//! Opens the models and tokenizers that a run's settings name: teacher, tokenizer, and initial weights.

use super::model_loader;
use crate::assets;
use crate::data::Tokenizer;
use crate::model::{ChatFormat, ModelConfig, ModelError, ModelFile, init_dense, init_from_dense, open_tokenizer};
use crate::train::{FirstWeights, Init, ModelSource, SettingError, TrainConfig, TrainError};
use anyhow::{Result, anyhow};
use std::path::Path;

/// Wraps an error with the setting that caused it.
pub(super) fn setting(name: &'static str, error: impl Into<anyhow::Error>) -> anyhow::Error {
    SettingError { name, problem: format!("{:#}", error.into()) }.into()
}

/// Opens the teacher of a run; none if it has none.
pub(super) fn open_teacher(source: &ModelSource) -> Result<Option<ModelFile>> {
    match source {
        ModelSource::None => Ok(None),
        ModelSource::Embedded => Ok(Some(ModelFile::embedded_teacher()?)),
        ModelSource::Path(path) => Ok(Some(model_loader::open(&path.display().to_string()).map_err(|error| setting("teacher", error))?)),
    }
}

/// Returns an error if a tokenizer has more ids than the teacher's vocabulary, not counting added tokens. Encoding fails on
/// texts with an added token beyond the vocabulary.
pub(super) fn check_vocabulary(tokenizer: &Tokenizer, teacher: Option<&ModelConfig>) -> Result<()> {
    match (tokenizer.plain_ids().min(tokenizer.vocabulary()), teacher.map_or(usize::MAX, |teacher| teacher.vocab_size)) {
        (ids, known) if ids > known => {
            Err(setting("tokenizer", anyhow!("it has {ids} tokens, but the teacher's vocabulary has {known}. Use the teacher's tokenizer")))
        }
        _ => Ok(()),
    }
}

/// Returns the tokenizer and chat format of a run: the one in the settings, else the teacher's, else the embedded one.
pub(super) fn tokenizer(config: &TrainConfig, teacher: Option<&ModelFile>) -> Result<(Tokenizer, ChatFormat)> {
    let own = teacher.and_then(|file| Some((file.tokenizer.clone()?, file.chat.clone())));
    match (&config.tokenizer, own) {
        (ModelSource::Path(path), _) => {
            let (tokenizer, chat) = open_tokenizer(path).map_err(|error| setting("tokenizer", error))?;
            // Added tokens may lie beyond the teacher's embedding, as in a model directory.
            Ok((tokenizer.within(teacher.map_or(usize::MAX, |file| file.config.vocab_size)), chat))
        }
        (_, Some(own)) => Ok(own),
        (_, None) => Ok((Tokenizer::from_json(assets::tokenizer()?)?, ChatFormat::default())),
    }
}

/// Returns the tokenizer and chat format stored in a checkpoint, if any.
pub(super) fn saved_tokenizer(saved: &Path) -> Result<Option<(Tokenizer, ChatFormat)>> {
    let ModelFile { tokenizer, chat, .. } = ModelFile::open(saved)?;
    Ok(tokenizer.zip(Some(chat)))
}

/// Returns a function that initializes the student's weights. A resumed run opens the model of its initial weights only if
/// it restarts at step 0, since the model may have moved.
pub(super) fn first_weights(config: &TrainConfig, teacher: Option<ModelFile>, resumed: bool) -> Result<FirstWeights> {
    let seed = config.seed;
    let mut file = match &config.init {
        Init::Scratch => {
            return Ok(Box::new(move |machine, step| {
                init_from_dense(machine, &step.student, &mut init_dense(&step.student.config, seed)).map_err(ModelError::from)?;
                Ok(())
            }));
        }
        Init::Teacher if teacher.is_some() => teacher,
        Init::Teacher | Init::Model(_) if resumed => None,
        Init::Teacher => return Err(anyhow!("init = teacher needs a teacher")),
        Init::Model(path) => Some(open_init(path).map_err(|problem| setting("init", anyhow!(problem)))?),
    };
    let path = config.init.path().or(config.teacher.path()).cloned().unwrap_or_default();
    Ok(Box::new(move |machine, step| {
        if file.is_none() {
            file = Some(open_init(&path).map_err(|problem| TrainError::FirstWeights { path: path.clone(), problem })?);
        }
        let file = file.as_ref().expect("opened above");
        if file.linears == step.student.linears {
            return Ok(file.fill(machine, &step.student)?);
        }
        Ok(file.init_student(machine, &step.student)?)
    }))
}

fn open_init(path: &Path) -> Result<ModelFile, String> {
    model_loader::open(&path.display().to_string()).map_err(|error| format!("{error:#}"))
}
