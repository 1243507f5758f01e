//! Device selection when adapters do not open.

use super::*;
use wgpu::DeviceType;

/// Copies of this machine's first adapter with the given device types.
pub(in crate::runner) fn cards(kinds: &[DeviceType]) -> Vec<Adapter> {
    let real = platform::wait(adapters()).into_iter().next().expect("no adapter: Debian's mesa-vulkan-drivers has a software one");
    let card = |(index, kind): (usize, &DeviceType)| {
        let mut card = real.clone();
        (card.index, card.info.name, card.info.device_type) = (index, format!("card {index}"), *kind);
        card
    };
    kinds.iter().enumerate().map(card).collect()
}

/// The error of an adapter that is listed but cannot be opened.
pub(in crate::runner) fn refused(adapter: &Adapter) -> DeviceError {
    DeviceError::Unopened { device: adapter.name(), reason: "Parent device is lost".into() }
}

fn opened(adapters: &[Adapter], choice: &DeviceChoice, before: Option<&str>, open: impl AsyncFn(&Adapter) -> Result<Gpu, DeviceError>) -> Result<OpenedDevice> {
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
    let found = opened(&cards, &DeviceChoice::Auto, None, third).unwrap();
    assert!(found.machine.device().is_some() && found.name.starts_with("card 2 ("), "{}", found.name);
    let [note] = &found.notes[..] else { panic!("{:?}", found.notes) };
    let parts =
        ["auto selected card 2 (", "because card 1 (", "cannot be used (Parent device is lost), and card 0 (", "cannot be used (it was lost immediately: "];
    assert!(parts.iter().all(|part| note.contains(part)), "{note}");
    // If none opens, `auto` uses the CPU; a named device is never replaced.
    let none = async |adapter: &Adapter| Err(refused(adapter));
    let found = opened(&cards, &DeviceChoice::Auto, None, none).unwrap();
    assert!(found.machine.device().is_none() && found.notes[0].starts_with("auto selected the CPU device, because card 1 ("), "{:?}", found.notes);
    for named in [DeviceChoice::Index(1), DeviceChoice::Name("card 1".into())] {
        let error = opened(&cards, &named, None, third).unwrap_err().to_string();
        assert!(error.starts_with("card 1 (") && error.contains("cannot be opened: Parent device is lost. Use another device"), "{error}");
    }
}

#[test]
fn auto_resumes_a_run_on_the_device_that_it_was_trained_on() {
    let cards = cards(&[DeviceType::DiscreteGpu, DeviceType::IntegratedGpu, DeviceType::Cpu]);
    let open = async |adapter: &Adapter| Gpu::open(adapter, Checks::Off).await;
    for card in &cards {
        let found = opened(&cards, &DeviceChoice::Auto, Some(&card.description()), open).unwrap();
        assert_eq!((found.name, found.notes.len()), (card.description(), 0));
    }
    let found = opened(&cards, &DeviceChoice::Auto, Some(CPU), open).unwrap();
    assert!(found.machine.device().is_none() && found.notes[0].contains("continues there"), "{:?}", found.notes);
    assert!(opened(&[], &DeviceChoice::Auto, Some(CPU), open).unwrap().notes.is_empty());
    // With another driver or device, the bits differ.
    let (other, gone) = (format!("{}, driver old 1.0", cards[1].name()), "a card that was sold (Vulkan), driver x 1");
    for (before, name) in [(&*other, "card 1 ("), (gone, "card 0 (")] {
        let found = opened(&cards, &DeviceChoice::Auto, Some(before), open).unwrap();
        assert!(found.name.starts_with(name) && found.notes[0].contains("results are not bit-identical"), "{}: {:?}", found.name, found.notes);
    }
}
