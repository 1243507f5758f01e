//! Tests on small models with known signs: pixels, flips, and errors.

use super::*;
use crate::formats::safetensors::{Dtype, HeaderEntry, TensorWriter};
use crate::model::ModelConfig;
use crate::platform;
use crate::runner::{Command, Runner, Stop};
use std::collections::BTreeMap;

const LAYER: &str = "model.layers.0.mlp.down_proj";
const ROWS: usize = 40;
const COLS: usize = 72;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("signet-weights-{name}-{}", std::process::id()));
        platform::remove_dir(&path).unwrap();
        Self(path)
    }

    /// A model directory whose layer [`LAYER`] has these latent weights.
    fn model(&self, name: &str, config: &ModelConfig, latent: impl Fn(usize, usize) -> f32) -> PathBuf {
        let path = self.0.join(name);
        platform::make_dir(&path).unwrap();
        platform::write_atomic(&path.join("config.json"), serde_json::to_string(config).unwrap().as_bytes()).unwrap();
        let linears = config.linears();
        let weights = linears.iter().map(|(name, rows, cols)| (format!("{name}.weight"), *rows, *cols));
        let scales = linears.iter().flat_map(|(name, _, cols)| ["wscale", "wbias"].map(|part| (format!("{name}.{part}"), 1, *cols)));
        let all: Vec<(String, usize, usize)> = weights.chain(scales).chain(config.others()).collect();
        let infos: Vec<HeaderEntry> = all.iter().map(|(name, rows, cols)| (name.clone(), Dtype::F32, vec![*rows, *cols])).collect();
        let mut bytes = Vec::new();
        let mut writer = TensorWriter::new(&mut bytes, &infos, &BTreeMap::new()).unwrap();
        for (name, rows, cols) in &all {
            let value = |at: usize| match name.strip_prefix(LAYER) {
                Some(".weight") => latent(at / cols, at % cols),
                Some(".wscale") => at as f32,
                Some(".wbias") => -(at as f32),
                _ => 0.5,
            };
            writer.tensor(name, &(0..rows * cols).flat_map(|at| value(at).to_le_bytes()).collect::<Vec<u8>>()).unwrap();
        }
        writer.finish().unwrap();
        platform::write_atomic(&path.join("model.safetensors"), &bytes).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = platform::remove_dir(&self.0);
    }
}

fn config() -> ModelConfig {
    ModelConfig {
        model_type: "llama".into(),
        hidden_size: ROWS,
        intermediate_size: COLS,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: None,
        head_dim: None,
        vocab_size: 3,
        max_position_embeddings: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 1e4,
        rope_scaling: None,
        tie_word_embeddings: true,
    }
}

/// Latent weights of either sign, with zeros of either sign among them.
fn latent(row: usize, col: usize) -> f32 {
    [0.5, -0.25, 0.0, 1e-30, -0.0, -3.0, 2.0][(row * row + 5 * col + row * col) % 7]
}

fn runner() -> Runner {
    Runner::new(Stop::default())
}

fn execute(runner: &mut Runner, command: Command) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    runner.run(command, &mut |event| events.push(event))?;
    Ok(events)
}

fn open(runner: &mut Runner, path: &Path) -> Event {
    execute(runner, Command::OpenWeights { model: path.display().to_string() }).unwrap().remove(0)
}

/// Returns pixels, the fraction of +1, and the fraction flipped.
fn show(runner: &mut Runner, since: Option<&Path>, view: PlaneView) -> (Arc<Vec<u8>>, f64, Option<f64>) {
    let events = execute(runner, Command::ShowPlane { layer: LAYER.into(), since: since.map(Path::to_path_buf), view }).unwrap();
    match &events[..] {
        [Event::Plane { pixels, positive, flipped, .. }] => (pixels.clone(), *positive, *flipped),
        other => panic!("{other:?}"),
    }
}

fn refusal(runner: &mut Runner, command: Command) -> String {
    format!("{:#}", execute(runner, command).expect_err("refused"))
}

const WHOLE: PlaneView = PlaneView { x: 0, y: 0, width: COLS, height: ROWS, pixels_wide: COLS, pixels_high: ROWS };

#[test]
fn known_signs_give_known_pixels_at_every_zoom() {
    let scratch = Scratch::new("pixels");
    let now = scratch.model("now", &config(), latent);
    let flips = |row: usize, col: usize| row % 9 == 4 && col % 10 == 1;
    let then = scratch.model("then", &config(), |row, col| match latent(row, col) > 0.0 {
        positive if flips(row, col) => f32::from(!positive) - 0.5,
        _ => latent(row, col),
    });
    let mut runner = runner();
    open(&mut runner, &now);
    let plane = |view: PlaneView, runner: &mut Runner| {
        let (pixels, positive, flipped) = show(runner, Some(&then), view);
        for (at, pixel) in pixels.chunks(2).enumerate() {
            let (x, y) = (at % view.pixels_wide, at / view.pixels_wide);
            let covered: Vec<(usize, usize)> = view.rows(y).flat_map(|row| view.columns(x).map(move |col| (row, col))).collect();
            let share = |of: &dyn Fn(usize, usize) -> bool| covered.iter().filter(|(row, col)| of(*row, *col)).count() as f64 / covered.len() as f64;
            let want = [share(&|row, col| latent(row, col) > 0.0), share(&flips)];
            assert_eq!(f64::from(pixel[0]), (255.0 * want[0]).round(), "{x}, {y} of {view:?}");
            assert_eq!(f64::from(pixel[1]), (255.0 * want[1] - 1e-9).ceil(), "{x}, {y} of {view:?}");
        }
        (positive, flipped.unwrap())
    };
    let views = [
        WHOLE,
        // Means of uneven blocks across words; a single pixel; single weights as squares.
        PlaneView { pixels_wide: 17, pixels_high: 7, ..WHOLE },
        PlaneView { pixels_wide: 1, pixels_high: 1, ..WHOLE },
        PlaneView { x: 29, y: 11, width: 7, height: 5, pixels_wide: 31, pixels_high: 23 },
        PlaneView { x: 71, y: 39, width: 1, height: 1, pixels_wide: 2, pixels_high: 2 },
    ];
    let of = |of: &dyn Fn(usize, usize) -> bool| (0..ROWS * COLS).filter(|at| of(at / COLS, at % COLS)).count() as f64 / (ROWS * COLS) as f64;
    let whole = (of(&|row, col| latent(row, col) > 0.0), of(&flips));
    for view in views {
        assert_eq!(plane(view, &mut runner), whole, "shares are of the whole layer");
    }
    // The packed model has the same signs.
    let packed = scratch.0.join("packed.signet");
    crate::model::pack(&ModelFile::open(&now).unwrap(), &packed).unwrap();
    open(&mut runner, &packed);
    assert_eq!(plane(WHOLE, &mut runner), whole);
    assert_eq!(show(&mut runner, Some(&now), WHOLE).2, Some(0.0));
    assert_eq!(show(&mut runner, None, WHOLE).2, None);
}

#[test]
fn layers_scales_and_checkpoints_are_reported() {
    let scratch = Scratch::new("reported");
    let path = scratch.model("run/checkpoints/step-00000007", &config(), latent);
    scratch.model("run/checkpoints/step-00000012", &config(), |row, col| -latent(row, col));
    let run = scratch.0.join("run");
    platform::write_atomic(&run.join("run.toml"), b"").unwrap();
    let mut runner = runner();
    for (name, of) in [(&run, "step-00000012"), (&path, "step-00000007")] {
        let Event::Weights { path, layers, checkpoints, bits_per_weight: bits, .. } = open(&mut runner, name) else { panic!("no weights") };
        assert!(path.contains(of), "{path}");
        assert_eq!(layers.len(), 7);
        assert_eq!(layers[6], LayerInfo { name: LAYER.into(), rows: ROWS, cols: COLS });
        assert_eq!(bits, bits_per_weight(&config(), Linears::Binary));
        assert_eq!(checkpoints, [7, 12].map(|step| (step, run.join(format!("checkpoints/step-{step:08}")))));
    }
    match &execute(&mut runner, Command::ShowScales { layer: LAYER.into() }).unwrap()[..] {
        [Event::Scales { alpha, beta, .. }] => {
            assert_eq!(*alpha, (0..COLS).map(|n| n as f32).collect::<Vec<_>>());
            assert_eq!(*beta, (0..COLS).map(|n| -(n as f32)).collect::<Vec<_>>());
        }
        other => panic!("{other:?}"),
    }
    match open(&mut runner, Path::new("embedded")) {
        Event::Weights { layers, checkpoints, .. } => assert!(layers.len() == 28 && checkpoints.is_empty()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn invalid_requests_are_errors_and_the_model_stays_open() {
    let scratch = Scratch::new("refused");
    let model = scratch.model("model", &config(), latent);
    let other = scratch.model("other", &ModelConfig { intermediate_size: 96, ..config() }, latent);
    let deeper = scratch.model("deeper", &ModelConfig { num_hidden_layers: 2, ..config() }, latent);
    let text = scratch.0.join("notes.txt");
    platform::write_atomic(&text, b"no model at all").unwrap();
    let teacher = scratch.0.join("teacher.signet");
    platform::write_atomic(&teacher, crate::assets::teacher().unwrap()).unwrap();
    let mut runner = runner();
    let show_at = |layer: &str, since: Option<&Path>, view| Command::ShowPlane { layer: layer.into(), since: since.map(Path::to_path_buf), view };
    assert!(refusal(&mut runner, show_at(LAYER, None, WHOLE)).contains("no model is open"));
    open(&mut runner, &model);
    let bad = [
        (Command::OpenWeights { model: text.display().to_string() }, "notes.txt: is not a complete safetensors file"),
        (Command::OpenWeights { model: scratch.0.join("none").display().to_string() }, "no such file or directory"),
        (Command::OpenWeights { model: teacher.display().to_string() }, "a full-precision model has no signs"),
        (
            show_at(LAYER, Some(&other), WHOLE),
            "it has model.layers.0.mlp.gate_proj of 96 × 40 where the model shown has model.layers.0.mlp.gate_proj of 72 × 40",
        ),
        (show_at(LAYER, Some(&deeper), WHOLE), "it has model.layers.1.self_attn.q_proj of 40 × 40 where the model shown has no layer"),
        (show_at(LAYER, Some(&teacher), WHOLE), "a full-precision model has no signs"),
        (show_at("model.layers.1.mlp.down_proj", None, WHOLE), "has no binarized layer model.layers.1.mlp.down_proj"),
        (Command::ShowScales { layer: "x".into() }, "has no binarized layer x"),
        (show_at(LAYER, None, PlaneView { x: 1, ..WHOLE }), "is not inside"),
        (show_at(LAYER, None, PlaneView { y: usize::MAX, ..WHOLE }), "is not inside"),
        (show_at(LAYER, None, PlaneView { height: 0, ..WHOLE }), "is not inside"),
        (show_at(LAYER, None, PlaneView { pixels_wide: 0, ..WHOLE }), "cannot draw"),
        (show_at(LAYER, None, PlaneView { pixels_wide: usize::MAX, pixels_high: 2, ..WHOLE }), "cannot draw"),
    ];
    for (command, words) in bad {
        let error = refusal(&mut runner, command);
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(show(&mut runner, None, WHOLE).0.len(), 2 * ROWS * COLS);
}
