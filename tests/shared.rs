//! Helpers shared by the tests of the command line and of the window: folders, a small model, and synthetic runs.

use signet::runner::{Metrics, TrainConfig};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A temporary directory, removed when it is dropped.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("signet-test-{name}-{}-{n}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes a synthetic run with `steps` trained steps.
pub(crate) fn recorded(folder: &Path, name: &str, steps: u64) -> PathBuf {
    let run = folder.join(name);
    std::fs::create_dir_all(run.join("checkpoints/step-00000002")).unwrap();
    let config = toml::to_string(&TrainConfig { steps: 100, ..TrainConfig::default() }).unwrap();
    std::fs::write(run.join("run.toml"), config).unwrap();
    std::fs::write(run.join("metrics.jsonl"), (1..=steps).map(line).collect::<String>()).unwrap();
    run
}

/// A line of `metrics.jsonl`, with held-out losses at every second step.
pub(crate) fn line(step: u64) -> String {
    let loss = 8.0 / step as f64;
    let held_out = step.is_multiple_of(2).then(|| serde_json::from_str(r#"{"ad": 2.5, "ar": 3.0, "kl": 0.5}"#).unwrap());
    let metrics = Metrics {
        step,
        tokens: 64 * step,
        loss,
        ad: Some(loss),
        ar: loss,
        kl: Some(0.5),
        lr: 1e-3,
        flips: vec![0.1; 14],
        taken: true,
        held_out,
        ..Default::default()
    };
    serde_json::to_string(&metrics).unwrap() + "\n"
}
