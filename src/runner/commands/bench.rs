//! Benchmarks. A stop request takes effect between two parts of a benchmark.

use crate::bench::{DecodeBench, TrainBench, decode, decode_set_up, dispatch_cost, matmul, train, train_set_up};
use crate::graph::Variants;
use crate::runner::{Event, Stop, Tuning, devices, tuning};
use crate::train::Precision;
use anyhow::{Result, ensure};
use std::cell::RefCell;

/// Returns a callback that emits the progress of a benchmark, and returns an error after a stop request.
fn progress(stop: &Stop, emit: &mut dyn FnMut(Event)) -> impl FnMut(usize, usize, &str) -> Result<()> {
    move |done, of, note| {
        emit(Event::Progress { done, of, note: note.into() });
        ensure!(!stop.is_requested() || done == of, "stopped after {done} of {of} parts");
        Ok(())
    }
}

pub(super) async fn bench_decode(bench: DecodeBench, device: &str, tuning: Tuning, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let variants = tuned_variants(device, tuning, |machine| decode_set_up(machine, &bench), emit).await?;
    let machine = async || {
        let mut opened = devices::open(device, None).await?;
        opened.machine.set_variants(variants.clone());
        Ok((opened.machine, opened.name))
    };
    let report = decode(machine, bench, &mut progress(stop, emit)).await?;
    emit(Event::BenchDecode(report));
    Ok(())
}

/// Tunes the operations that `set_up` creates on a device, and returns their variants.
async fn tuned_variants(
    device: &str, tuning: Tuning, set_up: impl FnOnce(&mut crate::graph::Machine) -> Result<()>, emit: &mut dyn FnMut(Event),
) -> Result<Variants> {
    let (mut machine, _) = devices::machine(device, emit).await?;
    tuning::tune(&mut machine, tuning, false, set_up, emit).await
}

pub(super) async fn bench_train(bench: TrainBench, device: &str, tuning: Tuning, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let (mut machine, device) = devices::machine(device, emit).await?;
    let half = bench.precision == Precision::F16;
    tuning::tune(&mut machine, tuning, half, |machine| train_set_up(machine, &bench).map(drop), emit).await?;
    let report = train(&mut machine, &device, bench, &mut progress(stop, emit)).await?;
    emit(Event::BenchTrain(report));
    Ok(())
}

pub(super) async fn bench_matmul(device: &str, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let (mut machine, device) = devices::machine(device, emit).await?;
    emit(Event::Note { text: device });
    let emit = RefCell::new(emit);
    let mut timed = |report: &_| emit.borrow_mut()(Event::BenchMatmul(Clone::clone(report)));
    let mut emit_progress = |event| emit.borrow_mut()(event);
    matmul(&mut machine, &mut timed, &mut progress(stop, &mut emit_progress)).await?;
    Ok(())
}

pub(super) async fn bench_dispatch(device: &str, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let (mut machine, device) = devices::machine(device, emit).await?;
    let seconds = dispatch_cost(&mut machine, &mut progress(stop, emit)).await?;
    emit(Event::BenchDispatch { device, seconds });
    Ok(())
}
