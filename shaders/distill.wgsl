// The loss of a row of logits, and its gradient in place. With the teacher's p and the student's q,
// both at temperature τ, and m their mean: CE = −Σ p·ln q, forward KL = Σ p·(ln p − ln q), reverse
// KL = Σ q·l with l = ln q − ln p, JS = ½·Σ p·ln(p/m) + ½·Σ q·ln(q/m), all times τ²; next-token
// CE = −ln q₁[token]. Gradient: scale·weight·((1 − n)·τ·soft_gradient + n·(q₁ − token)), where soft_gradient is q − p
// (CE), q·(l − Σ q·l) (reverse), or the latter with l = ½·ln(q/m) (JS). `top` has the teacher's top-k
// tokens and one bucket for the others.
#import "shared/reduce.wgsl"
const LANES: u32 = 256u;
// The numbers of `Term`.
const TERMS: u32 = 5u;
const TERM_AD: u32 = 0u;
const TERM_AR: u32 = 1u;
const TERM_KL: u32 = 2u;
const TERM_REVERSE: u32 = 3u;
const TERM_JS: u32 = 4u;
// The numbers of `Divergence`.
const FORWARD: u32 = 0u;
const REVERSE: u32 = 1u;
const JS: u32 = 2u;
const LN2: f32 = 0.69314718;
const LOWEST: f32 = -3.0e38;

struct Params {
    rows: u32,
    vocabulary: u32,
    gradient: u32,
    next_token: f32,
    temperature: f32,
    kept: u32,
    divergence: u32,
    // Workgroups along y in earlier bands.
    first_band: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> scale: array<f32>;
@group(0) @binding(4) var<storage, read_write> logits: array<f32>;
@group(0) @binding(5) var<storage, read_write> terms: array<f32>;
@group(0) @binding(6) var<storage, read> teacher: array<f32>;

fn token_of(row: u32) -> u32 {
    return select(0u, tokens[row], tokens[row] < p.vocabulary);
}

fn student_max(first: u32, lane: u32) -> f32 {
    var top = LOWEST;
    for (var c = lane; c < p.vocabulary; c += LANES) {
        top = max(top, logits[first + c]);
    }
    return reduce_max(lane, top);
}

fn find_teacher_max(first: u32, lane: u32) -> f32 {
    var top = LOWEST;
    for (var c = lane; c < p.vocabulary; c += LANES) {
        top = max(top, teacher[first + c]);
    }
    return reduce_max(lane, top);
}

// Returns true if a divergence is reported.
fn is_reported(divergence: u32) -> bool {
    return p.gradient == 0u || p.divergence == divergence;
}

// ln(p/m) and ln(q/m) of two probabilities, from d = ln q − ln p only, so that neither can underflow.
fn to_mixture(d: f32) -> vec2<f32> {
    let bend = LN2 - log(1.0 + exp(-abs(d)));
    return vec2(bend - max(d, 0.0), bend + min(d, 0.0));
}

// Σ e^(logit − top).
fn student_total(first: u32, lane: u32, top: f32) -> f32 {
    var total = 0.0;
    for (var c = lane; c < p.vocabulary; c += LANES) {
        total += exp(logits[first + c] - top);
    }
    return reduce_sum(lane, total);
}

// Writes the token's cross-entropy. Only the invocation of the token's column may do it, since others
// write gradients to their columns meanwhile.
fn report_token(row: u32, token: u32, lane: u32, top: f32, total: f32) {
    if token % LANES == lane {
        terms[row * TERMS + TERM_AR] = (top - logits[row * p.vocabulary + token]) + log(total);
    }
}

// Writes a term of a row, other than the token's (`report_token`).
fn report(row: u32, term: u32, value: f32) {
    terms[row * TERMS + term] = value;
}

@compute @workgroup_size(256)
fn without_teacher(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = wid.x + (wid.y + p.first_band) * groups.x;
    if row >= p.rows {
        return;
    }
    let first = row * p.vocabulary;
    let token = token_of(row);
    let top = student_max(first, lane);
    let total = student_total(first, lane, top);
    report_token(row, token, lane, top, total);
    if lane < TERMS && lane != TERM_AR {
        report(row, lane, 0.0);
    }
    if p.gradient == 0u {
        return;
    }
    let hard = scale[0] * weights[row] * p.next_token;
    for (var c = lane; c < p.vocabulary; c += LANES) {
        let probability = exp(logits[first + c] - top) / total;
        logits[first + c] = hard * (probability - select(0.0, 1.0, c == token));
    }
}

// Sums over a row at temperature τ, after subtracting both maxima: of e^s and e^t, of e^t·s and
// e^t·(t − s), which yield CE and KL without cancellation, and of e^s·(s − t).
struct Sums {
    student: f32,
    taught: f32,
    cross: f32,
    gap: f32,
    back: f32,
}

fn row_sums(first: u32, lane: u32, top: f32, teacher_max: f32) -> Sums {
    let inverse = 1.0 / p.temperature;
    var sums = Sums(0.0, 0.0, 0.0, 0.0, 0.0);
    for (var c = lane; c < p.vocabulary; c += LANES) {
        let s = (logits[first + c] - top) * inverse;
        let t = (teacher[first + c] - teacher_max) * inverse;
        let e = exp(t);
        let q = exp(s);
        sums.student += q;
        sums.taught += e;
        sums.cross += e * s;
        sums.gap += e * (t - s);
        sums.back += q * (s - t);
    }
    let student = reduce_sum(lane, sums.student);
    let taught = reduce_sum(lane, sums.taught);
    let cross = reduce_sum(lane, sums.cross);
    let gap = reduce_sum(lane, sums.gap);
    return Sums(student, taught, cross, gap, reduce_sum(lane, sums.back));
}

// KL(p‖m) and KL(q‖m) of a row; `shift` is ln q − ln p minus s − t.
fn row_to_mixture(first: u32, lane: u32, top: f32, teacher_max: f32, sums: Sums, shift: f32) -> vec2<f32> {
    let inverse = 1.0 / p.temperature;
    var part = vec2<f32>();
    for (var c = lane; c < p.vocabulary; c += LANES) {
        let s = (logits[first + c] - top) * inverse;
        let t = (teacher[first + c] - teacher_max) * inverse;
        part += vec2(exp(t), exp(s)) * to_mixture(s - t + shift);
    }
    let of_teacher = reduce_sum(lane, part.x);
    return vec2(of_teacher / sums.taught, reduce_sum(lane, part.y) / sums.student);
}

@compute @workgroup_size(256)
fn with_teacher(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = wid.x + (wid.y + p.first_band) * groups.x;
    if row >= p.rows {
        return;
    }
    let first = row * p.vocabulary;
    let token = token_of(row);
    let top = student_max(first, lane);
    let teacher_max = find_teacher_max(first, lane);
    let sums = row_sums(first, lane, top, teacher_max);
    let total = student_total(first, lane, top);
    let shift = log(sums.taught / sums.student);
    let back = sums.back / sums.student;
    var to_mixtures = vec2<f32>();
    if is_reported(JS) {
        to_mixtures = row_to_mixture(first, lane, top, teacher_max, sums, shift);
    }
    report_token(row, token, lane, top, total);
    if lane == 0u {
        let square = p.temperature * p.temperature;
        let reverse = select(0.0, back + shift, is_reported(REVERSE));
        let cross = log(sums.student) - sums.cross / sums.taught;
        report(row, TERM_AD, square * cross);
        report(row, TERM_KL, square * (sums.gap / sums.taught - shift));
        report(row, TERM_REVERSE, square * reverse);
        report(row, TERM_JS, square * (0.5 * (to_mixtures.x + to_mixtures.y)));
    }
    if p.gradient == 0u {
        return;
    }
    let factor = scale[0] * weights[row];
    let hard = factor * p.next_token;
    let soft = factor * (1.0 - p.next_token) * p.temperature;
    let inverse = 1.0 / p.temperature;
    for (var c = lane; c < p.vocabulary; c += LANES) {
        let s = (logits[first + c] - top) * inverse;
        let t = (teacher[first + c] - teacher_max) * inverse;
        let q = exp(s) / sums.student;
        var soft_gradient = 0.0;
        if p.divergence == REVERSE {
            soft_gradient = q * (s - t - back);
        } else if p.divergence == JS {
            soft_gradient = q * 0.5 * (to_mixture(s - t + shift).y - to_mixtures.y);
        } else {
            soft_gradient = q - exp(t) / sums.taught;
        }
        let next = exp(logits[first + c] - top) / total - select(0.0, 1.0, c == token);
        logits[first + c] = hard * next + soft * soft_gradient;
    }
}

// The teacher's `kept` top-k tokens, ids ascending, and one bucket of probability r for all others, which
// is last: CE = −Σ p·ln q − r·ln Q with Q the student's probability of the bucket; JS is that of (p, r)
// and (q, Q). Each invocation reads and writes logits of its own columns only.
@group(0) @binding(6) var<storage, read> ids: array<u32>;
@group(0) @binding(7) var<storage, read> shares: array<f32>;
var<workgroup> row_ids: array<u32, LANES>;

// Index of a column among the row's ids; `kept` if it is in the bucket.
fn index_of(column: u32) -> u32 {
    var low = 0u;
    var high = p.kept;
    while low < high {
        let middle = (low + high) / 2u;
        if row_ids[middle] < column {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return select(p.kept, low, low < p.kept && row_ids[min(low, LANES - 1u)] == column);
}

fn bucket_max(first: u32, lane: u32) -> f32 {
    var top = LOWEST;
    for (var c = lane; c < p.vocabulary; c += LANES) {
        if index_of(c) == p.kept {
            top = max(top, logits[first + c]);
        }
    }
    return reduce_max(lane, top);
}

// Sums over a row at temperature τ: of e^s after subtracting the row's maximum, of e^s over the bucket
// after subtracting the bucket's (1 − Σ q would be all rounding error if it is small), and of p·s,
// p·(ln p − s) and p over the top-k tokens.
struct TopSums {
    student: f32,
    others: f32,
    cross: f32,
    gap: f32,
    mass: f32,
}

fn top_sums(first: u32, taught: u32, lane: u32, top: f32, other: f32) -> TopSums {
    let inverse = 1.0 / p.temperature;
    var sums = TopSums(0.0, 0.0, 0.0, 0.0, 0.0);
    for (var c = lane; c < p.vocabulary; c += LANES) {
        let s = (logits[first + c] - top) * inverse;
        sums.student += exp(s);
        let place = index_of(c);
        if place == p.kept {
            sums.others += exp((logits[first + c] - other) * inverse);
        } else if shares[taught + place] > 0.0 {
            let share = shares[taught + place];
            sums.cross += share * s;
            sums.gap += share * (log(share) - s);
            sums.mass += share;
        }
    }
    let student = reduce_sum(lane, sums.student);
    let others = reduce_sum(lane, sums.others);
    let cross = reduce_sum(lane, sums.cross);
    let gap = reduce_sum(lane, sums.gap);
    return TopSums(student, others, cross, gap, reduce_sum(lane, sums.mass));
}

// ln(p/m) and ln(q/m) of a probability p, which may be 0, and the logarithm of q.
fn to_mixture_of(share: f32, log_q: f32) -> vec2<f32> {
    return select(vec2(0.0, LN2), to_mixture(log_q - log(max(share, 1e-37))), share > 0.0);
}

// The terms of KL(p‖m) and KL(q‖m) of the top-k tokens.
fn kept_to_mixture(first: u32, taught: u32, lane: u32, top: f32, spread: f32) -> vec2<f32> {
    var part = vec2<f32>();
    for (var c = lane; c < p.vocabulary; c += LANES) {
        let place = index_of(c);
        if place < p.kept {
            let share = shares[taught + place];
            let log_q = (logits[first + c] - top) / p.temperature - spread;
            part += vec2(share, exp(log_q)) * to_mixture_of(share, log_q);
        }
    }
    let of_teacher = reduce_sum(lane, part.x);
    return vec2(of_teacher, reduce_sum(lane, part.y));
}

@compute @workgroup_size(256)
fn top(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = wid.x + (wid.y + p.first_band) * groups.x;
    if row >= p.rows {
        return;
    }
    if lane < p.kept {
        row_ids[lane] = ids[row * p.kept + lane];
    }
    workgroupBarrier();
    let first = row * p.vocabulary;
    let taught = row * (p.kept + 1u);
    let token = token_of(row);
    let top = student_max(first, lane);
    let other = bucket_max(first, lane);
    let sums = top_sums(first, taught, lane, top, other);
    let total = student_total(first, lane, top);
    let inverse = 1.0 / p.temperature;
    let rest = shares[taught + p.kept];
    let mass = sums.mass + rest;
    let spread = log(sums.student);
    // ln Q + spread.
    let bucket = (other - top) * inverse + log(sums.others);
    let pair = to_mixture_of(rest, bucket - spread);
    var to_mixtures = vec2<f32>();
    if is_reported(JS) {
        to_mixtures = kept_to_mixture(first, taught, lane, top, spread) + vec2(rest, exp(bucket - spread)) * pair;
    }
    report_token(row, token, lane, top, total);
    if lane == 0u {
        let square = p.temperature * p.temperature;
        let surprise = select(0.0, rest * (log(max(rest, 1e-37)) - bucket), rest > 0.0);
        let cross = mass * spread - sums.cross - rest * bucket;
        report(row, TERM_AD, square * cross);
        report(row, TERM_KL, square * (mass * spread + sums.gap + surprise));
        report(row, TERM_REVERSE, 0.0);
        report(row, TERM_JS, square * (0.5 * (to_mixtures.x + to_mixtures.y)));
    }
    if p.gradient == 0u {
        return;
    }
    let factor = scale[0] * weights[row];
    let hard = factor * p.next_token;
    let soft = factor * (1.0 - p.next_token) * p.temperature;
    for (var c = lane; c < p.vocabulary; c += LANES) {
        let s = (logits[first + c] - top) * inverse;
        let q = exp(s) / sums.student;
        let place = index_of(c);
        var soft_gradient = 0.0;
        if p.divergence == JS {
            var from_q = pair.y;
            if place < p.kept {
                from_q = to_mixture_of(shares[taught + place], s - spread).y;
            }
            soft_gradient = q * 0.5 * (from_q - to_mixtures.y);
        } else {
            var share = 0.0;
            if place == p.kept {
                share = rest * (exp((logits[first + c] - other) * inverse) / sums.others);
            } else {
                share = shares[taught + place];
            }
            soft_gradient = mass * q - share;
        }
        let next = exp(logits[first + c] - top) / total - select(0.0, 1.0, c == token);
        logits[first + c] = hard * next + soft * soft_gradient;
    }
}

struct Sum {
    rows: u32,
}

@group(0) @binding(0) var<uniform> summed: Sum;
@group(0) @binding(1) var<storage, read> row_terms: array<f32>;
@group(0) @binding(3) var<storage, read_write> totals: array<f32>;

// totals += Σ_rows weight·terms.
@compute @workgroup_size(256)
fn sum(@builtin(local_invocation_index) lane: u32) {
    var part = array<f32, TERMS>();
    for (var row = lane; row < summed.rows; row += LANES) {
        for (var n = 0u; n < TERMS; n++) {
            part[n] += weights[row] * row_terms[row * TERMS + n];
        }
    }
    for (var n = 0u; n < TERMS; n++) {
        let total = reduce_sum(lane, part[n]);
        if lane == 0u {
            totals[n] += total;
        }
    }
}
