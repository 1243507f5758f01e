//! Benchmark of the app's CPU time per frame: layout, text, plots and tessellation while the pointer moves.
//! GPU time is not measured.

use super::{App, Settings, Tab};
use anyhow::{Context, Result};
use eframe::egui::{self, Modifiers, PointerButton, Pos2, RawInput, Rect, Vec2};
use serde::Serialize;
use signet::runner::{Clock, Command, Event, Losses, Metrics, Reply, Term, TrainConfig, TrainEvent, TrainRequest, Tuning, Wake, Worker};
use std::path::Path;
use std::sync::Arc;

/// The window's size, in points.
const SIZE: Vec2 = Vec2::new(1280.0, 860.0);
/// Binarized matrices of the synthetic run: 7 in each of 12 blocks.
const MATRICES: usize = 84;
/// Warm-up frames that are not counted: the first ones rasterize fonts.
const WARM_UP: usize = 30;

/// Frame times of one scene, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct FrameReport {
    /// Description of the scene.
    pub scene: String,
    /// Number of timed frames.
    pub frames: usize,
    /// Median.
    pub median_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Maximum.
    pub most_ms: f64,
}

impl FrameReport {
    fn of(scene: impl Into<String>, mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let at = |share: f64| 1e3 * seconds[((seconds.len() as f64 * share) as usize).min(seconds.len() - 1)];
        Self { scene: scene.into(), frames: seconds.len(), median_ms: at(0.5), p99_ms: at(0.99), most_ms: at(1.0) }
    }
}

/// Times `frames` frames of every scene: each tab with a run of `points` steps, and the Train tab while a run
/// trains on the CPU device. That run's files stay in the folder `scratch`. Calls `tell` after each scene.
pub fn measure(points: u64, frames: usize, scratch: &Path, tell: &mut dyn FnMut(&FrameReport)) -> Result<Vec<FrameReport>> {
    let mut headless = HeadlessApp::new();
    (1..=points).for_each(|step| headless.app.handle(Tab::Train, synthetic_step(step, points)));
    let mut reports = Vec::new();
    for &tab in Tab::ALL {
        headless.app.shared.settings.tab = tab;
        let scene = if tab == Tab::Train { format!("Train, a run of {points} steps, zoomed and hovered") } else { tab.name().to_string() };
        reports.push(FrameReport::of(scene, headless.frames(frames)));
        tell(reports.last().expect("just pushed"));
    }
    headless.app.shared.settings.tab = Tab::Train;
    let mut training = Worker::spawn("training", Tuning::Off, Arc::new(|| {}));
    let config = TrainConfig { steps: 1 << 30, checkpoint_every: 0, sample_every: 0, eval_every: 0, warmup: 1, ..TrainConfig::default() };
    let request = TrainRequest {
        run: signet::runner::free_run(scratch).with_context(|| format!("cannot find an unused run name in {}", scratch.display()))?,
        numbered: true,
        config: Some(config),
        resume: false,
        from_step: None,
        device: "cpu".into(),
        memory: None,
    };
    training.send(Command::Train(Box::new(request)));
    let scene = format!("Train, the same while another run trains on the CPU device ({points} steps)");
    reports.push(FrameReport::of(scene, headless.frames_while(frames, &mut training, points)?));
    tell(reports.last().expect("just pushed"));
    Ok(reports)
}

/// A step of a synthetic run: noisy curves, and a held-out loss every 100 steps.
fn synthetic_step(step: u64, of: u64) -> Reply {
    let noise = (step.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / (1 << 24) as f64;
    let at = step as f64 / of as f64;
    let kl = 2.0 / (1.0 + 20.0 * at) + 0.3 * noise;
    let flips: Vec<f64> = (0..MATRICES).map(|n| 1e-3 * (1.0 - at) * (0.5 + noise) * (1.0 + n as f64 / MATRICES as f64)).collect();
    let held_out = step.is_multiple_of(100).then_some(Losses::new([(Term::Ad, 3.0 + kl), (Term::Ar, 3.1 + kl), (Term::KL, kl)]));
    let metrics = Metrics {
        step,
        tokens: step * 1024,
        loss: 3.0 + kl,
        ad: Some(3.0 + kl),
        ar: 3.1 + kl,
        kl: Some(kl),
        norm: Some(0.5 + noise),
        lr: 1e-3 * (1.0 - at),
        flip_ratio: flips.iter().sum::<f64>() / MATRICES as f64,
        flips,
        taken: true,
        loss_scale: 1.0,
        tokens_per_s: 8000.0 + 500.0 * noise,
        seconds: 0.13 * step as f64,
        held_out,
        ..Metrics::default()
    };
    Reply::Event(Event::Train(TrainEvent::Step(Box::new(metrics))))
}

/// The app without a window.
struct HeadlessApp {
    app: App,
    context: egui::Context,
    frame: usize,
}

impl HeadlessApp {
    fn new() -> Self {
        let wake: Wake = Arc::new(|| {});
        Self { app: App::new(Settings::default(), &wake), context: egui::Context::default(), frame: 0 }
    }

    /// Draws `frames` frames and returns the seconds of each.
    fn frames(&mut self, frames: usize) -> Vec<f64> {
        for _ in 0..WARM_UP {
            self.draw();
        }
        (0..frames).map(|_| self.draw()).collect()
    }

    /// Does the same while a worker trains; its steps are appended to the `points` already shown.
    fn frames_while(&mut self, frames: usize, training: &mut Worker, points: u64) -> Result<Vec<f64>> {
        let mut seconds = Vec::new();
        let mut begun = 0;
        while seconds.len() < frames || begun < 10 {
            for reply in training.poll() {
                match reply {
                    Reply::Event(Event::Train(TrainEvent::Step(metrics))) => {
                        begun += 1;
                        let step = Metrics { step: points + metrics.step, ..*metrics };
                        self.app.handle(Tab::Train, Reply::Event(Event::Train(TrainEvent::Step(Box::new(step)))));
                    }
                    Reply::Ended { error } => {
                        anyhow::bail!("training ended during the benchmark: {}", error.map_or_else(|| "no error".into(), |error| error.text))
                    }
                    _ => {}
                }
            }
            let took = self.draw();
            if begun > 0 && seconds.len() < frames {
                seconds.push(took);
            }
            // Paced like a 60 Hz display.
            signet::runner::block_for((1.0 / 60.0 - took).max(0.0));
        }
        training.stop();
        while training.busy() {
            training.poll();
            signet::runner::block_for(0.01);
        }
        Ok(seconds)
    }

    /// Draws one frame and returns its seconds. The pointer moves over the window; wheel and clicks come at intervals.
    fn draw(&mut self) -> f64 {
        self.frame += 1;
        let turn = self.frame as f32 * 0.05;
        let at = Pos2::new(SIZE.x * (0.5 + 0.45 * turn.sin()), SIZE.y * (0.5 + 0.45 * (0.7 * turn).cos()));
        let mut events = vec![egui::Event::PointerMoved(at)];
        if self.frame.is_multiple_of(5) {
            let delta = Vec2::new(0.0, if self.frame.is_multiple_of(10) { 20.0 } else { -20.0 });
            let (unit, phase) = (egui::MouseWheelUnit::Point, egui::TouchPhase::Move);
            events.push(egui::Event::MouseWheel { source: egui::MouseWheelSource::Unknown, unit, delta, phase, modifiers: Modifiers::COMMAND });
        }
        if self.frame.is_multiple_of(40) {
            let press = |pressed| egui::Event::PointerButton { pos: at, button: PointerButton::Middle, pressed, modifiers: Modifiers::NONE };
            events.extend([press(true), press(false)]);
        }
        let time = Some(self.frame as f64 / 60.0);
        let input = RawInput { screen_rect: Some(Rect::from_min_size(Pos2::ZERO, SIZE)), time, events, ..RawInput::default() };
        let clock = Clock::start();
        self.app.poll();
        let output = self.context.run_ui(input, |ui| self.app.ui(ui));
        let shapes = self.context.tessellate(output.shapes, output.pixels_per_point);
        let seconds = clock.seconds();
        assert!(!shapes.is_empty(), "something is drawn");
        seconds
    }
}
