//! Tests of autotuning on the first adapter, with an operation that has an incorrect variant.

use super::*;
use crate::device::{Checks, adapters};
use crate::graph::{Backward, CpuIo, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs};
use crate::platform;

/// a + b, with an incorrect variant that skips elements, which also makes it the fastest.
#[derive(Clone, Debug)]
struct BrokenAdd;

impl Op for BrokenAdd {
    const NAME: &'static str = "careless";

    fn key(&self) -> String {
        "BrokenAdd".into()
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        Ok(vec![specs.inputs[0]])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let n = specs.inputs[0].elements();
        let launch = |n: usize| Launch {
            kernel: "add/forward",
            operands: vec![Operand::In(0), Operand::In(1), Operand::Out(0)],
            params: crate::params! { n: n },
            groups: crate::graph::grid(n.div_ceil(256)),
            operations: None,
        };
        let variant = |name, n| Variant { name, storage: Storage::F32, launches: vec![launch(n)] };
        vec![variant(Variant::PORTABLE, n), variant("careless", n / 16), variant("careful", n)]
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (a, b) = (io.inputs[0].real(), io.inputs[1].real());
        for ((out, &a), &b) in io.outputs[0].real().iter_mut().zip(a).zip(b) {
            *out = a + b;
        }
    }

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::Done
    }
}

fn gpu() -> Arc<Gpu> {
    let adapters = pollster::block_on(adapters());
    let adapter = adapters.first().expect("no adapter: install a Vulkan driver; Debian's mesa-vulkan-drivers has a software one");
    Arc::new(pollster::block_on(Gpu::open(adapter, Checks::Off)).expect("the first adapter opens"))
}

fn choices() -> BTreeMap<String, (ShapedOp, usize)> {
    let spec = Spec::f32(1024, 1024);
    let choice = ShapedOp { op: Arc::new(BrokenAdd), inputs: vec![spec, spec], updates: vec![] };
    BTreeMap::from([(Variants::key(&*choice.op, choice.specs()), (choice, 1))])
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("signet-tune-{name}-{}", std::process::id()));
    platform::remove_dir(&folder).expect("a scratch folder");
    folder
}

/// Tunes. Returns the result and the number of timed operations.
fn tuned(gpu: &Arc<Gpu>, options: &TuneOptions) -> (Tuned, usize) {
    let mut timed = 0;
    let tuned = pollster::block_on(tune(gpu, &choices(), options, &mut |_, _, _| timed += 1)).expect("tunes");
    (tuned, timed)
}

#[test]
fn incorrect_variants_are_rejected_and_the_selection_is_cached() {
    let (gpu, folder) = (gpu(), folder("denied"));
    let options = TuneOptions { folder: Some(folder.clone()), ..TuneOptions::of(&gpu, None) };
    let (first, timed) = tuned(&gpu, &options);
    assert_eq!(timed, 1);
    let key = choices().into_keys().next().expect("one");
    let chosen = first.variants.chosen(&key).expect("chosen").to_owned();
    assert_ne!(chosen, "careless");
    assert!(first.notes.iter().any(|note| note.contains("variant careless") && note.contains("not used")), "{:?}", first.notes);

    let (second, timed) = tuned(&gpu, &options);
    assert_eq!((timed, second.variants.chosen(&key)), (0, Some(&*chosen)));
    assert_eq!(second.notes, first.notes, "a rejection is reported every time");

    let (_, timed) = tuned(&gpu, &TuneOptions { retune: true, ..options.clone() });
    assert_eq!(timed, 1);

    let file = TuningFile::new(&gpu).path(&folder);
    platform::write_atomic(&file, b"{ \"format\": 1, ").expect("written");
    let (third, timed) = tuned(&gpu, &options);
    assert_eq!(timed, 1, "a broken file is ignored");
    assert!(third.notes.iter().any(|note| note.contains("tuning again")), "{:?}", third.notes);
    assert_eq!(tuned(&gpu, &options).1, 0, "and replaced");
    platform::remove_dir(&folder).expect("removed");
}

#[test]
fn a_variant_that_does_not_compile_in_time_is_denied() {
    // The module of the wide kernels takes longer than the limit.
    let slow = |kernel: &crate::device::Kernel| {
        if kernel.unit.contains("matmul.wide") {
            platform::block_for(3.0);
        }
        kernel.source.to_owned()
    };
    let adapters = pollster::block_on(adapters());
    let gpu = Arc::new(pollster::block_on(Gpu::open(&adapters[0], Checks::Off)).expect("the first adapter opens").rewriting(slow));
    let (a, b) = (Spec::f32(16, 32), Spec::f32(32, 32));
    let choice = ShapedOp { op: Arc::new(crate::ops::Matmul::LINEAR), inputs: vec![a, b], updates: vec![] };
    let key = Variants::key(&*choice.op, choice.specs());
    let options = TuneOptions { compile_seconds: 1.0, ..TuneOptions::of(&gpu, None) };
    let choices = BTreeMap::from([(key.clone(), (choice, 1))]);
    let tuned = pollster::block_on(tune(&gpu, &choices, &options, &mut |_, _, _| {})).expect("tunes");
    assert_eq!(tuned.variants.chosen(&key), Some(Variant::PORTABLE));
    assert!(tuned.notes.iter().any(|note| note.contains("variant wide") && note.contains("did not compile within 1 s")), "{:?}", tuned.notes);
}

#[test]
fn after_the_time_limit_everything_stays_portable() {
    let gpu = gpu();
    let (tuned, timed) = tuned(&gpu, &TuneOptions { seconds: -1.0, ..TuneOptions::of(&gpu, None) });
    assert_eq!((timed, tuned.variants), (0, Variants::default()));
    assert!(tuned.notes[0].contains("stay portable"), "{:?}", tuned.notes);
}

/// Verifies every f32 variant that the first adapter can run, at the shapes of every case.
#[test]
fn every_variant_is_correct_at_every_case() {
    let gpu = gpu();
    let mut names = std::collections::BTreeSet::new();
    for case in crate::ops::ALL.iter().flat_map(|family| (family.cases)()) {
        // The first operation of a fused sequence.
        let taken = case.inputs.iter().enumerate().filter(|(n, _)| case.uses_input(*n));
        let inputs = taken.map(|(_, input)| input.spec).collect::<Vec<_>>();
        let updates = case.updates.iter().map(|update| update.spec).collect::<Vec<_>>();
        let specs = Specs { inputs: &inputs, updates: &updates };
        for variant in
            GpuMachine::new(gpu.clone(), crate::ops::FUSIONS).candidates(&*case.op, specs).iter().skip(1).filter(|variant| variant.storage == Storage::F32)
        {
            let verdict = pollster::block_on(verify(&gpu, &case.op, specs, variant.name, 1));
            assert_eq!(verdict.failure, None, "{} of {}", variant.name, case.label);
            names.insert(variant.name);
        }
    }
    println!("{}: {names:?}", gpu.name());
    assert!(names.contains("wide") && names.contains("quads"), "{names:?}");
}
