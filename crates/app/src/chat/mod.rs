//! The Chat tab: chat with a model, also the one in training, alone or side by side with a teacher. The tab owns
//! the conversation and sends it to the worker before every reply, so that editing and regenerating work alike.

mod conversation;
mod link;
mod models;
mod sampling;
mod shade;
mod transcript;
mod view;

use super::action::Action;
use super::dialog::Dialog;
use super::mirror::LogMessage;
use super::shared::{RunSnapshot, Shared, Training};
use crate::tab_view::TabView;
use conversation::Conversation;
use eframe::egui::Ui;
use models::Models;
use signet::runner::{ChatRequest, Command, Event, IN_PAGE, Order, Reply, Snapshot, Tuning, Wake, Worker};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use transcript::Transcript;

/// A step of producing a reply. Steps run in order; if one fails, the rest are dropped.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// Wait for a snapshot of the model in training.
    Snapshot,
    /// Load the models.
    Open,
    /// Load the newer snapshot.
    Refresh,
    /// Send the messages before a turn, and the sampling parameters of an attempt.
    Set { turn: usize, attempt: u64 },
    /// Send a turn's message.
    Say { turn: usize, text: String, attempt: u64 },
}

/// The models and the device of a conversation.
#[derive(Clone, Debug, PartialEq)]
struct ChatSetup {
    model: String,
    in_training: bool,
    teacher: Option<String>,
    device: String,
}

/// The Chat tab.
pub(super) struct ChatTab {
    worker: Worker,
    conversation: Conversation,
    transcript: Transcript,
    /// The message being typed.
    draft: String,
    /// The turn being edited, and its text.
    editing: Option<(usize, String)>,
    /// The models being loaded.
    opening: Option<ChatSetup>,
    /// The current step, and those after it.
    at: Option<Step>,
    plan: VecDeque<Step>,
    /// Directory of the run in training whose model was chosen.
    in_training: Option<PathBuf>,
    /// The loaded models.
    open: Option<ChatSetup>,
    /// The models that were loaded before the last attempt to load others.
    before: Option<ChatSetup>,
    /// A line about each loaded model.
    loaded: Vec<String>,
    /// Training step of the loaded snapshot.
    step: Option<u64>,
    /// The snapshot that existed when the next one was requested.
    seen: Option<Arc<Vec<u8>>>,
    /// The current activity.
    status: String,
    /// An error that belongs to no turn.
    problem: Option<String>,
    /// The step at which the worker failed, to be retried once the worker has ended.
    interrupted: Option<Step>,
    /// True if that step was retried already.
    retried: bool,
    /// Training speed in tokens/s before the last reply, and during it.
    training: (Option<f64>, Option<f64>),
    dialog: Dialog<()>,
    /// Downloaded models; only in a browser.
    models: Option<Models>,
}

impl TabView for ChatTab {
    fn poll(&mut self, shared: &mut Shared) {
        if let Some(path) = self.models.as_mut().and_then(Models::poll) {
            self.choose(path, shared);
        }
        for reply in self.worker.poll() {
            self.handle(reply, shared);
        }
        if self.at == Some(Step::Snapshot) {
            if self.newer(shared).is_some() {
                self.advance(shared);
            } else if self.training(shared).is_none() {
                self.fail("cannot chat with the model in training: the run has ended. Choose its folder as the model".into());
            }
        }
        if let Some(rate) = shared.training.as_ref().filter(|training| !training.paused && training.tokens_per_s > 0.0).map(|training| training.tokens_per_s) {
            match self.at {
                Some(Step::Say { .. }) => self.training.1 = Some(rate),
                Some(_) => {}
                None => self.training.0 = Some(rate),
            }
        }
    }

    fn handle(&mut self, reply: Reply, shared: &mut Shared) {
        match reply {
            Reply::Event(event) => self.handle_event(event),
            Reply::Restarted { .. } => {
                // The tab owns the conversation, so nothing is lost: the model is loaded again, and a reply that
                // was cut off is retried once.
                self.open = None;
                self.before = None;
                if let (Some(step @ (Step::Open | Step::Say { .. })), false) = (self.at.clone(), self.retried) {
                    self.interrupted = Some(step);
                }
            }
            Reply::Ended { error: Some(error) } => match self.interrupted.take() {
                Some(step) => self.retry(step, shared),
                None => self.fail(error.text),
            },
            Reply::Ended { error: None } => {
                self.retried = false;
                if self.at == Some(Step::Open) {
                    self.open = self.opening.take();
                    self.problem = None;
                }
                self.advance(shared);
            }
        }
    }

    fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        self.draw(ui, shared);
    }

    fn act(&mut self, action: Action, shared: &mut Shared) -> Option<Action> {
        let Action::Chat(model) = action else { return Some(action) };
        self.choose(model, shared);
        None
    }

    fn keys(&mut self, _: &Ui, _: &mut Shared) {}
}

impl ChatTab {
    /// Creates the tab.
    pub(super) fn new(wake: &Wake) -> Self {
        Self {
            worker: Worker::spawn("chat", Tuning::default(), wake.clone()),
            conversation: Conversation::default(),
            transcript: Transcript::default(),
            draft: String::new(),
            editing: None,
            opening: None,
            at: None,
            plan: VecDeque::new(),
            in_training: None,
            open: None,
            before: None,
            loaded: Vec::new(),
            step: None,
            seen: None,
            status: String::new(),
            problem: None,
            interrupted: None,
            retried: false,
            training: (None, None),
            dialog: Dialog::default(),
            models: IN_PAGE.then(|| Models::new(wake)),
        }
    }

    /// Applies the settings of a link. A model that must be downloaded is only offered.
    pub(super) fn apply_link(&self, fragment: &str, shared: &mut Shared) {
        let Some(link) = link::parse(fragment, &shared.settings.chat) else { return };
        let chat = &mut shared.settings.chat;
        let taken = link.request.is_some() || link.system.is_some() || link.model.is_some();
        chat.request = link.request.unwrap_or_else(|| chat.request.clone());
        chat.system = link.system.unwrap_or_else(|| chat.system.clone());
        match link.model {
            Some(model) if model == link::EMBEDDED => chat.model = model,
            model => shared.offered = model,
        }
        if taken {
            shared.settings.tab = super::Tab::Chat;
            shared.notices.tell("Chat settings were set from the link");
        }
        link.problems.into_iter().for_each(|problem| shared.notices.warn(format!("The link: {problem}")));
    }

    /// Downloads a model and opens it. Call only after the user agreed.
    pub(super) fn fetch(&mut self, url: String) {
        if let Some(models) = &mut self.models {
            models.fetch(url);
        }
    }

    /// Returns all messages of the conversation, for the page's accessible text.
    pub(super) fn messages(&self) -> impl Iterator<Item = LogMessage<'_>> {
        let busy = self.busy();
        let last = self.conversation.turns().len().saturating_sub(1);
        self.conversation.turns().iter().enumerate().flat_map(move |(n, turn)| {
            let done = !(busy && n == last);
            let replied =
                (!turn.reply.is_empty()).then_some(LogMessage { who: if turn.teacher.is_some() { "Student" } else { "Model" }, text: &turn.reply, done });
            let taught = turn.teacher.as_deref().map(|text| LogMessage { who: "Teacher", text, done });
            let failed = turn.problem.as_deref().map(|text| LogMessage { who: "Problem", text, done: true });
            [Some(LogMessage { who: "You", text: &turn.user, done: true }), replied, taught, failed].into_iter().flatten()
        })
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Loaded { model, device, context, memory } => {
                self.loaded.push(format!("{model} on {device}: context {context}, {:.1} MB", memory as f64 / 1e6));
            }
            Event::Refreshed { step } => self.step = Some(step),
            Event::Tuning { .. } | Event::Note { .. } => self.status = event.line().unwrap_or_default(),
            Event::MessagesDropped { messages } => self.conversation.forget(messages),
            event => {
                let Some(turn) = self.conversation.last() else { return };
                turn.height = None;
                match event {
                    Event::Text { text } => turn.reply.push_str(&text),
                    Event::Generated(report) => turn.report = Some(report),
                    Event::TeacherText { text } => turn.teacher.get_or_insert_default().push_str(&text),
                    Event::TeacherGenerated(report) => turn.teacher_report = Some(report),
                    Event::TokenKl(comparison) => turn.compare(comparison),
                    _ => {}
                }
            }
        }
    }

    /// The models that the settings ask for.
    fn setup(&self, shared: &Shared) -> ChatSetup {
        let settings = &shared.settings.chat;
        ChatSetup {
            model: self.in_training.as_ref().map_or(settings.model.clone(), |run| run.display().to_string()),
            in_training: self.in_training.is_some(),
            teacher: settings.side_by_side.then(|| settings.teacher.clone()),
            device: settings.device.clone(),
        }
    }

    /// The training of the chosen model, while it runs.
    fn training<'a>(&self, shared: &'a Shared) -> Option<&'a Training> {
        shared.training.as_ref().filter(|training| Some(&training.run) == self.in_training.as_ref())
    }

    /// The requested snapshot, once it has arrived.
    fn newer<'a>(&self, shared: &'a Shared) -> Option<&'a RunSnapshot> {
        let taken = shared.snapshot.as_ref().filter(|taken| Some(&taken.run) == self.in_training.as_ref());
        taken.filter(|taken| !self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &taken.snapshot.bytes)))
    }

    fn busy(&self) -> bool {
        self.at.is_some()
    }

    /// Returns the steps that load the wanted models, or refresh the snapshot if they are loaded already. `anyway`
    /// loads them in either case.
    fn opening(&self, shared: &Shared, anyway: bool) -> Vec<Step> {
        let follows = self.in_training.is_some() && shared.settings.chat.follow && self.training(shared).is_some();
        if anyway || self.open.as_ref() != Some(&self.setup(shared)) {
            let snapshot = self.in_training.is_some().then_some(Step::Snapshot);
            snapshot.into_iter().chain([Step::Open]).collect()
        } else if follows {
            vec![Step::Snapshot, Step::Refresh]
        } else {
            Vec::new()
        }
    }

    /// Sends a message as turn `turn`, replacing it and all later turns.
    fn send(&mut self, turn: usize, text: String, attempt: u64, shared: &mut Shared) {
        if self.busy() || text.trim().is_empty() {
            return;
        }
        self.plan = self.opening(shared, false).into();
        self.plan.extend([Step::Set { turn, attempt }, Step::Say { turn, text, attempt }]);
        self.advance(shared);
    }

    fn refresh(&mut self, shared: &mut Shared) {
        self.plan = [Step::Snapshot, Step::Refresh].into();
        self.advance(shared);
    }

    /// Retries the step at which the worker failed, and the steps after it.
    fn retry(&mut self, step: Step, shared: &mut Shared) {
        self.retried = true;
        let rest = std::mem::take(&mut self.plan);
        self.plan = self.opening(shared, true).into();
        if let Step::Say { turn, text, attempt } = step {
            self.plan.extend([Step::Set { turn, attempt }, Step::Say { turn, text, attempt }]);
        }
        self.plan.extend(rest);
        self.advance(shared);
    }

    /// Asks the worker to stop the current step, and drops the steps after it.
    fn stop(&mut self) {
        self.plan.clear();
        self.interrupted = None;
        if self.at == Some(Step::Snapshot) {
            self.at = None;
        }
        self.worker.stop();
    }

    /// Starts the next step.
    fn advance(&mut self, shared: &mut Shared) {
        self.status.clear();
        self.at = self.plan.pop_front();
        match self.at.clone() {
            None => {}
            Some(Step::Snapshot) => self.ask_for_snapshot(shared),
            Some(Step::Open) => {
                let snapshot = self.newer(shared).map(|taken| taken.snapshot.clone());
                self.send_open(snapshot, shared);
            }
            Some(Step::Refresh) => {
                if let Some(taken) = self.newer(shared) {
                    self.worker.send(Command::RefreshChat { snapshot: taken.snapshot.clone() });
                }
            }
            Some(Step::Set { turn, attempt }) => {
                let settings = &shared.settings.chat;
                let mut request = settings.request.clone();
                request.sampling.seed = request.sampling.seed.wrapping_add(attempt);
                self.worker.send(Command::SetChat { messages: self.conversation.before(turn, &settings.system), request });
            }
            Some(Step::Say { turn, text, attempt }) => {
                // A draft that was changed since is not cleared.
                match self.editing.take_if(|(edited, now)| *edited == turn && now.trim_end() == text.trim_end()) {
                    Some(_) => {}
                    None if turn == self.conversation.turns().len() && self.draft.trim_end() == text.trim_end() => self.draft.clear(),
                    None => {}
                }
                self.conversation.begin(turn, text.clone(), attempt);
                self.training.1 = None;
                self.worker.send(Command::SendMessage { text });
            }
        }
    }

    fn ask_for_snapshot(&mut self, shared: &Shared) {
        match self.training(shared) {
            Some(training) => {
                training.orders.send(Order::Snapshot);
                self.status = "Waiting for the model between two steps of its training".into();
                self.seen = shared.snapshot.as_ref().map(|taken| taken.snapshot.bytes.clone());
            }
            None => self.fail("cannot chat with the model in training: the run has ended. Choose its folder as the model".into()),
        }
    }

    fn send_open(&mut self, snapshot: Option<Snapshot>, shared: &Shared) {
        let key = self.setup(shared);
        self.opening = Some(key.clone());
        let ChatSetup { model, teacher, device, .. } = key;
        self.before = self.open.take().or(self.before.take());
        self.loaded.clear();
        self.step = snapshot.as_ref().map(|snapshot| snapshot.step);
        self.status = "Loading the model".into();
        let request = shared.settings.chat.request.clone();
        self.worker.send(Command::OpenChat(Box::new(ChatRequest { model, snapshot, teacher, device, context: None, system: None, request })));
    }

    fn fail(&mut self, error: String) {
        self.plan.clear();
        self.status.clear();
        match (self.at.take(), self.conversation.last()) {
            (Some(Step::Say { .. }), Some(turn)) => {
                turn.problem = Some(error);
                turn.height = None;
            }
            _ => self.problem = Some(error),
        }
    }

    /// Chooses a model and loads it; in a browser, a model given by URL is downloaded first.
    pub(super) fn choose(&mut self, model: String, shared: &mut Shared) {
        if let Some(models) = self.models.as_mut().filter(|_| model.starts_with("https://") || model.starts_with("http://")) {
            return models.fetch(model);
        }
        self.in_training = shared.training.as_ref().map(|training| training.run.clone()).filter(|run| run.display().to_string() == model);
        if self.in_training.is_none() {
            shared.settings.chat.model = model;
        }
        self.problem = None;
        if !self.busy() {
            self.plan = self.opening(shared, true).into();
            self.advance(shared);
        }
    }
}
