//! The tensor table of an architecture. A row describes one tensor, or one of every block if its names have the
//! placeholder `{}` for the block's number. Pure.

use super::config::ModelConfig;

/// The role of a tensor, which decides how it is initialized, stored and trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The token embedding.
    Embedding,
    /// The gain of a norm: a vector in files, initialized to 1, always stored in 32 bits.
    Norm,
    /// A linear layer of a block, binarized in a student.
    Linear {
        /// The group's name. Layers of a group are adjacent in the table, read the same input, and are computed as one
        /// stacked matrix. No tensor has this name.
        group: &'static str,
    },
    /// The output head, absent if it is tied to the embedding.
    Head,
}

/// The attention heads to which the rows of a projection belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// Query heads.
    Queries,
    /// Key heads.
    Keys,
}

/// A row of the tensor table.
#[derive(Debug)]
pub struct TensorRow {
    /// The name in Hugging Face's files. It ends in `.weight`; the layer's name is without this suffix.
    pub name: &'static str,
    /// The name in GGUF.
    pub gguf: &'static str,
    /// The role.
    pub role: Role,
    /// Rows and columns for a configuration; a vector is one row.
    pub shape: fn(&ModelConfig) -> (usize, usize),
    /// The heads whose rows GGUF permutes: it interleaves the two halves that RoPE rotates together.
    pub permuted: Option<HeadKind>,
}

/// The suffix of a weight's name.
pub(super) const WEIGHT: &str = ".weight";

impl TensorRow {
    /// Returns true if every block has such a tensor.
    pub fn is_of_block(&self) -> bool {
        self.name.contains("{}")
    }

    /// Matches a name against a pattern and returns the block's number, 0 outside the blocks.
    pub fn matches(pattern: &str, name: &str) -> Option<usize> {
        let Some((start, end)) = pattern.split_once("{}") else { return (name == pattern).then_some(0) };
        let number = name.strip_prefix(start)?.strip_suffix(end)?;
        // Only the canonical decimal form, so that names stay unique.
        number.parse::<u32>().ok().filter(|block| block.to_string() == number).map(|block| block as usize)
    }
}

/// Inserts a block's number into a pattern.
pub(super) fn numbered(pattern: &str, block: usize) -> String {
    pattern.replacen("{}", &block.to_string(), 1)
}

/// A tensor of a model with a given configuration.
#[derive(Clone, Debug)]
pub struct ModelTensor {
    /// The row of the tensor table.
    pub row: &'static TensorRow,
    /// The block's number; 0 outside the blocks.
    pub block: usize,
    /// The name in Hugging Face's files.
    pub name: String,
    /// Rows; 1 for a vector.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
}

impl ModelTensor {
    /// Makes the tensor that a row describes in block `block`.
    pub fn of(row: &'static TensorRow, config: &ModelConfig, block: usize) -> Self {
        let (rows, cols) = (row.shape)(config);
        Self { row, block, name: numbered(row.name, block), rows, cols }
    }

    /// The name in GGUF.
    pub fn gguf(&self) -> String {
        numbered(self.row.gguf, self.block)
    }

    /// The shape in files: norms are vectors.
    pub fn sides(&self) -> Vec<usize> {
        if self.row.role == Role::Norm { vec![self.cols] } else { vec![self.rows, self.cols] }
    }

    /// The names of its linear layer and of the layer's group; `None` for other tensors.
    pub fn linear(&self) -> Option<(&str, String)> {
        let Role::Linear { group } = self.row.role else { return None };
        Some((self.name.strip_suffix(WEIGHT).unwrap_or(&self.name), numbered(group, self.block)))
    }
}

/// A group of linear layers that read the same input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerGroup {
    /// The group's name; no tensor in a file has it.
    pub name: String,
    /// Input features.
    pub width: usize,
    /// Full name and output features of each layer.
    pub members: Vec<(String, usize)>,
}

impl LayerGroup {
    /// Collects the groups of the linear layers among these tensors, in order.
    pub fn all(tensors: impl IntoIterator<Item = ModelTensor>) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for tensor in tensors {
            let Some((layer, name)) = tensor.linear() else { continue };
            let member = (layer.to_string(), tensor.rows);
            match groups.last_mut() {
                Some(group) if group.name == name => group.members.push(member),
                _ => groups.push(Self { name, width: tensor.cols, members: vec![member] }),
            }
        }
        groups
    }

    /// Output features of each layer.
    pub fn outs(&self) -> Vec<usize> {
        self.members.iter().map(|(_, out)| *out).collect()
    }

    /// Output features of all layers together.
    pub fn out(&self) -> usize {
        self.members.iter().map(|(_, out)| out).sum()
    }
}
