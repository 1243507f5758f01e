//! Tests with operands as large as the adapter's binding limit. Most elements are zero and the rest small integers, so that
//! results are exact without an oracle.

use super::{CaseResult, Check, ConformRun, group_by_variant, machine_with_variant};
use crate::device::{Checks, Gpu};
use crate::graph::{BufferKind, GpuMachine, Machine, MachineError, Spec, Tape, TensorId, TensorLocation};
use crate::ops::{Embedding, FUSIONS, Matmul, PARTIALS, SumSquares};
use std::sync::Arc;

/// Columns of the large operand: 1,024 words, so that rows start at multiples of 256 bytes.
const COLUMNS: usize = 1024;
/// Maximum words on a software adapter, which uses host memory: 256 MiB.
const MAX_SOFTWARE_WORDS: u64 = 1 << 26;
/// Maximum words on a GPU: kernels index words with 32 bits.
const MAX_WORDS: u64 = 1 << 32;

/// An operation with one large operand.
#[derive(Clone, Copy)]
enum LongOperation {
    /// Embedding lookup.
    Embedding,
    /// Product of this many rows with the transpose of the large matrix.
    Product(usize),
    /// Sums of squares.
    Squares,
}

impl LongOperation {
    const ALL: [LongOperation; 4] = [LongOperation::Embedding, LongOperation::Product(1), LongOperation::Product(9), LongOperation::Squares];

    fn family(self) -> &'static str {
        match self {
            LongOperation::Embedding => "embedding",
            LongOperation::Product(_) => "matmul",
            LongOperation::Squares => "grad_norm",
        }
    }

    fn label(self, bytes: usize) -> String {
        match self {
            LongOperation::Embedding => format!("a table of {bytes} bytes, at the binding limit"),
            LongOperation::Product(m) => format!("{m} rows with a matrix of {bytes} bytes, at the binding limit"),
            LongOperation::Squares => format!("squares of {bytes} bytes, at the binding limit"),
        }
    }
}

/// A trial of a large operation on an open GPU.
pub(super) struct LongTrial {
    gpu: Arc<Gpu>,
    long: LongOperation,
    rows: usize,
    label: String,
}

/// All large operations whose `operation: label` is wanted.
pub(super) fn trials(gpus: &[Arc<Gpu>], wanted: impl Fn(&str) -> bool) -> Vec<LongTrial> {
    let of = |gpu: &Arc<Gpu>, long: LongOperation| {
        let software = gpu.info().device_type == wgpu::DeviceType::Cpu;
        let words = (gpu.max_binding_bytes() / 4).min(if software { MAX_SOFTWARE_WORDS } else { MAX_WORDS });
        let rows = words as usize / COLUMNS;
        LongTrial { gpu: gpu.clone(), long, rows, label: long.label(4 * rows * COLUMNS) }
    };
    let all = gpus.iter().flat_map(|gpu| LongOperation::ALL.map(|long| of(gpu, long)));
    all.filter(|trial| wanted(&format!("{}: {}", trial.long.family(), trial.label))).collect()
}

impl LongTrial {
    /// Runs the trial in every variant.
    pub(super) async fn run(&self, session: &mut ConformRun<'_>) {
        let Self { gpu, long, rows, label } = self;
        let offers = trial(&mut Machine::gpu(gpu.clone(), FUSIONS), *long, 3).map(|trial| GpuMachine::new(gpu.clone(), FUSIONS).variant_support(&trial.tape));
        for (variant, offers) in group_by_variant(offers.unwrap_or_default(), session.options, &mut session.report) {
            let failure = attempt(machine_with_variant(gpu, variant), *long, *rows).await.unwrap_or_else(|error| Some(error.to_string()));
            session.result(&CaseResult {
                operation: long.family().into(),
                label: label.clone(),
                check: Check::Forward,
                variant: variant.into(),
                checked: gpu.checks() == Checks::On,
                known: offers.iter().find_map(|offer| offer.known).map(|known| known.reason.to_owned()),
                worst: if failure.is_some() { f64::MAX } else { 0.0 },
                failure,
            });
        }
    }
}

/// A tape and the location of its result.
struct LongTape {
    tape: Tape,
    table: TensorLocation,
    result: Result<TensorId, TensorLocation>,
}

/// A row of small integers that depend on row and column.
fn integers(row: usize) -> Vec<f32> {
    (0..COLUMNS).map(|column| ((row + 3 * column) % 7) as f32 - 2.0).collect()
}

fn allocate(machine: &mut Machine, spec: Spec) -> Result<TensorLocation, MachineError> {
    Ok(TensorLocation { memory: machine.allocate(BufferKind::of(spec.storage), spec.words())?, offset: 0, spec })
}

fn trial(machine: &mut Machine, long: LongOperation, rows: usize) -> Result<LongTape, MachineError> {
    let table = allocate(machine, Spec::f32(rows, COLUMNS))?;
    let mut tape = Tape::new();
    let operand = tape.persistent(table);
    let result = match long {
        LongOperation::Embedding => {
            let ids = allocate(machine, Spec::u32(3, 1))?;
            machine.write(&ids, &nonzero_rows(rows).map(|row| row as u32))?;
            let ids = tape.persistent(ids);
            Ok(tape.push_one(Embedding, &[operand, ids], &[]).expect("fits"))
        }
        LongOperation::Product(m) => {
            let x = allocate(machine, Spec::f32(m, COLUMNS))?;
            machine.write_f32(&x, &(0..m).flat_map(|row| integers(row + 5)).collect::<Vec<_>>())?;
            let x = tape.persistent(x);
            Ok(tape.push_one(Matmul::LINEAR, &[x, operand], &[]).expect("fits"))
        }
        LongOperation::Squares => {
            let partials = allocate(machine, Spec::f32(1, PARTIALS))?;
            let update = tape.persistent(partials);
            let flat = tape.persistent(TensorLocation { spec: Spec::f32(1, rows * COLUMNS), ..table });
            tape.push(SumSquares::new(rows * COLUMNS), &[flat], &[update]).expect("fits");
            Err(partials)
        }
    };
    if let Ok(tensor) = result {
        tape.keep(tensor);
    }
    Ok(LongTape { tape, table, result })
}

/// Indices of the nonzero rows: the first, one in the middle, the last.
fn nonzero_rows(rows: usize) -> [usize; 3] {
    [0, rows / 2 + 1, rows - 1]
}

/// Runs the operation and returns the failure, if any.
async fn attempt(mut machine: Machine, long: LongOperation, rows: usize) -> Result<Option<String>, MachineError> {
    let trial = trial(&mut machine, long, rows)?;
    for row in nonzero_rows(rows) {
        machine.write_f32(&trial.table.rows(row, 1), &integers(row))?;
    }
    let mut program = machine.compile(trial.tape)?;
    machine.run(&mut program)?;
    let got: Vec<f32> = match trial.result {
        Ok(tensor) => bytemuck::cast_vec(machine.read_tensor(&program, tensor).await?),
        Err(location) => machine.read_f32(&location).await?,
    };
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let expected = match long {
        LongOperation::Embedding => nonzero_rows(rows).into_iter().flat_map(integers).collect(),
        LongOperation::Product(m) => {
            let mut expected = vec![0.0; m * rows];
            for (x, row) in (0..m).flat_map(|x| nonzero_rows(rows).map(|row| (x, row))) {
                expected[x * rows + row] = dot(&integers(x + 5), &integers(row));
            }
            expected
        }
        LongOperation::Squares => {
            let mut expected = vec![0.0; PARTIALS];
            let chunk = (rows * COLUMNS).div_ceil(PARTIALS);
            for (row, column) in nonzero_rows(rows).into_iter().flat_map(|row| (0..COLUMNS).map(move |column| (row, column))) {
                expected[(row * COLUMNS + column) / chunk] += integers(row)[column] * integers(row)[column];
            }
            expected
        }
    };
    let wrong = got.iter().zip(&expected).position(|(got, expected)| got != expected);
    Ok(wrong.map(|at| format!("element {at} is {}, expected {}", got[at], expected[at])))
}
