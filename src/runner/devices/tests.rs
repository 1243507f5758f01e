//! Devices that do not open, what the conformance tells, and how it stops.

use super::super::{Command, Runner};
use super::*;
use wgpu::DeviceType;

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

/// The adapter of this machine as several cards, by their kinds.
pub(in super::super) fn cards(kinds: &[DeviceType]) -> Vec<Adapter> {
    let real = platform::wait(adapters()).into_iter().next().expect("no adapter: Debian's mesa-vulkan-drivers has a software one");
    let card = |(index, kind): (usize, &DeviceType)| {
        let mut card = real.clone();
        (card.index, card.info.name, card.info.device_type) = (index, format!("card {index}"), *kind);
        card
    };
    kinds.iter().enumerate().map(card).collect()
}

/// An adapter that is listed and cannot be opened.
pub(in super::super) fn refused(adapter: &Adapter) -> DeviceError {
    DeviceError::Unopened { device: adapter.name(), reason: "Parent device is lost".into() }
}

fn opened(adapters: &[Adapter], choice: &Choice, before: Option<&str>, open: impl AsyncFn(&Adapter) -> Result<Gpu, DeviceError>) -> Result<Opened> {
    platform::wait(open_among(adapters, choice, before, open))
}

#[test]
fn auto_takes_the_next_card_where_one_cannot_be_opened_or_is_lost_at_once() {
    let cards = cards(&[DeviceType::IntegratedGpu, DeviceType::DiscreteGpu, DeviceType::VirtualGpu]);
    let third = async |adapter: &Adapter| match adapter.index {
        1 => Err(refused(adapter)),
        0 => {
            let gpu = Gpu::open(adapter, Checks::Off).await?;
            gpu.destroy();
            Ok(gpu)
        }
        _ => Gpu::open(adapter, Checks::Off).await,
    };
    let found = opened(&cards, &Choice::Auto, None, third).unwrap();
    assert!(found.machine.device().is_some() && found.name.starts_with("card 2 ("), "{}", found.name);
    let [note] = &found.notes[..] else { panic!("{:?}", found.notes) };
    let told = ["auto took card 2 (", "because card 1 (", "cannot be used (Parent device is lost), and card 0 (", "cannot be used (it was lost at once: "];
    assert!(told.iter().all(|part| note.contains(part)), "{note}");
    // If none opens, the CPU; a named device is never replaced.
    let none = async |adapter: &Adapter| Err(refused(adapter));
    let found = opened(&cards, &Choice::Auto, None, none).unwrap();
    assert!(found.machine.device().is_none() && found.notes[0].starts_with("auto took the CPU device, because card 1 ("), "{:?}", found.notes);
    for named in [Choice::Index(1), Choice::Name("card 1".into())] {
        let error = opened(&cards, &named, None, third).unwrap_err().to_string();
        assert!(error.starts_with("card 1 (") && error.contains("cannot be opened: Parent device is lost; choose another device"), "{error}");
    }
}

#[test]
fn auto_resumes_a_run_on_the_device_that_it_was_trained_on() {
    let cards = cards(&[DeviceType::DiscreteGpu, DeviceType::IntegratedGpu, DeviceType::Cpu]);
    let open = async |adapter: &Adapter| Gpu::open(adapter, Checks::Off).await;
    for card in &cards {
        let found = opened(&cards, &Choice::Auto, Some(&card.description()), open).unwrap();
        assert_eq!((found.name, found.notes.len()), (card.description(), 0));
    }
    let found = opened(&cards, &Choice::Auto, Some(CPU), open).unwrap();
    assert!(found.machine.device().is_none() && found.notes[0].contains("stays there"), "{:?}", found.notes);
    assert!(opened(&[], &Choice::Auto, Some(CPU), open).unwrap().notes.is_empty());
    // Another driver, or another device, is another run to the bit.
    let (other, gone) = (format!("{}, driver old 1.0", cards[1].name()), "a card that was sold (Vulkan), driver x 1");
    for (before, name) in [(&*other, "card 1 ("), (gone, "card 0 (")] {
        let found = opened(&cards, &Choice::Auto, Some(before), open).unwrap();
        assert!(found.name.starts_with(name) && found.notes[0].contains("does not continue to the same bits"), "{}: {:?}", found.name, found.notes);
    }
}
