//! The work of a dispatch: bytes moved and arithmetic operations. Pure.

use super::op::{Launch, Operand, Specs};
use super::shape::{Spec, Storage};

/// The least memory traffic and arithmetic of a dispatch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Bytes of its operands; those both read and written count twice.
    pub bytes: u64,
    /// Multiplications and additions of a matrix product; those that the launch states; otherwise the elements of the
    /// largest operand.
    pub operations: f64,
}

impl Work {
    /// Returns the work of a band with this share of the workgroups.
    pub(super) fn share(self, share: f64) -> Self {
        Self { bytes: (self.bytes as f64 * share) as u64, operations: self.operations * share }
    }

    /// Returns the work of a launch. Unless it states its operations, operands of shapes (m, k), (k, n) and (m, n) count as
    /// a matrix product.
    pub(super) fn of(launch: &Launch, specs: Specs<'_>, outputs: &[Spec]) -> Self {
        let operands: Vec<(Spec, u64)> = launch
            .operands
            .iter()
            .map(|operand| match *operand {
                Operand::In(n) => (specs.inputs[n], 1),
                Operand::Up(n) => (specs.updates[n], 2),
                Operand::Out(n) => (outputs[n], 1),
            })
            .collect();
        let bytes = operands.iter().map(|(spec, times)| times * 4 * spec.words() as u64).sum();
        let sizes: Vec<Spec> = operands.iter().map(|(spec, _)| *spec).filter(|spec| spec.storage != Storage::U32).collect();
        let largest = sizes.iter().map(Spec::elements).max().unwrap_or(0) as f64;
        let product = |three: [&Spec; 3]| 2.0 * three.iter().map(|spec| spec.elements() as f64).product::<f64>().sqrt();
        let mut operations = launch.operations.unwrap_or(largest);
        let sizes = if launch.operations.is_some() { &[] } else { &sizes[..] };
        for (n, a) in sizes.iter().enumerate() {
            for (m, b) in sizes.iter().enumerate().skip(n + 1) {
                let products = sizes[m + 1..].iter().map(|c| [a, b, c]).filter(is_product).map(product);
                operations = products.fold(operations, f64::max);
            }
        }
        Self { bytes, operations }
    }
}

/// Returns true if three matrices share their sizes pairwise, transposed or not. Three of one shape count as
/// elementwise work, although square matrices could be a product.
fn is_product(three: &[&Spec; 3]) -> bool {
    let mut sizes: Vec<usize> = three.iter().flat_map(|spec| [spec.rows, spec.cols]).collect();
    sizes.sort_unstable();
    let alike = three.iter().all(|spec| spec.same_shape(three[0]));
    !alike && sizes.chunks(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_seen_among_any_operands() {
        let operations = |inputs: &[Spec], outputs: &[Spec], operands: Vec<Operand>| {
            let launch = Launch { kernel: "", operands, params: Vec::new(), groups: [1, 1, 1], operations: None };
            Work::of(&launch, Specs { inputs, updates: &[] }, outputs).operations
        };
        let (tokens, width, out) = (8192, 768, 2304);
        let (x, y, signs, scales) = (Spec::f32(tokens, width), Spec::f32(tokens, out), Spec::signs(out, width), Spec::f32(3, width));
        let product = 2.0 * (tokens * width * out) as f64;
        let forward = [0, 1, 2, 3].map(Operand::In).into_iter().chain([Operand::Out(0), Operand::In(0)]).collect();
        assert_eq!(operations(&[x, signs, scales, scales], &[y], forward), product);
        let backward = [0, 1, 2, 3, 4].map(Operand::In).into_iter().chain([Operand::Out(0)]).collect();
        assert_eq!(operations(&[y, Spec::signs(width, out), scales, scales, x], &[x], backward), product);
        let square = Spec::signs(width, width);
        let residual = [0, 1, 2, 3].map(Operand::In).into_iter().chain([Operand::Out(0), Operand::In(4)]).collect();
        assert_eq!(operations(&[x, square, scales, scales, x], &[x], residual), 2.0 * (tokens * width * width) as f64);
        assert_eq!(operations(&[x, x], &[x], vec![Operand::In(0), Operand::In(1), Operand::Out(0)]), (tokens * width) as f64);
    }
}
