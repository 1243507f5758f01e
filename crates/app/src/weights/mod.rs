//! The Weights tab: a layer's signs as an image, weights that flipped since a checkpoint, α and β.

mod camera;
mod plane;
mod scales;

use super::action::Action;
use super::dialog::{Dialog, Pick};
use super::plots::number;
use super::shared::Shared;
use crate::tab_view::TabView;
use crate::widgets::section;
use camera::Camera;
use eframe::egui::{self, ComboBox, ScrollArea, Ui, vec2};
use plane::{Colours, LoadedPlane, STEP};
use scales::Scales;
use signet::runner::{Command, Event, LayerInfo, PlaneView, Reply, Tuning, Wake, Worker};
use std::path::{Path, PathBuf};

/// The Weights tab.
pub(super) struct WeightsTab {
    worker: Worker,
    /// The model's name being typed.
    typed: String,
    /// A model to open once the worker is free.
    next_model: Option<String>,
    /// The current request to the worker.
    pending: Option<WeightsRequest>,
    model: Option<OpenModel>,
    problem: Option<String>,
    dialog: Dialog<Purpose>,
}

/// The purpose of a file dialog.
#[derive(Clone, Copy)]
enum Purpose {
    Open,
    Compare,
}

/// A part of a plane to request.
#[derive(Clone, PartialEq)]
struct PlaneRequest {
    layer: String,
    since: Option<PathBuf>,
    view: PlaneView,
}

enum WeightsRequest {
    Open,
    Plane(PlaneRequest),
    Scales,
}

/// The open model.
struct OpenModel {
    name: String,
    path: String,
    layers: Vec<LayerInfo>,
    checkpoints: Vec<(u64, PathBuf)>,
    bits_per_weight: f64,
    /// Index of the shown layer.
    layer: usize,
    /// The checkpoint that flips are counted from.
    since: Option<PathBuf>,
    camera: Option<Camera>,
    /// The last request for a plane, also if it failed.
    last: Option<PlaneRequest>,
    shown: Option<LoadedPlane>,
    /// Fractions of +1 and of flipped weights in the layer.
    shares: Option<(f64, Option<f64>)>,
    scales: Option<Scales>,
    /// The layer of the last request for scales.
    scaled: Option<usize>,
}

impl OpenModel {
    fn layer(&self) -> &LayerInfo {
        &self.layers[self.layer]
    }

    /// Shows another layer as a whole.
    fn show_layer(&mut self, layer: usize) {
        if layer != self.layer {
            (self.layer, self.camera, self.shown, self.shares) = (layer, None, None, None);
        }
    }

    /// Describes the checkpoint that flips are counted from.
    fn since_text(&self, since: Option<&Path>) -> String {
        let Some(since) = since else { return "nothing".into() };
        match self.checkpoints.iter().find(|(_, path)| path == since) {
            Some((step, _)) => format!("step {step}"),
            None => since.display().to_string(),
        }
    }

    /// Returns the next request, if the shown data is outdated.
    fn next(&mut self, pixels_per_point: f32) -> Option<(WeightsRequest, Command)> {
        let layer = self.layer().name.clone();
        if let Some(camera) = &self.camera {
            let want = PlaneRequest { layer: layer.clone(), since: self.since.clone(), view: camera.view(pixels_per_point) };
            if self.last.as_ref() != Some(&want) {
                self.last = Some(want.clone());
                let PlaneRequest { layer, since, view } = want.clone();
                return Some((WeightsRequest::Plane(want), Command::ShowPlane { layer, since, view }));
            }
        }
        if self.scaled != Some(self.layer) {
            self.scaled = Some(self.layer);
            return Some((WeightsRequest::Scales, Command::ShowScales { layer }));
        }
        None
    }
}

impl TabView for WeightsTab {
    fn poll(&mut self, shared: &mut Shared) {
        for reply in self.worker.poll() {
            self.handle(reply, shared);
        }
    }

    fn handle(&mut self, reply: Reply, _: &mut Shared) {
        match reply {
            Reply::Event(Event::Weights { model, path, layers, checkpoints, bits_per_weight }) => {
                self.opened(model, path, layers, checkpoints, bits_per_weight)
            }
            Reply::Event(event) => {
                if let Some(model) = &mut self.model {
                    apply_event(model, event);
                }
            }
            Reply::Restarted { .. } => {
                if let Some(model) = &self.model {
                    self.next_model = Some(model.name.clone());
                }
            }
            Reply::Ended { error } => {
                let request = self.pending.take();
                let Some(error) = error else { return };
                self.problem = Some(error.text);
                // Show the plane without the failed comparison.
                if let (Some(WeightsRequest::Plane(want)), Some(model)) = (request, &mut self.model)
                    && want.since == model.since
                {
                    model.since = None;
                }
            }
        }
    }

    fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        self.files(ui);
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            self.chooser(ui, shared);
            if let Some(problem) = &self.problem {
                ui.colored_label(ui.visuals().error_fg_color, problem);
            }
            if let Some(model) = &mut self.model {
                ui.separator();
                section(ui, "layer", |ui| layer_ui(ui, model, &mut self.dialog, shared.environment.folders()));
                numbers(ui, model);
                section(ui, "picture", |ui| picture(ui, model));
                if let Some(scales) = model.scales.as_ref().filter(|scales| scales.layer == model.layer().name) {
                    scales.ui(ui);
                }
            } else if self.problem.is_none() {
                ui.spinner();
            }
        });
        self.ask(ui);
    }

    fn act(&mut self, action: Action, _: &mut Shared) -> Option<Action> {
        let Action::Weights(model) = action else { return Some(action) };
        self.choose(model);
        None
    }

    fn keys(&mut self, _: &Ui, _: &mut Shared) {}
}

impl WeightsTab {
    /// Creates the tab.
    pub(super) fn new(wake: &Wake) -> Self {
        Self {
            worker: Worker::spawn("weights", Tuning::Off, wake.clone()),
            typed: "embedded".into(),
            next_model: Some("embedded".into()),
            pending: None,
            model: None,
            problem: None,
            dialog: Dialog::default(),
        }
    }

    /// Sets the opened model; keeps layer and camera if it has the same layers.
    fn opened(&mut self, name: String, path: String, layers: Vec<LayerInfo>, checkpoints: Vec<(u64, PathBuf)>, bits_per_weight: f64) {
        let before = self.model.take().filter(|before| before.layers == layers);
        let (layer, camera) = before.as_ref().map_or((0, None), |before| (before.layer, before.camera));
        let since = before.filter(|before| before.name == name).and_then(|before| before.since);
        self.problem = None;
        self.model = (!layers.is_empty()).then_some(OpenModel {
            name,
            path,
            layers,
            checkpoints,
            bits_per_weight,
            layer,
            since,
            camera,
            last: None,
            shown: None,
            shares: None,
            scales: None,
            scaled: None,
        });
    }

    /// Chooses a model.
    fn choose(&mut self, model: String) {
        self.typed.clone_from(&model);
        self.next_model = Some(model);
        self.problem = None;
    }

    /// Sends the next request to the worker, if it is free.
    fn ask(&mut self, ui: &Ui) {
        if self.pending.is_none() {
            let next = match (self.next_model.take(), &mut self.model) {
                (Some(model), _) => Some((WeightsRequest::Open, Command::OpenWeights { model })),
                (None, Some(model)) => model.next(ui.pixels_per_point()),
                (None, None) => None,
            };
            if let Some((request, command)) = next {
                self.pending = Some(request);
                self.worker.send(command);
            }
        }
        if self.pending.is_some() {
            // Replies take milliseconds; poll for them at 60 Hz.
            ui.ctx().request_repaint_after_secs(0.016);
        }
    }

    /// Handles files dropped on the tab or chosen in a dialog.
    fn files(&mut self, ui: &Ui) {
        let dropped = ui.input(|input| input.raw.dropped_files.first().map(|file| file.path().display().to_string()));
        if let Some(path) = dropped {
            self.choose(path);
        }
        match self.dialog.chosen(ui.ctx()) {
            Some((Purpose::Open, path)) => self.choose(path.display().to_string()),
            Some((Purpose::Compare, path)) => {
                self.problem = None;
                if let Some(model) = &mut self.model {
                    model.since = Some(path);
                }
            }
            None => {}
        }
    }

    /// Draws the choice of the model.
    fn chooser(&mut self, ui: &mut Ui, shared: &mut Shared) {
        ui.horizontal_wrapped(|ui| {
            let label = ui.label("Model");
            let width = (ui.available_width() - 320.0).clamp(120.0, 520.0);
            let hint = "embedded, a packed file, a run or a checkpoint";
            let field = ui.add(egui::TextEdit::singleline(&mut self.typed).hint_text(hint).desired_width(width)).labelled_by(label.id);
            let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
            let named = !self.typed.trim().is_empty();
            let open = ui.add_enabled(named, egui::Button::new("Open")).on_hover_text("Open it; a run shows its last checkpoint as it is now");
            if named && (entered || open.clicked()) {
                self.choose(self.typed.trim().into());
            }
            if ui.button("File…").on_hover_text("A packed model. It can also be dropped on the window").clicked() {
                self.dialog.open(Purpose::Open, Pick::File);
            }
            if shared.environment.folders() && ui.button("Folder…").on_hover_text("A run, a checkpoint, or a model directory").clicked() {
                self.dialog.open(Purpose::Open, Pick::Folder);
            }
            if ui.button("Embedded").on_hover_text("The demo student that is part of Signet").clicked() {
                self.choose("embedded".into());
            }
            if let Some(run) = shared.training.as_ref().map(|training| training.run.display().to_string())
                && ui.button("In training").on_hover_text("The last checkpoint of the run that this app trains").clicked()
            {
                self.choose(run);
            }
        });
    }
}

/// Applies an event to the open model.
fn apply_event(model: &mut OpenModel, event: Event) {
    match event {
        // Replies for a layer that is no longer shown are ignored.
        Event::Plane { layer, view, pixels, positive, flipped, .. } if layer == model.layer().name => {
            model.shown = Some(LoadedPlane::new(view, pixels));
            model.shares = Some((positive, flipped));
        }
        Event::Scales { layer, alpha, beta } => model.scales = Some(Scales::new(layer, &alpha, &beta)),
        _ => {}
    }
}

/// A layer's name without the common prefix.
fn short(name: &str) -> String {
    name.strip_prefix("model.layers.").map_or_else(|| name.into(), |rest| format!("block {}", rest.replacen('.', ", ", 1)))
}

/// Draws the choice of the layer, and of the checkpoint to compare with.
fn layer_ui(ui: &mut Ui, model: &mut OpenModel, dialog: &mut Dialog<Purpose>, folders: bool) {
    ui.horizontal_wrapped(|ui| {
        let mut layer = model.layer;
        let label = ui.label("Layer");
        let list = ComboBox::from_id_salt("layer").width(230.0).selected_text(short(&model.layer().name));
        let list = list.show_ui(ui, |ui| {
            for (n, info) in model.layers.iter().enumerate() {
                ui.selectable_value(&mut layer, n, short(&info.name));
            }
        });
        list.response.labelled_by(label.id);
        if ui.add_enabled(layer > 0, egui::Button::new("Previous layer")).clicked() {
            layer -= 1;
        }
        if ui.add_enabled(layer + 1 < model.layers.len(), egui::Button::new("Next layer")).clicked() {
            layer += 1;
        }
        model.show_layer(layer);
        let label = ui.label("Flips since");
        let mut since = model.since.clone();
        let list = ComboBox::from_id_salt("since").width(120.0).selected_text(model.since_text(since.as_deref()));
        let list = list.show_ui(ui, |ui| {
            ui.selectable_value(&mut since, None, "nothing");
            for (step, path) in model.checkpoints.iter().rev() {
                ui.selectable_value(&mut since, Some(path.clone()), format!("step {step}"));
            }
            for (name, pick) in [("another file…", Pick::File), ("another folder…", Pick::Folder)] {
                if (folders || pick == Pick::File) && ui.selectable_label(false, name).clicked() {
                    dialog.open(Purpose::Compare, pick);
                }
            }
        });
        list.response.labelled_by(label.id);
        model.since = since;
    });
}

/// Draws statistics of the model and the layer.
fn numbers(ui: &mut Ui, model: &OpenModel) {
    let LayerInfo { rows, cols, .. } = model.layer();
    ui.horizontal_wrapped(|ui| {
        ui.label(format!("{rows} outputs × {cols} inputs"));
        ui.separator();
        let packed = format!("{:.3} bits per weight, packed", model.bits_per_weight);
        ui.label(packed).on_hover_text("Of all binarized layers: signs, padding, and their share of α and β");
        if let Some((positive, flipped)) = model.shares {
            ui.separator();
            ui.label(format!("{:.2} % are +1", 100.0 * positive));
            if let Some(flipped) = flipped {
                let count = (flipped * (rows * cols) as f64).round();
                let since = model.last.as_ref().and_then(|last| last.since.as_deref());
                ui.separator();
                ui.label(format!("{} % flipped since {} ({count} weights)", number(100.0 * flipped), model.since_text(since)));
            }
        }
        ui.separator();
        ui.weak(&model.path);
    });
}

/// Draws the image with controls, legend, and the weight under the pointer.
fn picture(ui: &mut Ui, model: &mut OpenModel) {
    let compared = model.shares.is_some_and(|(_, flipped)| flipped.is_some());
    let mut zoom = None;
    ui.horizontal_wrapped(|ui| {
        let (closest, whole) = model.camera.as_ref().map_or((false, true), |camera| (camera.is_closest(), camera.is_whole()));
        for (name, enabled, factor, keys) in
            [("Zoom in", !closest, STEP, "Wheel, or +"), ("Zoom out", !whole, 1.0 / STEP, "Wheel, or -"), ("Whole", !whole, 0.0, "Home")]
        {
            if ui.add_enabled(enabled, egui::Button::new(name)).on_hover_text(keys).clicked() {
                zoom = Some(factor);
            }
        }
        Colours::of(ui.visuals().dark_mode).legend(ui, compared);
    });
    let layer = model.layer().clone();
    let wide = ui.available_width();
    let all = wide * layer.rows as f32 / layer.cols.max(1) as f32;
    let size = vec2(wide, all.clamp(160.0, (ui.ctx().content_rect().height() * 0.55).max(200.0)));
    let response = plane::picture(ui, size, &layer, &mut model.camera, model.shown.as_mut());
    let camera = model.camera.as_mut().expect("the picture has one");
    if let Some(factor) = zoom {
        *camera = camera.zoomed(factor, camera.middle());
        ui.ctx().request_repaint();
    }
    let pointed = response.hover_pos().and_then(|at| camera.weight(at - response.rect.min));
    let description = pointed.and_then(|(row, col)| model.shown.as_ref()?.describe(row, col, compared));
    ui.label(
        description.unwrap_or_else(|| "Point at a weight to read it; drag to move, turn the wheel to zoom. With the keyboard: arrows, + and -, Home.".into()),
    );
}
