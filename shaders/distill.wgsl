// The loss of a row of logits, and its gradient in place. With the teacher's p and the student's q,
// both at temperature τ: CE = −Σ p·ln q, KL = Σ p·(ln p − ln q), both times τ²; next-token
// CE = −ln q₁[token]. Gradient: scale·weight·((1 − n)·τ·(q − p) + n·(q₁ − token)). `top` has the
// teacher as its likeliest tokens and one bucket for the others.
#import "shared/reduce.wgsl"
const LANES: u32 = 256u;
const TERMS: u32 = 4u;
const LOWEST: f32 = -3.0e38;

struct Params {
    rows: u32,
    vocabulary: u32,
    gradient: u32,
    next_token: f32,
    temperature: f32,
    kept: u32,
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

fn student_top(first: u32, lane: u32) -> f32 {
    var top = LOWEST;
    for (var c = lane; c < p.vocabulary; c += LANES) {
        top = max(top, logits[first + c]);
    }
    return reduce_max(lane, top);
}

fn teacher_top(first: u32, lane: u32) -> f32 {
    var top = LOWEST;
    for (var c = lane; c < p.vocabulary; c += LANES) {
        top = max(top, teacher[first + c]);
    }
    return reduce_max(lane, top);
}

// Σ e^(logit − top).
fn student_total(first: u32, lane: u32, top: f32) -> f32 {
    var total = 0.0;
    for (var c = lane; c < p.vocabulary; c += LANES) {
        total += exp(logits[first + c] - top);
    }
    return reduce_sum(lane, total);
}

// Writes the token's cross-entropy. The invocation that owns the token's logit does it, since it
// alone may still read it while others write gradients.
fn report_token(row: u32, token: u32, lane: u32, top: f32, total: f32) {
    if token % LANES == lane {
        terms[row * TERMS + 1u] = (top - logits[row * p.vocabulary + token]) + log(total);
    }
}

@compute @workgroup_size(256)
fn untaught(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = wid.x + wid.y * groups.x;
    if row >= p.rows {
        return;
    }
    let first = row * p.vocabulary;
    let token = token_of(row);
    let top = student_top(first, lane);
    let total = student_total(first, lane, top);
    report_token(row, token, lane, top, total);
    if lane == 0u {
        terms[row * TERMS] = 0.0;
        terms[row * TERMS + 2u] = 0.0;
        terms[row * TERMS + 3u] = 0.0;
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

// Sums over a row at temperature τ, with both tops taken off: of e^s and e^t, and of e^t·s and
// e^t·(t − s), which give CE and KL without a difference of large numbers.
struct Sums {
    student: f32,
    taught: f32,
    cross: f32,
    gap: f32,
}

fn row_sums(first: u32, lane: u32, top: f32, taught_top: f32) -> Sums {
    let inverse = 1.0 / p.temperature;
    var sums = Sums(0.0, 0.0, 0.0, 0.0);
    for (var c = lane; c < p.vocabulary; c += LANES) {
        let s = (logits[first + c] - top) * inverse;
        let t = (teacher[first + c] - taught_top) * inverse;
        let e = exp(t);
        sums.student += exp(s);
        sums.taught += e;
        sums.cross += e * s;
        sums.gap += e * (t - s);
    }
    let student = reduce_sum(lane, sums.student);
    let taught = reduce_sum(lane, sums.taught);
    let cross = reduce_sum(lane, sums.cross);
    return Sums(student, taught, cross, reduce_sum(lane, sums.gap));
}

@compute @workgroup_size(256)
fn taught(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = wid.x + wid.y * groups.x;
    if row >= p.rows {
        return;
    }
    let first = row * p.vocabulary;
    let token = token_of(row);
    let top = student_top(first, lane);
    let taught_top = teacher_top(first, lane);
    let sums = row_sums(first, lane, top, taught_top);
    let total = student_total(first, lane, top);
    report_token(row, token, lane, top, total);
    if lane == 0u {
        let square = p.temperature * p.temperature;
        terms[row * TERMS] = square * (log(sums.student) - sums.cross / sums.taught);
        terms[row * TERMS + 2u] = square * (sums.gap / sums.taught + log(sums.student / sums.taught));
        terms[row * TERMS + 3u] = 0.0;
    }
    if p.gradient == 0u {
        return;
    }
    let factor = scale[0] * weights[row];
    let hard = factor * p.next_token;
    let soft = factor * (1.0 - p.next_token) * p.temperature;
    let inverse = 1.0 / p.temperature;
    for (var c = lane; c < p.vocabulary; c += LANES) {
        let s = logits[first + c] - top;
        let t = teacher[first + c] - taught_top;
        let difference = exp(s * inverse) / sums.student - exp(t * inverse) / sums.taught;
        let next = exp(s) / total - select(0.0, 1.0, c == token);
        logits[first + c] = hard * next + soft * difference;
    }
}

// The teacher as its `kept` likeliest tokens, ids ascending, and one bucket for all others, whose
// share comes last: CE = −Σ p·ln q − r·ln Q with Q the student's probability of all others. Each
// invocation reads and writes logits of its own columns only.
@group(0) @binding(6) var<storage, read> ids: array<u32>;
@group(0) @binding(7) var<storage, read> shares: array<f32>;
var<workgroup> held: array<u32, LANES>;

// Where a column is among the row's ids; `kept` if it is in the bucket.
fn place_of(column: u32) -> u32 {
    var low = 0u;
    var high = p.kept;
    while low < high {
        let middle = (low + high) / 2u;
        if held[middle] < column {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return select(p.kept, low, low < p.kept && held[min(low, LANES - 1u)] == column);
}

fn other_top(first: u32, lane: u32) -> f32 {
    var top = LOWEST;
    for (var c = lane; c < p.vocabulary; c += LANES) {
        if place_of(c) == p.kept {
            top = max(top, logits[first + c]);
        }
    }
    return reduce_max(lane, top);
}

// Sums over a row at temperature τ: of e^s with the row's top taken off, of e^s over the bucket with
// the bucket's own top taken off (1 − Σ q would be all rounding where it is small), and of p·s,
// p·(ln p − s) and p over the tokens kept.
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
        let place = place_of(c);
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

@compute @workgroup_size(256)
fn top(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = wid.x + wid.y * groups.x;
    if row >= p.rows {
        return;
    }
    if lane < p.kept {
        held[lane] = ids[row * p.kept + lane];
    }
    workgroupBarrier();
    let first = row * p.vocabulary;
    let taught = row * (p.kept + 1u);
    let token = token_of(row);
    let top = student_top(first, lane);
    let other = other_top(first, lane);
    let sums = top_sums(first, taught, lane, top, other);
    let total = student_total(first, lane, top);
    report_token(row, token, lane, top, total);
    let inverse = 1.0 / p.temperature;
    let rest = shares[taught + p.kept];
    let mass = sums.mass + rest;
    if lane == 0u {
        let square = p.temperature * p.temperature;
        let bucket = (other - top) * inverse + log(sums.others);
        let spread = mass * log(sums.student);
        let surprise = select(0.0, rest * (log(max(rest, 1e-37)) - bucket), rest > 0.0);
        terms[row * TERMS] = square * (spread - sums.cross - rest * bucket);
        terms[row * TERMS + 2u] = square * (spread + sums.gap + surprise);
        terms[row * TERMS + 3u] = 0.0;
    }
    if p.gradient == 0u {
        return;
    }
    let factor = scale[0] * weights[row];
    let hard = factor * p.next_token;
    let soft = factor * (1.0 - p.next_token) * p.temperature;
    for (var c = lane; c < p.vocabulary; c += LANES) {
        let s = logits[first + c] - top;
        let place = place_of(c);
        var share = 0.0;
        if place == p.kept {
            share = rest * (exp((logits[first + c] - other) * inverse) / sums.others);
        } else {
            share = shares[taught + place];
        }
        let next = exp(s) / total - select(0.0, 1.0, c == token);
        logits[first + c] = hard * next + soft * (mass * (exp(s * inverse) / sums.student) - share);
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
    var part = vec4<f32>();
    for (var row = lane; row < summed.rows; row += LANES) {
        let at = row * TERMS;
        part += weights[row] * vec4(row_terms[at], row_terms[at + 1u], row_terms[at + 2u], row_terms[at + 3u]);
    }
    let x = reduce_sum(lane, part.x);
    let y = reduce_sum(lane, part.y);
    let z = reduce_sum(lane, part.z);
    let w = reduce_sum(lane, part.w);
    if lane == 0u {
        totals[0] += x;
        totals[1] += y;
        totals[2] += z;
        totals[3] += w;
    }
}
