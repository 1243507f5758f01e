//! Opens the inputs of a run (text, teacher, tokenizer) and checks that they fit together.

use super::shapes::{named_shape, shapes, teacher_shape};
use super::sources::{check_vocabulary, open_teacher, saved_tokenizer, setting, tokenizer};
use super::{Event, Stop, text_reader};
use crate::data::{Corpus, Origin, TeacherCache, Tokenizer};
use crate::model::{ChatFormat, ModelFile, checkpoint_shape, checkpoint_tokenizer};
use crate::platform;
use crate::train::{Shapes, TrainConfig};
use anyhow::Result;
use std::path::Path;

/// The opened inputs of a run.
pub(super) struct Inputs {
    pub(super) teacher: Option<ModelFile>,
    pub(super) tokenizer: Tokenizer,
    /// Chat format of the tokenizer.
    pub(super) chat: ChatFormat,
    pub(super) shapes: Shapes,
    pub(super) corpus: Corpus,
    pub(super) cache: Option<TeacherCache>,
}

impl Inputs {
    /// Opens the inputs. `saved` is the checkpoint of a resumed run, whose shape and tokenizer are kept, so that its token ids
    /// stay the same.
    pub(super) fn open(config: &TrainConfig, saved: Option<&Path>, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<Self> {
        let (teacher, own) = match (open_teacher(&config.teacher), saved) {
            // The teacher is missing, but its distributions are in the cache and its tokenizer in the checkpoint.
            (Err(error), Some(saved)) if config.teacher_cache.is_some() && !config.eval_teacher => {
                emit(Event::Note { text: format!("{error:#}. The run resumes from the cache, without its teacher") });
                (None, saved_tokenizer(saved)?)
            }
            (opened, _) => (opened?, None),
        };
        let (mut tokenizer, chat) = match (own, saved) {
            (Some(own), _) => own,
            (None, None) => tokenizer(config, teacher.as_ref())?,
            (None, Some(saved)) => tokenizer(config, teacher.as_ref()).or_else(|error| match saved_tokenizer(saved) {
                Ok(Some(kept)) => {
                    emit(Event::Note { text: format!("{error:#}. The run keeps the tokenizer of its checkpoint") });
                    Ok(kept)
                }
                _ => Err(error),
            })?,
        };
        if let Some(own) = saved.map(checkpoint_tokenizer).transpose()?.flatten()
            && !own.same_text(&tokenizer)?
        {
            if !own.same_ids(&tokenizer) || own.end() != tokenizer.end() {
                let text = "the tokenizer's files have changed since the run started; the run keeps the tokenizer of its checkpoint";
                emit(Event::Note { text: text.into() });
            }
            tokenizer = own.within(teacher.as_ref().map_or(usize::MAX, |file| file.config.vocab_size));
        }
        // Runs of earlier versions used no chat template with a tokenizer from the settings; their checkpoints lack one.
        let named = config.tokenizer.path().is_some();
        let chat = if named && saved.is_some_and(|saved| !platform::is_file(&saved.join("tokenizer_config.json"))) { ChatFormat::default() } else { chat };
        check_vocabulary(&tokenizer, teacher.as_ref().map(|file| &file.config))?;
        let own = saved.map(checkpoint_shape).transpose()?;
        if let Some(own) = &own
            && named_shape(&config.model, own.vocab_size).is_ok_and(|named| named != *own)
        {
            let text = format!("{} describes another model than when the run started; the run keeps the shape of its checkpoint", config.model);
            emit(Event::Note { text });
        }
        let taught = teacher.as_ref().map(|file| teacher_shape(config, file.config.clone(), file.linears));
        let shapes = shapes(config, own, taught, &tokenizer)?;
        let corpus = text_reader::open(config, &tokenizer, &chat, stop, emit)?;
        let cache = match &config.teacher_cache {
            Some(dir) => {
                let origin = origin(config, teacher.as_ref(), shapes.student.vocab_size, &corpus)?;
                Some(TeacherCache::open(dir, &origin).map_err(|error| setting("teacher_cache", error))?)
            }
            None => None,
        };
        Ok(Self { teacher, tokenizer, chat, shapes, corpus, cache })
    }
}

/// Returns the origin that a teacher cache for this run must have.
pub(super) fn origin(config: &TrainConfig, teacher: Option<&ModelFile>, vocabulary: usize, corpus: &Corpus) -> Result<Origin> {
    // The checksum of a large teacher takes a while: it is computed only if there is a cache to compare with.
    let teacher = teacher.filter(|_| config.teacher_cache.is_some()).map(ModelFile::checksum).transpose()?;
    Ok(Origin { teacher, vocabulary, seq: config.seq, temperature: config.temperature, top: None, text: Origin::text(corpus)? })
}
