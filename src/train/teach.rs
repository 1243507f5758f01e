//! Creation of a teacher cache: the teacher's forward pass over every missing window, and the top-k
//! probabilities of each position, in 65,535ths.

use super::step::StepError;
use crate::data::{CacheError, CacheWriter, Corpus, SHARE_SCALE};
use crate::graph::{BufferKind, Machine, Program, Real, Spec, Tape, TensorId, TensorLocation, sum, vectorised};
use crate::model::{Forward, Positions, Weights, chunk_rows, logits};
use crate::platform::parallel::*;

/// An error of creating a teacher cache.
#[derive(Debug, thiserror::Error)]
pub enum TeachError {
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The teacher's forward.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The machine.
    #[error(transparent)]
    Machine(#[from] crate::graph::MachineError),
    /// Logits are not finite.
    #[error(
        "cannot cache the teacher: its logits are not finite in window {window}. Its weights are damaged, or too large for their storage: check the file, or use --teacher-storage f32"
    )]
    NotFinite {
        /// The window.
        window: usize,
    },
}

/// The contents of a teacher cache.
#[derive(Clone, Copy, Debug)]
pub struct Teaching {
    /// Tokens kept at each position.
    pub top: usize,
    /// Temperature of the probabilities.
    pub temperature: f64,
    /// Tokens in a window.
    pub seq: usize,
}

/// Tokens of a forward pass, if windows are short enough.
const ROWS: usize = 1024;
/// Most bytes of logits of a forward pass, unless a single window has more.
const LOGITS: usize = 256 << 20;

/// Computes every missing window; returns true if all are there, false if `stop` ended it before. Calls
/// `progress(done, of)` after each forward pass.
pub async fn teach(
    machine: &mut Machine, teacher: &Weights, cache: &mut CacheWriter, corpus: &Corpus, teaching: Teaching, stop: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<bool, TeachError> {
    let missing = cache.missing().to_vec();
    let at_once = (ROWS / teaching.seq).min(LOGITS / 4 / teaching.seq / teacher.config.vocab_size).clamp(1, missing.len().max(1));
    let grid = cache.grid();
    let mut forward = TeacherForward::new(machine, teacher, at_once, teaching.seq)?;
    for (n, windows) in missing.chunks(at_once).enumerate() {
        if stop() {
            cache.sync()?;
            return Ok(false);
        }
        let mut tokens = Vec::new();
        for &window in windows {
            tokens.extend(grid.tokens(corpus, window).map_err(CacheError::from)?);
        }
        let whole = tokens.len();
        // The last forward pass may have fewer windows; it is padded, and the padding's results are ignored.
        tokens.resize(at_once * teaching.seq, tokens[0]);
        let rows = forward.run(machine, &tokens).await?;
        let rows = &rows[..whole * teacher.config.vocab_size];
        if let Some(at) = rows.iter().position(|logit| !logit.is_finite()) {
            cache.sync()?;
            return Err(TeachError::NotFinite { window: windows[at / teacher.config.vocab_size / teaching.seq] });
        }
        let kept = top_k(rows, teacher.config.vocab_size, teaching);
        for ((&window, tokens), (ids, shares)) in windows.iter().zip(tokens.chunks(teaching.seq)).zip(&kept) {
            cache.write(window, tokens, ids, shares)?;
        }
        progress((n * at_once + windows.len()).min(missing.len()), missing.len());
    }
    cache.sync()?;
    Ok(true)
}

/// The teacher's compiled forward pass.
struct TeacherForward {
    program: Program,
    tokens: TensorLocation,
    logits: Vec<TensorId>,
}

impl TeacherForward {
    fn new(machine: &mut Machine, weights: &Weights, batch: usize, seq: usize) -> Result<Self, StepError> {
        let rows = batch * seq;
        let spec = Spec::u32(rows, 1);
        let tokens = TensorLocation { memory: machine.allocate(BufferKind::Words, spec.words())?, offset: 0, spec };
        let positions = Positions::new(machine, &weights.config, seq)?;
        let mut tape = Tape::new();
        let ids = tape.persistent(tokens);
        let hidden = Forward { weights, positions, batch, seq, cache: None }.hidden(&mut tape, ids)?;
        let chunk = chunk_rows(rows, weights.config.vocab_size);
        let mut parts = Vec::new();
        for first in (0..rows).step_by(chunk) {
            let part = tape.rows(hidden, first, chunk.min(rows - first));
            let part = logits(&mut tape, weights, part)?;
            tape.keep(part);
            parts.push(part);
        }
        Ok(Self { program: machine.compile(tape)?, tokens, logits: parts })
    }

    /// Returns the logits of every row.
    async fn run(&mut self, machine: &mut Machine, tokens: &[u32]) -> Result<Vec<f32>, StepError> {
        machine.write(&self.tokens, tokens)?;
        machine.run(&mut self.program)?;
        let mut rows = Vec::new();
        for &part in &self.logits {
            rows.extend_from_slice(bytemuck::cast_slice(&machine.read_tensor(&self.program, part).await?));
        }
        Ok(rows)
    }
}

/// Returns the top-k ids and probabilities of each window of `rows`.
fn top_k(rows: &[f32], vocabulary: usize, teaching: Teaching) -> Vec<(Vec<u32>, Vec<u16>)> {
    let Teaching { top, temperature, seq } = teaching;
    let window = |rows: &[f32]| {
        let (mut ids, mut shares) = (Vec::with_capacity(seq * top), Vec::with_capacity(seq * top));
        let (mut exps, mut order) = (vec![0.0; vocabulary], vec![0.0; vocabulary]);
        for logits in rows.chunks(vocabulary) {
            let total = exponentials(logits, 1.0 / temperature as f32, &mut exps);
            push_top_k(&exps, total, top, &mut order, &mut ids, &mut shares);
        }
        (ids, shares)
    };
    rows.par_chunks(seq * vocabulary).map(window).collect()
}

/// Computes e^(scale · (logit − max)) of a row; returns their sum.
fn exponentials(logits: &[f32], scale: f32, out: &mut [f32]) -> f32 {
    vectorised(
        #[inline(always)]
        || {
            let top = logits.iter().fold(f32::MIN, |top, &x| Real::max(top, x));
            for (exps, &x) in out.iter_mut().zip(logits) {
                *exps = Real::exp((x - top) * scale);
            }
            sum(out)
        },
    )
}

/// Appends the top-k ids, ascending, and their probabilities. Running sums are rounded instead of
/// probabilities: so the error of each is at most one 65,535th, and that of the bucket half of one.
fn push_top_k(exps: &[f32], total: f32, top: usize, order: &mut [f32], ids: &mut Vec<u32>, shares: &mut Vec<u16>) {
    order.copy_from_slice(exps);
    let (above, &mut threshold, _) = order.select_nth_unstable_by(top - 1, |a, b| b.total_cmp(a));
    // Of equal probabilities at the end the lowest ids are kept.
    let mut equals = top - above.iter().filter(|&&exps| exps > threshold).count();
    let (mut so_far, mut given) = (0.0, 0);
    for (id, &exps) in exps.iter().enumerate() {
        if exps < threshold || exps == threshold && equals == 0 {
            continue;
        }
        equals -= usize::from(exps == threshold);
        so_far += f64::from(exps) / f64::from(total);
        let sum = (so_far * f64::from(SHARE_SCALE)).round().min(f64::from(SHARE_SCALE)) as u32;
        ids.push(id as u32);
        shares.push((sum - given) as u16);
        given = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Origin;
    use crate::device::{Checks, Gpu, adapters};
    use crate::graph::Storage;
    use crate::model::{Linears, ModelConfig, Purpose, init_dense, init_from_dense};
    use crate::platform;
    use std::sync::Arc;

    /// Creates a cache in `dir` on the first adapter; calls `fault` after each forward pass.
    fn made(dir: &std::path::Path, fault: &dyn Fn(usize, &Gpu)) -> Result<bool, TeachError> {
        let gpu = Arc::new(platform::wait(async { Gpu::open(&adapters().await[0], Checks::Off).await }).unwrap());
        let mut machine = Machine::gpu(gpu.clone(), crate::ops::FUSIONS);
        let config = ModelConfig { num_hidden_layers: 1, hidden_size: 48, intermediate_size: 80, ..ModelConfig::preset("tiny", 97).unwrap() };
        let teacher = Weights::allocate(&mut machine, &config, Linears::Dense, Purpose::Inference(Storage::F32)).unwrap();
        init_from_dense(&mut machine, &teacher, &mut init_dense(&config, 3)).unwrap();
        let text = |n: u32| (0..n).map(|i| i * i % 97).collect::<Vec<u32>>().into();
        let corpus = Corpus { train: text(9000), held_out: text(500) };
        let teaching = Teaching { top: 5, temperature: 1.0, seq: 64 };
        let origin = Origin { teacher: Some(1), vocabulary: 97, seq: 64, temperature: 1.0, top: Some(5), text: Origin::text(&corpus).unwrap() };
        let mut cache = CacheWriter::open(dir, &origin, &corpus, &[])?;
        platform::wait(teach(&mut machine, &teacher, &mut cache, &corpus, teaching, &|| false, &mut |done, _| fault(done, &gpu)))
    }

    #[test]
    fn a_cache_resumes_to_the_same_bytes_after_a_lost_gpu_or_lack_of_memory() {
        let dir = std::env::temp_dir().join(format!("signet-teach-{}", std::process::id()));
        let file = |name: &str| platform::read(&dir.join(name).join("teacher.safetensors")).unwrap();
        assert!(made(&dir.join("whole"), &|_, _| {}).unwrap());
        let lost = made(&dir.join("fault"), &|done, gpu| {
            if done == 32 {
                gpu.destroy()
            }
        })
        .unwrap_err();
        let short = made(&dir.join("fault"), &|done, gpu| {
            if done == 16 {
                gpu.fail_next_call()
            }
        })
        .unwrap_err();
        assert!(lost.to_string().contains("lost") && short.to_string().contains("no memory"), "{lost}; {short}");
        assert!(file("fault") != file("whole"));
        assert!(made(&dir.join("fault"), &|_, _| {}).unwrap());
        assert!(file("fault") == file("whole"), "the caches differ");
        platform::remove_dir(&dir).unwrap();
    }

    #[test]
    fn the_top_k_are_kept_with_their_probabilities() {
        let logits: Vec<f32> = (0..50).map(|i| ((i * 37) % 50) as f32 * 0.2).collect();
        let kept = top_k(&[&logits[..], &[1.0; 50]].concat(), 50, Teaching { top: 7, temperature: 2.0, seq: 1 });
        let total: f64 = logits.iter().map(|x| f64::from(x / 2.0).exp()).sum();
        let mut order: Vec<usize> = (0..50).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let mut want: Vec<u32> = order[..7].iter().map(|&id| id as u32).collect();
        want.sort_unstable();
        let (ids, shares) = &kept[0];
        assert_eq!(ids, &want);
        let mut rest = 1.0;
        for (&id, &share) in ids.iter().zip(shares) {
            let p = f64::from(logits[id as usize] / 2.0).exp() / total;
            rest -= p;
            assert!((f64::from(share) / f64::from(SHARE_SCALE) - p).abs() < 1.01 / f64::from(SHARE_SCALE));
        }
        let left = 1.0 - shares.iter().map(|&share| f64::from(share)).sum::<f64>() / f64::from(SHARE_SCALE);
        assert!((left - rest).abs() < 0.51 / f64::from(SHARE_SCALE), "{left} {rest}");
        assert_eq!(kept[1].0, (0..7).collect::<Vec<u32>>());
        assert_eq!(kept[1].1.iter().map(|&share| u32::from(share)).sum::<u32>(), (f64::from(SHARE_SCALE) * 7.0 / 50.0).round() as u32);
    }
}
