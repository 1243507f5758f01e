//! Timing the machine.

use super::{Event, device};
use crate::bench::{DecodeBench, decode};
use anyhow::Result;

pub(super) async fn bench_decode(bench: DecodeBench, device: &str, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let mut note = |text: &str| emit(Event::Note { text: text.into() });
    let report = decode(async || device::machine(device).await, bench, &mut note).await?;
    emit(Event::BenchDecode(report));
    Ok(())
}
