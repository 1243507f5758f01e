//! Sampling of the next token from its logits. Randomness is keyed by seed, position and token, so that
//! every device uses the same bits; rounding can only change which of two tokens with almost equal
//! weights, noise included, is sampled.

use super::check_operands;
use crate::graph::{Backward, Case, CpuIo, Fill, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant};
use crate::params;
use crate::rng;
use std::cmp::Ordering;

/// Number of recent tokens to which the repetition penalty applies.
pub const MEMORY: usize = 256;
/// Words of an encoded [`Draw`].
pub const DRAW: usize = 9;

/// Below this temperature sampling is greedy.
const GREEDY_TEMPERATURE: f32 = 1e-6;
/// Logits are clamped to ±`MAX_LOGIT`, so that nothing overflows; NaN becomes −`MAX_LOGIT`.
const MAX_LOGIT: f64 = 1e30;
/// Weights of smaller magnitude become 0.
const MIN_WEIGHT: f64 = 1e-30;

/// A token whose weight is this far below the largest cannot win: the noise is within −2.9 and 16.7.
const NOISE_RANGE: f64 = 20.0;

/// The settings for sampling one token. The neutral value of each does not change the distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// Ids below it may be sampled; 0 samples nothing.
    pub count: u32,
    /// Key of the noise, from seed and position.
    pub key: [u32; 2],
    /// Divides the logits; below 10⁻⁶ sampling is greedy, and only the penalty applies.
    pub temperature: f32,
    /// Divides positive logits of recent tokens, multiplies negative ones; 1 for none.
    pub penalty: f32,
    /// Samples from the k most probable tokens; 0 for all.
    pub top_k: u32,
    /// Samples from the most probable tokens with this share of the probability of the top k; 1 for all.
    pub top_p: f32,
    /// ln(min_p), at most 0: samples from tokens whose logit ÷ temperature is at least the largest plus this.
    pub log_min_p: f32,
    /// Index at which the token is stored among the recent ones: its position modulo [`MEMORY`].
    pub recent_index: u32,
}

/// A sampled token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledToken {
    /// Its id.
    pub token: u32,
    /// Difference between its weight, noise included, and that of the runner-up.
    pub margin: f64,
}

impl Draw {
    /// Samples nothing, and changes nothing.
    pub const NONE: [u32; DRAW] = [0; DRAW];

    /// Encodes it for the operation.
    pub fn words(&self) -> [u32; DRAW] {
        let Self { count, key, temperature, penalty, top_k, top_p, log_min_p, recent_index } = *self;
        [count, key[0], key[1], temperature.to_bits(), penalty.to_bits(), top_k, top_p.to_bits(), log_min_p.to_bits(), recent_index]
    }

    fn read(words: &[u32]) -> Self {
        let float = |n: usize| f32::from_bits(words[n]);
        let (count, key, top_k, recent_index) = (words[0], [words[1], words[2]], words[5], words[8]);
        Self { count, key, temperature: float(3), penalty: float(4), top_k, top_p: float(6), log_min_p: float(7), recent_index }
    }

    fn is_drawn(&self) -> bool {
        self.temperature >= GREEDY_TEMPERATURE
    }

    /// Returns the logit ÷ temperature, penalised if `repeated`.
    fn weight_of<T: Real>(&self, logit: T, repeated: bool) -> T {
        let limit = T::from_f64(MAX_LOGIT);
        let mut x = match () {
            () if !logit.is_finite() || logit < -limit => -limit,
            () if logit > limit => limit,
            () => logit,
        };
        if repeated {
            let penalty = T::from_f32(self.penalty);
            x = if x > T::ZERO { x / penalty } else { x * penalty };
        }
        if self.is_drawn() {
            x = x / T::from_f32(self.temperature);
        }
        if x.to_f64().abs() < MIN_WEIGHT { T::ZERO } else { x }
    }

    /// Writes the weights of the tokens that may be sampled.
    fn write_weights<T: Real>(&self, logits: &[T], recent: &[u32], weights: &mut [T]) {
        for (weight, &logit) in weights.iter_mut().zip(logits) {
            *weight = self.weight_of(logit, false);
        }
        for &id in recent {
            if let Some(weight) = weights.get_mut(id as usize) {
                *weight = self.weight_of(logits[id as usize], true);
            }
        }
    }

    /// Samples from the tokens with weights, of which there is at least one.
    fn choose<T: Real>(&self, weights: &[T]) -> SampledToken {
        let (mut best, mut next) = (None::<(T, u32)>, None::<T>);
        for (weight, id) in self.candidates(weights) {
            let score = if self.is_drawn() { weight + noise(self.key, id) } else { weight };
            if best.is_none_or(|(most, first)| score > most || score == most && id < first) {
                (best, next) = (Some((score, id)), best.map(|(most, _)| most));
            } else if next.is_none_or(|most| score > most) {
                next = Some(score);
            }
        }
        let (score, token) = best.expect("there is a token to choose");
        SampledToken { token, margin: next.map_or(f64::INFINITY, |next| score.to_f64() - next.to_f64()) }
    }

    /// Returns the tokens that may be sampled, with their weights, without some that cannot win.
    fn candidates<T: Real>(&self, weights: &[T]) -> Vec<(T, u32)> {
        let order = |a: &(T, u32), b: &(T, u32)| b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1));
        let mut list: Vec<(T, u32)> = weights.iter().copied().zip(0..).collect();
        if !self.is_drawn() {
            return list;
        }
        let k = self.top_k as usize;
        if (1..list.len()).contains(&k) {
            list.select_nth_unstable_by(k - 1, order);
            list.truncate(k);
        }
        let top = list.iter().fold(list[0].0, |top, &(weight, _)| top.max(weight));
        let share = |weight: T| (weight - top).exp().to_f64();
        let whole = self.top_p >= 1.0;
        let limit = if whole { f64::INFINITY } else { f64::from(self.top_p) * list.iter().map(|&(weight, _)| share(weight)).sum::<f64>() };
        let log_min_p = f64::from(self.log_min_p).max(-NOISE_RANGE);
        list.retain(|&(weight, _)| (weight - top).to_f64() >= log_min_p);
        if !whole {
            list.sort_unstable_by(order);
            let mut sum = 0.0;
            let kept = list.iter().take_while(|&&(weight, _)| {
                let keep = sum < limit;
                sum += share(weight);
                keep
            });
            let kept = kept.count();
            list.truncate(kept);
        }
        list
    }

    /// Samples from logits and recent tokens as the operation does on the CPU device.
    pub fn of(&self, logits: &[f32], recent: &[u32]) -> SampledToken {
        let mut weights = vec![0.0; logits.len().min(self.count as usize)];
        self.write_weights(logits, recent, &mut weights);
        self.choose(&weights)
    }
}

/// Returns Gumbel noise: −ln(−ln(1 − v)) for v = (2n + 1)/2²⁴, n of 23 random bits. The argmax of
/// log-probabilities plus noise is a sample from them (the Gumbel-max trick). v and 1 − v are exact in
/// every number type; for v below ¼ the logarithm is that of (1 + z)/(1 − z), by the first terms of its
/// series, since a GPU's logarithm is inaccurate near 1. In f32 the error is within 3·10⁻⁶.
fn noise<T: Real>(key: [u32; 2], id: u32) -> T {
    let odd = (rng::hash(key, id) >> 9) << 1 | 1;
    let share = |n: u32| T::from_f64(f64::from(n) / f64::from(1 << 24));
    if odd >= 1 << 22 {
        return -(-share((1 << 24) - odd).ln()).ln();
    }
    let of = |n: f64| T::from_f64(n);
    let z = share(odd) / share((2 << 24) - odd);
    let square = z * z;
    -(of(2.0) * z * (of(1.0) + square * (of(1.0 / 3.0) + square * (of(1.0 / 5.0) + square / of(7.0))))).ln()
}

/// `logits (1, vocabulary)`, `draw (1, 9)`: an encoded [`Draw`]. Updates: the recent tokens `(1, 256)`, in
/// any order, one of which is replaced by the sampled token (invalid ids are ignored); the weights
/// `(1, vocabulary)`, which become the penalised logits ÷ temperature; and the sampled token `(1, 1)`.
#[derive(Clone, Debug)]
pub struct Sample;

impl Op for Sample {
    const NAME: &'static str = "sample";

    fn key(&self) -> String {
        "Sample".into()
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::{F32, U32};
        check_operands(specs, &[F32, U32], &[U32, F32, U32]).map_err(Self::shape_error)?;
        let (logits, draw) = (specs.inputs[0], specs.inputs[1]);
        let wanted = [
            (draw, Spec::u32(1, DRAW)),
            (specs.updates[0], Spec::u32(1, MEMORY)),
            (specs.updates[1], Spec::f32(1, logits.cols)),
            (specs.updates[2], Spec::u32(1, 1)),
        ];
        match wanted.iter().find(|(got, wanted)| got != wanted) {
            Some((got, wanted)) => Err(Self::shape_error(format!("expected {wanted}, got {got}"))),
            None if logits.rows != 1 || logits.cols == 0 => Err(Self::shape_error(format!("expected one row of logits, got {logits}"))),
            None => Ok(vec![]),
        }
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        Variant::portable(vec![Launch {
            kernel: "sample/choose",
            operands: vec![Operand::In(0), Operand::In(1), Operand::Up(0), Operand::Up(1), Operand::Up(2)],
            params: params! { vocabulary: specs.inputs[0].cols },
            groups: [1, 1, 1],
            operations: None,
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (logits, draw) = (io.inputs[0].real(), Draw::read(io.inputs[1].words()));
        let [recent, weights, token] = &mut io.updates[..] else { unreachable!("three updates") };
        let count = logits.len().min(draw.count as usize);
        if count == 0 {
            return;
        }
        let (recent, weights) = (recent.words(), &mut weights.real()[..count]);
        draw.write_weights(logits, recent, weights);
        let chosen = draw.choose(weights).token;
        recent[draw.recent_index as usize % MEMORY] = chosen;
        token.words()[0] = chosen;
    }

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("sampling is not differentiable")
    }
}

/// Test cases: vocabularies around multiples of the workgroup size; every setting alone and together,
/// with several keys; equal logits, some of which are cut off; and logits that are NaN or infinite.
pub(crate) fn cases() -> Vec<Case> {
    let neutral = Draw { count: u32::MAX, key: [0x9e37, 0x79b9], temperature: 1.0, penalty: 1.0, top_k: 0, top_p: 1.0, log_min_p: f32::MIN, recent_index: 3 };
    let usual = Draw { temperature: 0.7, penalty: 1.1, top_k: 41, top_p: 0.95, ..neutral };
    let case = |label: String, vocabulary: usize, logits: Fill, draw: Draw| {
        Case::new(label, Sample)
            .input(Spec::f32(1, vocabulary), logits)
            .input(Spec::u32(1, DRAW), Fill::Words(draw.words().to_vec()))
            .update(Spec::u32(1, MEMORY), Fill::Below(2 * vocabulary as u32))
            .update(Spec::f32(1, vocabulary), Fill::Normal(1.0, 1.0))
            .update(Spec::u32(1, 1), Fill::Below(7))
    };
    let mut cases = Vec::new();
    for vocabulary in [1, 2, 7, 255, 256, 257, 1000, 4099, 33_000] {
        for (name, draw) in [("likeliest", Draw { temperature: 0.0, penalty: 1.3, ..neutral }), ("all", neutral), ("usual", usual)] {
            cases.push(case(format!("{name} of {vocabulary}"), vocabulary, Fill::Normal(0.5, 3.0), draw));
        }
    }
    let settings = [
        ("the foremost", Draw { top_k: 1, ..neutral }),
        ("top 3", Draw { top_k: 3, ..neutral }),
        ("top 300", Draw { top_k: 300, temperature: 3.0, ..neutral }),
        ("top-p 0.01", Draw { top_p: 0.01, temperature: 2.0, ..neutral }),
        ("top-p 0.6", Draw { top_p: 0.6, ..neutral }),
        ("min-p 0.5", Draw { log_min_p: 0.5f32.ln(), ..neutral }),
        ("min-p 1", Draw { log_min_p: 0.0, ..neutral }),
        ("all filters", Draw { top_k: 30, top_p: 0.77, log_min_p: 0.1f32.ln(), penalty: 1.5, temperature: 1.5, ..neutral }),
        ("part of the ids", Draw { count: 999, ..usual }),
    ];
    for (name, draw) in settings {
        for n in 0..4 {
            let draw = Draw { key: [n, 77 * n], recent_index: 300 + n, ..draw };
            cases.push(case(format!("{name}, key {n}"), 1500, Fill::Normal(-0.5, 2.0), draw));
            // Nearly equal logits, so that the filters decide.
            cases.push(case(format!("{name} of flat logits, key {n}"), 700, Fill::Uniform(1.0, 1.2), draw));
            let equal = Fill::Floats(vec![1.0, 2.5, 2.5, -1.0, 2.5]);
            cases.push(case(format!("{name} of equal logits, key {n}"), 1003, equal, draw));
        }
    }
    let odd = Fill::Floats(vec![f32::NAN, 1.0, f32::INFINITY, 0.5, f32::NEG_INFINITY, f32::MAX, -2.0]);
    cases.push(case("no numbers".into(), 6, odd.clone(), usual));
    cases.push(case("no numbers, the likeliest".into(), 5, odd, Draw { temperature: 0.0, ..neutral }));
    cases.push(case("nothing but NaN".into(), 300, Fill::Floats(vec![f32::NAN]), Draw { top_k: 4, ..usual }));
    cases.push(case("none".into(), 300, Fill::Normal(0.0, 1.0), Draw { count: 0, ..usual }));
    cases
}
