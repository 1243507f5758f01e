//! The runner's conversation, with its model and optionally a teacher for comparison.

use super::generate::stop_tokens;
use super::needs::Needs;
use crate::assets::STUDENT_FILE;
use crate::data::Tokenizer;
use crate::graph::Machine;
use crate::infer::{Chat, ChatReply, ChatTemplate, Message, Request, Stopped, compare};
use crate::model::ModelFile;
use crate::runner::model_loader::{self, LoadedModel};
use crate::runner::protocol::ChatRequest;
use crate::runner::{Event, Snapshot, Stop, Tuning};
use anyhow::{Context, Result, bail};

/// The needs of a conversation.
pub(super) fn needs(request: &ChatRequest) -> Needs {
    let mut needs = Needs::model(&request.model);
    match &request.teacher {
        None => needs.assets = &[STUDENT_FILE],
        Some(teacher) => {
            needs.models.push(teacher.clone());
            needs.opened.push(teacher.into());
        }
    }
    needs
}

/// A conversation and its models.
pub(super) struct Session {
    request: ChatRequest,
    tuning: Tuning,
    stop: Stop,
    context: usize,
    tokenizer: Tokenizer,
    chat: Chat,
    /// None before they are loaded, and after their device was lost.
    models: Option<Models>,
}

/// The loaded models of a conversation.
struct Models {
    machine: Machine,
    student: LoadedModel,
    teacher: Option<LoadedModel>,
}

/// The opened model files of a conversation, whose vocabularies match.
struct ChatFiles {
    student: ModelFile,
    teacher: Option<ModelFile>,
    tokenizer: Tokenizer,
}

/// Opens the model of a conversation, or a snapshot of it.
fn open_student(name: &str, snapshot: Option<&Snapshot>) -> Result<ModelFile> {
    match snapshot {
        Some(snapshot) => Ok(ModelFile::from_snapshot(&format!("{name} at step {}", snapshot.step), snapshot.bytes.clone())?),
        None => model_loader::open(name),
    }
}

impl ChatFiles {
    fn open(request: &ChatRequest) -> Result<Self> {
        let student = open_student(&request.model, request.snapshot.as_ref())?;
        let tokenizer = model_loader::tokenizer(&student)?;
        let teacher = match request.teacher.as_deref() {
            None => None,
            Some("embedded") => Some(ModelFile::embedded_teacher()?),
            Some(name) => Some(model_loader::open(name).context("the teacher")?),
        };
        if let Some(teacher) = &teacher {
            check_same_vocabulary(&student, &tokenizer, teacher)?;
        }
        Ok(Self { student, teacher, tokenizer })
    }

    fn all(&self) -> Vec<&ModelFile> {
        [Some(&self.student), self.teacher.as_ref()].into_iter().flatten().collect()
    }

    /// Returns the context length that all models support.
    fn context(&self, requested: Option<usize>) -> Result<usize> {
        let contexts = self.all().into_iter().map(|file| model_loader::context(&file.config, requested)).collect::<Result<Vec<_>>>()?;
        contexts.into_iter().min().context("there is a student")
    }
}

/// Returns an error if the vocabularies of student and teacher differ.
fn check_same_vocabulary(student: &ModelFile, tokenizer: &Tokenizer, teacher: &ModelFile) -> Result<()> {
    let (ours, theirs) = (tokenizer.vocabulary(), teacher.tokenizer.as_ref().map_or(teacher.config.vocab_size, Tokenizer::vocabulary));
    let same = match &teacher.tokenizer {
        Some(other) => tokenizer.same_ids(other),
        // Without a tokenizer, only the sizes of the vocabularies can be compared.
        None => teacher.config.vocab_size == student.config.vocab_size,
    };
    if same {
        return Ok(());
    }
    let (student, teacher) = (student.path().display(), teacher.path().display());
    let differ = if ours == theirs { "but not the same ones" } else { "so they cannot be compared" };
    bail!("{student} has {ours} tokens and the teacher {teacher} has {theirs}, {differ}. Use the teacher that the student was trained with");
}

impl Session {
    /// Opens the files of a conversation; the models are not loaded yet.
    pub(super) fn new(request: ChatRequest, tuning: Tuning, stop: &Stop) -> Result<Self> {
        let files = ChatFiles::open(&request)?;
        let context = files.context(request.context)?;
        let chat = Chat::new(ChatTemplate::new(&files.student.chat)?, request.request.clone());
        let system = request.system.iter().map(|text| Message::new("system", text)).collect();
        let mut session = Self { tuning, stop: stop.clone(), context, tokenizer: files.tokenizer, chat, models: None, request };
        session.set(system, session.request.request.clone())?;
        Ok(session)
    }

    /// Loads the models if they are not loaded.
    pub(super) async fn load(&mut self, emit: &mut dyn FnMut(Event)) -> Result<()> {
        if self.models.is_none() {
            let files = ChatFiles::open(&self.request)?;
            let scores = files.teacher.is_some();
            let (machine, models) = model_loader::load(&files.all(), &self.request.device, self.context, scores, self.tuning, emit).await?;
            let mut models = models.into_iter();
            let student = models.next().context("there is a student")?;
            self.models = Some(Models { machine, student, teacher: models.next() });
        }
        Ok(())
    }

    /// Replaces the weights by those of a newer snapshot, on the same machine. The messages stay; the KV cache is cleared.
    pub(super) async fn refresh(&mut self, snapshot: Snapshot, emit: &mut dyn FnMut(Event)) -> Result<()> {
        if self.request.snapshot.is_none() {
            bail!("cannot refresh the conversation: its model is not in training");
        }
        let file = open_student(&self.request.model, Some(&snapshot))?;
        if let Some(models) = &mut self.models {
            let weights = &models.student.weights;
            if (&file.config, file.linears) != (&weights.config, weights.linears) {
                bail!("cannot refresh the conversation: the model in training has another shape. Select the model again");
            }
            if let Err(error) = file.fill(&mut models.machine, weights) {
                // The weights may be partly replaced: the next turn reloads the earlier snapshot.
                self.models = None;
                return Err(error.into());
            }
            models.student.generator.clear_cache();
        }
        emit(Event::Refreshed { step: snapshot.step });
        self.request.snapshot = Some(snapshot);
        Ok(())
    }

    /// Sends a user message and generates the reply. Reloads the models if their device was lost.
    pub(super) async fn send(&mut self, text: &str, emit: &mut dyn FnMut(Event)) -> Result<()> {
        if text.trim().is_empty() {
            bail!("the message is empty");
        }
        self.load(emit).await?;
        let result = self.exchange(text, emit).await;
        // After a device loss, the next message loads the models again.
        self.models.take_if(|models| models.machine.device().is_some_and(|gpu| gpu.lost().is_some()));
        result
    }

    async fn exchange(&mut self, text: &str, emit: &mut dyn FnMut(Event)) -> Result<()> {
        let Models { machine, student, teacher } = self.models.as_mut().context("the models are loaded")?;
        let stop = || self.stop.is_requested();
        let mut piece = |text: &str| emit(Event::Text { text: text.into() });
        let reply = self.chat.send(machine, &mut student.generator, &self.tokenizer, text, &stop, &mut piece).await?;
        if reply.dropped > 0 {
            emit(Event::MessagesDropped { messages: reply.dropped });
        }
        emit(Event::Generated(reply.report));
        match teacher {
            Some(teacher) if reply.report.stopped != Stopped::Requested => self.compare_with_teacher(&reply, emit).await,
            _ => Ok(()),
        }
    }

    /// Compares the reply with the teacher's distributions, then generates the teacher's reply. The comparison comes first, since
    /// it is fast and stays when the user stops the teacher's reply.
    async fn compare_with_teacher(&mut self, reply: &ChatReply, emit: &mut dyn FnMut(Event)) -> Result<()> {
        let Models { machine, student, teacher: Some(teacher) } = self.models.as_mut().context("the models are loaded")? else { return Ok(()) };
        let stop = || self.stop.is_requested();
        if let Some(comparison) = compare(machine, &mut student.generator, &mut teacher.generator, &self.tokenizer, reply, &stop).await? {
            emit(Event::TokenKl(comparison));
        }
        let mut piece = |text: &str| emit(Event::TeacherText { text: text.into() });
        let request = self.chat.request(&self.tokenizer);
        let generated = teacher.generator.generate(machine, &self.tokenizer, &reply.prompt, &request, &stop, &mut piece).await?;
        emit(Event::TeacherGenerated(generated.report));
        Ok(())
    }

    /// Replaces the messages and the generation settings.
    pub(super) fn set(&mut self, messages: Vec<Message>, request: Request) -> Result<()> {
        Ok(self.chat.set(messages, stop_tokens(request, &self.tokenizer))?)
    }

    /// Clears the messages.
    pub(super) fn reset(&mut self) {
        self.chat.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform;
    use std::sync::Arc;

    fn request(device: &str) -> ChatRequest {
        ChatRequest {
            model: "embedded".into(),
            snapshot: None,
            teacher: None,
            device: device.into(),
            context: Some(64),
            system: None,
            request: Request { max_tokens: 2, ..Request::default() },
        }
    }

    #[test]
    fn a_newer_snapshot_keeps_the_conversation() {
        let teacher = Arc::new(crate::assets::teacher().unwrap().to_vec());
        let student = Snapshot { step: 8, bytes: Arc::new(crate::assets::student().unwrap().to_vec()) };
        let request = ChatRequest { snapshot: Some(student.clone()), ..request("cpu") };
        let mut session = Session::new(request, Tuning::Off, &Stop::default()).unwrap();
        let mut events = Vec::new();
        platform::wait(session.send("hello", &mut |event| events.push(event))).unwrap();
        assert!(matches!(&events[0], Event::Loaded { model, .. } if model == "embedded at step 8"), "{events:?}");
        let before = session.chat.messages().to_vec();
        let damaged = Snapshot { step: 9, bytes: Arc::new(b"no model".to_vec()) };
        assert!(platform::wait(session.refresh(damaged, &mut |_| {})).unwrap_err().to_string().starts_with("embedded at step 9: "));
        events.clear();
        platform::wait(session.refresh(Snapshot { step: 10, ..student }, &mut |event| events.push(event))).unwrap();
        assert!(matches!(events[..], [Event::Refreshed { step: 10 }]), "{events:?}");
        events.clear();
        platform::wait(session.send("again", &mut |event| events.push(event))).unwrap();
        // The KV cache of the earlier snapshot is not used.
        assert!(events.iter().any(|event| matches!(event, Event::Generated(report) if report.cached_tokens == 0)), "{events:?}");
        assert_eq!((&session.chat.messages()[..2], session.chat.messages().len()), (&before[..], 4));
        let other = platform::wait(session.refresh(Snapshot { step: 1, bytes: teacher }, &mut |_| {})).unwrap_err();
        assert!(other.to_string().contains("another shape"), "{other}");
    }

    #[test]
    fn a_conversation_survives_a_lost_device() {
        let mut session = Session::new(request("0"), Tuning::Off, &Stop::default()).unwrap();
        let mut loaded = 0;
        let mut emit = |event| loaded += usize::from(matches!(event, Event::Loaded { .. }));
        platform::wait(session.send("hello", &mut emit)).unwrap();
        session.models.as_ref().unwrap().machine.device().expect("a GPU").destroy();
        let lost = platform::wait(session.send("again", &mut emit)).unwrap_err().to_string();
        assert!(lost.contains("the GPU was lost") && lost.contains("Try again"), "{lost}");
        platform::wait(session.send("again", &mut emit)).unwrap();
        assert_eq!((loaded, session.chat.messages().len()), (2, 4));
    }
}
