//! Timing the machine.

use super::{Event, devices};
use crate::bench::{DecodeBench, TrainBench, decode, matmul, train};
use anyhow::Result;

pub(super) async fn bench_decode(bench: DecodeBench, device: &str, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let mut note = |text: &str| emit(Event::Note { text: text.into() });
    let report = decode(async || devices::machine(device).await, bench, &mut note).await?;
    emit(Event::BenchDecode(report));
    Ok(())
}

pub(super) async fn bench_train(bench: TrainBench, device: &str, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let (mut machine, device) = devices::machine(device).await?;
    let report = train(&mut machine, &device, bench, &mut |done, of| emit(Event::Progress { done, of, note: "steps".into() })).await?;
    emit(Event::BenchTrain(report));
    Ok(())
}

pub(super) async fn bench_matmul(device: &str, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let (mut machine, device) = devices::machine(device).await?;
    emit(Event::Note { text: device });
    matmul(&mut machine, &mut |report| emit(Event::BenchMatmul(report.clone()))).await?;
    Ok(())
}
