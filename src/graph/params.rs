//! The uniform buffer of a kernel: fields by name, laid out as the shader declares them.

use crate::device::Kernel;

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Word {
    /// An integer or a flag: `u32`.
    Whole(u32),
    /// A float: `f32`.
    Float(f32),
}

impl From<u32> for Word {
    fn from(value: u32) -> Self {
        Word::Whole(value)
    }
}

impl From<usize> for Word {
    /// Sizes of tensors are below 2³²: [`Spec`](super::Spec)s are checked when they are created.
    fn from(value: usize) -> Self {
        Word::Whole(value as u32)
    }
}

impl From<bool> for Word {
    fn from(value: bool) -> Self {
        Word::Whole(value.into())
    }
}

impl From<f64> for Word {
    fn from(value: f64) -> Self {
        Word::Float(value as f32)
    }
}

/// Values of fields, in any order. Launches leave out [`FIRST_BAND`]: the executor sets it for kernels that it
/// dispatches in bands.
pub type Params = Vec<(&'static str, Word)>;

/// The field with the number of workgroups along y in earlier bands.
pub const FIRST_BAND: &str = "first_band";

/// The parameters of a launch: `params! { rows: x.rows, epsilon: self.epsilon }`.
#[macro_export]
macro_rules! params {
    ($($name:ident: $value:expr),* $(,)?) => {
        vec![$((stringify!($name), $crate::graph::Word::from($value))),*]
    };
}

/// Encodes a kernel's uniform buffer; the error names a field that is missing, unknown, set twice, or of another type.
pub(crate) fn encode_params(kernel: &Kernel, params: &Params) -> Result<Vec<u32>, String> {
    let mut words: Vec<Option<u32>> = kernel.params.iter().map(|field| (field.name == FIRST_BAND).then_some(0)).collect();
    for (name, value) in params {
        let index = kernel.params.iter().position(|field| field.name == *name);
        let index = index.ok_or_else(|| format!("the shader's parameters have no field {name}"))?;
        let word = match (value, kernel.params[index].float) {
            (Word::Whole(value), false) => *value,
            (Word::Float(value), true) => value.to_bits(),
            (Word::Whole(_), true) => return Err(format!("{name} is an f32 in the shader, and the launch sets an integer")),
            (Word::Float(_), false) => return Err(format!("{name} is a u32 in the shader, and the launch sets a float")),
        };
        if words[index].replace(word).is_some_and(|_| *name != FIRST_BAND) {
            return Err(format!("{name} is set twice"));
        }
    }
    let missing = |(field, word): (&crate::device::ParamField, Option<u32>)| word.ok_or_else(|| format!("the launch does not set {}", field.name));
    kernel.params.iter().zip(words).map(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::kernel;

    #[test]
    fn fields_are_encoded_by_name_and_errors_name_the_field() {
        let norm = kernel("rms_norm/forward").unwrap();
        let right = params! { epsilon: 0.5, width: 7_u32, add: false, rows: 3_usize };
        assert_eq!(encode_params(norm, &right).unwrap(), [3, 7, 0.5_f32.to_bits(), 0, 0]);
        let refused = |params: Params| encode_params(norm, &params).unwrap_err();
        assert_eq!(refused(params! { rows: 3_u32, width: 7_u32, epsilon: 0.5 }), "the launch does not set add");
        assert!(refused(params! { row: 3_u32 }).contains("no field row"));
        assert!(refused(params! { epsilon: 1_u32 }).contains("epsilon is an f32"));
        assert!(refused(params! { rows: 1.0 }).contains("rows is a u32"));
        assert!(refused(params! { rows: 1_u32, rows: 1_u32 }).contains("rows is set twice"));
        let product = kernel("matmul/tiled").unwrap();
        let mut whole = params! { m: 1_u32, n: 2_u32, k: 3_u32, a_row: 4_u32, a_col: 5_u32, b_row: 6_u32, b_col: 7_u32, accumulate: true };
        assert_eq!(encode_params(product, &whole).unwrap(), [1, 2, 3, 4, 5, 6, 7, 1, 0]);
        whole.push((FIRST_BAND, Word::Whole(9)));
        assert_eq!(encode_params(product, &whole).unwrap()[8], 9);
    }
}
