//! Renders a report as Markdown.

use super::parts::{CURVE, FIRST_STEPS};
use super::record::{PartRecord, Record, Status};
use crate::output::time;
use serde_json::Value;
use signet::runner::{DecodeReport, DecodeSide, DeviceInfo, Event, KernelRow, MatmulReport, Report, TrainBenchReport, format_bytes};
use std::fmt::Write;

/// The most rows of a table of kernels.
const KERNELS: usize = 12;
/// The most rows of a table of a curve.
const CURVE_ROWS: usize = 20;

/// Returns the report as Markdown.
pub(super) fn render(record: &Record) -> String {
    let Record { signet, sources, system, device, quick, .. } = record;
    let mut text = format!("# Signet {signet} on {system}\n\nSources {sources}, `--device {}`.\n", plain(device));
    if *quick {
        text += "\n**Made with `--quick`: the smallest models and few steps. The figures mean nothing.**\n";
    }
    text += "\n| part | result | time | why |\n| --- | --- | ---: | --- |\n";
    for PartRecord { name, status, seconds, reason, .. } in &record.parts {
        let _ = writeln!(text, "| {name} | {} | {} | {} |", status.text(), time(*seconds), plain(reason));
    }
    for part in record.parts.iter().filter(|part| !part.results.is_empty() || !part.errors.is_empty()) {
        let _ = write!(text, "\n## {}\n\n`{}`\n\n", part.name, part.command.replace('`', "'"));
        if part.name == FIRST_STEPS[1] {
            text += &compare(record.results(FIRST_STEPS[0]), &part.results);
        } else if part.name == CURVE {
            text += &curve(&part.results);
        } else {
            text += &results(&part.results);
        }
        if !part.errors.is_empty() && part.status != Status::Skipped {
            let _ = write!(text, "\n<details><summary>Messages</summary>\n\n```\n{}\n```\n</details>\n", part.errors.join("\n"));
        }
    }
    text
}

/// Text in a cell of a table.
fn plain(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '`'], " ")
}

/// The results of a part, by their kind.
fn results(results: &[Value]) -> String {
    let (mut text, mut products) = (String::new(), Vec::new());
    for result in results {
        match (serde_json::from_value(result.clone()), result["event"].as_str()) {
            (Ok(Event::Devices { adapters }), _) => text += &devices(&adapters),
            (Ok(Event::Conformance { report, table }), _) => text += &conformance(&report, &table),
            (Ok(Event::BenchDispatch { device, seconds }), _) => {
                let _ = writeln!(text, "A dependent dispatch costs {:.2} µs on {}.", 1e6 * seconds, plain(&device));
            }
            (Ok(Event::BenchMatmul(report)), _) => products.push(report),
            (Ok(Event::BenchTrain(report)), _) => text += &train(&report),
            (Ok(Event::BenchDecode(report)), _) => text += &decode(&report),
            (_, Some("tuned")) => text += &tuned(result),
            (_, Some("torch_train")) => text += &torch(result),
            (_, Some("train")) if result["train"] == "begun" => {
                let _ = writeln!(text, "{} on {}.", plain(string(result, "summary")), plain(string(result, "device")));
            }
            _ => {}
        }
    }
    text + &matmul(&products)
}

fn devices(adapters: &[DeviceInfo]) -> String {
    let mut text = String::from("| | adapter | kind | driver | memory | largest binding | features |\n| --- | --- | --- | --- | ---: | ---: | --- |\n");
    for DeviceInfo { index, name, kind, driver, memory_bytes, binding_bytes, features, lacks, .. } in adapters {
        let memory = memory_bytes.map_or("unknown".into(), format_bytes);
        let lacks = if lacks.is_empty() { String::new() } else { format!("; cannot be used: {}", lacks.join(", ")) };
        let _ = writeln!(
            text,
            "| {index} | {} | {kind} | {} | {memory} | {} | {}{} |",
            plain(name),
            plain(driver),
            format_bytes(*binding_bytes),
            features.join(", "),
            plain(&lacks)
        );
    }
    text
}

fn conformance(report: &Report, table: &str) -> String {
    let passed = if report.passed() { "passed" } else { "FAILED" };
    let mut text = format!("{}: {passed}, {} cases, {} failed, seed {}.\n", plain(&report.device), report.cases(), report.failed(), report.seed);
    for row in report.rows.iter().filter(|row| row.failed > 0) {
        let _ = writeln!(text, "- {} {}: {} of {} failed: {}", row.operation, row.variant, row.failed, row.cases, plain(&row.failures.join("; ")));
    }
    for model in report.models.iter().filter_map(|model| Some((&model.what, model.failure.as_ref()?))) {
        let _ = writeln!(text, "- {}: {}", model.0, plain(model.1));
    }
    for lack in &report.unavailable {
        let _ = writeln!(text, "- {} {} cannot run here: {}", lack.operation, lack.variant, plain(&lack.why));
    }
    let _ = write!(text, "\n<details><summary>All operations</summary>\n\n{table}\n\n</details>\n");
    text
}

fn matmul(products: &[MatmulReport]) -> String {
    if products.is_empty() {
        return String::new();
    }
    let mut text = String::from("| product | variant | tokens × inputs → outputs | GFLOP/s | least | greatest |\n| --- | --- | --- | ---: | ---: | ---: |\n");
    for MatmulReport { kind, variant, shape: [tokens, inputs, outputs], gflops } in products {
        let _ = writeln!(text, "| {kind} | {variant} | {tokens} × {inputs} → {outputs} | {:.1} | {:.1} | {:.1} |", gflops.median, gflops.min, gflops.max);
    }
    text
}

fn train(report: &TrainBenchReport) -> String {
    let TrainBenchReport { bench, parameters, device, tokens_per_s, memory, submits, kernels: rows, .. } = report;
    let mut text = format!(
        "{} ({parameters} parameters), {} × {} tokens on {}: **{:.1} tokens/s** ({:.1} to {:.1}), {} of memory, {submits} submits a step.\n",
        bench.size,
        bench.batch,
        bench.seq,
        plain(device),
        tokens_per_s.median,
        tokens_per_s.min,
        tokens_per_s.max,
        format_bytes(*memory)
    );
    text += &kernels(rows);
    text
}

fn decode(report: &DecodeReport) -> String {
    let DecodeReport { bench, device, bandwidth, packed, dense, kernels: rows, .. } = report;
    let mut text = format!(
        "{} on {}, {} tokens after a prompt of {}; a copy moves {:.1} GB/s.\n\n| model | tokens/s | share of bandwidth | prefill tokens/s | first token | memory |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n",
        bench.size,
        plain(device),
        bench.tokens,
        bench.prompt,
        bandwidth / 1e9
    );
    for (name, side) in [("packed", Some(packed)), ("dense f16", dense.as_ref())] {
        let Some(DecodeSide { tokens_per_second, first_token_seconds, prefill_tokens_per_second, memory, roofline, .. }) = side else { continue };
        let _ = writeln!(
            text,
            "| {name} | {tokens_per_second:.1} | {:.0}% | {prefill_tokens_per_second:.0} | {:.1} ms | {} |",
            100.0 * roofline,
            1e3 * first_token_seconds,
            format_bytes(*memory)
        );
    }
    text += &kernels(rows);
    text
}

/// The kernels that take the most time.
fn kernels(rows: &[KernelRow]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut rows: Vec<&KernelRow> = rows.iter().collect();
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let total: f64 = rows.iter().map(|row| row.seconds).sum();
    let mut text = String::from("\n| kernel | dispatches | time | share | of bandwidth | of f32 rate |\n| --- | ---: | ---: | ---: | ---: | ---: |\n");
    for KernelRow { kernel, dispatches, seconds, bandwidth, rate, .. } in rows.iter().take(KERNELS) {
        let _ = writeln!(
            text,
            "| {kernel} | {dispatches} | {:.3} ms | {:.0}% | {:.0}% | {:.0}% |",
            1e3 * seconds,
            100.0 * seconds / total.max(1e-12),
            100.0 * bandwidth,
            100.0 * rate
        );
    }
    text
}

/// The chosen variant of each operation, with the times of all that were tried.
fn tuned(file: &Value) -> String {
    let entries = |name: &str| file[name].as_object().into_iter().flatten();
    let mut text = format!("{}:\n\n| operation | variant | times |\n| --- | --- | --- |\n", plain(string(file, "adapter")));
    for (key, entry) in entries("chosen") {
        let times = entry["seconds"].as_object().into_iter().flatten();
        let times: Vec<String> = times.map(|(variant, seconds)| format!("{variant} {:.3} ms", 1e3 * seconds.as_f64().unwrap_or_default())).collect();
        let _ = writeln!(text, "| {} | {} | {} |", plain(key), string(entry, "variant"), times.join(", "));
    }
    for (key, variants) in entries("denied") {
        for (variant, why) in variants.as_object().into_iter().flatten() {
            let _ = writeln!(text, "| {} | {variant} is denied | {} |", plain(key), plain(why.as_str().unwrap_or_default()));
        }
    }
    text
}

fn torch(result: &Value) -> String {
    let rate = |name: &str| result["tokens_per_s"][name].as_f64().unwrap_or_default();
    format!(
        "PyTorch {} on {}: {} in {}, {} × {} tokens: **{:.1} tokens/s** ({:.1} to {:.1}).\n",
        string(result, "torch"),
        plain(string(result, "device")),
        string(result, "size"),
        string(result, "dtype"),
        result["batch"],
        result["seq"],
        rate("median"),
        rate("least"),
        rate("greatest")
    )
}

/// The losses of two runs side by side.
fn compare(device: &[Value], cpu: &[Value]) -> String {
    let losses = |results: &[Value]| -> Vec<(u64, f64)> { results.iter().filter_map(|r| Some((r["step"].as_u64()?, r["loss"].as_f64()?))).collect() };
    let (device, cpu) = (losses(device), losses(cpu));
    let mut text = String::from("| step | loss on the device | loss on the CPU device | relative difference |\n| ---: | ---: | ---: | ---: |\n");
    for (step, loss) in device {
        if let Some((_, expected)) = cpu.iter().find(|(other, _)| *other == step) {
            let _ = writeln!(text, "| {step} | {loss:.6} | {expected:.6} | {:.1e} |", (loss - expected).abs() / expected.abs().max(1e-12));
        }
    }
    text
}

/// Steps of a run at equal distances, and all held-out losses.
fn curve(results: &[Value]) -> String {
    let mut text = self::results(results)
        + &format!("\nAll steps: `{CURVE}.svg`, runs/{CURVE}.\n\n| step | loss | KL | held-out KL | tokens/s |\n| ---: | ---: | ---: | ---: | ---: |\n");
    let steps: Vec<&Value> = results.iter().filter(|result| result["train"] == "step").collect();
    let every = steps.len().div_ceil(CURVE_ROWS).max(1);
    let number = |value: &Value| value.as_f64().map_or(String::new(), |number| format!("{number:.4}"));
    for (n, step) in steps.iter().enumerate() {
        if n % every == 0 || n + 1 == steps.len() || !step["held_out"].is_null() {
            let rate = step["tokens_per_s"].as_f64().unwrap_or_default();
            let _ =
                writeln!(text, "| {} | {} | {} | {} | {rate:.0} |", step["step"], number(&step["loss"]), number(&step["kl"]), number(&step["held_out"]["kl"]));
        }
    }
    text
}

fn string<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The report of one part with these results.
    fn rendered(name: &str, results: Vec<Value>) -> String {
        let mut record = Record::new("auto", false, 0, &[name]);
        record.parts[0].results = results;
        record.parts[0].end(Status::Done, "");
        render(&record)
    }

    #[test]
    fn results_of_each_kind_are_shown() {
        let dispatch = rendered("dispatch", vec![json!({"event": "bench_dispatch", "device": "GPU", "seconds": 2.5e-6})]);
        assert!(dispatch.contains("costs 2.50 µs on GPU"), "{dispatch}");
        let rates = json!({"least": 1.0, "median": 2.0, "greatest": 3.0});
        let product = json!({"event": "bench_matmul", "kind": "signs", "variant": "wide", "shape": [1, 2, 3], "gflops": rates});
        let matmul = rendered("matmul", vec![product.clone(), product]);
        assert_eq!(matmul.matches("| signs | wide | 1 × 2 → 3 | 2.0 | 1.0 | 3.0 |").count(), 2, "{matmul}");
        let torch =
            json!({"event": "torch_train", "torch": "2.9", "device": "GPU", "size": "5M", "dtype": "f32", "batch": 4, "seq": 256, "tokens_per_s": rates});
        assert!(rendered("torch-5M", vec![torch]).contains("PyTorch 2.9 on GPU: 5M in f32, 4 × 256 tokens: **2.0 tokens/s**"));
        let tuned = json!({"event": "tuned", "adapter": "GPU", "chosen": {"matmul x": {"variant": "wide", "seconds": {"wide": 0.001}}},
            "denied": {"add y": {"quads": "wrong | sum"}}});
        let tuned = rendered("tuning", vec![tuned]);
        assert!(tuned.contains("| matmul x | wide | wide 1.000 ms |") && tuned.contains("| add y | quads is denied | wrong \\| sum |"), "{tuned}");
    }

    #[test]
    fn losses_stand_side_by_side_as_far_as_both_runs_came() {
        let step = |step: u64, loss: f64| json!({"event": "train", "train": "step", "step": step, "loss": loss});
        let mut record = Record::new("auto", false, 0, &FIRST_STEPS);
        record.parts[0].results = vec![step(1, 2.0), step(2, 1.0), step(3, 0.5)];
        record.parts[1].results = vec![step(1, 2.0), step(2, 1.1)];
        let text = render(&record);
        assert!(text.contains("| 1 | 2.000000 | 2.000000 | 0.0e0 |") && text.contains("| 2 | 1.000000 | 1.100000 | 9.1e-2 |"), "{text}");
        assert!(!text.contains("| 3 | 0.5"), "{text}");
    }

    #[test]
    fn a_curve_is_shortened_and_keeps_its_end() {
        let steps = (1..=1000).map(|step| json!({"event": "train", "train": "step", "step": step, "loss": 1.0, "kl": 0.5, "tokens_per_s": 9.0}));
        let text = rendered(CURVE, steps.collect());
        assert!(text.contains("| 1000 | 1.0000 | 0.5000 |  | 9 |") && text.lines().count() < 50, "{text}");
    }
}
