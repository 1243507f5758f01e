// Sampling of a token: the logits become weights (repetitions penalised, divided by temperature); top-k,
// top-p and min-p each keep a prefix of the tokens in order of descending weight; of those, the token with
// the largest weight plus noise is sampled. One workgroup; each invocation reads only weights that it wrote.
#import "shared/reduce.wgsl"
const LANES: u32 = 256u;
// Number of recent tokens to which the repetition penalty applies; one per invocation.
const MEMORY: u32 = 256u;

struct Params {
    vocabulary: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> draw: array<u32>;
@group(0) @binding(3) var<storage, read_write> recent: array<u32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> token: array<u32>;

// Indices in `draw`; see src/ops/sample.rs.
const COUNT: u32 = 0u;
const KEY: u32 = 1u;
const TEMPERATURE: u32 = 3u;
const PENALTY: u32 = 4u;
const TOP_K: u32 = 5u;
const TOP_P: u32 = 6u;
const LEAST: u32 = 7u;
const PLACE: u32 = 8u;

// Below this temperature sampling is greedy.
const GREEDY_TEMPERATURE: f32 = 1e-6;
// Logits are clamped to ±MAX_LOGIT, so that nothing overflows; NaN becomes −MAX_LOGIT.
const MAX_LOGIT: f32 = 1e30;
// A token whose weight is this far below the largest cannot win: the noise is within −2.9 and 16.7.
const NOISE_RANGE: f32 = 20.0;
// Below every weight.
const LOWEST: f32 = -3e38;

// The rank of a token: higher in the order of `high`, then `low`.
struct Rank {
    high: u32,
    low: u32,
}

var<workgroup> seen: array<u32, 256>;
var<workgroup> bins: array<atomic<u32>, 256>;
var<workgroup> cutoff: Rank;
var<workgroup> done: u32;
var<workgroup> scores: array<f32, 256>;
var<workgroup> ids: array<u32, 256>;
var<workgroup> winner_weight: f32;

fn setting(place: u32) -> f32 {
    return bitcast<f32>(draw[place]);
}

fn is_drawn() -> bool {
    return setting(TEMPERATURE) >= GREEDY_TEMPERATURE;
}

fn weight_of(logit: f32, repeated: bool) -> f32 {
    let finite = ((bitcast<u32>(logit) >> 23u) & 255u) != 255u;
    var x = select(-MAX_LOGIT, clamp(logit, -MAX_LOGIT, MAX_LOGIT), finite);
    if repeated {
        let penalty = setting(PENALTY);
        x = select(x * penalty, x / penalty, x > 0.0);
    }
    if is_drawn() {
        x = x / setting(TEMPERATURE);
    }
    // A single zero, for −0 and for subnormal numbers, which devices treat differently.
    return select(x, 0.0, abs(x) < 1e-30);
}

// The rank of a token: by larger weight, then by lower id.
fn rank_of(weight: f32, id: u32) -> Rank {
    let bits = bitcast<u32>(weight);
    return Rank(bits ^ select(0x80000000u, 0xffffffffu, (bits >> 31u) == 1u), ~id);
}

fn is_before(a: Rank, b: Rank) -> bool {
    return a.high > b.high || (a.high == b.high && a.low > b.low);
}

// Returns true if a token is `last` or before it.
fn is_kept(id: u32, last: Rank) -> bool {
    return !is_before(last, rank_of(weights[id], id));
}

fn scramble(bits: u32) -> u32 {
    var x = bits;
    x = (x ^ (x >> 16u)) * 0x7feb352du;
    x = (x ^ (x >> 15u)) * 0x846ca68bu;
    return x ^ (x >> 16u);
}

// Gumbel noise, −ln(−ln(1 − v)) for v = (2n + 1)/2²⁴; v and 1 − v are exact. For small v the logarithm is
// that of (1 + z)/(1 − z), by the first terms of its series.
fn noise(id: u32) -> f32 {
    let odd = ((scramble(scramble(id ^ draw[KEY]) ^ draw[KEY + 1u]) >> 9u) << 1u) | 1u;
    let v = f32(odd) / 16777216.0;
    let z = v / (2.0 - v);
    let square = z * z;
    let series = 2.0 * z * (1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square / 7.0)));
    let whole = -log(f32(16777216u - odd) / 16777216.0);
    return -log(select(whole, series, odd < 4194304u));
}

// Digit 0 to 7 (bytes, highest first) of the 64 bits of a rank.
fn digit_of(rank: Rank, digit: u32) -> u32 {
    return (select(rank.high, rank.low, digit > 3u) >> (24u - 8u * (digit & 3u))) & 255u;
}

// Returns true if two ranks have the same digits before this one.
fn same_prefix(a: Rank, b: Rank, digit: u32) -> bool {
    let mask = ~(0xffffffffu >> (8u * (digit & 3u)));
    if digit < 4u {
        return ((a.high ^ b.high) & mask) == 0u;
    }
    return a.high == b.high && ((a.low ^ b.low) & mask) == 0u;
}

// Radix select: the rank of the k-th token, or a lower one with no token between; counts digit by digit.
// There are more than k tokens.
fn rank_at(lane: u32, count: u32, k: u32) -> Rank {
    var left = k;
    if lane == 0u {
        cutoff = Rank(0u, 0u);
    }
    for (var digit = 0u; digit < 8u; digit++) {
        atomicStore(&bins[lane], 0u);
        let prefix = workgroupUniformLoad(&cutoff);
        for (var id = lane; id < count; id += LANES) {
            let rank = rank_of(weights[id], id);
            if same_prefix(rank, prefix, digit) {
                atomicAdd(&bins[digit_of(rank, digit)], 1u);
            }
        }
        workgroupBarrier();
        if lane == 0u {
            var bin = 255u;
            var inside = atomicLoad(&bins[bin]);
            while inside < left && bin > 0u {
                left -= inside;
                bin--;
                inside = atomicLoad(&bins[bin]);
            }
            let place = bin << (24u - 8u * (digit & 3u));
            if digit < 4u {
                cutoff.high |= place;
            } else {
                cutoff.low |= place;
            }
            done = select(0u, 1u, inside == left);
        }
        if workgroupUniformLoad(&done) == 1u {
            break;
        }
    }
    return workgroupUniformLoad(&cutoff);
}

// The kept token with the largest weight plus noise; of equal ones the lowest id.
fn argmax(lane: u32, count: u32, top: f32, last: Rank) -> u32 {
    let drawn = is_drawn();
    var score = LOWEST;
    var best = 0xffffffffu;
    for (var id = lane; id < count; id += LANES) {
        if !is_kept(id, last) {
            continue;
        }
        var score_here = weights[id];
        if drawn {
            if score_here < top - NOISE_RANGE {
                continue;
            }
            score_here += noise(id);
        }
        if score_here > score {
            score = score_here;
            best = id;
        }
    }
    scores[lane] = score;
    ids[lane] = best;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width >>= 1u) {
        if lane < width {
            let other = lane + width;
            if scores[other] > scores[lane] || (scores[other] == scores[lane] && ids[other] < ids[lane]) {
                scores[lane] = scores[other];
                ids[lane] = ids[other];
            }
        }
        workgroupBarrier();
    }
    return workgroupUniformLoad(&ids[0]);
}

// Σ exp(weight − top) over the kept tokens, for every lane.
fn sum_probabilities(lane: u32, count: u32, top: f32, last: Rank) -> f32 {
    var sum = 0.0;
    for (var id = lane; id < count; id += LANES) {
        if is_kept(id, last) {
            sum += exp(weights[id] - top);
        }
    }
    return reduce_sum(lane, sum);
}

// Writes the weights, penalised for recent tokens; returns the largest.
fn write_weights(lane: u32, count: u32) -> f32 {
    seen[lane] = recent[lane];
    for (var id = lane; id < count; id += LANES) {
        weights[id] = weight_of(logits[id], false);
    }
    workgroupBarrier();
    for (var n = 0u; n < MEMORY; n++) {
        let id = seen[n];
        if id < count && id % LANES == lane {
            weights[id] = weight_of(logits[id], true);
        }
    }
    var most = LOWEST;
    for (var id = lane; id < count; id += LANES) {
        most = max(most, weights[id]);
    }
    return reduce_max(lane, most);
}

// Samples a token: the winner of `argmax`, if top-p and min-p keep it. Otherwise they do not keep the tokens
// after it either, and `argmax` is repeated over those before it. The first token is always kept.
fn sample_token(lane: u32, count: u32, top: f32) -> u32 {
    let k = draw[TOP_K];
    let top_p = setting(TOP_P);
    var last = Rank(0u, 0u);
    if k > 0u && k < count {
        last = rank_at(lane, count, k);
    }
    let whole = top_p >= 1.0;
    var limit = 0.0;
    if !whole {
        limit = top_p * sum_probabilities(lane, count, top, last);
    }
    var id = 0u;
    loop {
        id = argmax(lane, count, top, last);
        if id % LANES == lane {
            winner_weight = weights[id];
        }
        let weight = workgroupUniformLoad(&winner_weight);
        let rank = rank_of(weight, id);
        last = Rank(rank.high + select(0u, 1u, rank.low == 0xffffffffu), rank.low + 1u);
        let likely = weight - top >= setting(LEAST);
        if likely && (whole || sum_probabilities(lane, count, top, last) < limit) {
            break;
        }
    }
    return id;
}

@compute @workgroup_size(256)
fn choose(@builtin(local_invocation_index) lane: u32) {
    let count = min(draw[COUNT], p.vocabulary);
    if count == 0u {
        return;
    }
    let top = write_weights(lane, count);
    var id = 0u;
    if is_drawn() {
        id = sample_token(lane, count, top);
    } else {
        id = argmax(lane, count, top, Rank(0u, 0u));
    }
    if lane == 0u {
        recent[draw[PLACE] % MEMORY] = id;
        token[0] = id;
    }
}
