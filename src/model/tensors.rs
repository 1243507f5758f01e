//! An architecture's table of tensors: a row says all there is to know of a tensor, or of one in every block if its
//! names have a place `{}` for the block's number. Pure.

use super::config::LlamaConfig;

/// The part that a tensor plays, by which it is initialized, stored and trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The rows that tokens become.
    Embedding,
    /// The gain of a norm: a vector in files, ones at first, in 32 bits where matrices have fewer.
    Norm,
    /// A linear layer of a block, which a student binarizes.
    Linear {
        /// The name of its group: layers of a group follow each other in the table, read the same input, and are
        /// computed as one matrix, one below the other. No tensor of a model has this name.
        group: &'static str,
    },
    /// The head's own matrix, which a tied model does without.
    Head,
}

/// The heads that the rows of a matrix belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// Those of queries.
    Queries,
    /// Those of keys.
    Keys,
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// The name in Hugging Face's files. It ends in `.weight`; a linear layer goes by the name without that.
    pub name: &'static str,
    /// The name in GGUF.
    pub gguf: &'static str,
    /// Its role.
    pub role: Role,
    /// Rows and columns in a model of a given shape; a vector is one row.
    pub shape: fn(&LlamaConfig) -> (usize, usize),
    /// The heads whose rows GGUF has in another order, those that RoPE turns together side by side.
    pub permuted: Option<HeadKind>,
}

/// The ending of a weight's name.
pub(super) const WEIGHT: &str = ".weight";

impl Row {
    /// True if every block has such a tensor.
    pub fn is_of_block(&self) -> bool {
        self.name.contains("{}")
    }

    /// The block's number in a name of this pattern, if it is one; 0 for a tensor outside the blocks.
    pub fn matches(pattern: &str, name: &str) -> Option<usize> {
        let Some((start, end)) = pattern.split_once("{}") else { return (name == pattern).then_some(0) };
        let number = name.strip_prefix(start)?.strip_suffix(end)?;
        // As a number, so that no two names become one.
        number.parse::<u32>().ok().filter(|block| block.to_string() == number).map(|block| block as usize)
    }
}

/// `pattern` with the number of a block.
pub(super) fn numbered(pattern: &str, block: usize) -> String {
    pattern.replacen("{}", &block.to_string(), 1)
}

/// A tensor of a model of a given shape.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its row of the table.
    pub row: &'static Row,
    /// The number of its block; 0 outside the blocks.
    pub block: usize,
    /// The name in Hugging Face's files.
    pub name: String,
    /// Rows; one if it is a vector.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
}

impl Tensor {
    /// The tensor that a row stands for in block `block` of a model.
    pub fn of(row: &'static Row, config: &LlamaConfig, block: usize) -> Self {
        let (rows, cols) = (row.shape)(config);
        Self { row, block, name: numbered(row.name, block), rows, cols }
    }

    /// The name in GGUF.
    pub fn gguf(&self) -> String {
        numbered(self.row.gguf, self.block)
    }

    /// Its sides in files: a norm has one.
    pub fn sides(&self) -> Vec<usize> {
        if self.row.role == Role::Norm { vec![self.cols] } else { vec![self.rows, self.cols] }
    }

    /// The name of the linear layer whose weight it is, and of the layer's group.
    pub fn linear(&self) -> Option<(&str, String)> {
        let Role::Linear { group } = self.row.role else { return None };
        Some((self.name.strip_suffix(WEIGHT).unwrap_or(&self.name), numbered(group, self.block)))
    }
}

/// Linear layers that read the same input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name; no tensor of a file has it.
    pub name: String,
    /// Inputs.
    pub width: usize,
    /// Full name and outputs of each layer.
    pub members: Vec<(String, usize)>,
}

impl Group {
    /// The groups of these tensors, in order; what is no linear layer is in none.
    pub fn all(tensors: impl IntoIterator<Item = Tensor>) -> Vec<Self> {
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

    /// Outputs of each layer.
    pub fn outs(&self) -> Vec<usize> {
        self.members.iter().map(|(_, out)| *out).collect()
    }

    /// Outputs of all layers together.
    pub fn out(&self) -> usize {
        self.members.iter().map(|(_, out)| out).sum()
    }
}
