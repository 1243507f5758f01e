//! Statistics of a model's layers, and for a run the sign flips per weight.

use crate::runner::kind::has_settings;
use crate::runner::{Event, Stop, model_loader};
use crate::train::{self, MetricsPosition};
use anyhow::{Result, bail};
use std::path::Path;

pub(super) fn inspect(name: &str, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let file = model_loader::open(name)?;
    let path = Path::new(name);
    let flips = if has_settings(path) { flips(path, stop)? } else { None };
    let mut progress = |done, of| {
        emit(Event::Progress { done, of, note: "layers read".into() });
        !stop.is_requested()
    };
    let Some(inspection) = crate::model::inspect(&file, &mut progress)? else { bail!("inspection of {name} stopped before all layers were read") };
    emit(Event::Inspected { model: file.path().display().to_string(), inspection: Box::new(inspection), flips });
    Ok(())
}

/// Returns the mean number of sign flips per weight so far, for each binarized matrix; none without recorded steps.
fn flips(run: &Path, stop: &Stop) -> Result<Option<Vec<f64>>> {
    let (mut position, mut sums): (MetricsPosition, Option<Vec<f64>>) = (MetricsPosition::default(), None);
    loop {
        let chunk = train::read_metrics_chunk(run, position)?;
        if chunk.restarted {
            sums = None;
        }
        for metrics in chunk.metrics.iter().filter(|metrics| !metrics.flips.is_empty()) {
            let sums = sums.get_or_insert_with(|| vec![0.0; metrics.flips.len()]);
            sums.iter_mut().zip(&metrics.flips).for_each(|(sum, flips)| *sum += flips);
        }
        position = chunk.until;
        if !chunk.more || stop.is_requested() {
            return Ok(sums);
        }
    }
}
