//! Every kernel through naga to SPIR-V, HLSL and MSL, with the settings of trusted modules, and through Chrome's WGSL compiler
//! `tint` where it is on the PATH. No vendor's compiler reads the results.

use naga::back::{hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use naga::{Module, ShaderStage};
use serde::Serialize;
use signet::device::Kernel;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

/// The outcome of all kernels in one language.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Translation {
    /// Compiler and language.
    pub(crate) name: &'static str,
    /// Kernels that were translated; modules for `tint`.
    pub(crate) done: usize,
    /// Kernels that the language cannot express, and why.
    pub(crate) not_offered: Vec<(&'static str, String)>,
    /// Kernels that the compiler refused, and why.
    pub(crate) failed: Vec<(&'static str, String)>,
    /// Why nothing was translated.
    pub(crate) not_run: Option<String>,
}

/// A language that naga writes.
struct Language {
    name: &'static str,
    /// Says why a kernel is not offered in it.
    lacks: fn(&Kernel) -> Option<String>,
    write: fn(&Kernel, &Module, &ModuleInfo) -> Result<(), String>,
}

const LANGUAGES: [Language; 3] = [
    Language { name: "naga: SPIR-V", lacks: |_| None, write: spirv },
    Language { name: "naga: HLSL", lacks: |kernel| kernel.cooperative.map(|_| "HLSL has no cooperative matrices in naga".into()), write: hlsl },
    Language { name: "naga: MSL", lacks: no_metal, write: metal },
];

/// Translates kernels with every compiler.
pub(crate) fn translate(kernels: &[&'static Kernel]) -> Vec<Translation> {
    let mut outcomes = LANGUAGES.map(|language| Translation { name: language.name, ..Translation::default() });
    let mut modules = BTreeMap::new();
    for kernel in kernels {
        let module = modules.entry(kernel.unit).or_insert_with(|| module(kernel.source));
        for (language, outcome) in LANGUAGES.iter().zip(&mut outcomes) {
            if let Some(lack) = (language.lacks)(kernel) {
                outcome.not_offered.push((kernel.name, lack));
                continue;
            }
            match module.as_ref().map_err(String::clone).and_then(|(module, info)| (language.write)(kernel, module, info)) {
                Ok(()) => outcome.done += 1,
                Err(error) => outcome.failed.push((kernel.name, error)),
            }
        }
    }
    outcomes.into_iter().chain([tint(kernels)]).collect()
}

/// Parses and validates a module as wgpu does.
fn module(source: &str) -> Result<(Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|error| error.emit_to_string(source))?;
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::all());
    let info = validator.validate(&module).map_err(|error| error.emit_to_string(source))?;
    Ok((module, info))
}

/// No checks, as in a program.
const UNCHECKED: BoundsCheckPolicies = BoundsCheckPolicies {
    index: BoundsCheckPolicy::Unchecked,
    buffer: BoundsCheckPolicy::Unchecked,
    image_load: BoundsCheckPolicy::Unchecked,
    binding_array: BoundsCheckPolicy::Unchecked,
};

fn spirv(kernel: &Kernel, module: &Module, info: &ModuleInfo) -> Result<(), String> {
    let options =
        spv::Options { lang_version: (1, 6), bounds_check_policies: UNCHECKED, force_loop_bounding: false, emit_int_div_checks: false, ..Default::default() };
    let entry = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: kernel.entry.into() };
    spv::write_vec(module, info, &options, Some(&entry)).map(|_| ()).map_err(|error| error.to_string())
}

fn hlsl(kernel: &Kernel, module: &Module, info: &ModuleInfo) -> Result<(), String> {
    // Core kernels must work with FXC, which knows 5.1 at most.
    let shader_model = if kernel.features.is_empty() { hlsl::ShaderModel::V5_1 } else { hlsl::ShaderModel::V6_2 };
    let options = hlsl::Options { shader_model, restrict_indexing: false, force_loop_bounding: false, ..Default::default() };
    let entry = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, kernel.entry.into())) };
    let mut text = String::new();
    let written = hlsl::Writer::new(&mut text, &options, &entry).write(module, info, None).map_err(|error| error.to_string())?;
    written.entry_point_names.into_iter().try_for_each(|name| name.map(|_| ()).map_err(|error| error.to_string()))
}

/// Metal has matrices of 8 × 8 only.
fn no_metal(kernel: &Kernel) -> Option<String> {
    kernel.cooperative.filter(|matrices| matrices.size != 8).map(|matrices| format!("Metal has no matrices of {0}×{0}", matrices.size))
}

fn metal(kernel: &Kernel, module: &Module, info: &ModuleInfo) -> Result<(), String> {
    let options =
        msl::Options { lang_version: (2, 4), bounds_check_policies: UNCHECKED, force_loop_bounding: false, emit_int_div_checks: false, ..Default::default() };
    let entry = msl::PipelineOptions { entry_point: Some((ShaderStage::Compute, kernel.entry.into())), ..Default::default() };
    let (_, written) = msl::write_string(module, info, &options, &entry).map_err(|error| error.to_string())?;
    written.entry_point_names.into_iter().try_for_each(|name| name.map(|_| ()).map_err(|error| error.to_string()))
}

/// Compiles the module of each kernel with `tint`.
fn tint(kernels: &[&'static Kernel]) -> Translation {
    let mut outcome = Translation { name: "tint", ..Translation::default() };
    let file = std::env::temp_dir().join(format!("signet-isa-{}.wgsl", std::process::id()));
    let units: BTreeMap<&str, &&Kernel> = kernels.iter().map(|kernel| (kernel.unit, kernel)).collect();
    for (unit, kernel) in units {
        if kernel.cooperative.is_some() {
            outcome.not_offered.push((unit, "cooperative matrices of wgpu are not part of WGSL".into()));
            continue;
        }
        match run_tint(kernel, &file) {
            Ok(()) => outcome.done += 1,
            Err(None) => {
                outcome.not_run = Some("tint is not on the PATH".into());
                break;
            }
            Err(Some(error)) => outcome.failed.push((unit, error)),
        }
    }
    std::fs::remove_file(&file).ok();
    outcome
}

/// Compiles a kernel's module with `tint`; the error is `None` if it is not installed.
fn run_tint(kernel: &Kernel, file: &Path) -> Result<(), Option<String>> {
    // naga allows subgroups without this line, tint only with it.
    let enable = if kernel.features.contains(wgpu::Features::SUBGROUP) { "enable subgroups;\n" } else { "" };
    std::fs::write(file, format!("{enable}{}", kernel.source)).map_err(|error| Some(format!("cannot write {}: {error}", file.display())))?;
    let output = Command::new("tint").args(["--format", "wgsl"]).arg(file).stdin(Stdio::null()).output();
    let output = output.map_err(|error| (error.kind() != ErrorKind::NotFound).then(|| format!("cannot run tint: {error}")))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Some(String::from_utf8_lossy(&output.stderr).trim().into())),
    }
}
