//! GPU buffers: allocation, and writes from the host.

use super::faults::DeviceError;
use super::gpu::Gpu;
use std::sync::atomic::Ordering;

/// Maximum bytes of pending writes. wgpu holds a copy of written data until it is submitted and done; without a limit,
/// loading a model would need its size twice.
const MAX_PENDING: usize = 64 * 1024 * 1024;

impl Gpu {
    /// Allocates a zeroed storage buffer.
    pub fn storage(&self, label: &str, bytes: u64) -> Result<wgpu::Buffer, DeviceError> {
        use wgpu::BufferUsages as Usage;
        let max = self.max_buffer_bytes();
        if bytes > max {
            return Err(DeviceError::TooLarge { label: label.to_owned(), bytes, max });
        }
        self.buffer(label, bytes, Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST)
    }

    /// Allocates a zeroed uniform buffer.
    pub fn uniform(&self, label: &str, bytes: u64) -> Result<wgpu::Buffer, DeviceError> {
        self.buffer(label, bytes, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST)
    }

    pub(super) fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, DeviceError> {
        self.check()?;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let size = bytes.next_multiple_of(4).max(4);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false });
        self.faults.watch_allocation(label, bytes, scope.pop());
        self.check()?;
        Ok(buffer)
    }

    /// Writes words into a buffer; ordered before later submissions.
    pub fn write(&self, buffer: &wgpu::Buffer, offset: u64, words: &[u32]) -> Result<(), DeviceError> {
        self.check()?;
        let bytes: &[u8] = bytemuck::cast_slice(words);
        for (part, first) in bytes.chunks(MAX_PENDING).zip((offset..).step_by(MAX_PENDING)) {
            self.queue.write_buffer(buffer, first, part);
            if self.pending.fetch_add(part.len(), Ordering::Relaxed) + part.len() >= MAX_PENDING {
                self.wait(Some(self.queue.submit([])));
                self.pending.store(0, Ordering::Relaxed);
            }
        }
        self.check()
    }
}
