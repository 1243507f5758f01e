//! Resuming: passed settings must match the run's, files that are no longer needed may be missing, and a run that gave up
//! says what to do.

use crate::train::{SMALL, Scratch, as_str, run, signet, some_text, text};

/// Arguments of a short run without a teacher, by its name.
pub(crate) fn short(scratch: &Scratch, name: &str) -> Vec<String> {
    short_with_text(scratch, name, &some_text(scratch))
}

/// The same, with a given text.
fn short_with_text(scratch: &Scratch, name: &str, data: &str) -> Vec<String> {
    std::fs::write(scratch.path("small.json"), SMALL).unwrap();
    let fixed = "train --device cpu --teacher none --loss ar --seq 16 --batch 1 --warmup 1 --eval-batches 1 --sample-every 0 --eval-every 0";
    let own = [("--model", scratch.path("small.json")), ("--runs", scratch.path("runs")), ("--name", name.into()), ("--data", data.into())];
    let own = own.into_iter().flat_map(|(option, value)| [option.to_string(), value.display().to_string()]);
    fixed.split(' ').map(String::from).chain(own).collect()
}

pub(crate) fn with(arguments: &[String], more: &[&str]) -> (bool, String) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
    run(&arguments)
}

#[test]
fn a_passed_setting_is_compared_with_the_run_even_if_it_is_the_default() {
    let scratch = Scratch::new("given");
    let arguments = short(&scratch, "run");
    let (good, printed) = with(&arguments, &["--steps", "6", "--lr", "0.01", "--guard-tolerate", "2"]);
    assert!(good, "{printed}");
    let (runs, name) = (scratch.path("runs").display().to_string(), ["--name", "run"]);
    let resume = |more: &[&str]| run(&[&["train", "--resume", "--device", "cpu", "--runs", &runs], &name[..], more].concat());
    // One, some or all options with their original values, also from a file.
    let file = scratch.path("runs/run/run.toml").display().to_string();
    for more in [&[][..], &["--lr", "0.01"], &["--steps", "6", "--guard-tolerate", "2"], &["--config", &file], &["--config", &file, "--seq", "16"]] {
        let (good, printed) = resume(more);
        assert!(good, "{more:?}: {printed}");
    }
    let (good, printed) = with(&arguments, &["--steps", "6", "--lr", "0.01", "--resume"]);
    assert!(good, "{printed}");
    std::fs::write(scratch.path("part.toml"), "[guard]\npatience = 16\ntolerate = 4\n").unwrap();
    let part = scratch.path("part.toml").display().to_string();
    for (more, words) in [
        // The default value, which differs from the run's.
        (&["--lr", "0.002"][..], "lr was 0.01, is 0.002"),
        (&["--steps", "1000"], "steps was 6, is 1000"),
        (&["--full-precision"], "binary was true, is false"),
        (&["--guard-tolerate", "3"], "guard.tolerate was 2, is 3"),
        (&["--config", &part], "guard.tolerate was 2, is 4"),
    ] {
        for plan in [&[][..], &["--plan"]] {
            let (good, printed) = resume(&[more, plan].concat());
            assert!(!good && printed.contains(words) && !printed.contains("; "), "{more:?}: {printed}");
        }
    }
}

#[test]
fn f16_training_can_be_requested_by_options_only() {
    let scratch = Scratch::new("f16");
    let arguments = short(&scratch, "run");
    let (good, printed) = with(&arguments, &["--steps", "2", "--precision", "f16"]);
    assert!(!good && printed.contains("--loss-scale 1024"), "{printed}");
    let (good, printed) = with(&arguments, &["--steps", "2", "--precision", "f16", "--loss-scale", "1024"]);
    assert!(good, "{printed}");
}

#[test]
fn a_run_resumes_without_the_model_that_it_started_from() {
    let scratch = Scratch::new("moved");
    let (good, printed) = with(&short(&scratch, "first"), &["--steps", "2"]);
    assert!(good, "{printed}");
    let first = scratch.path("runs/first/checkpoints/step-00000002").display().to_string();
    let arguments = short(&scratch, "second");
    let begin = ["--init", &first, "--steps", "9", "--checkpoint-every", "3"];
    assert!(with(&arguments, &begin).0);
    let checkpoint = |step: u64| scratch.path(&format!("runs/second/checkpoints/step-{step:08}"));
    let weights = std::fs::read(checkpoint(9).join("model.safetensors")).unwrap();
    std::fs::rename(scratch.path("runs/first"), scratch.path("runs/elsewhere")).unwrap();
    std::fs::remove_dir_all(checkpoint(9)).unwrap();
    let (good, printed) = with(&arguments, &[&begin[..], &["--resume"]].concat());
    assert!(good && std::fs::read(checkpoint(9).join("model.safetensors")).unwrap() == weights, "{printed}");
    // Without a checkpoint the run starts over, and needs it.
    std::fs::remove_dir_all(scratch.path("runs/second/checkpoints")).unwrap();
    std::fs::create_dir(scratch.path("runs/second/checkpoints")).unwrap();
    let (good, printed) = with(&arguments, &["--resume"]);
    assert!(!good && printed.contains(&first) && printed.contains("first weights"), "{printed}");
}

#[test]
fn a_run_keeps_the_shape_of_its_model() {
    let scratch = Scratch::new("shape");
    let steps = ["--steps", "6", "--checkpoint-every", "3"];
    let (good, printed) = with(&short(&scratch, "run"), &steps);
    assert!(good, "{printed}");
    let last = scratch.path("runs/run/checkpoints/step-00000006");
    let weights = std::fs::read(last.join("model.safetensors")).unwrap();
    let resume = || {
        std::fs::remove_dir_all(&last).unwrap();
        let (good, printed) = run(&["train", "--resume", "--device", "cpu", "--name", "run", "--runs", &scratch.path("runs").display().to_string()]);
        assert!(good && std::fs::read(last.join("model.safetensors")).unwrap() == weights, "{printed}");
        printed
    };
    let other = "describes another model";
    assert!(!resume().contains(other));
    // As a later version may add missing fields.
    let epsilon = SMALL.replacen('{', "{\"rms_norm_eps\": 1e-2, ", 1);
    for changed in [&epsilon, &SMALL.replace("72", "80")] {
        std::fs::write(scratch.path("small.json"), changed).unwrap();
        assert!(resume().contains(other));
    }
    std::fs::remove_file(scratch.path("small.json")).unwrap();
    resume();
    std::fs::remove_file(scratch.path("runs/run/run.toml")).unwrap();
    // The checkpoint is a model without the settings; a comparison needs them.
    let [path, packed] = ["runs/run", "run.signet"].map(|name| scratch.path(name).display().to_string());
    let (good, printed) = run(&["pack", &path, &packed]);
    assert!(good, "{printed}");
    let (good, printed) = run(&["compare", &path]);
    assert!(!good && printed.contains("run.toml: it is missing"), "{printed}");
    assert!(run(&["check", "--repair", &path]).0);
    let (good, printed) = run(&["train", "--resume", "--plan", "--device", "cpu", "--name", "run", "--runs", &scratch.path("runs").display().to_string()]);
    assert!(good && printed.contains("total"), "{printed}");
}

#[test]
fn a_run_that_started_from_a_fetched_model_resumes_without_it_and_fetches_nothing() {
    let scratch = Scratch::new("fetched");
    let (good, printed) = with(&short(&scratch, "first"), &["--steps", "2"]);
    assert!(good, "{printed}");
    // The Hugging Face cache after a download. The server address is unreachable.
    let cache = scratch.path("home/hub/models--owner--model");
    for folder in ["refs", "snapshots"] {
        std::fs::create_dir_all(cache.join(folder)).unwrap();
    }
    std::fs::write(cache.join("refs/main"), "abc").unwrap();
    std::fs::rename(scratch.path("runs/first/checkpoints/step-00000002"), cache.join("snapshots/abc")).unwrap();
    let train = |name: &str, more: &[&str]| {
        let mut command = signet(&as_str(&short(&scratch, name)));
        command.args(["--init", "owner/model", "--steps", "6", "--checkpoint-every", "3"]).args(more);
        let output = command.env("HF_HOME", scratch.path("home")).env("HF_ENDPOINT", "http://127.0.0.1:1").output().unwrap();
        (output.status.success(), text(&output))
    };
    let (good, printed) = train("second", &[]);
    assert!(good, "{printed}");
    let last = scratch.path("runs/second/checkpoints/step-00000006");
    let weights = std::fs::read(last.join("model.safetensors")).unwrap();
    std::fs::remove_dir_all(&last).unwrap();
    std::fs::remove_dir_all(scratch.path("home")).unwrap();
    let (good, printed) = train("second", &["--resume"]);
    assert!(good && std::fs::read(last.join("model.safetensors")).unwrap() == weights, "{printed}");
    // A new run needs it.
    let (good, printed) = train("third", &[]);
    assert!(!good && printed.contains("owner/model"), "{printed}");
}

#[test]
fn a_run_keeps_its_initial_chat_template() {
    let scratch = Scratch::new("template");
    let folder = scratch.path("t");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("tokenizer.json"), ::signet::assets::tokenizer().unwrap()).unwrap();
    let row = r#"{"messages": [{"role": "user", "content": "say it"}, {"role": "assistant", "content": "it"}]}"#;
    std::fs::write(scratch.path("rows.jsonl"), format!("{row}\n").repeat(400)).unwrap();
    let (tokenizer, data) = (folder.join("tokenizer.json").display().to_string(), scratch.path("rows.jsonl").display().to_string());
    let arguments = short_with_text(&scratch, "run", &data);
    let begin = ["--tokenizer", &tokenizer, "--steps", "4", "--checkpoint-every", "2"];
    let (good, printed) = with(&arguments, &begin);
    assert!(good, "{printed}");
    let last = scratch.path("runs/run/checkpoints/step-00000004");
    let weights = std::fs::read(last.join("model.safetensors")).unwrap();
    std::fs::remove_dir_all(&last).unwrap();
    // Earlier versions did not read the files beside the tokenizer.
    std::fs::write(folder.join("tokenizer_config.json"), r#"{"chat_template": "{{ messages }}", "eos_token": "<|end|>"}"#).unwrap();
    let (good, printed) = with(&arguments, &[&begin[..], &["--resume"]].concat());
    assert!(good && std::fs::read(last.join("model.safetensors")).unwrap() == weights, "{printed}");
    assert!(!last.join("tokenizer_config.json").exists());
}

/// Splits a command line as a shell does, with single quotes and backslashes.
fn shell(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            _ if escaped => (word.push(c), escaped = false).0,
            '\'' => quoted = !quoted,
            '\\' if !quoted => escaped = true,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words
}

#[test]
fn a_failed_run_prints_a_resume_command_that_works() {
    let scratch = Scratch::new("it's diverged");
    let arguments = short(&scratch, "a run");
    // Any loss above twice the median is a spike, and none is tolerated.
    let wild = ["--steps", "200", "--checkpoint-every", "4", "--lr", "5", "--guard-tolerate", "1", "--guard-rollbacks", "0", "--guard-patience", "4"];
    let (good, printed) = with(&arguments, &[&wild[..], &["--guard-loss-z", "0", "--guard-norm-z", "0", "--full-precision"]].concat());
    assert!(!good && printed.contains("the largest number of rollbacks") && !printed.contains("--resume"), "{printed}");
    let line = printed.lines().find(|line| line.contains(" train --runs ")).expect("a command");
    let words = shell(line);
    let run = scratch.path("runs/a run");
    for (option, value) in [("--name", "a run-2".to_string()), ("--config", run.join("run.toml").display().to_string()), ("--lr", "2.5".into())] {
        assert!(words.windows(2).any(|pair| pair == [option, &value]), "{option} {value}: {line}");
    }
    // Few steps, since it would diverge again.
    let words: Vec<&str> = words[1..].iter().map(String::as_str).chain(["--steps", "2", "--guard=false"]).collect();
    let output = signet(&words).output().unwrap();
    assert!(output.status.success(), "{line}: {}", text(&output));
    assert!(scratch.path("runs/a run-2/checkpoints/step-00000002").exists());
}
