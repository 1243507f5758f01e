//! Readback, the only module that maps buffers. Ranges are copied into a staging buffer, which is mapped without waiting,
//! so that several downloads may be in flight without a round trip each. Staging buffers are reused.

#![allow(clippy::disallowed_methods)]

use super::dispatch::Bound;
use super::faults::{DeviceError, locked};
use super::gpu::Gpu;
use super::signal::{Signal, SignalFuture};
use std::sync::Arc;

/// Minimum bytes of a staging buffer.
const MIN_STAGING: u64 = 64 * 1024;
/// Maximum bytes of ranges that share a staging buffer, unless a single range is larger.
const MAX_SHARED: u64 = 64 * 1024 * 1024;
/// Maximum number of free staging buffers.
const FREE_STAGING: usize = 4;

/// Ranges in flight to the host.
#[derive(Debug)]
pub struct Readback {
    gpu: Arc<Gpu>,
    parts: Vec<StagedRanges>,
}

/// Consecutive ranges in a staging buffer.
#[derive(Debug)]
struct StagedRanges {
    staging: wgpu::Buffer,
    words: Vec<usize>,
    submission: wgpu::SubmissionIndex,
    mapped: SignalFuture,
}

fn refused(error: impl std::fmt::Display) -> DeviceError {
    DeviceError::Refused(format!("mapping a buffer: {error}"))
}

impl Gpu {
    /// Starts copying ranges, with their contents after all work submitted so far.
    pub fn download(self: &Arc<Self>, ranges: &[Bound<'_>]) -> Result<Readback, DeviceError> {
        self.check()?;
        let mut parts = Vec::new();
        let mut rest = ranges;
        while !rest.is_empty() {
            let mut total = 0;
            let fit = rest.iter().take_while(|range| {
                total += range.bytes;
                total <= MAX_SHARED
            });
            let (part, later) = rest.split_at(fit.count().max(1));
            parts.push(self.copy(part)?);
            rest = later;
        }
        self.check()?;
        Ok(Readback { gpu: self.clone(), parts })
    }

    /// Checks that the device works: writes some words and reads them back.
    pub async fn probe(self: &Arc<Self>) -> Result<(), DeviceError> {
        const WORDS: [u32; 4] = [1, 2, 3, u32::MAX];
        let buffer = self.storage("the probe of the device", 4 * WORDS.len() as u64)?;
        self.write(&buffer, 0, &WORDS)?;
        let range = Bound { buffer: &buffer, offset: 0, bytes: 4 * WORDS.len() as u64 };
        let read = self.download(&[range])?.wait().await?;
        if read.concat() == WORDS {
            Ok(())
        } else {
            Err(DeviceError::Unopened { device: self.name().into(), reason: "it reads back other data than was written".into() })
        }
    }

    fn copy(&self, ranges: &[Bound<'_>]) -> Result<StagedRanges, DeviceError> {
        let bytes: u64 = ranges.iter().map(|range| range.bytes).sum();
        let staging = self.staging(bytes)?;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut end = 0;
        for range in ranges {
            encoder.copy_buffer_to_buffer(range.buffer, range.offset, &staging, end, range.bytes);
            end += range.bytes;
        }
        let submission = self.queue.submit([encoder.finish()]);
        let (signal, mapped) = Signal::new();
        staging.map_async(wgpu::MapMode::Read, ..bytes, move |result| signal.set(result.map_err(refused)));
        Ok(StagedRanges { staging, words: ranges.iter().map(|range| range.bytes as usize / 4).collect(), submission, mapped })
    }

    /// Takes the smallest free staging buffer that is large enough, or allocates one.
    fn staging(&self, bytes: u64) -> Result<wgpu::Buffer, DeviceError> {
        let free = &mut locked(&self.staging);
        let fitting = free.iter().enumerate().filter(|(_, buffer)| buffer.size() >= bytes);
        if let Some((index, _)) = fitting.min_by_key(|(_, buffer)| buffer.size()) {
            return Ok(free.swap_remove(index));
        }
        self.buffer("readback", bytes.max(MIN_STAGING), wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
    }

    /// Returns a staging buffer to the free list. Only the smallest are kept, since large ones are for checkpoints and would
    /// be unused.
    fn recycle(&self, staging: wgpu::Buffer) {
        let free = &mut locked(&self.staging);
        free.push(staging);
        free.sort_by_key(wgpu::Buffer::size);
        free.truncate(FREE_STAGING);
    }
}

impl Readback {
    /// Waits for the data and returns the words of each range.
    pub async fn wait(self) -> Result<Vec<Vec<u32>>, DeviceError> {
        let mut values = Vec::new();
        for part in self.parts {
            let bytes = 4 * part.words.iter().sum::<usize>() as u64;
            self.gpu.wait(Some(part.submission));
            self.gpu.check()?;
            part.mapped.await?;
            let view = part.staging.get_mapped_range(..bytes).map_err(refused)?;
            let mut rest = &view[..];
            for words in part.words {
                let (bytes, later) = rest.split_at(4 * words);
                values.push(bytemuck::pod_collect_to_vec(bytes));
                rest = later;
            }
            drop(view);
            part.staging.unmap();
            self.gpu.recycle(part.staging);
        }
        Ok(values)
    }
}
