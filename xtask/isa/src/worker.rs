//! A process that compiles kernels on the null device of one GPU family: a request on each line of its standard input, an
//! answer on each line of its standard output. The driver reads the family once in a process, and a compiler that does not
//! end can be ended only with its process.

use crate::compiled::Compiled;
use crate::control;
use crate::driver::{NullDevice, Pipeline};
use serde::{Deserialize, Serialize};
use signet::device::{Cooperative, Kernel, kernel};
use std::io::{BufRead, Write};
use std::time::Instant;

/// A request.
#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    /// Open and describe the device.
    Describe,
    /// Compile a kernel, and report on it.
    Compile(String),
    /// Compile a kernel, and return its disassembly.
    Disassemble(String),
}

/// An answer.
#[derive(Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The device and its driver, and the cooperative matrices that it lists.
    Device(String, String),
    /// The report on a kernel.
    Compiled(Compiled),
    /// A kernel's disassembly.
    Assembly(String),
    /// The device does not meet these requirements of the kernel, so that no program uses it there.
    NotOffered(String),
    /// A failure.
    Failed(String),
}

/// Answers requests until standard input ends.
pub(crate) fn serve() -> Result<(), String> {
    let mut device = None;
    for line in std::io::stdin().lock().lines() {
        let request = line.map_err(|error| format!("cannot read a request: {error}"))?;
        let answer = serde_json::from_str(&request).map_err(|error| error.to_string()).and_then(|request| answer(&mut device, request));
        let answer = answer.unwrap_or_else(|error| {
            // A device that refused a call refuses all later ones.
            device = None;
            Answer::Failed(error)
        });
        let answer = serde_json::to_string(&answer).map_err(|error| error.to_string())?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(|error| format!("cannot answer: {error}"))?;
    }
    Ok(())
}

fn answer(device: &mut Option<NullDevice>, request: Request) -> Result<Answer, String> {
    let device = match device {
        Some(device) => device,
        None => device.insert(NullDevice::open()?),
    };
    match request {
        Request::Describe => Ok(Answer::Device(device.description(), list(&device.cooperative()))),
        Request::Compile(name) => compile(device, &name, |pipeline, seconds| {
            Compiled::new(pipeline.subgroup, &pipeline.statistics, &pipeline.assembly, seconds).map(Answer::Compiled)
        }),
        Request::Disassemble(name) => compile(device, &name, |pipeline, _| Ok(Answer::Assembly(pipeline.assembly))),
    }
}

/// Compiles a kernel that the device offers, and answers with `report` of the pipeline and the seconds.
fn compile(device: &NullDevice, name: &str, report: impl FnOnce(Pipeline, f64) -> Result<Answer, String>) -> Result<Answer, String> {
    let kernel: &'static Kernel = match name {
        control::NAME => Box::leak(Box::new(control::kernel())),
        _ => kernel(name).ok_or_else(|| format!("no kernel is named {name}"))?,
    };
    if let Some(missing) = device.missing(kernel) {
        return Ok(Answer::NotOffered(missing));
    }
    let start = Instant::now();
    let pipeline = device.compile(kernel)?;
    report(pipeline, start.elapsed().as_secs_f64())
}

/// Lists shapes of cooperative matrices for people.
fn list(shapes: &[Cooperative]) -> String {
    let shapes: Vec<String> = shapes.iter().map(|shape| format!("{0}×{0} in {1}", shape.size, if shape.half { "f16" } else { "f32" })).collect();
    if shapes.is_empty() { "none".into() } else { shapes.join(", ") }
}
