//! The parts of a report: their commands and time limits.

use super::Report;

/// Name of the training run that takes the time given by `--minutes`.
pub(super) const CURVE: &str = "curve";
/// Names of the parts that compare the first steps of a run on the device and on the CPU device.
pub(super) const FIRST_STEPS: [&str; 2] = ["first-steps", "first-steps-cpu"];
/// Steps of that comparison.
const STEPS: u64 = 30;
/// Folder of the runs, below the report's.
const RUNS: &str = "runs";

/// A part of the report.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    /// Its name.
    pub(super) name: &'static str,
    /// Its time limit in seconds.
    pub(super) limit: f64,
    /// Its command.
    pub(super) work: Work,
}

/// The command of a part.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Work {
    /// A command of this program.
    Command(Vec<String>),
    /// A command of this program that tunes kernels; the result is the tuning file. True for kernels with f16 factors.
    Tune(Vec<String>, bool),
    /// A command of this program that is skipped if its memory plan, another command, does not fit.
    Planned(Vec<String>, Vec<String>),
    /// A training that is ended after some steps.
    Steps(Vec<String>, u64),
    /// A training that is long enough for the time given.
    Curve(Vec<String>),
    /// The PyTorch script with these arguments.
    Torch(Vec<String>),
}

/// Returns all parts, in the order in which they are run: first what is short.
pub(super) fn parts(report: &Report) -> Vec<Part> {
    let (device, quick) = (&*report.device, report.quick);
    let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
    // The device's name may have spaces.
    let on = |device: &str, text: &str| [words(text), vec!["--device".into(), device.into(), "--json".into()]].concat();
    let train = |size: &str, steps: usize, options: &str| {
        let shape = if quick { "--size tiny --batch 1 --seq 16 --steps 1".into() } else { format!("--size {size} --steps {steps}") };
        format!("bench train {shape} {options}").trim_end().to_string()
    };
    let decode = |size: &str, context: usize, options: &str| {
        let (size, context, options) = if quick { ("tiny", 16, "--packed-only") } else { (size, context, options) };
        let tokens = context / 4;
        let command = on(device, format!("bench decode --size {size} --prompt {tokens} --tokens {tokens} {options}").trim_end());
        Work::Planned(on(device, &format!("generate {size} --plan --context {context}")), command)
    };
    let torch = |size: &str, dtype: &str| {
        let (size, batch, seq, steps) = match (quick, size) {
            (true, _) => ("tiny", 1, 16, 1),
            (_, "5M") => (size, 4, 256, 20),
            _ => (size, 1, 256, 6),
        };
        Work::Torch(words(&format!("{size} {batch} {seq} {steps} {dtype}")))
    };
    let steps = |folder: &str, device: &str| {
        let (shape, steps) = if quick { (" --batch 1 --seq 16 --eval-batches 1", 2) } else { ("", STEPS) };
        Work::Steps(on(device, &format!("train --runs {RUNS}/{folder}{shape}")), steps)
    };
    let filter = if quick { " --filter add:" } else { "" };
    let curve = if quick { "--batch 1 --seq 16 --eval-batches 1" } else { "--model 130M" };
    let command = |text: &str| Work::Command(on(device, text));
    let list = [
        ("devices", 2, Work::Command(words("devices --json"))),
        ("dispatch", 3, command("bench dispatch")),
        ("conform", 30, command(&format!("conform --seed 1{filter}"))),
        ("tuning", 10, Work::Tune(on(device, &format!("--tune {}", train("130M", 1, ""))), false)),
        ("tuning-f16", 10, Work::Tune(on(device, &format!("--tune {}", train("130M", 1, "--precision f16"))), true)),
        ("matmul", 10, command("bench matmul")),
        ("train-5M", 5, command(&train("5M", 20, ""))),
        ("train-5M-f16", 5, command(&train("5M", 20, "--precision f16"))),
        ("train-130M", 10, command(&train("130M", 6, "--kernels"))),
        ("train-130M-f16", 10, command(&train("130M", 6, "--precision f16 --kernels"))),
        ("torch-5M", 10, torch("5M", "f32")),
        ("torch-5M-bf16", 10, torch("5M", "bf16")),
        ("torch-130M", 10, torch("130M", "f32")),
        ("torch-130M-bf16", 10, torch("130M", "bf16")),
        ("decode-130M", 10, decode("130M", 256, "--kernels")),
        ("decode-1.7B", 15, decode("SmolLM2-1.7B", 256, "--packed-only --kernels")),
        ("decode-7B", 30, decode("7B", 256, "--packed-only --kernels")),
        (FIRST_STEPS[0], 15, steps(FIRST_STEPS[0], device)),
        (FIRST_STEPS[1], 15, steps(FIRST_STEPS[1], "cpu")),
        (CURVE, report.minutes, Work::Curve(on(device, &format!("train --runs {RUNS}/{CURVE} --name run {curve}")))),
    ];
    let limit = |name: &str, minutes: u64| match report.limit {
        Some(most) if name != CURVE => minutes.min(most),
        _ => minutes,
    };
    list.into_iter().map(|(name, minutes, work)| Part { name, limit: 60.0 * limit(name, minutes) as f64, work }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_limits_follow_the_options() {
        let report = Report { limit: Some(4), minutes: 30, device: "RTX 4070".into(), ..Report::default() };
        let parts = parts(&report);
        let mut names: Vec<&str> = parts.iter().map(|part| part.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), parts.len());
        for part in &parts {
            let most = if part.name == CURVE { 1800.0 } else { 240.0 };
            assert!(part.limit > 0.0 && part.limit <= most, "{part:?}");
            if let Work::Command(words) | Work::Tune(words, _) = &part.work {
                assert!(part.name == "devices" || words.contains(&"RTX 4070".into()), "{part:?}");
            }
        }
    }
}
