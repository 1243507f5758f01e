//! Timing the machine.

use super::{Event, Tuning, devices, tuning};
use crate::bench::{DecodeBench, TrainBench, decode, decode_set_up, dispatch_cost, matmul, train, train_set_up};
use crate::graph::Variants;
use anyhow::Result;

pub(super) async fn bench_decode(bench: DecodeBench, device: &str, tuning: Tuning, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let variants = tuned(device, tuning, |machine| decode_set_up(machine, &bench), emit).await?;
    let mut note = |text: &str| emit(Event::Note { text: text.into() });
    let machine = async || {
        let (mut machine, device) = devices::machine(device).await?;
        machine.set_variants(variants.clone());
        Ok((machine, device))
    };
    let report = decode(machine, bench, &mut note).await?;
    emit(Event::BenchDecode(report));
    Ok(())
}

/// The variants for what `set_up` makes on a device.
async fn tuned(device: &str, tuning: Tuning, set_up: impl FnOnce(&mut crate::graph::Machine) -> Result<()>, emit: &mut dyn FnMut(Event)) -> Result<Variants> {
    let (mut machine, _) = devices::machine(device).await?;
    tuning::tune(&mut machine, tuning, false, set_up, emit).await
}

pub(super) async fn bench_train(bench: TrainBench, device: &str, tuning: Tuning, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let (mut machine, device) = devices::machine(device).await?;
    tuning::tune(&mut machine, tuning, false, |machine| train_set_up(machine, &bench).map(drop), emit).await?;
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

pub(super) async fn bench_dispatch(device: &str, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let (mut machine, device) = devices::machine(device).await?;
    let seconds = dispatch_cost(&mut machine).await?;
    emit(Event::BenchDispatch { device, seconds });
    Ok(())
}
