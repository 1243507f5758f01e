//! Multiple-choice tasks: the same requests, log-likelihoods and accuracies as lm-evaluation-harness (see
//! `tests/eval/README.md`); stopped and resumed evaluations; and bad input.

use crate::device;
use crate::shared::root;
use signet::assets;
use signet::data::Tokenizer;
use signet::eval::{Question, RequestEncoder, RowOutcome, Rows, ScoreRequest, Scorer, Task};
use signet::graph::{Machine, Storage};
use signet::model::{ModelFile, Purpose};
use signet::runner::{Command, EvalReport, EvalRequest, Event, Runner, Stop, TaskRequest};
use std::path::{Path, PathBuf};

/// A temporary directory, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("signet-eval-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The golden teacher with the tokenizer of the reference.
    fn model(&self) -> String {
        let model = self.0.join("model");
        std::fs::create_dir_all(&model).unwrap();
        for (from, name) in
            [("golden/ad/teacher", "config.json"), ("golden/ad/teacher", "model.safetensors"), ("eval", "tokenizer.json"), ("eval", "tokenizer_config.json")]
        {
            std::fs::copy(tests().join(from).join(name), model.join(name)).unwrap();
        }
        model.display().to_string()
    }

    fn request(&self, tasks: &[&str]) -> EvalRequest {
        let task = |task: &&str| TaskRequest { task: task.to_string(), rows: rows(task), shots_from: None };
        EvalRequest {
            model: self.model(),
            device: "cpu".into(),
            storage: None,
            perplexity: None,
            window: None,
            tasks: tasks.iter().map(task).collect(),
            shots: 0,
            shots_in_order: false,
            seed: 1234,
            limit: None,
            special_tokens: true,
            out: Some(self.0.join("out.json")),
        }
    }

    /// The results of the rows, by task.
    fn outcomes(&self) -> Vec<RowOutcome> {
        let text = std::fs::read_to_string(self.0.join("out.rows.jsonl")).unwrap();
        let mut outcomes: Vec<RowOutcome> = text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
        outcomes.sort_by(|a, b| (&a.task, a.row).cmp(&(&b.task, b.row)));
        outcomes
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tests() -> PathBuf {
    root().join("tests")
}

fn rows(name: &str) -> PathBuf {
    tests().join(format!("eval/rows/{name}.jsonl"))
}

fn tokenizer() -> Tokenizer {
    Tokenizer::open(&tests().join("eval/tokenizer.json")).unwrap()
}

/// Reference results of lm-evaluation-harness.
fn reference(name: &str) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(tests().join(format!("eval/reference/{name}.json"))).unwrap()).unwrap()
}

/// Runs an evaluation. Returns reports and messages; `on_event` may stop it.
fn evaluate(request: EvalRequest, on_event: impl Fn(&Event, &Stop)) -> Result<(EvalReport, String), String> {
    let stop = Stop::default();
    let (mut report, mut output) = (None, String::new());
    let mut runner = Runner::new(stop.clone());
    let result = runner.run(Command::Evaluate(Box::new(request)), &mut |event| {
        on_event(&event, &stop);
        match event {
            Event::Evaluated { report: found, table } => (report, output) = (Some(*found), output.clone() + &table),
            Event::Note { text } => output += &text,
            _ => {}
        }
    });
    result.map_err(|error| format!("{error:#}"))?;
    Ok((report.expect("an evaluation ends in a report"), output))
}

fn evaluate_silently(request: EvalRequest) -> Result<EvalReport, String> {
    Ok(evaluate(request, |_, _| {})?.0)
}

/// Compares rows and accuracies with the reference.
fn assert_equal(name: &str, outcomes: &[RowOutcome], report: &EvalReport) {
    let expected = reference(name);
    let rows = expected["rows"].as_array().unwrap();
    assert_eq!(outcomes.len(), rows.len(), "{name}");
    for (outcome, row) in outcomes.iter().zip(rows) {
        let requests = row["requests"].as_array().unwrap();
        assert_eq!(outcome.choices.len(), requests.len(), "{name}, row {}", outcome.row);
        for (choice, request) in outcome.choices.iter().zip(requests) {
            let want = request["loglikelihood"].as_f64().unwrap();
            assert!((choice.loglikelihood - want).abs() < 2e-4, "{name}, row {}: {} for {want} ({request})", outcome.row, choice.loglikelihood);
            assert_eq!(choice.greedy, request["greedy"].as_bool().unwrap(), "{name}, row {}: {request}", outcome.row);
        }
        assert_eq!(f64::from(outcome.acc), row["acc"].as_f64().unwrap(), "{name}, row {}", outcome.row);
        if let Some(norm) = row["acc_norm"].as_f64() {
            assert_eq!(f64::from(outcome.acc_norm), norm, "{name}, row {}", outcome.row);
        }
    }
    let task = report.tasks.iter().find(|task| name.split('.').next() == Some(task.task.as_str())).unwrap();
    let metrics = [("acc", Some(task.acc)), ("acc_norm", task.acc_norm)];
    for (metric, estimate) in metrics {
        let figure = |what: &str| expected["figures"][format!("{metric}{what},none")].as_f64();
        assert_eq!(estimate.is_some(), figure("").is_some(), "{name}: {metric}");
        let Some(estimate) = estimate else { continue };
        assert!((estimate.mean - figure("").unwrap()).abs() < 1e-12, "{name}: {estimate:?}");
        assert!((estimate.standard_error.unwrap() - figure("_stderr").unwrap()).abs() < 1e-12, "{name}: {estimate:?}");
    }
}

const TASKS: [&str; 7] = ["boolq", "piqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa"];

#[test]
fn requests_equal_those_of_lm_evaluation_harness() {
    let mut requests = 0;
    for name in TASKS {
        let task = Task::open(name).unwrap();
        let reference = reference(name);
        for (row, expected) in Rows::read(&rows(name), None).unwrap().rows.iter().zip(reference["rows"].as_array().unwrap()) {
            let question = task.question(&row.fields).unwrap();
            for (choice, expected) in question.choices.iter().zip(expected["requests"].as_array().unwrap()) {
                assert_eq!(choice.prompt, expected["context"].as_str().unwrap(), "{name}");
                assert_eq!(format!("{}{}", task.delimiter(), choice.continuation), expected["continuation"].as_str().unwrap(), "{name}");
                requests += 1;
            }
        }
    }
    assert_eq!(requests, 8 + 8 + 16 + 8 + 11 + 13 + 12);
}

#[test]
fn log_likelihoods_and_accuracies_equal_those_of_lm_evaluation_harness() {
    let scratch = Scratch::new("zero-shot");
    let (report, table) = evaluate(scratch.request(&TASKS), |_, _| {}).unwrap();
    let outcomes = scratch.outcomes();
    for name in TASKS {
        let of_task: Vec<RowOutcome> = outcomes.iter().filter(|outcome| outcome.task == name).cloned().collect();
        assert_equal(name, &of_task, &report);
    }
    let boolq = table.lines().find(|line| line.starts_with("BoolQ ")).unwrap();
    assert_eq!(boolq.split_whitespace().collect::<Vec<_>>(), ["BoolQ", "4", "0", "75.0", "±", "25.0", "–", "62.1", "60.3", "61.5"], "{table}");
    let written: EvalReport = serde_json::from_str(&std::fs::read_to_string(scratch.0.join("out.json")).unwrap()).unwrap();
    assert_eq!(written, report);
    let page = std::fs::read_to_string(scratch.0.join("out.md")).unwrap();
    assert!(page.contains("| BoolQ | 4 | 0 | 75.0 ± 25.0 | – | 62.1 | 60.3 | 61.5 |\n"), "{page}");
    assert!(page.contains("| mean of 7 |  |  |"), "{page}");
}

#[test]
fn shots_equal_those_of_lm_evaluation_harness() {
    for (name, task, shots, in_order) in
        [("piqa.3", "piqa", 3, false), ("winogrande.2", "winogrande", 2, false), ("openbookqa.2.in_order", "openbookqa", 2, true)]
    {
        let scratch = Scratch::new(name);
        let mut request = scratch.request(&[task]);
        request.tasks[0].shots_from = Some(rows(&format!("{task}.shots")));
        (request.shots, request.shots_in_order) = (shots, in_order);
        let report = evaluate_silently(request).unwrap();
        assert_equal(name, &scratch.outcomes(), &report);
        assert_eq!(report.tasks[0].shots, shots);
    }
}

#[test]
fn a_resumed_evaluation_gives_the_same_results() {
    let whole = Scratch::new("whole");
    let expected = evaluate_silently(whole.request(&["boolq", "hellaswag"])).unwrap();
    let scratch = Scratch::new("stopped");
    let request = scratch.request(&["boolq", "hellaswag"]);
    let (partial, output) = evaluate(request.clone(), |event, stop| {
        if matches!(event, Event::Progress { .. }) {
            stop.request();
        }
    })
    .unwrap();
    assert_eq!((partial.tasks.len(), partial.tasks[0].rows_asked), (1, 4));
    assert!(partial.tasks[0].rows < 4 && output.contains("of 8 rows; run the same command to resume"), "{partial:?} {output}");
    // A kill in the middle of a line.
    let path = scratch.0.join("out.rows.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.clone() + "{\"task\":\"boolq\",\"ro").unwrap();
    let report = evaluate_silently(request.clone()).unwrap();
    assert_eq!((report.tasks[0].resumed, report.tasks[1].resumed), (partial.tasks[0].rows, 0));
    assert_eq!(scratch.outcomes(), whole.outcomes());
    for (a, b) in report.tasks.iter().zip(&expected.tasks) {
        assert_eq!((a.acc, a.acc_norm, a.rows), (b.acc, b.acc_norm, b.rows));
    }
    // A second run has nothing left to compute.
    let resumed = evaluate_silently(request.clone()).unwrap();
    assert_eq!((resumed.tasks[0].resumed, resumed.tasks[1].resumed, resumed.tasks[0].acc), (4, 4, expected.tasks[0].acc));
    assert_eq!(scratch.outcomes(), whole.outcomes());
    // Results of other requests or another model must not be mixed.
    let otherwise = evaluate_silently(EvalRequest { special_tokens: false, ..request.clone() }).unwrap_err();
    assert!(otherwise.contains("row 0 of boolq has a result for other rows, shots or another task") && otherwise.contains("another --out"), "{otherwise}");
    let stored = evaluate_silently(EvalRequest { storage: Some(signet::runner::MatrixStorage::F16), ..request.clone() }).unwrap_err();
    assert!(stored.contains("another model or is stored in another precision"), "{stored}");
    std::fs::write(&path, text + "{\"task\":1}\n").unwrap();
    let broken = evaluate_silently(request).unwrap_err();
    assert!(broken.contains("out.rows.jsonl: line ") && broken.contains("This is not a results file"), "{broken}");
}

#[test]
fn a_results_file_is_locked_by_one_evaluation() {
    let scratch = Scratch::new("eval-twice");
    let request = scratch.request(&["piqa"]);
    let second = std::cell::RefCell::new(None);
    evaluate(request.clone(), |event, _| {
        if let Event::Progress { .. } = event {
            second.borrow_mut().get_or_insert_with(|| evaluate_silently(request.clone()).map(drop));
        }
    })
    .unwrap();
    let output = second.into_inner().expect("it makes progress").unwrap_err();
    assert!(output.contains("out.rows.jsonl: locked by another evaluation"), "{output}");
    assert_eq!(scratch.outcomes().len(), evaluate_silently(request).unwrap().tasks[0].rows);
}

#[test]
fn a_cached_prefix_gives_the_scores_of_a_batch() {
    let scratch = Scratch::new("behind");
    let file = ModelFile::open(Path::new(&scratch.model())).unwrap();
    let tokenizer = tokenizer();
    let encoder = RequestEncoder::new(&tokenizer, Some("<s>"), None, true, 256);
    let passage = "The canal runs past the old mill and the weir, past the lock keeper's house, and under a bridge. ".repeat(5);
    let question: Vec<ScoreRequest> =
        [" It ends.", " It ends at the harbour.", " Nine.", " Yes"].map(|choice| encoder.request(&passage, choice).unwrap()).into();
    assert!(question[0].tokens.len() > 150, "{}", question[0].tokens.len());
    let score = |questions: &[&[ScoreRequest]]| {
        let mut machine = Machine::cpu();
        let weights = file.load(&mut machine, Purpose::Inference(Storage::F32)).unwrap();
        let mut scorer = Scorer::new(&mut machine, &weights, questions.iter().copied()).unwrap();
        pollster::block_on(scorer.score(&mut machine, questions)).unwrap().concat()
    };
    // A single choice shares no prefix, so each is read as a whole.
    let alone: Vec<&[ScoreRequest]> = question.chunks(1).collect();
    for (behind, beside) in score(&[&question]).iter().zip(score(&alone)) {
        assert!((behind.loglikelihood - beside.loglikelihood).abs() < 1e-4 && behind.greedy == beside.greedy, "{behind:?} {beside:?}");
    }
}

#[test]
fn a_gpu_gives_the_same_log_likelihoods() {
    let scratch = Scratch::new("gpu");
    let file = ModelFile::open(Path::new(&scratch.model())).unwrap();
    let tokenizer = tokenizer();
    let encoder = RequestEncoder::new(&tokenizer, Some("<s>"), None, true, 256);
    let requests: Vec<_> = [("The harbour lies", " north"), ("The harbour lies", " far to the south"), ("", "Rain"), ("Boats ", "sail")]
        .map(|(context, continuation)| encoder.request(context, continuation).unwrap())
        .into();
    let score = |mut machine: Machine| {
        let weights = file.load(&mut machine, Purpose::Inference(Storage::F32)).unwrap();
        let mut scorer = Scorer::new(&mut machine, &weights, [&requests[..]]).unwrap();
        pollster::block_on(scorer.score(&mut machine, &[&requests])).unwrap().remove(0)
    };
    let (on_cpu, on_gpu) = (score(Machine::cpu()), score(device::machine().1));
    for (a, b) in on_cpu.iter().zip(&on_gpu) {
        assert!((a.loglikelihood - b.loglikelihood).abs() < 2e-3 && a.greedy == b.greedy, "{a:?} {b:?}");
        assert!(a.loglikelihood < -1.0, "{a:?}");
    }
}

#[test]
fn requests_are_truncated_and_prefixed_as_in_lm_evaluation_harness() {
    let tokenizer = tokenizer();
    let request = |special, context, text: &str, continuation: &str| {
        RequestEncoder::new(&tokenizer, Some("<s>"), Some("</s>"), special, context).request(text, continuation)
    };
    let ids = |text: &str| tokenizer.encode(text).unwrap();
    let whole = request(true, 100, "Tom and Ben ", "eat").unwrap();
    assert_eq!(whole.tokens, [&[0][..], &ids("Tom and Ben eat")].concat());
    assert_eq!(whole.scored, whole.tokens.len() - 1 - ids("Tom and Ben").len(), "the space belongs to what is scored");
    // The bos token is not added twice, and not without `special`.
    assert_eq!(request(true, 100, "<s>Tom", " ate").unwrap().tokens, [&[0][..], &ids("Tom ate")].concat());
    assert_eq!(request(false, 100, "Tom", " ate").unwrap().tokens, ids("Tom ate"));
    // An empty context is replaced by one bos token.
    for (context, continuation) in [("", "Tom"), ("", "<s>Tom")] {
        let request = request(true, 100, context, continuation).unwrap();
        assert_eq!((request.tokens, request.scored), ([&[0][..], &ids("Tom")].concat(), ids("Tom").len()), "{continuation:?}");
    }
    // Long sequences are truncated on the left; the last token is not read.
    let cut = request(true, 6, "Tom and Ben", " eat").unwrap();
    assert_eq!(cut.tokens, whole.tokens[whole.tokens.len() - 7..]);
    assert_eq!(cut.scored, whole.scored);
    let scored = whole.scored;
    assert!(
        request(true, scored - 1, "Tom and Ben", " eat").unwrap_err().0.contains(&format!("has {scored} tokens, but the model's context is {}", scored - 1))
    );
    assert!(request(true, 9, "Tom", "").unwrap_err().0.contains("adds no token"));
}

#[test]
fn alternative_row_formats_give_the_same_questions() {
    let question = |task: &str, row: serde_json::Value| Task::open(task).unwrap().question(row.as_object().unwrap());
    let same = |task: &str, own: serde_json::Value, other: serde_json::Value| {
        let own = question(task, own).unwrap();
        assert_eq!(own, question(task, other).unwrap());
        own
    };
    let own = serde_json::json!({"passage": "Rain -- It falls.", "question": "does it fall", "label": 1});
    for answer in [serde_json::json!(true), "True".into()] {
        same("boolq", own.clone(), serde_json::json!({"title": "Rain", "passage": "It falls.", "question": "does it fall", "answer": answer}));
    }
    let own = serde_json::json!({"goal": "dresser", "sol1": "replace drawer\nwith pin ", "sol2": "finish  it", "label": 1});
    let Question { choices, gold } =
        same("piqa", own, serde_json::json!({"question": "dresser", "options": "A. replace drawer\nwith pin \nB. finish  it", "answer": "B. finish  it"}));
    assert_eq!((choices[0].prompt.as_str(), choices[0].continuation.as_str(), gold), ("Question: dresser\nAnswer:", "replace drawer\nwith pin ", 1));
    let own =
        serde_json::json!({"question_stem": "Fog is around:", "choices": {"text": ["a", "b", "c", "d"], "label": ["A", "B", "C", "D"]}, "answerKey": " C"});
    same("openbookqa", own, serde_json::json!({"question": "Fog is around: ", "options": "A. a\nB. b\nC. c\nD. d", "answer": "C. c"}));
}

#[test]
fn errors_in_rows_name_file_and_line() {
    let scratch = Scratch::new("bad-rows");
    let good = r#"{"goal":"a","sol1":"b","sol2":"c","label":0}"#;
    let asked = |rows: PathBuf| {
        let mut request = scratch.request(&["piqa"]);
        request.tasks[0].rows = rows;
        evaluate_silently(request).unwrap_err()
    };
    for (line, problem) in [
        (r#"{"goal":"a","sol1":"b","sol2":"c"}"#, "it lacks label. A row of piqa has goal, label, sol1, sol2; or answer, options, question"),
        (r#"{"goal":"a","sol1":"b","label":0}"#, "it lacks sol2."),
        (r#"{"goal":"a","sol1":"b","sol2":"c","label":2}"#, "its label 2 is none of the 2 choices"),
        (r#"{"goal":"a","sol1":"b","sol2":"c","label":-1}"#, "its label -1 is none of the 2 choices. Rows without answers"),
        (r#"{"goal":"a","sol1":"b","sol2":"c","label":null}"#, "its label None is none of the 2 choices"),
        (r#"{"goal":"a","sol1":"b","sol2":7,"label":0}"#, "its choices must be a list of at least 2 texts"),
        (r#"{"question":"a","options":"b","answer":"A. b"}"#, "its choices do not begin with"),
        ("[1, 2]", "not a JSON object: invalid type"),
        ("{\"goal\":", "not a JSON object: EOF while parsing a value (column 8)"),
        ("\u{0}\u{1}", "not a JSON object"),
    ] {
        // The empty line is not a row, but counts as a line.
        let path = scratch.file("rows.jsonl", &format!("{good}\n\n{line}\n"));
        let error = asked(path);
        assert!(error.contains("rows.jsonl, line 3: ") && error.contains(problem), "{line}: {error}");
    }
    assert!(asked(scratch.file("none.jsonl", "\n\n")).contains("the file has no rows"));
    let absent = asked(scratch.0.join("absent.jsonl"));
    assert!(absent.contains("cannot read") && absent.contains("absent.jsonl: "), "{absent}");
    let mut request = scratch.request(&["piqa"]);
    request.out = Some(scratch.0.join("out.md"));
    assert!(evaluate_silently(request.clone()).unwrap_err().contains("another extension, such as .json"));
    request.out = None;
    request.shots = 9;
    assert!(evaluate_silently(request.clone()).unwrap_err().contains("--shots-from piqa=FILE"));
    request.tasks[0].shots_from = Some(rows("piqa"));
    assert!(evaluate_silently(request).unwrap_err().contains("4 are too few for 9 shots"));
}

#[test]
fn errors_in_tasks_name_file_and_line() {
    let scratch = Scratch::new("bad-tasks");
    let unknown = Task::open("mmlu").unwrap_err().0;
    assert!(unknown.contains("unknown task mmlu") && TASKS.iter().all(|task| unknown.contains(task)), "{unknown}");
    let good = "name = \"mine\"\nprompt = \"{{ a }}\"\nchoices = [\"x\", \"y\"]\nlabel = \"b\"\nmetrics = [\"acc\"]\n";
    let row = serde_json::json!({"a": "q", "b": "y"});
    let task = Task::open(&scratch.file("mine.toml", good).display().to_string()).unwrap();
    assert_eq!(task.question(row.as_object().unwrap()).unwrap().gold, 1, "a label may be a choice's text");
    for (from, to, problem) in [
        ("metrics", "metric", "line 5"),
        ("acc", "accuracy", "unknown variant `accuracy`"),
        ("[\"acc\"]", "[]", "metrics must name acc"),
        ("name = \"mine\"", "name = \"my own\"", "must consist of letters, digits"),
        ("[\"x\", \"y\"]", "[\"x\"]", "at least 2 choices, and it has 1"),
        ("[\"x\", \"y\"]", "7", "line 3"),
        ("{{ a }}", "{{ a", "bad.toml, line 2: prompt: "),
        ("label = \"b\"", "label = \"b[\"", "bad.toml, line 4: label: "),
        ("label = \"b\"\n", "", "missing field `label`"),
    ] {
        let path = scratch.file("bad.toml", &good.replace(from, to));
        let error = Task::open(&path.display().to_string()).unwrap_err().0;
        assert!(error.contains("bad.toml") && error.contains(problem), "{to}: {error}");
    }
    // Errors that occur only at a row.
    for (from, to, problem) in [
        ("{{ a }}", "{{ a.b.c }}", "bad.toml, line 2: prompt: it uses a field that the row does not have"),
        ("{{ a }}", "{% for x in range(99999) %}{% for y in range(99999) %}x{% endfor %}{% endfor %}", "limit on work"),
        ("label = \"b\"", "label = \"['x'].index(b)\"", "bad.toml, line 4: label: 'y' is not in the list"),
        ("[\"x\", \"y\"]", "\"a\"", "its choices must be a list of at least 2 texts, not q"),
    ] {
        let path = scratch.file("bad.toml", &good.replace(from, to));
        let error = Task::open(&path.display().to_string()).unwrap().question(row.as_object().unwrap()).unwrap_err().0;
        assert!(error.contains(problem), "{to}: {error}");
    }
    assert!(Task::open("absent.toml").unwrap_err().0.contains("cannot read absent.toml: "));
    let long = scratch.file("long.toml", &"#".repeat((1 << 20) + 1));
    assert!(Task::open(&long.display().to_string()).unwrap_err().0.contains("is longer than"));
}

#[test]
fn built_in_tasks_have_their_names_and_published_results() {
    assert_eq!(assets::TASKS.map(|(name, _)| name), TASKS);
    for (name, _) in assets::TASKS {
        let task = Task::open(name).unwrap();
        assert_eq!((task.name(), task.published().len()), (name, 3));
    }
}

#[test]
fn a_model_of_another_vocabulary_is_refused() {
    let scratch = Scratch::new("vocabulary");
    let file = ModelFile::open(Path::new(&scratch.model())).unwrap();
    let mut machine = Machine::cpu();
    let weights = file.load(&mut machine, Purpose::Inference(Storage::F32)).unwrap();
    let request = [ScoreRequest { tokens: vec![1, 211], scored: 1 }];
    let mut scorer = Scorer::new(&mut machine, &weights, [&request[..]]).unwrap();
    let error = pollster::block_on(scorer.score(&mut machine, &[&request])).unwrap_err().to_string();
    assert!(error.contains("token id 211 is outside the model's vocabulary of 211"), "{error}");
}
