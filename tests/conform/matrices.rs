//! Cooperative matrices of every shape on an adapter that has none: each kernel's operations on matrices are replaced by
//! loops over elements that the invocations of a subgroup share, so that the kernel's own arithmetic, tiles and edges are
//! checked against the oracle. They begin with NaN in workgroup memory. Drivers' own matrices are checked where an adapter
//! lists them.

use super::poison::poisoned;
use signet::conform::{Check, ConformOptions, ConformTarget, run};
use signet::device::{Checks, Cooperative, Gpu, KERNELS, KNOWN_FAILURES, Kernel, adapters};
use std::collections::BTreeSet;
use std::sync::Arc;

/// All kinds of matrices that kernels use.
const MATRICES: [Cooperative; 3] = [Cooperative { size: 16, half: true }, Cooperative { size: 8, half: true }, Cooperative { size: 8, half: false }];

/// Opens the first adapter, with matrices as loops and subgroups of `SUBGROUP` invocations.
pub(crate) fn gpu<const SUBGROUP: u32>() -> Arc<Gpu> {
    let adapters = pollster::block_on(adapters());
    // A small binding limit, since cases as large as the limit would take minutes.
    let opened = pollster::block_on(Gpu::open_within(&adapters[0], Checks::Off, 1 << 20, KNOWN_FAILURES));
    let gpu = opened.expect("the first adapter opens");
    Arc::new(gpu.expanding(&MATRICES, SUBGROUP, |kernel| poisoned(kernel.unit, &expanded(kernel, SUBGROUP))))
}

/// Returns the source of a kernel's module with loops in place of matrices. Subgroups are runs of `subgroup` invocations.
///
/// A factor is only a position in workgroup memory, which does not change between load and multiplication. A sum's elements
/// are distributed over the invocations, row by row.
fn expanded(kernel: &Kernel, subgroup: u32) -> String {
    let Some(Cooperative { size, half }) = kernel.cooperative else { return kernel.source.to_owned() };
    let scalar = if half { "f16" } else { "f32" };
    let own = (size * size).div_ceil(subgroup);
    let lanes = kernel.workgroup[0];
    let mut source = kernel.source.replace("enable wgpu_cooperative_matrix;\n", "");
    for (name, role) in [("Left", "A"), ("Right", "B")] {
        let alias = format!("alias {name} = coop_mat{size}x{size}<{scalar}, {role}>;");
        assert!(source.contains(&alias), "{}: no {alias}", kernel.unit);
        source = source.replace(&alias, &format!("struct {name} {{ at: u32, row: u32, column: u32 }}"));
        source = rewrite_calls(&source, &format!("coopLoadT<{name}>("), |[at, pitch]| format!("{name}({at}, {pitch}, 1u)"));
        source = rewrite_calls(&source, &format!("coopLoad<{name}>("), |[at, pitch]| format!("{name}({at}, 1u, {pitch})"));
    }
    source = source.replace(&format!("alias Sum = coop_mat{size}x{size}<f32, C>;"), &format!("alias Sum = array<f32, {own}>;"));
    source = rewrite_calls(&source, "coopStoreT(", |[sum, at, pitch]| format!("store_matrix({sum}, {at}, {pitch})"));
    source = not_unrolled(&rolled_stores(&rolled_products(&source)));
    let values = [("subgroup_id", format!("matrix_lane / {subgroup}u")), ("num_subgroups", format!("{}u", lanes / subgroup))];
    source = with_values(&source, &values);
    assert!(!source.contains("coop"), "{}: not all matrices were replaced:\n{source}", kernel.unit);
    format!(
        "{source}
var<private> matrix_lane: u32;
var<private> matrix_zero: u32;
fn multiply_matrices(a: Left, b: Right, sum: Sum) -> Sum {{
    var out = sum;
    for (var n = 0u; n < {own}u + matrix_zero; n++) {{
        let i = matrix_lane % {subgroup}u + n * {subgroup}u;
        for (var k = 0u; k < {size}u + matrix_zero; k++) {{
            out[n] += f32(tile_left[a.at + i / {size}u * a.row + k * a.column]) * f32(tile_right[b.at + k * b.row + i % {size}u * b.column]);
        }}
    }}
    return out;
}}
fn store_matrix(sum: Sum, at: u32, pitch: u32) {{
    var values = sum;
    for (var n = 0u; n < {own}u + matrix_zero; n++) {{
        let i = matrix_lane % {subgroup}u + n * {subgroup}u;
        stage[at + i / {size}u * pitch + i % {size}u] = values[n];
    }}
}}
"
    )
}

/// Replaces every call that begins with `opening` by the result of `write` from its arguments. Of an argument
/// `&array[place]`, only the place is passed.
fn rewrite_calls<const N: usize>(source: &str, opening: &str, write: impl Fn([&str; N]) -> String) -> String {
    let mut out = String::new();
    let mut rest = source;
    while let Some(at) = rest.find(opening) {
        out.push_str(&rest[..at]);
        let inner = &rest[at + opening.len()..];
        let (arguments, length) = arguments(inner);
        let places: Vec<&str> = arguments.into_iter().map(place).collect();
        out.push_str(&write(places.try_into().expect("the number of arguments")));
        rest = &inner[length..];
    }
    out + rest
}

/// Splits the text after an opening parenthesis in arguments, and returns the length up to the closing one.
fn arguments(text: &str) -> (Vec<&str>, usize) {
    let (mut depth, mut first, mut found) = (0, 0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ')' if depth == 0 => {
                found.push(text[first..at].trim());
                return (found, at + 1);
            }
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                found.push(text[first..at].trim());
                first = at + 1;
            }
            _ => {}
        }
    }
    panic!("a call without end: {text}");
}

fn place(argument: &str) -> &str {
    let indexed = argument.strip_prefix('&').and_then(|array| array.split_once('['));
    indexed.map_or(argument, |(_, index)| index.strip_suffix(']').expect("an index"))
}

/// Replaces the multiplications `(*sums)[n] = coopMultiplyAdd(a…, b…, (*sums)[n]);` by a loop over the same triples: software
/// adapters take minutes to compile a kernel with dozens of loops.
fn rolled_products(source: &str) -> String {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let triple = |line: &str| {
        let (target, call) = line.trim().split_once(" = coopMultiplyAdd(")?;
        let (arguments, _) = arguments(call);
        assert_eq!(target, arguments[2], "a sum that is not added to itself: {line}");
        Some(format!("vec3({}u, {}u, {}u)", digits(target), digits(arguments[0]), digits(arguments[1])))
    };
    let triples: Vec<String> = source.lines().filter_map(triple).collect();
    let (count, last) = (triples.len(), source.lines().rfind(|line| triple(line).is_some()));
    let mut out = String::new();
    for line in source.lines() {
        if triple(line).is_none() {
            out += &format!("{line}\n");
        }
        if Some(line) == last {
            out += &format!(
                "var lefts = array<Left, 4>(a0, a1, a2, a3);
var rights = array<Right, 4>(b0, b1, b2, b3);
var triples = array<vec3<u32>, {count}>({});
for (var i = 0u; i < {count}u; i++) {{
    (*sums)[triples[i].x] = multiply_matrices(lefts[triples[i].y], rights[triples[i].z], (*sums)[triples[i].x]);
}}
",
                triples.join(", ")
            );
        }
    }
    out
}

/// Replaces runs of statements that pass one of the sums, and differ only in numbers, by a loop over these numbers.
fn rolled_stores(source: &str) -> String {
    let lines: Vec<&str> = source.lines().collect();
    let split = |at: usize, length: usize| lines.get(at..at + length).map(|group| numbers(&group.join("\n")));
    let mut out = String::new();
    let mut at = 0;
    while at < lines.len() {
        let call = lines[at].contains("(sums[") || lines[at].contains(", sums[");
        let run = |length: usize| {
            (1..).take_while(|n| call && split(at + n * length, length).map(|(text, _)| text) == split(at, length).map(|(text, _)| text)).count() + 1
        };
        let (length, count) = [1, 2].map(|length| (length, run(length))).into_iter().max_by_key(|(length, count)| length * count).expect("two");
        if count < 4 {
            out += &format!("{}\n", lines[at]);
            at += 1;
            continue;
        }
        let groups: Vec<Vec<String>> = (0..count).map(|n| split(at + n * length, length).expect("a group").1).collect();
        let mut body = String::new();
        for (n, text) in split(at, length).expect("a group").0.iter().enumerate() {
            if n > 0 {
                let values: Vec<String> = groups.iter().map(|group| format!("{}u", group[n - 1])).collect();
                out += &format!("var numbers{n} = array<u32, {count}>({});\n", values.join(", "));
                body += &format!("numbers{n}[roll]");
            }
            body += text;
        }
        out += &format!("for (var roll = 0u; roll < {count}u; roll++) {{\n{body}\n}}\n");
        at += length * count;
    }
    out
}

/// Adds 0 to the bound of every loop from 0 on, where the compiler cannot know it: it would unroll them.
fn not_unrolled(source: &str) -> String {
    let loops = |line: &str| match line.split_once("= 0u; ").and_then(|(before, after)| Some((before, after.split_once(';')?))) {
        Some((before, (bound, step))) if before.trim_start().starts_with("for (var ") => format!("{before}= 0u; {bound} + matrix_zero;{step}\n"),
        _ => format!("{line}\n"),
    };
    source.lines().map(loops).collect()
}

/// Splits a text at its numbers, and returns the parts between them, and the numbers without their suffix.
fn numbers(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut parts, mut found) = (Vec::new(), Vec::new());
    let (mut first, mut before) = (0, ' ');
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character.is_ascii_digit() && !before.is_alphanumeric() && before != '_' {
            let mut end = at + 1;
            while let Some((next, _)) = characters.next_if(|(_, next)| next.is_ascii_digit()) {
                end = next + 1;
            }
            parts.push(text[first..at].to_owned());
            found.push(text[at..end].to_owned());
            first = characters.next_if(|(_, next)| *next == 'u').map_or(end, |(suffix, _)| suffix + 1);
        }
        before = character;
    }
    parts.push(text[first..].to_owned());
    (parts, found)
}

/// Replaces the parameters of these builtins by values in every entry point, and sets `matrix_lane`.
fn with_values(source: &str, values: &[(&str, String)]) -> String {
    let mut entries = source.split("@compute");
    let mut out = entries.next().unwrap_or_default().to_owned();
    for entry in entries {
        let (head, rest) = entry.split_once("fn ").expect("a function");
        let (name, rest) = rest.split_once('(').expect("parameters");
        let (parameters, body) = rest.split_once(") {").expect("a body");
        let mut left = Vec::new();
        let mut prologue = String::new();
        for parameter in parameters.split(", @").map(|parameter| parameter.trim_start_matches('@')) {
            let (builtin, variable) = parameter.strip_prefix("builtin(").and_then(|rest| rest.split_once(") ")).expect("a builtin");
            let variable = variable.split(':').next().expect("a name");
            match values.iter().find(|(name, _)| *name == builtin) {
                Some((_, value)) => prologue += &format!("let {variable} = {value};\n"),
                None => left.push(format!("@{parameter}")),
            }
            if builtin == "local_invocation_index" {
                prologue = format!("matrix_lane = {variable};\nmatrix_zero = matrix_groups.z - 1u;\n{prologue}");
            }
        }
        out += &format!("@compute{head}fn {name}({}, @builtin(num_workgroups) matrix_groups: vec3<u32>) {{\n{prologue}{body}", left.join(", "));
    }
    out
}

/// Checks all cases of an operation in each variant with matrices.
fn passes(gpu: &Arc<Gpu>, operation: &str) -> bool {
    let options = ConformOptions {
        filter: Some(std::env::var("SIGNET_FILTER").unwrap_or_else(|_| format!("{operation}: "))),
        variant: Some("cooperative".into()),
        checks: vec![Check::Forward, Check::Backward],
        ..ConformOptions::all(1)
    };
    super::passed(&pollster::block_on(run(&ConformTarget::Gpu(vec![gpu.clone()]), &options, |_| true)))
}

#[test]
fn kernels_with_matrices_agree_with_the_oracle() {
    // With subgroups of 32, four of which are a workgroup of 128, and with subgroups of 64.
    let gpus = [gpu::<32>(), gpu::<64>()];
    let with_matrices: Vec<&Kernel> = KERNELS.iter().filter(|kernel| kernel.cooperative.is_some()).collect();
    let operations: BTreeSet<&str> = with_matrices.iter().map(|kernel| kernel.name.split(['.', '/']).next().unwrap_or_default()).collect();
    let outcomes: Vec<bool> = gpus.iter().flat_map(|gpu| operations.iter().map(|operation| passes(gpu, operation))).collect();
    assert!(outcomes.iter().all(|&passed| passed), "see the tables above");
    // A kernel that no case runs would prove nothing.
    let compiled = gpus[0].compiled();
    let untried: Vec<&str> = with_matrices.iter().map(|kernel| kernel.name).filter(|name| !compiled.contains(name)).collect();
    assert!(untried.is_empty(), "not tried: {untried:?}");
    assert!(gpus[1].compiled().iter().any(|name| name.contains("wave64")));
}
