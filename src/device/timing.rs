//! Timing of dispatches with GPU timestamps.

use super::dispatch::Dispatch;
use super::faults::DeviceError;
use super::gpu::Gpu;
use std::sync::Arc;

/// Queries in a set, the maximum of WebGPU; two for each dispatch.
const QUERIES: usize = 4096;
/// Dispatches in a submission: one, since their duration is not known yet. Timestamps exclude the cost of submissions.
const SUBMIT: usize = 1;

impl Gpu {
    /// Returns true if the device has timestamps.
    pub fn has_timestamps(&self) -> bool {
        self.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Runs dispatches in order, each in its own pass, and returns the seconds that each took. Requires
    /// [`Gpu::has_timestamps`].
    pub async fn time(self: &Arc<Self>, dispatches: &[Dispatch]) -> Result<Vec<f64>, DeviceError> {
        let tick = f64::from(self.queue.get_timestamp_period()) * 1e-9;
        let mut seconds = Vec::with_capacity(dispatches.len());
        for dispatches in dispatches.chunks(QUERIES / 2) {
            let count = 2 * dispatches.len() as u32;
            let set = self.device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("times"), ty: wgpu::QueryType::Timestamp, count });
            let bytes = 8 * u64::from(count);
            let times = self.buffer("times", bytes, wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC)?;
            for (part, first) in dispatches.chunks(SUBMIT).zip((0..).step_by(2 * SUBMIT)) {
                self.queue.submit([self.record_timed(part, &set, first)]);
            }
            let mut encoder = self.device.create_command_encoder(&Default::default());
            encoder.resolve_query_set(&set, 0..count, &times, 0);
            self.queue.submit([encoder.finish()]);
            let words = self.download(&[super::Bound { buffer: &times, offset: 0, bytes }])?.wait().await?.remove(0);
            let ticks = |pair: &[u32]| u64::from(pair[0]) | u64::from(pair[1]) << 32;
            seconds.extend(words.as_chunks::<4>().0.iter().map(|both| ticks(&both[2..]).saturating_sub(ticks(&both[..2])) as f64 * tick));
        }
        Ok(seconds)
    }

    /// Records dispatches with timestamps from query `first` on.
    fn record_timed(&self, dispatches: &[Dispatch], set: &wgpu::QuerySet, first: u32) -> wgpu::CommandBuffer {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        for (dispatch, begin) in dispatches.iter().zip((first..).step_by(2)) {
            let timestamps =
                wgpu::ComputePassTimestampWrites { query_set: set, beginning_of_pass_write_index: Some(begin), end_of_pass_write_index: Some(begin + 1) };
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(timestamps) });
            dispatch.record(&mut pass);
        }
        encoder.finish()
    }
}
