//! Teacher caches: creation, kill and resume, damage, errors, and training.

use crate::train::{Scratch, as_str, killed_and_resumed_as, run, signet, student, teacher};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A part of the embedded corpus, so that a test takes seconds.
fn corpus(scratch: &Scratch) -> String {
    let text = signet::assets::corpus().unwrap();
    let end = text[..60_000].rfind("<|end|>").unwrap() + "<|end|>".len();
    std::fs::write(scratch.path("text.txt"), &text[..end]).unwrap();
    scratch.path("text.txt").display().to_string()
}

fn teach(scratch: &Scratch, teacher: &Path, out: &str, device: &str, more: &[&str]) -> Vec<String> {
    let mut arguments: Vec<String> = ["teach", "--seq", "32", "--top", "9", "--device", device].map(String::from).into();
    for (option, value) in [("--teacher", teacher.display().to_string()), ("--out", scratch.path(out).display().to_string()), ("--data", corpus(scratch))] {
        arguments.extend([option.to_string(), value]);
    }
    arguments.extend(more.iter().map(|argument| argument.to_string()));
    arguments
}

fn contents(scratch: &Scratch, out: &str) -> Vec<u8> {
    std::fs::read(scratch.path(out).join("teacher.safetensors")).unwrap()
}

/// A run of 60 steps with a teacher cache.
fn learner(scratch: &Scratch, teacher: &str, cache: &str, name: &str, device: &str) -> Vec<String> {
    let mut arguments = student(scratch, Path::new(teacher), name, device);
    let data = arguments.iter().position(|argument| argument == "--data").expect("a student has a text");
    arguments[data + 1] = corpus(scratch);
    arguments.extend(["--teacher-cache".to_string(), scratch.path(cache).display().to_string()]);
    arguments
}

#[test]
fn an_interrupted_or_damaged_cache_is_completed_byte_for_byte() {
    let scratch = Scratch::new("teach");
    let teacher = teacher(&scratch);
    let (good, printed) = run(&as_str(&teach(&scratch, &teacher, "whole", "cpu", &[])));
    assert!(good && printed.contains("tokens/s") && printed.contains("B in all"), "{printed}");
    let path = scratch.path("killed/teacher.safetensors");
    for kill in 0..3 {
        let mut child = signet(&as_str(&teach(&scratch, &teacher, "killed", "cpu", &[]))).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while !path.exists() && begun.elapsed() < Duration::from_secs(300) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(2 + 15 * kill));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (good, printed) = run(&as_str(&learner(&scratch, "none", "killed", "early", "cpu")));
    // The machine may have been fast enough to finish it.
    let whole = contents(&scratch, "whole") == contents(&scratch, "killed");
    assert!(whole || !good && printed.contains("windows are missing"), "{printed}");
    assert!(run(&as_str(&teach(&scratch, &teacher, "killed", "cpu", &[]))).0);
    assert!(contents(&scratch, "whole") == contents(&scratch, "killed"), "the caches differ");
    // A bit in each of the last windows, including held-out ones: the low byte of a probability. The probabilities are
    // followed by checksums of the windows' texts.
    let mut bytes = contents(&scratch, "whole");
    let windows = signet::formats::safetensors::TensorFile::open(&scratch.path("whole/teacher.safetensors")).unwrap().raw("texts").unwrap().1[0];
    let (end, window) = (bytes.len() - 8 * windows, 32 * 9 * 2);
    (1..=40).for_each(|n| bytes[end - n * window] ^= 1);
    std::fs::write(&path, bytes).unwrap();
    let (good, printed) = run(&as_str(&learner(&scratch, "none", "killed", "late", "cpu")));
    assert!(!good && printed.contains("is damaged") && printed.contains("signet teach"), "{printed}");
    let (good, printed) = run(&as_str(&teach(&scratch, &teacher, "killed", "cpu", &[])));
    assert!(good && printed.contains("40 of "), "{printed}");
    assert!(contents(&scratch, "whole") == contents(&scratch, "killed"), "the repaired cache differs");
}

#[test]
fn a_cache_of_other_inputs_is_refused_by_name() {
    let scratch = Scratch::new("refused-cache");
    let (teacher, embedded) = (teacher(&scratch), "embedded".to_string());
    assert!(run(&as_str(&teach(&scratch, &teacher, "cache", "cpu", &[]))).0);
    let plain = learner(&scratch, &teacher.display().to_string(), "cache", "bad", "cpu");
    let other = scratch.path("other.txt");
    std::fs::write(&other, std::fs::read_to_string(corpus(&scratch)).unwrap().replacen('a', "e", 1)).unwrap();
    let cases: [(&str, String, &str); 8] = [
        ("--seq", "16".into(), "seq was 32, is 16"),
        ("--temperature", "2".into(), "temperature was 1, is 2"),
        ("--teacher", embedded, "teacher was "),
        ("--data", other.display().to_string(), "text was "),
        (
            "--teacher-cache",
            scratch.path("nowhere").display().to_string(),
            "nowhere/teacher.safetensors: no such file. Make a teacher cache with `signet teach`",
        ),
        ("--loss", "ar".into(), "setting teacher_cache"),
        ("--model", "5M".into(), ""),
        ("--batch", "3".into(), ""),
    ];
    for (option, value, want) in cases {
        let mut arguments = plain.clone();
        match arguments.iter().position(|argument| argument == option) {
            Some(at) => arguments[at + 1] = value,
            None => arguments.extend([option.to_string(), value]),
        }
        if want.is_empty() {
            // Another student and another batch size may use it.
            let steps = arguments.iter().position(|argument| argument == "--steps").unwrap();
            arguments[steps + 1] = "6".into();
            let (good, printed) = run(&as_str(&arguments));
            assert!(good, "{option}: {printed}");
            std::fs::remove_dir_all(scratch.path("runs/bad")).unwrap();
            continue;
        }
        let (good, printed) = run(&as_str(&arguments));
        assert!(!good && printed.contains(want) && !printed.contains("panicked"), "{option}: {printed}");
        assert!(!scratch.path("runs/bad").exists(), "{option} left a run behind");
    }
    for (more, want) in
        [(["--top", "0"], "--top 0"), (["--top", "300"], "1 to 256"), (["--top", "5"], "top was 9, is 5"), (["--teacher", "none"], "teacher is none")]
    {
        let mut arguments = teach(&scratch, &teacher, "cache", "cpu", &[]);
        let at = arguments.iter().position(|argument| argument == more[0]).unwrap();
        arguments[at + 1] = more[1].into();
        let (good, printed) = run(&as_str(&arguments));
        assert!(!good && printed.contains(want), "{more:?}: {printed}");
    }
}

#[test]
fn a_killed_run_with_a_teacher_cache_resumes_to_the_same_bits_and_refuses_other_caches() {
    let scratch = Scratch::new("cached");
    let teacher = teacher(&scratch);
    assert!(run(&as_str(&teach(&scratch, &teacher, "cache", "cpu", &[]))).0);
    // The teacher itself is not needed.
    killed_and_resumed_as(&scratch, &|name| learner(&scratch, "none", "cache", name, "cpu"));
    std::fs::remove_dir_all(scratch.path("cache")).unwrap();
    let mut other = teach(&scratch, &teacher, "cache", "cpu", &[]);
    let top = other.iter().position(|argument| argument == "--top").unwrap();
    other[top + 1] = "8".into();
    assert!(run(&as_str(&other)).0);
    // A finished run does not open the cache.
    std::fs::remove_dir_all(scratch.path("runs/killed/checkpoints/step-00000060")).unwrap();
    let (good, printed) = run(&[&as_str(&learner(&scratch, "none", "cache", "killed", "cpu"))[..], &["--resume"]].concat());
    assert!(!good && printed.contains("is not the teacher cache of this run"), "{printed}");
}

#[test]
fn a_cache_made_on_an_adapter_trains_there_and_evaluates_against_the_teacher() {
    let scratch = Scratch::new("cached-gpu");
    let teacher = teacher(&scratch);
    assert!(run(&as_str(&teach(&scratch, &teacher, "cache", "0", &[]))).0);
    let arguments = learner(&scratch, &teacher.display().to_string(), "cache", "run", "0");
    let (good, printed) = run(&[&as_str(&arguments)[..], &["--eval-teacher"]].concat());
    assert!(good, "{printed}");
    let metrics = std::fs::read_to_string(scratch.path("runs/run/metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    let (joined, whole) = (last["kl"].as_f64().unwrap(), last["held_out"]["kl"].as_f64().unwrap());
    assert!(joined > 0.0 && whole > 0.0, "{joined} {whole}");
}

#[test]
fn a_run_resumes_from_its_cache_without_the_teacher() {
    let scratch = Scratch::new("absent-teacher");
    let teacher = teacher(&scratch);
    assert!(run(&as_str(&teach(&scratch, &teacher, "cache", "cpu", &[]))).0);
    let name = teacher.display().to_string();
    let whole = learner(&scratch, &name, "cache", "whole", "cpu");
    let (good, printed) = run(&as_str(&whole));
    assert!(good, "{printed}");
    let last = scratch.path("runs/whole/checkpoints/step-00000060");
    let weights = std::fs::read(last.join("model.safetensors")).unwrap();
    std::fs::remove_dir_all(&last).unwrap();
    std::fs::rename(&teacher, scratch.path("elsewhere")).unwrap();
    let mut resumed = whole;
    resumed.push("--resume".into());
    let (good, printed) = run(&as_str(&resumed));
    assert!(good && printed.contains(&name) && printed.contains("without its teacher"), "{printed}");
    assert!(std::fs::read(last.join("model.safetensors")).unwrap() == weights, "the parameters differ");
    // A new run needs the teacher's settings.
    let (good, printed) = run(&as_str(&learner(&scratch, &name, "cache", "new", "cpu")));
    assert!(!good && printed.contains("setting teacher"), "{printed}");
}
