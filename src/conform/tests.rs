//! Tests of the conformance run with incorrect operations, each of which must be caught.

use super::*;
use crate::device::{KernelFilter, KnownFailure, adapters};
use crate::graph::{Backward, CpuIo, DynOp, Fill, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, grid};
use crate::params;

/// a + b, with incorrect kernels and twins.
#[derive(Clone, Debug)]
struct Wrong {
    /// Elements that the kernel processes beyond the last one.
    extra_elements: i32,
    /// Factor of b in the kernel's twin.
    factor: f32,
    /// True if the backward pass adds the gradient of b to that of a.
    drops_gradient: bool,
}

const RIGHT: Wrong = Wrong { extra_elements: 0, factor: 1.0, drops_gradient: false };

impl Op for Wrong {
    const NAME: &'static str = "add";

    fn key(&self) -> String {
        "Wrong".into()
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        Ok(vec![specs.inputs[0]])
    }

    /// The portable variant, and one with an incorrect kernel.
    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let (spec, n) = (specs.inputs[0], specs.inputs[0].elements() as i32 + self.extra_elements);
        let variant = |name, kernel, params, groups| {
            let operands = vec![Operand::In(0), Operand::In(1), Operand::Out(0)];
            Variant { name, storage: Storage::F32, launches: vec![Launch { kernel, operands, params, groups, operations: None }] }
        };
        // The outer product of a column and a row.
        let (rows, cols) = (spec.rows as u32, spec.cols as u32);
        let product = params! { m: rows, n: cols, k: 1_u32, a_row: cols, a_col: 1_u32, b_row: 1_u32, b_col: 1_u32, accumulate: false };
        vec![
            variant(Variant::PORTABLE, "add/forward", params! { n: n as u32 }, grid((n as usize).div_ceil(256))),
            variant("faster", "matmul/tiled", product, [cols.div_ceil(64), rows.div_ceil(64), 1]),
        ]
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (a, b) = (io.inputs[0].real(), io.inputs[1].real());
        for ((out, &a), &b) in io.outputs[0].real().iter_mut().zip(a).zip(b) {
            *out = a + T::from_f32(self.factor) * b;
        }
    }

    fn backward(&self, tape: &mut dyn Backward) -> Rule {
        let upstream = tape.upstream(0);
        tape.add_gradient(0, upstream);
        tape.add_gradient(usize::from(!self.drops_gradient), upstream);
        Rule::Done
    }
}

fn case(op: Wrong) -> Case {
    let spec = Spec::f32(7, 33);
    let second =
        |case: Case, op: &Wrong| if op.drops_gradient { case.input(spec, Fill::Normal(0.5, 1.0)) } else { case.variable(spec, Fill::Normal(0.5, 1.0)) };
    let first = Case::new("7×33", op.clone()).variable(spec, Fill::Normal(0.3, 1.0));
    second(first, &op)
}

fn gpu() -> ConformTarget {
    let adapters = pollster::block_on(adapters());
    let adapter = adapters.first().expect("no adapter: install a Vulkan driver; Debian's mesa-vulkan-drivers has a software one");
    ConformTarget::Gpu(vec![Arc::new(pollster::block_on(Gpu::open(adapter, Checks::Off)).expect("the first adapter opens"))])
}

fn gpu_with_known_failures(table: &'static [KnownFailure]) -> ConformTarget {
    let adapters = pollster::block_on(adapters());
    ConformTarget::Gpu(vec![Arc::new(pollster::block_on(Gpu::open_within(&adapters[0], Checks::Off, u64::MAX, table)).expect("opens"))])
}

/// The forward report of an operation whose second variant is incorrect.
fn report(target: &ConformTarget) -> Report {
    let family = ops::Family { name: "add", cases: || vec![case(RIGHT)] };
    let options = ConformOptions { checks: vec![Check::Forward], ..ConformOptions::all(1) };
    pollster::block_on(run_families(target, &options, &[family], &[], &mut |_| true))
}

/// The result of an operation if its incorrect variant is preferred.
fn faster(target: &ConformTarget) -> Vec<f32> {
    let ConformTarget::Gpu(gpus) = target else { unreachable!() };
    let contents = OperandContents::draw(&case(RIGHT), &mut Random::new(1, &["test"]));
    let trial = Trial::forward(&case(RIGHT), &contents).expect("fits");
    let mut machine = Machine::gpu(gpus[0].clone(), crate::ops::FUSIONS);
    machine.set_variants(Variants::preferring("faster"));
    let got = pollster::block_on(trial.run_on(machine)).expect("runs");
    bytemuck::cast_slice(&got.results[0]).to_vec()
}

fn verdict(specs: [Spec; 2], op: Wrong, variant: &str) -> VariantVerdict {
    let ConformTarget::Gpu(gpus) = gpu() else { unreachable!() };
    let op: DynOp = Arc::new(op);
    pollster::block_on(verify(&gpus[0], &op, Specs { inputs: &specs, updates: &[] }, variant, 1))
}

fn outcome(target: &ConformTarget, op: Wrong, check: Check) -> CheckResult {
    let mut report = Report::new(target.name(), Environment::default(), 1);
    let tried = pollster::block_on(run_case(target, &case(op), check, &ConformOptions::all(1), &mut Random::new(1, &["test"]), &mut report));
    tried.into_iter().next().expect("the portable variant comes first").outcome
}

fn caught(target: &ConformTarget, op: Wrong, check: Check) -> String {
    outcome(target, op, check).expect_err("caught").1
}

#[test]
fn a_correct_operation_passes() {
    for target in [ConformTarget::Cpu, gpu()] {
        for check in Check::ALL {
            outcome(&target, RIGHT, check).expect("passes");
        }
    }
}

#[test]
fn a_kernel_that_differs_from_its_twin_is_caught() {
    let failure = caught(&gpu(), Wrong { factor: 1.000_001, ..RIGHT }, Check::Forward);
    assert!(failure.contains("elements are wrong"), "{failure}");
}

#[test]
fn a_kernel_that_writes_too_far_is_caught() {
    let failure = caught(&gpu(), Wrong { extra_elements: 1, ..RIGHT }, Check::Forward);
    assert_eq!(failure, "a kernel wrote outside a pooled (7, 33) F32");
}

#[test]
fn a_kernel_that_leaves_an_element_unwritten_is_caught() {
    let failure = caught(&gpu(), Wrong { extra_elements: -1, ..RIGHT }, Check::Forward);
    assert!(failure.contains("row 6, column 32: NaN"), "{failure}");
}

#[test]
fn a_wrong_gradient_is_caught_although_kernel_and_twin_agree() {
    let op = Wrong { drops_gradient: true, ..RIGHT };
    outcome(&gpu(), op.clone(), Check::Backward).expect("kernel and twin agree");
    let failure = caught(&ConformTarget::Cpu, op, Check::Differences);
    assert!(failure.contains("differences give"), "{failure}");
}

#[test]
fn the_same_seed_draws_the_same_operands_and_another_does_not() {
    let draw = |seed| OperandContents::draw(&case(RIGHT), &mut Random::new(seed, &["test"])).inputs;
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn incorrect_variants_fail_at_any_shape() {
    // Small shapes use the oracle, large ones the portable variant.
    for spec in [Spec::f32(7, 33), Spec::f32(256, 1024)] {
        assert_eq!(verdict([spec; 2], RIGHT, Variant::PORTABLE).failure, None);
        let failure = verdict([spec; 2], RIGHT, "faster").failure.expect("caught");
        assert!(failure.contains("row"), "{failure}");
        let failure = verdict([spec; 2], Wrong { extra_elements: 1, ..RIGHT }, Variant::PORTABLE).failure.expect("caught");
        assert!(failure.contains("wrote outside"), "{failure}");
    }
    let failure = verdict([Spec::f32(7, 33); 2], RIGHT, "fastest").failure.expect("no such variant");
    assert_eq!(failure, "add has no variant fastest for these shapes. Available: portable, faster");
}

#[test]
fn products_of_any_shape_pass() {
    let ConformTarget::Gpu(gpus) = gpu() else { unreachable!() };
    let op: DynOp = Arc::new(crate::ops::Matmul::LINEAR);
    for (rows, columns) in [(3, 70), (256, 1024)] {
        let specs = [Spec::f32(rows, columns), Spec::f32(512, columns)];
        let verdict = pollster::block_on(verify(&gpus[0], &op, Specs { inputs: &specs, updates: &[] }, Variant::PORTABLE, 1));
        assert_eq!(verdict.failure, None);
    }
}

const WRONG: KnownFailure =
    KnownFailure { kernels: KernelFilter::NameContains("matmul/tiled"), reason: "it multiplies", link: "https://example.org", ..KnownFailure::EMPTY };
const RIGHT_AFTER_ALL: KnownFailure =
    KnownFailure { kernels: KernelFilter::NameContains("add/forward"), reason: "it was wrong once", link: "https://example.org", ..KnownFailure::EMPTY };

#[test]
fn known_failures_pass_and_use_the_fallback() {
    let (target, denied) = (gpu_with_known_failures(&[]), gpu_with_known_failures(&[WRONG]));
    let unknown = report(&target);
    assert!(!unknown.passed() && unknown.rows[0].failed == 0 && unknown.rows[1].failed == 1, "{}", unknown.table());
    let known = report(&denied);
    assert!(known.passed() && known.rows[1].failed == 1, "{}", known.table());
    assert!(known.table().contains("it multiplies (https://example.org): 1 of 1 comparisons failed"), "{}", known.table());
    let right = |spec: Spec| {
        let contents = OperandContents::draw(&case(RIGHT), &mut Random::new(1, &["test"]));
        let value = |n: usize, at: usize| f32::from_bits(contents.inputs[n][at]);
        (0..spec.elements()).map(|at| value(0, at) + value(1, at)).collect::<Vec<_>>()
    };
    assert_ne!(faster(&target), right(Spec::f32(7, 33)));
    assert_eq!(faster(&denied), right(Spec::f32(7, 33)));
}

#[test]
fn a_known_failure_that_passes_fails_the_report() {
    let report = report(&gpu_with_known_failures(&[WRONG, RIGHT_AFTER_ALL]));
    assert!(!report.passed() && report.failed() == 0);
    assert!(report.table().contains("it was wrong once (https://example.org): 0 of 1 comparisons failed. This entry is outdated: remove it"));
    // A failure that occurs only sometimes may pass.
    const NOW_AND_THEN: KnownFailure = KnownFailure { sometimes: true, ..RIGHT_AFTER_ALL };
    assert!(super::tests::report(&gpu_with_known_failures(&[WRONG, NOW_AND_THEN])).passed());
}

#[test]
fn reports_are_deterministic_and_survive_json() {
    let target = gpu_with_known_failures(&[WRONG]);
    let (first, second) = (report(&target), report(&target));
    assert_eq!(first.markdown(), second.markdown());
    let json = serde_json::to_string(&first).expect("plain data");
    assert_eq!(serde_json::from_str::<Report>(&json).expect("as written").markdown(), first.markdown());
    let adapter = first.environment.adapter.expect("a GPU");
    assert!(!adapter.features.is_empty() && adapter.limits.len() > adapter.limits_used.len() && adapter.limits_used.len() == 11, "{adapter:?}");
}

#[test]
fn a_run_reports_progress_and_can_be_stopped() {
    let options = ConformOptions { filter: Some("add: ".into()), ..ConformOptions::all(1) };
    let watched = |stop_at: usize| {
        let mut updates = Vec::new();
        let report = pollster::block_on(run(&ConformTarget::Cpu, &options, |what| match what {
            ConformUpdate::Case(_) => true,
            ConformUpdate::Done { done, of } => {
                updates.push((done, of));
                done < stop_at
            }
        }));
        (report, updates)
    };
    let (whole, updates) = watched(usize::MAX);
    assert!(whole.passed() && whole.cases() > 3, "{}", whole.table());
    assert_eq!(updates, (0..=whole.cases()).map(|done| (done, whole.cases())).collect::<Vec<_>>());
    let (part, updates) = watched(2);
    assert_eq!((part.cases(), part.failed(), updates.len()), (2, 0, 3));
    assert!(!part.passed() && part.markdown().contains(&format!("The run is incomplete: stopped after 2 of {} cases", whole.cases())), "{}", part.markdown());
}

#[test]
fn a_lost_device_ends_the_run() {
    let (target, options) = (gpu(), ConformOptions { filter: Some("add: ".into()), ..ConformOptions::all(1) });
    let ConformTarget::Gpu(gpus) = &target else { unreachable!() };
    let report = pollster::block_on(run(&target, &options, |what| {
        if matches!(what, ConformUpdate::Done { done: 1, .. }) {
            gpus[0].destroy();
        }
        true
    }));
    assert!(report.cut.as_ref().is_some_and(|why| why.starts_with("the GPU was lost after 1 of ")), "{:?}", report.cut);
    assert!(!report.passed() && report.rows.len() == 1, "{}", report.table());
}

#[test]
fn every_kernel_gives_the_same_bits_in_bands() {
    let ConformTarget::Gpu(gpus) = gpu() else { unreachable!() };
    let mut random = Random::new(5, &["bands"]);
    let mut differ = Vec::new();
    for case in ops::ALL.iter().flat_map(|entry| (entry.cases)()) {
        let contents = OperandContents::draw(&case, &mut random);
        let gradient = Trial::gradient(&case, &contents, &mut random).ok();
        for trial in [Trial::forward(&case, &contents).ok(), gradient].into_iter().flatten() {
            let offers = GpuMachine::new(gpus[0].clone(), ops::FUSIONS).variant_support(&trial.tape);
            for name in offers.iter().filter(|offer| offer.missing_requirement.is_none()).map(|offer| offer.variant).collect::<std::collections::BTreeSet<_>>()
            {
                let run = |longest: f64| {
                    let mut machine = machine_with_variant(&gpus[0], name);
                    let Machine::Gpu(gpu) = &mut machine else { unreachable!() };
                    gpu.set_max_submit_seconds(longest);
                    pollster::block_on(trial.run_on(machine)).expect("runs").results
                };
                if run(0.0) != run(1e9) {
                    differ.push(format!("{} {}, {name}", case.op.name(), case.label));
                }
            }
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
    let untried: Vec<_> =
        crate::device::KERNELS.iter().filter(|row| row.bands && gpus[0].can_run(row) && !gpus[0].compiled().contains(&row.name)).map(|row| row.name).collect();
    assert!(untried.is_empty(), "not tried: {untried:?}");
}
