//! GPU errors: exceeded limits and a lost device.

use signet::device::{Checks, DeviceChoice, Gpu, adapters, select};
use signet::graph::{BufferKind, Machine, MachineError, Spec, TensorLocation};
use signet::ops::FUSIONS;
use std::sync::Arc;

pub(crate) fn machine() -> (Arc<Gpu>, Machine) {
    let adapters = pollster::block_on(adapters());
    let gpu = Arc::new(pollster::block_on(Gpu::open(&adapters[0], Checks::Off)).expect("the first adapter opens"));
    (gpu.clone(), Machine::gpu(gpu, FUSIONS))
}

#[test]
fn memory_is_zeroed_written_and_read_back() {
    let (_, mut machine) = machine();
    let memory = machine.allocate(BufferKind::Words, 300).expect("allocates");
    let location = TensorLocation { memory, offset: 0, spec: Spec::u32(3, 100) };
    pollster::block_on(async {
        assert_eq!(machine.read(&location).await.expect("reads"), [0; 300]);
        machine.write(&location.rows(1, 1), &[7; 100]).expect("writes");
        // Requested before the next write, which it must not see.
        let pending = machine.read_later(&[location.rows(1, 1), location.rows(2, 1)]).expect("asks");
        machine.write(&location.rows(1, 1), &[8; 100]).expect("writes");
        machine.drain().await.expect("drains");
        assert_eq!(pending.wait().await.expect("reads"), [[7; 100], [0; 100]]);
        assert_eq!(machine.read(&location.rows(1, 1)).await.expect("reads"), [8; 100]);
    });
}

#[test]
fn an_allocation_past_the_limit_names_its_bytes() {
    let (gpu, mut machine) = machine();
    let words = gpu.max_buffer_bytes() as usize / 4 + 1;
    let error = machine.allocate(BufferKind::Real, words).expect_err("too large");
    assert!(error.to_string().contains(&(4 * words).to_string()), "{error}");
}

#[test]
fn an_adapter_below_the_limits_is_refused_with_the_limit_and_never_chosen_automatically() {
    let mut adapters = pollster::block_on(adapters());
    for adapter in &mut adapters {
        assert_eq!(adapter.missing_limits(), []);
        adapter.limits.max_compute_invocations_per_workgroup = 64;
        adapter.limits.max_storage_buffers_per_shader_stage = 4;
    }
    let wants = ["max_compute_invocations_per_workgroup is 64, but 256 is required", "max_storage_buffers_per_shader_stage is 4, but 8 is required"];
    let refusals = [
        select(&adapters, &DeviceChoice::Index(0)).expect_err("too little").to_string(),
        pollster::block_on(Gpu::open(&adapters[0], Checks::Off)).expect_err("too little").to_string(),
    ];
    for printed in refusals {
        assert!(wants.iter().all(|want| printed.contains(want)) && printed.contains(&adapters[0].name()) && printed.contains("--device cpu"), "{printed}");
    }
    assert!(select(&adapters, &DeviceChoice::Auto).expect("the CPU").is_none());
}

#[test]
fn a_lost_device_is_an_error_from_then_on() {
    let (gpu, mut machine) = machine();
    let memory = machine.allocate(BufferKind::Words, 4).expect("allocates");
    let location = TensorLocation { memory, offset: 0, spec: Spec::u32(1, 4) };
    let pending = machine.read_later(&[location]).expect("asks");
    gpu.destroy();
    pollster::block_on(async {
        assert!(matches!(pending.wait().await, Err(MachineError::Lost(_))));
        assert!(matches!(machine.read(&location).await, Err(MachineError::Lost(_))));
        assert!(matches!(machine.drain().await, Err(MachineError::Lost(_))));
    });
    assert!(matches!(machine.write(&location, &[1; 4]), Err(MachineError::Lost(_))));
    assert!(matches!(machine.allocate(BufferKind::Words, 4), Err(MachineError::Lost(_))));
}
