//! The needs of commands, what the conformance and benchmarks tell, and how they stop.

use super::*;
use crate::assets::{ALL, STUDENT_FILE};
use crate::platform;
use crate::runner::Runner;

/// Events of a command; it is asked to stop once `stop_at` parts are done. With its error, if any.
fn events(command: Command, stop_at: usize) -> (Vec<Event>, Option<String>) {
    let stop = Stop::default();
    let mut events = Vec::new();
    let result = Runner::new(stop.clone()).run(command, &mut |event| {
        if matches!(event, Event::Progress { done, .. } if done == stop_at) {
            stop.ask();
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
fn conformance_tells_how_far_it_is_and_keeps_what_was_done_when_it_is_stopped() {
    let scratch = std::env::temp_dir().join(format!("signet-conform-{}", std::process::id()));
    platform::make_dir(&scratch).unwrap();
    let (told, error) = events(conform_cpu(Some(scratch.join("whole"))), usize::MAX);
    let of = reports(&told)[0].cases();
    assert!(error.is_none() && of > 3 && reports(&told)[0].passed());
    assert_eq!(progress(&told), (0..=of).map(|done| (done, of)).collect::<Vec<_>>());
    assert_eq!(told.iter().filter(|event| matches!(event, Event::Case { .. })).count(), of);

    let (told, error) = events(conform_cpu(Some(scratch.join("whole"))), 2);
    assert_eq!(error.as_deref(), Some(&*format!("CPU: stopped after 2 of {of} cases")));
    let part = reports(&told)[0];
    assert_eq!((part.cases(), progress(&told).len()), (2, 3));
    // The whole report that was there stays.
    let kept = || platform::read_text(&scratch.join("whole.json")).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&kept()).unwrap().cases(), of);

    let save = |name: &str| Command::SaveReport { report: Box::new(part.clone()), path: scratch.join(name) };
    assert!(events(save("part"), usize::MAX).1.is_none());
    assert!(platform::read_text(&scratch.join("part.md")).unwrap().contains("Not all of it was tried: stopped after 2"));
    assert_eq!(serde_json::from_str::<Report>(&platform::read_text(&scratch.join("part.json")).unwrap()).unwrap().cases(), 2);
    let error = events(save("part.md/where"), usize::MAX).1.expect("a file is no folder");
    assert!(error.contains("part.md: the folder could not be made"), "{error}");
    platform::remove_dir(&scratch).unwrap();
}

#[test]
fn benchmarks_tell_how_far_they_are_and_stop() {
    let decode = |tokens| {
        let bench = crate::bench::DecodeBench { size: "tiny".into(), prompt: 4, tokens, dense: true, kernels: false };
        Command::BenchDecode { bench, device: "cpu".into() }
    };
    let (told, error) = events(decode(2), usize::MAX);
    assert!(error.is_none() && matches!(told.last(), Some(Event::BenchDecode(_))), "{error:?}");
    let of = 15;
    assert_eq!(progress(&told), (0..=of).map(|done| (done, of)).collect::<Vec<_>>());
    let stopped = |command: Command, at: usize| {
        let (told, error) = events(command, at);
        let (done, of) = *progress(&told).last().unwrap();
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
        kernels: false,
        recompute: false,
    };
    stopped(Command::BenchTrain { bench, device: "cpu".into() }, 1);
}

#[test]
fn a_model_is_fetched_and_its_damage_told_wherever_a_command_names_it() {
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
