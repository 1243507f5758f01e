//! The app in a native window, over eframe: repaint rate, stored settings, closing.

use super::{Action, App, Settings, Shared, Tab, graphics};
use anyhow::{Context, Result, bail};
use eframe::egui::{self, ViewportBuilder, ViewportCommand};
use signet::runner::{Clock, Stop, TrainConfig, Wake};
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Minimum seconds between repaints that a worker requests.
const REPAINT: f32 = 0.25;
/// The same with a software adapter while a run trains: drawing and training share the CPU.
const REPAINT_IMITATED: f32 = 2.0;
/// Key of the settings in eframe's storage.
const STORED: &str = "settings";

/// Options of the window.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Folder of the runs; overrides the stored one.
    pub runs: Option<PathBuf>,
    /// Folder of the runs if none is stored.
    pub first_runs: Option<PathBuf>,
    /// Settings to fill the form of a new run with.
    pub config: Option<TrainConfig>,
    /// Set by Ctrl-C in the terminal that the app was started from.
    pub stop: Stop,
    /// CSV file for frame times, written when the window closes.
    pub frames: Option<PathBuf>,
}

/// Opens the window and returns when it was closed. Workers may still be busy: the caller must end the process
/// with [`exit`](signet::runner::exit).
pub fn open(options: Options) -> Result<()> {
    let frames = options.frames.clone();
    let times = Arc::new(Mutex::new(String::from("seconds,drawing_ms\n")));
    show(options, times.clone())?;
    if let Some(path) = frames {
        let times = times.lock().unwrap_or_else(PoisonError::into_inner);
        signet::runner::write_atomic(&path, times.as_bytes()).with_context(|| format!("cannot write frame times to {}", path.display()))?;
    }
    Ok(())
}

fn show(wishes: Options, times: Arc<Mutex<String>>) -> Result<()> {
    let viewport = ViewportBuilder::default().with_title("Signet").with_app_id("signet").with_inner_size([1280.0, 860.0]).with_min_inner_size([360.0, 320.0]);
    let viewport = viewport.with_icon(eframe::icon_data::from_png_bytes(include_bytes!("../../../assets/icon.png")).context("cannot decode the icon")?);
    let mut options = eframe::NativeOptions { viewport, persist_window: true, ..Default::default() };
    let passed = graphics::AdapterErrors::default();
    graphics::try_all(&mut options.wgpu_options, &passed);
    let create = move |context: &eframe::CreationContext<'_>| {
        let stored = context.storage.and_then(|storage| storage.get_string(STORED)).unwrap_or_default();
        let mut settings = Settings::from_json(&stored);
        let first = wishes.first_runs.filter(|_| stored.is_empty());
        settings.runs = wishes.runs.or(first).unwrap_or(settings.runs);
        let mut window = Window::new(settings, &context.egui_ctx);
        window.imitated = context.wgpu_render_state.as_ref().is_some_and(|state| state.adapter.get_info().device_type == eframe::wgpu::DeviceType::Cpu);
        for line in passed.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            window.app.shared.notices.tell(format!("The window is drawn by another adapter: {line}"));
        }
        if let Some(config) = wishes.config {
            window.app.shared.ask(Action::UseSettings { config: Box::new(config), name: String::new() });
        }
        window.stop = wishes.stop;
        watch(window.stop.clone(), context.egui_ctx.clone()).context("cannot start the thread that waits for Ctrl-C")?;
        window.times = wishes.frames.map(|_| (Clock::start(), times));
        Ok(Box::new(window) as Box<dyn eframe::App>)
    };
    match eframe::run_native("Signet", options, Box::new(create)) {
        Ok(()) => Ok(()),
        Err(error) => {
            bail!("cannot open the window: {error}. Without a display, use the command line, such as `signet train`; `signet --help` lists all commands")
        }
    }
}

/// The app in a native window.
struct Window {
    /// Never dropped: closing the window ends the process without waiting for workers.
    app: ManuallyDrop<App>,
    /// True while a repaint that a worker requested is pending.
    waiting: Arc<AtomicBool>,
    /// True to repaint at the slower rate.
    calm: Arc<AtomicBool>,
    /// True with a software adapter.
    imitated: bool,
    stop: Stop,
    /// Clock and CSV lines of frame times, if they are recorded.
    times: Option<(Clock, Arc<Mutex<String>>)>,
}

impl Window {
    fn new(settings: Settings, context: &egui::Context) -> Self {
        let (waiting, calm) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        context.set_theme(settings.theme);
        context.set_zoom_factor(settings.zoom.clamp(0.5, 4.0));
        let (context, asked, calmly) = (context.clone(), waiting.clone(), calm.clone());
        // Without user input, draw at most four times a second.
        let wake: Wake = Arc::new(move || {
            if !asked.swap(true, Ordering::AcqRel) {
                context.request_repaint_after_secs(if calmly.load(Ordering::Acquire) { REPAINT_IMITATED } else { REPAINT });
            }
        });
        Self { app: ManuallyDrop::new(App::new(settings, &wake)), waiting, calm, imitated: false, stop: Stop::default(), times: None }
    }
}

/// Requests a repaint once `stop` is set: an idle app would not notice it.
fn watch(stop: Stop, context: egui::Context) -> std::io::Result<()> {
    signet::runner::spawn("ctrl-c", move || {
        while !stop.is_requested() {
            signet::runner::block_for(0.2);
        }
        context.request_repaint();
    })
    .map(drop)
}

impl eframe::App for Window {
    fn logic(&mut self, context: &egui::Context, _frame: &mut eframe::Frame) {
        self.waiting.store(false, Ordering::Release);
        if self.stop.is_requested() {
            self.app.close();
        }
        self.app.poll();
        let Shared { settings, training, .. } = &self.app.shared;
        self.calm.store(self.imitated && training.is_some() && matches!(settings.tab, Tab::Train | Tab::Runs), Ordering::Release);
        if context.input(|input| input.viewport().close_requested()) && !self.app.may_close() {
            context.send_viewport_cmd(ViewportCommand::CancelClose);
        } else if self.app.closes() {
            context.send_viewport_cmd(ViewportCommand::Close);
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, frame: &mut eframe::Frame) {
        if let (Some((clock, times)), Some(took)) = (&self.times, frame.info().cpu_usage) {
            // CPU time of the previous frame, without presentation.
            times.lock().unwrap_or_else(PoisonError::into_inner).push_str(&format!("{:.4},{:.3}\n", clock.seconds(), 1e3 * took));
        }
        self.app.shared.settings.zoom = ui.ctx().zoom_factor();
        self.app.ui(ui);
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        if let Some(text) = self.app.shared.settings.to_json() {
            storage.set_string(STORED, text);
        }
    }
}
