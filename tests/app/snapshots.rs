//! Snapshots of every tab, light and dark, from recorded events instead of workers. `UPDATE_SNAPSHOTS=true` updates
//! them; the recordings are the output of `train`, `conform` and `devices` with `--json`.

use crate::shared::{Scratch, root};
use eframe::egui::{MissingGlyphPolicy, Theme, accesskit::Role};
use eframe::egui_wgpu::{WgpuSetup, wgpu};
use egui_kittest::kittest::Queryable;
use egui_kittest::{Harness, SnapshotOptions, SnapshotResults};
use signet::runner::{Event, LayerInfo, Losses, Metrics, ModelComparison, PlaneView, Reply, RunInfo, Term, TokenKl, TrainConfig, TrainEvent};
use signet_app::{App, Settings, Tab};
use std::sync::Arc;

const TRAIN: &str = include_str!("recorded/train.jsonl");
const CONFORM: &str = include_str!("recorded/conform.json");
const DEVICES: &str = include_str!("recorded/devices.json");

/// Returns true for the adapter that rendered the snapshots. Others rasterize the edges of lines differently.
fn rendered_snapshots(info: &wgpu::AdapterInfo) -> bool {
    info.name.contains("llvmpipe") && info.backend == wgpu::Backend::Vulkan
}

/// Selects that adapter if it exists, else the default of egui's tests.
fn setup() -> WgpuSetup {
    let mut setup = egui_kittest::wgpu::default_wgpu_setup();
    if let WgpuSetup::CreateNew(new) = &mut setup {
        let usual = new.native_adapter_selector.take().expect("egui's tests choose");
        new.native_adapter_selector = Some(Arc::new(move |adapters, surface| match adapters.iter().find(|adapter| rendered_snapshots(&adapter.get_info())) {
            Some(adapter) => Ok(adapter.clone()),
            None => usual(adapters, surface),
        }));
    }
    setup
}

/// Tolerance in pixels of a million that may differ visibly: none on the adapter that rendered the snapshots, some
/// along the edges of lines on others.
fn options() -> SnapshotOptions {
    let adapters = signet::platform::wait(signet::device::adapters());
    SnapshotOptions::new().output_path(root().join("tests/snapshots")).max_failed_pixels(if adapters.iter().any(|adapter| rendered_snapshots(&adapter.info)) {
        0_usize
    } else {
        2000
    })
}

pub(super) type Window = Harness<'static, App>;

fn open(tab: Tab, theme: Theme) -> (Window, Scratch) {
    open_at(tab, theme, [1280.0, 860.0])
}

/// Opens a window; `size` in points.
pub(super) fn open_at(tab: Tab, theme: Theme, size: [f32; 2]) -> (Window, Scratch) {
    let scratch = Scratch::new(&format!("picture-{}-{theme:?}-{}", tab.name(), size[0]));
    let settings = Settings { runs: "runs".into(), tab, ..Settings::default() };
    let app = App::new(settings, &(Arc::new(|| ()) as _));
    let builder = Harness::builder().with_size(size).with_theme(theme).with_accessibility_check(false).wgpu_setup(setup());
    let mut window = builder.build_ui_state(|ui, app: &mut App| app.ui(ui), app);
    window.ctx.set_missing_glyph_policy(MissingGlyphPolicy::Tofu);
    if let Ok(Event::Devices { adapters }) = serde_json::from_str(DEVICES) {
        window.state_mut().shared.devices = adapters;
    }
    window.run_steps(3);
    (window, scratch)
}

fn send_events(window: &mut Window, events: impl IntoIterator<Item = Event>) {
    let tab = window.state().shared.settings.tab;
    for event in events {
        window.state_mut().handle(tab, Reply::Event(event));
    }
    window.run_steps(3);
}

fn click(window: &mut Window, role: Role, label: &str) {
    window.get_by_role_and_label(role, label).click_accesskit();
    window.run_steps(3);
}

fn recorded() -> Vec<Event> {
    TRAIN.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn steps() -> Vec<Metrics> {
    let steps = recorded().into_iter().filter_map(|event| if let Event::Train(TrainEvent::Step(metrics)) = event { Some(*metrics) } else { None });
    steps.collect()
}

fn train(window: &mut Window) {
    send_events(window, recorded());
}

fn runs(window: &mut Window) {
    let run = |name: &str, lr: f64| RunInfo {
        name: name.into(),
        path: format!("runs/{name}").into(),
        modified: 1e9,
        training: name == "slow",
        config: Some(Box::new(TrainConfig { lr, ..TrainConfig::default() })),
        last: steps().last().cloned().map(Box::new),
        held_out: Some((60, Losses::new([(Term::Ad, 5.0), (Term::Ar, 5.1), (Term::KL, 1.9)]))),
        checkpoints: vec![60],
        problem: None,
    };
    let broken = RunInfo { config: None, last: None, held_out: None, problem: Some("run.toml: line 3: unknown field `bach`".into()), ..run("broken", 0.0) };
    let list = Event::Runs { folder: "runs".into(), found: true, runs: vec![run("quick", 2e-3), run("slow", 5e-4), broken], trashed: 1, now: 1e9 + 90.0 };
    send_events(window, [list]);
    for (name, factor) in [("quick", 1.0), ("slow", 1.1)] {
        click(window, Role::CheckBox, name);
        let metrics = steps().into_iter().map(|step| Metrics { loss: factor * step.loss, ..step }).collect();
        let path = format!("runs/{name}").into();
        send_events(window, [Event::RunMetrics { path, until: Default::default(), restarted: false, more: false, metrics, broken: Vec::new() }]);
    }
}

fn chat(window: &mut Window) {
    window.get_by_role_and_label(Role::MultilineTextInput, "Message").focus();
    window.run_steps(2);
    window.get_by_role_and_label(Role::MultilineTextInput, "Message").type_text("hi, how are you?");
    window.run_steps(2);
    click(window, Role::Button, "Send");
    let loaded = Event::Loaded { model: "the embedded student".into(), device: "the CPU device".into(), context: 512, memory: 9_000_000 };
    let token = |text: &str, kl| TokenKl { text: text.into(), kl, student_p: 0.4, teacher_p: 0.5 };
    let reply = vec![token("I'm", 0.02), token(" doing", 0.3), token(" great", 0.9), token(", thanks", 2.5), token("!", 0.001)];
    let text = reply.iter().map(|token| token.text.clone()).collect();
    send_events(window, [loaded]);
    // The model is loaded, with an empty history.
    for _ in 0..2 {
        window.state_mut().handle(Tab::Chat, Reply::Ended { error: None });
    }
    send_events(window, [Event::Text { text }, Event::TokenKl(ModelComparison { turn: Vec::new(), reply })]);
    send_events(window, [Event::TeacherText { text: "I'm fine. And you?".into() }]);
}

fn weights(window: &mut Window) {
    let layer = "model.layers.0.self_attn.q_proj".to_string();
    let layers = vec![LayerInfo { name: layer.clone(), rows: 64, cols: 96 }];
    let opened = Event::Weights { model: "embedded".into(), path: "the embedded student".into(), layers, checkpoints: Vec::new(), bits_per_weight: 1.095 };
    send_events(window, [opened]);
    let view = PlaneView { x: 0, y: 0, width: 96, height: 64, pixels_wide: 96, pixels_high: 64 };
    let pixels = (0..96 * 64).flat_map(|n: u32| [if (n * n / 7 + n) % 5 < 2 { 255 } else { 0 }, 0]).collect();
    let plane = Event::Plane { layer: layer.clone(), since: None, view, pixels: Arc::new(pixels), positive: 0.4, flipped: None };
    let wave = |scale: f32| (0..96).map(|n| scale * (n as f32 * 0.3).sin()).collect();
    send_events(window, [plane, Event::Scales { layer, alpha: wave(0.2), beta: wave(0.05) }]);
}

fn devices(window: &mut Window) {
    send_events(window, [serde_json::from_str(CONFORM).unwrap()]);
}

/// Functions that fill each tab with recorded events.
pub(super) const FILLS: [fn(&mut Window); 5] = [train, runs, chat, weights, devices];

#[test]
fn every_tab_matches_its_snapshot() {
    let options = options();
    let mut results = SnapshotResults::new();
    for (tab, fill) in Tab::ALL.iter().copied().zip(FILLS) {
        for theme in [Theme::Light, Theme::Dark] {
            let (mut window, _scratch) = open(tab, theme);
            fill(&mut window);
            let name = format!("{}-{}", tab.name().to_lowercase(), if theme == Theme::Light { "light" } else { "dark" });
            results.add(window.try_snapshot_options(name, &options));
        }
    }
}
