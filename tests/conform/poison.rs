//! Workgroup memory that holds NaN when a kernel begins. Devices need not clear it, since `device/pipelines.rs` asks them not
//! to; a kernel that reads what it has not written then gives another result than the oracle.

use signet::conform::{Check, ConformOptions, ConformTarget, run};
use signet::device::{Access, Bound, Checks, Gpu, KERNELS, Kernel, ParamField, adapters};
use std::sync::Arc;
use wgpu::naga::front::wgsl;
use wgpu::naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use wgpu::naga::{AddressSpace, ArraySize, GlobalVariable, Handle, Module, ScalarKind, Type, TypeInner};

/// Bits of a NaN in f32. As an index or a counter, they are past any end.
const NAN: u32 = 0x7fff_dead;

/// Opens the first adapter, where every kernel begins with NaN in its workgroup memory.
fn gpu() -> Arc<Gpu> {
    let adapters = pollster::block_on(adapters());
    Arc::new(
        pollster::block_on(Gpu::open(&adapters[0], Checks::Off)).expect("the first adapter opens").rewriting(|kernel| poisoned(kernel.unit, kernel.source)),
    )
}

/// Returns the source of a module in which every entry point begins by filling the workgroup memory that it uses.
pub(super) fn poisoned(unit: &str, source: &str) -> String {
    let module = wgsl::parse_str(source).unwrap_or_else(|error| panic!("{unit}: {error}"));
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::all());
    let info = validator.validate(&module).unwrap_or_else(|error| panic!("{unit}: {error}"));
    let mut source = source.to_owned();
    for (place, entry) in module.entry_points.iter().enumerate() {
        let uses = |handle: Handle<GlobalVariable>| !info.get_entry_point(place)[handle].is_empty();
        let used = module.global_variables.iter().filter(|(handle, variable)| variable.space == AddressSpace::WorkGroup && uses(*handle));
        let fill = Fill { module: &module, lanes: entry.workgroup_size.iter().product() };
        let fills: String = used.map(|(_, variable)| fill.variable(variable.name.as_deref().expect("a name"), variable.ty)).collect();
        if !fills.is_empty() {
            source = with_prologue(&source, &entry.name, &fills);
        }
    }
    source
}

/// Inserts statements at the beginning of an entry point; they may use `poison_lane`, `poison_bits`, and NaN as `poison`.
fn with_prologue(source: &str, entry: &str, statements: &str) -> String {
    let opening = format!("fn {entry}(");
    let parameters = source.find(&opening).expect("the entry point") + opening.len();
    let body = parameters + source[parameters..].find('{').expect("a body") + 1;
    let index = "@builtin(local_invocation_index)";
    let (added, lane) = match source[parameters..body].split_once(index) {
        Some((_, rest)) => (String::new(), rest.split(':').next().unwrap_or_default().trim()),
        None => (format!("{index} poison_index: u32, "), "poison_index"),
    };
    // A constant NaN is an error in WGSL.
    let values = format!("let poison_lane = {lane};\nvar poison_bits = {NAN}u;\nlet poison = bitcast<f32>(poison_bits);\n");
    format!("{}{added}{}\n{values}{statements}workgroupBarrier();\n{}", &source[..parameters], &source[parameters..body], &source[body..])
}

/// Statements that fill variables of a module.
struct Fill<'a> {
    module: &'a Module,
    lanes: u32,
}

impl Fill<'_> {
    /// All lanes fill an array together; the first fills anything else.
    fn variable(&self, name: &str, ty: Handle<Type>) -> String {
        match self.module.types[ty].inner {
            TypeInner::Array { base, size: ArraySize::Constant(count), .. } => {
                let element = self.value(&format!("{name}[poison_at]"), base);
                format!("for (var poison_at = poison_lane; poison_at < {count}u; poison_at += {}u) {{\n{element}}}\n", self.lanes)
            }
            _ => format!("if poison_lane == 0u {{\n{}}}\n", self.value(name, ty)),
        }
    }

    fn value(&self, path: &str, ty: Handle<Type>) -> String {
        match &self.module.types[ty].inner {
            TypeInner::Scalar(scalar) => scalar_value(path, scalar.kind, scalar.width),
            TypeInner::Atomic(_) => format!("atomicStore(&{path}, poison_bits);\n"),
            TypeInner::Vector { size, scalar } => (0..*size as u32).map(|n| scalar_value(&format!("{path}[{n}]"), scalar.kind, scalar.width)).collect(),
            TypeInner::Struct { members, .. } => {
                members.iter().map(|member| self.value(&format!("{path}.{}", member.name.as_deref().expect("a name")), member.ty)).collect()
            }
            other => panic!("{path}: {other:?} cannot be filled yet"),
        }
    }
}

fn scalar_value(path: &str, kind: ScalarKind, width: u8) -> String {
    match (kind, width) {
        (ScalarKind::Float, 4) => format!("{path} = poison;\n"),
        (ScalarKind::Float, 2) => format!("{path} = f16(poison);\n"),
        (ScalarKind::Uint, 4) => format!("{path} = poison_bits;\n"),
        other => panic!("{path}: {other:?} cannot be filled yet"),
    }
}

#[test]
fn no_kernel_reads_workgroup_memory_before_it_writes_it() {
    let gpu = gpu();
    let target = ConformTarget::Gpu(vec![gpu.clone()]);
    let options = ConformOptions { checks: vec![Check::Forward, Check::Backward], ..ConformOptions::all(1) };
    assert!(super::passed(&pollster::block_on(run(&target, &options, |_| true))), "see the table above");
    // A kernel that no case runs would prove nothing.
    let compiled = gpu.compiled();
    let uses = KERNELS.iter().filter(|kernel| kernel.workgroup_bytes > 0 && gpu.can_run(kernel));
    let untried: Vec<&str> = uses.map(|kernel| kernel.name).filter(|name| !compiled.contains(name)).collect();
    assert!(compiled.len() > 40 && untried.is_empty(), "not tried: {untried:?}");
}

/// Copies workgroup memory of which it has written the first half.
static HALF: Kernel = Kernel {
    name: "test/half",
    unit: "test",
    entry: "half",
    source: "struct Params { n: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
var<workgroup> tile: array<f32, 64>;
var<workgroup> count: atomic<u32>;
@compute @workgroup_size(64)
fn half(@builtin(local_invocation_index) lane: u32) {
    if lane < p.n {
        tile[lane] = f32(lane);
    }
    workgroupBarrier();
    out[lane] = tile[lane];
    out[64u + lane] = bitcast<f32>(atomicLoad(&count));
}
",
    features: wgpu::Features::empty(),
    cooperative: None,
    subgroups: 0,
    workgroup: [64, 1, 1],
    workgroup_bytes: 272,
    params: &[ParamField { name: "n", float: false }],
    bands: false,
    folded: false,
    operands: &[Access::Write],
};

#[test]
fn a_kernel_that_reads_what_it_has_not_written_gets_nan() {
    let gpu = gpu();
    let (params, out) = (gpu.uniform("params", 16).expect("a buffer"), gpu.storage("out", 512).expect("a buffer"));
    gpu.write(&params, 0, &[32]).expect("writes");
    let bound = |buffer, bytes| Bound { buffer, offset: 0, bytes };
    let dispatch = gpu.dispatch(&HALF, bound(&params, 16), &[bound(&out, 512)], [1, 1, 1]).expect("compiles");
    gpu.run(&[dispatch], &[1]).expect("runs");
    let words = pollster::block_on(gpu.download(&[bound(&out, 512)]).expect("asks").wait()).expect("reads").remove(0);
    let written: Vec<u32> = (0..32_u16).map(|lane| f32::from(lane).to_bits()).collect();
    assert_eq!(words[..32], written);
    assert!(words[32..].iter().all(|&word| f32::from_bits(word).is_nan()), "{words:x?}");
}
