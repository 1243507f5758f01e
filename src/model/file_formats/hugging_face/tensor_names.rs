//! Maps tensor names that training code leaves (prefixes of `torch.compile` and other wrappers, or a model without its
//! head) to the names in transformers. Pure.

use crate::formats::{FormatError, TensorSource};
use crate::model::arch::{self, Architecture};
use crate::model::tensors::{Role, numbered};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// Wrapper modules, which may occur anywhere in a name.
const MODULE_WRAPPERS: [&str; 4] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"];
/// Wrappers of a whole model: data parallel, and adapters of peft.
const MODEL_WRAPPERS: [&str; 2] = ["module.", "base_model.model."];
/// The prefix of the model below the head in transformers.
const MODEL: &str = "model.";
/// Parts of names of adapter tensors, whose model's weights are incomplete without them.
const ADAPTERS: [&str; 3] = [".lora_", ".base_layer.", ".adapter_"];

/// Tensors with mapped names.
struct RenamedTensors {
    inner: Box<dyn TensorSource>,
    /// The name in the file of each tensor.
    stored: BTreeMap<String, String>,
}

/// Maps the tensors of a file to transformers' names.
pub(super) fn as_transformers(inner: Box<dyn TensorSource>) -> Result<Box<dyn TensorSource>, FormatError> {
    let names = inner.names();
    if let Some(name) = names.iter().find(|name| ADAPTERS.iter().any(|part| name.contains(part))) {
        let advice = "Merge it into its base model (merge_and_unload of peft) and save the result";
        return Err(FormatError::new(inner.path(), format!("tensor {name} belongs to an adapter, which is not supported. {advice}")));
    }
    let mut stored = BTreeMap::new();
    for name in names.iter().filter(|name| transformers_name(name) == **name) {
        stored.insert(name.clone(), name.clone());
    }
    if stored.len() == names.len() {
        return Ok(inner);
    }
    // Exact names take precedence over mapped ones.
    for name in &names {
        stored.entry(transformers_name(name)).or_insert_with(|| name.clone());
    }
    Ok(Box::new(RenamedTensors { inner, stored }))
}

/// Renames one tensor of a file: in a tied model, a head without an embedding is the embedding.
pub(super) fn with_renamed(inner: Box<dyn TensorSource>, own: &str, name: &str) -> Box<dyn TensorSource> {
    let name_of = |stored: String| (if stored == own { name.to_string() } else { stored.clone() }, stored);
    let stored = inner.names().into_iter().map(name_of).collect();
    Box::new(RenamedTensors { inner, stored })
}

/// Checks that the names have no unknown prefix, with which all tensors would be missing.
pub(super) fn check_prefix(tensors: &dyn TensorSource, architecture: &Architecture) -> Result<(), FormatError> {
    prefix_problem(&tensors.names(), architecture).map_or(Ok(()), |problem| Err(FormatError::new(tensors.path(), problem)))
}

/// The error of names with an unknown prefix, if they have one.
fn prefix_problem(names: &[String], architecture: &Architecture) -> Option<String> {
    let mut plain_names = names.iter().map(|name| transformers_name(name));
    let linear = architecture.block.iter().find(|row| matches!(row.role, Role::Linear { .. }))?;
    let (blocks, first) = (linear.name.split("{}").next().unwrap_or_default(), numbered(linear.name, 0));
    let first = first.strip_prefix(MODEL).unwrap_or(&first);
    let prefix = plain_names.find_map(|name| name.strip_suffix(first).map(|prefix| prefix.strip_suffix(MODEL).unwrap_or(prefix).to_string()));
    let prefix = prefix.filter(|prefix| !prefix.is_empty())?;
    if names.iter().any(|name| transformers_name(name).starts_with(blocks)) {
        return None;
    }
    let advice = "Save the inner model (its own state_dict() in PyTorch), or remove the prefix from the names";
    Some(match names.iter().all(|name| transformers_name(name).starts_with(&prefix)) {
        true => format!("all tensor names begin with {prefix:?}, which transformers does not know either. {advice}"),
        false => format!("the tensor names of a {} begin with {prefix:?}: it is a part of another model. {advice}", architecture.title),
    })
}

/// Maps a name to the one in transformers.
fn transformers_name(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').filter(|part| !MODULE_WRAPPERS.contains(part)).collect();
    let unwrapped = parts.join(".");
    let mut rest = unwrapped.as_str();
    while let Some(inner) = MODEL_WRAPPERS.iter().find_map(|wrapper| rest.strip_prefix(wrapper)) {
        rest = inner;
    }
    // A wrapper around the causal model may be called `model`, too.
    while let Some(inner) = rest.strip_prefix(MODEL).filter(|inner| first_parts("").any(|start| inner.starts_with(start))) {
        rest = inner;
    }
    if first_parts(MODEL).any(|start| rest.starts_with(start)) { format!("{MODEL}{rest}") } else { rest.into() }
}

/// The first components, with their dots, of the names of all architectures' tensors below `within`.
fn first_parts(within: &str) -> impl Iterator<Item = &'static str> {
    let rows = arch::ALL.into_iter().flat_map(Architecture::rows);
    rows.filter_map(move |row| row.name.strip_prefix(within)).filter_map(|name| name.split_inclusive('.').next())
}

impl RenamedTensors {
    fn stored_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.stored.get(name).map_or(name, String::as_str)
    }
}

impl TensorSource for RenamedTensors {
    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn names(&self) -> Vec<String> {
        let theirs: BTreeMap<&str, &str> = self.stored.iter().map(|(name, own)| (own.as_str(), name.as_str())).collect();
        self.inner.names().iter().filter_map(|own| theirs.get(own.as_str()).map(|name| name.to_string())).collect()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.inner.shape(self.stored_name(name))
    }

    fn dtype_name(&self, name: &str) -> Option<&'static str> {
        self.inner.dtype_name(self.stored_name(name))
    }

    fn display_name(&self, name: &str) -> String {
        let own = self.inner.display_name(self.stored_name(name));
        if own == name { own } else { format!("{own} ({name})") }
    }

    fn missing(&self, name: &str) -> FormatError {
        self.inner.missing(self.stored_name(name))
    }

    fn read_values(&self, name: &str, cols: usize, range: Range<usize>) -> Result<Vec<f32>, FormatError> {
        self.inner.read_values(self.stored_name(name), cols, range)
    }

    fn has_sums(&self) -> bool {
        self.inner.has_sums()
    }

    fn checksum(&self) -> Result<u64, FormatError> {
        self.inner.checksum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_wrapped_names() {
        for (stored, name) in [
            ("model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
            ("lm_head.weight", "lm_head.weight"),
            ("_orig_mod.model.norm.weight", "model.norm.weight"),
            ("module._orig_mod.lm_head.weight", "lm_head.weight"),
            ("model.layers.0._checkpoint_wrapped_module.self_attn._orig_mod.q_proj.weight", "model.layers.0.self_attn.q_proj.weight"),
            ("_forward_module.model.model.embed_tokens.weight", "model.embed_tokens.weight"),
            ("base_model.model.model.norm.weight", "model.norm.weight"),
            ("model.lm_head.weight", "lm_head.weight"),
            ("layers.11.mlp.down_proj.weight", "model.layers.11.mlp.down_proj.weight"),
            ("norm.weight", "model.norm.weight"),
            ("model.modules.weight", "model.modules.weight"),
            ("vision.norm.weight", "vision.norm.weight"),
        ] {
            assert_eq!(transformers_name(stored), name, "{stored}");
        }
    }

    #[test]
    fn unknown_prefixes_are_errors() {
        let refused = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            prefix_problem(&names, arch::ALL[0])
        };
        for (prefix, inner) in [("student.", "model."), ("llm.", ""), ("language_model.", "model."), ("a.b.", "model.")] {
            let names = [format!("{prefix}{inner}layers.0.self_attn.q_proj.weight"), format!("{prefix}lm_head.weight")];
            let names = names.each_ref().map(String::as_str);
            let problem = refused(&names).unwrap();
            assert!(problem.contains(&format!("all tensor names begin with {prefix:?}")), "{problem}");
            let problem = refused(&[names[0], names[1], "vision.weight"]).unwrap();
            assert!(problem.contains(&format!("{prefix:?}: it is a part of another model")), "{problem}");
        }
        for names in [
            &["model.layers.0.self_attn.q_proj.weight", "student.model.layers.0.self_attn.q_proj.weight"][..],
            &["module._orig_mod.model.layers.0.self_attn.q_proj.weight"],
            &["layers.0.self_attn.q_proj.weight", "norm.weight"],
            &["model.embed_tokens.weight", "model.layers.1.self_attn.q_proj.weight"],
            &["base_model.model.model.layers.0.self_attn.q_proj.weight"],
            &[],
        ] {
            assert_eq!(refused(names), None, "{names:?}");
        }
    }
}
