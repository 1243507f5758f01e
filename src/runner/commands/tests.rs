//! Tests of commands' needs, and of progress and stopping of conformance tests and benchmarks.

use super::*;
use crate::assets::{ALL, STUDENT_FILE};
use crate::platform;
use crate::runner::Runner;

/// Runs a command, stopped once `stop_at` parts are done; returns its events and its error.
fn events(command: Command, stop_at: usize) -> (Vec<Event>, Option<String>) {
    let stop = Stop::default();
    let mut events = Vec::new();
    let result = Runner::new(stop.clone()).run(command, &mut |event| {
        if matches!(event, Event::Progress { done, .. } if done == stop_at) {
            stop.request();
        }
        events.push(event);
    });
    (events, result.err().map(|error| format!("{error:#}")))
}

fn conform_cpu(report: Option<std::path::PathBuf>) -> Command {
    Command::Conform(ConformRequest { device: "cpu".into(), seed: Some(1), filter: Some("swiglu: ".into()), report })
}

fn progress(events: &[Event]) -> Vec<(usize, usize)> {
    events.iter().filter_map(|event| if let Event::Progress { done, of, .. } = event { Some((*done, *of)) } else { None }).collect()
}

fn reports(events: &[Event]) -> Vec<&Report> {
    events.iter().filter_map(|event| if let Event::Conformance { report, .. } = event { Some(&**report) } else { None }).collect()
}

#[test]
fn conformance_reports_progress_and_keeps_partial_results_when_stopped() {
    let scratch = std::env::temp_dir().join(format!("signet-conform-{}", std::process::id()));
    platform::make_dir(&scratch).unwrap();
    let (emitted, error) = events(conform_cpu(Some(scratch.join("whole"))), usize::MAX);
    let of = reports(&emitted)[0].cases();
    assert!(error.is_none() && of > 3 && reports(&emitted)[0].passed());
    assert_eq!(progress(&emitted), (0..=of).map(|done| (done, of)).collect::<Vec<_>>());
    assert_eq!(emitted.iter().filter(|event| matches!(event, Event::Case { .. })).count(), of);

    let (emitted, error) = events(conform_cpu(Some(scratch.join("whole"))), 2);
    assert_eq!(error.as_deref(), Some(&*format!("CPU: stopped after 2 of {of} cases")));
    let part = reports(&emitted)[0];
    assert_eq!((part.cases(), progress(&emitted).len()), (2, 3));
    // The existing complete report is not replaced.
    let stored = || platform::read_text(&scratch.join("whole.json")).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&stored()).unwrap().cases(), of);

    let save = |name: &str| Command::SaveReport { report: Box::new(part.clone()), path: scratch.join(name) };
    assert!(events(save("part"), usize::MAX).1.is_none());
    assert!(platform::read_text(&scratch.join("part.md")).unwrap().contains("The run is incomplete: stopped after 2"));
    assert_eq!(serde_json::from_str::<Report>(&platform::read_text(&scratch.join("part.json")).unwrap()).unwrap().cases(), 2);
    let error = events(save("part.md/where"), usize::MAX).1.expect("a file is not a folder");
    assert!(error.contains("cannot create the folder") && error.contains("part.md"), "{error}");
    platform::remove_dir(&scratch).unwrap();
}

#[test]
fn benchmarks_report_progress_and_stop() {
    let decode = |tokens| {
        let bench = crate::bench::DecodeBench { size: "tiny".into(), prompt: 4, tokens, dense: true, kernels: false };
        Command::BenchDecode { bench, device: "cpu".into() }
    };
    let (emitted, error) = events(decode(2), usize::MAX);
    assert!(error.is_none() && matches!(emitted.last(), Some(Event::BenchDecode(_))), "{error:?}");
    let of = 15;
    assert_eq!(progress(&emitted), (0..=of).map(|done| (done, of)).collect::<Vec<_>>());
    let stopped = |command: Command, at: usize| {
        let (emitted, error) = events(command, at);
        let (done, of) = *progress(&emitted).last().unwrap();
        assert!(done == at && done < of, "{done} of {of}");
        assert_eq!(error.unwrap(), format!("stopped after {done} of {of} parts"));
    };
    stopped(decode(2), 3);
    stopped(Command::BenchMatmul { device: "cpu".into() }, 0);
    stopped(Command::BenchDispatch { device: "cpu".into() }, 4);
    let storage = crate::model::MatrixStorage::F32;
    let bench = crate::bench::TrainBench {
        size: "tiny".into(),
        batch: 1,
        seq: 8,
        steps: 2,
        teacher_storage: storage,
        moments: crate::model::Moments::F32,
        precision: crate::train::Precision::F32,
        kernels: false,
        recompute: false,
    };
    stopped(Command::BenchTrain { bench, device: "cpu".into() }, 1);
}

#[test]
fn commands_need_the_models_that_they_name() {
    let needs = Command::Inspect { model: "runs/a".into() }.needs();
    assert_eq!(needs, Needs { assets: &MODELS, models: vec!["runs/a".into()], opened: vec!["runs/a".into()] });
    let request = ChatRequest {
        model: "owner/one".into(),
        snapshot: None,
        teacher: Some("owner/two".into()),
        device: "cpu".into(),
        context: None,
        system: None,
        request: Request::default(),
    };
    let alone = ChatRequest { teacher: None, ..request.clone() };
    assert_eq!(Command::OpenChat(Box::new(request)).needs().models, ["owner/one", "owner/two"]);
    assert_eq!(Command::OpenChat(Box::new(alone)).needs().assets, [STUDENT_FILE]);
    let config = TrainConfig { teacher: "runs/teacher".to_string().into(), ..TrainConfig::default() };
    let teach = Command::Teach(Box::new(TeachRequest { out: "cache".into(), top: 4, config, device: "cpu".into() }));
    assert_eq!((teach.needs().assets, teach.needs().opened), (&ALL[..], vec![PathBuf::from("runs/teacher")]));
    assert_eq!(Command::Devices.needs(), Needs::default());
}
