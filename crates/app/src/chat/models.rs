//! Models in the browser's storage: download from a URL, list with sizes, open, delete.

use eframe::egui::{Button, CollapsingHeader, ProgressBar, TextEdit, Ui};
use signet::runner::{Clock, Command, Event, Reply, StorageQuota, StoredModel, Tuning, Wake, Worker, format_bytes};

/// The list of downloaded models, and the download in progress.
pub(super) struct Models {
    worker: Worker,
    url: String,
    models: Vec<StoredModel>,
    room: StorageQuota,
    at: Option<Download>,
    problem: Option<String>,
    /// The model whose deletion waits for confirmation.
    to_delete: Option<String>,
    /// Path of a model whose download just finished.
    new: Option<String>,
    fetched: String,
}

/// Progress of a download.
struct Download {
    done: u64,
    of: Option<u64>,
    rate: f64,
    note: String,
    since: Clock,
}

impl Models {
    /// Creates the list and requests its content.
    pub(super) fn new(wake: &Wake) -> Self {
        let mut worker = Worker::spawn("models", Tuning::default(), wake.clone());
        worker.send(Command::ListModels);
        Self {
            worker,
            url: String::new(),
            models: Vec::new(),
            room: StorageQuota::default(),
            at: None,
            problem: None,
            to_delete: None,
            new: None,
            fetched: String::new(),
        }
    }

    /// Handles the worker's replies; returns the path of a model whose download just finished.
    pub(super) fn poll(&mut self) -> Option<String> {
        for reply in self.worker.poll() {
            match reply {
                Reply::Event(Event::Models { models, room }) => (self.models, self.room) = (models, room),
                Reply::Event(Event::Fetching { done, of, rate, note, .. }) => {
                    let since = self.at.as_ref().map_or_else(Clock::start, |at| at.since);
                    self.at = Some(Download { done, of, rate, note, since });
                }
                Reply::Event(Event::Fetched { name, path, bytes, sha256 }) => {
                    self.fetched = format!("{name}: {}, SHA-256 {sha256}", format_bytes(bytes));
                    self.new = Some(path.display().to_string());
                }
                Reply::Event(_) => {}
                Reply::Restarted { why } => {
                    if self.at.is_some() {
                        self.problem = Some(format!("The engine was restarted: {why}. Fetch again to resume the download."));
                    }
                    self.worker.send(Command::ListModels);
                }
                Reply::Ended { error } => {
                    self.problem = error.map(|error| error.text).or(self.problem.take());
                    self.at = None;
                }
            }
        }
        self.new.take()
    }

    /// Downloads a model, or resumes its download.
    pub(super) fn fetch(&mut self, url: String) {
        if self.at.is_none() && !url.trim().is_empty() {
            self.problem = None;
            self.fetched.clear();
            self.at = Some(Download { done: 0, of: None, rate: 0.0, note: "asking the server".into(), since: Clock::start() });
            self.worker.send(Command::FetchModel { url: url.trim().into(), sha256: None });
        }
    }

    /// Returns the URL that a stored model was downloaded from.
    pub(super) fn address_of(&self, path: &str) -> Option<&str> {
        let name = path.strip_prefix("/models/")?;
        self.models.iter().find(|model| model.name == name).map(|model| &model.url[..])
    }

    /// Draws the list; returns the path of a model that was chosen.
    pub(super) fn ui(&mut self, ui: &mut Ui) -> Option<String> {
        let mut chosen = None;
        if let Some(fleeting) = &self.room.fleeting {
            ui.colored_label(ui.visuals().warn_fg_color, format!("Not kept: {fleeting}."));
        }
        // The id changes with the first model, so that the section then opens by default.
        let any = !self.models.is_empty();
        CollapsingHeader::new("Models from the network").id_salt(("models", any)).default_open(any).show(ui, |ui| {
            self.address(ui);
            self.progress(ui);
            if let Some(problem) = self.problem.clone() {
                ui.colored_label(ui.visuals().error_fg_color, problem);
                if ui.button("Dismiss this error").clicked() {
                    self.problem = None;
                }
            }
            if !self.fetched.is_empty() {
                ui.small(&self.fetched);
            }
            chosen = self.list(ui);
            if self.room.quota > 0 {
                ui.small(format!(
                    "{} in use, {} free in this browser",
                    format_bytes(self.room.used),
                    format_bytes(self.room.quota.saturating_sub(self.room.used))
                ));
            }
        });
        chosen
    }

    fn address(&mut self, ui: &mut Ui) {
        let label = ui.label("Address of a packed model").on_hover_text("It must begin with https://, and its server must let other sites read it");
        ui.add(TextEdit::singleline(&mut self.url).hint_text("https://").desired_width(f32::INFINITY)).labelled_by(label.id);
        ui.horizontal(|ui| {
            let ready = self.at.is_none() && !self.url.trim().is_empty();
            if ui.add_enabled(ready, Button::new("Fetch")).on_hover_text("A fetch that was broken off goes on where it was").clicked() {
                self.fetch(self.url.clone());
            }
            if ui.add_enabled(self.at.is_some(), Button::new("Stop fetching")).on_hover_text("What is here is kept").clicked() {
                self.worker.stop();
            }
        });
    }

    fn progress(&self, ui: &mut Ui) {
        let Some(at) = &self.at else { return };
        let mut text = format_bytes(at.done);
        if let Some(of) = at.of.filter(|of| *of > 0) {
            text = format!("{text} of {}", format_bytes(of));
            if at.rate > 0.0 {
                text += &format!(", {:.0} s left", of.saturating_sub(at.done) as f64 / at.rate);
            }
            ui.add(ProgressBar::new(at.done as f32 / of as f32).desired_height(8.0));
        }
        if at.rate > 0.0 {
            text += &format!(", {}/s", format_bytes(at.rate as u64));
        }
        ui.label(text);
        if !at.note.is_empty() {
            ui.label(&at.note);
        } else if at.since.seconds() > 600.0 {
            ui.small("You can go on with other things: what is fetched is kept even if the page is closed.");
        }
    }

    fn list(&mut self, ui: &mut Ui) -> Option<String> {
        let (mut chosen, mut resumed) = (None, None);
        let busy = self.at.is_some();
        for model in &self.models {
            let part = if model.whole { String::new() } else { model.of.map_or(", a part".into(), |of| format!(" of {}", format_bytes(of))) };
            ui.label(format!("{} ({}{part})", model.name, format_bytes(model.bytes))).on_hover_text(&model.url);
            ui.horizontal_wrapped(|ui| {
                if model.whole && ui.button(format!("Open {}", model.name)).clicked() {
                    chosen = Some(format!("/models/{}", model.name));
                }
                if !model.whole && ui.add_enabled(!busy && !model.url.is_empty(), Button::new(format!("Go on with {}", model.name))).clicked() {
                    resumed = Some(model.url.clone());
                }
                if self.to_delete.as_ref() != Some(&model.name) {
                    if ui.add_enabled(!busy, Button::new(format!("Delete {}", model.name))).clicked() {
                        self.to_delete = Some(model.name.clone());
                    }
                    return;
                }
                ui.label("Delete it? It must be fetched again then.");
                if ui.button("Yes, delete").clicked() {
                    self.worker.send(Command::DeleteModel { name: model.name.clone() });
                    self.to_delete = None;
                } else if ui.button("No, keep").clicked() {
                    self.to_delete = None;
                }
            });
        }
        if let Some(url) = resumed {
            self.url.clone_from(&url);
            self.fetch(url);
        }
        chosen
    }
}
