//! What llama.cpp calls the tensors of a LLaMA, and what Hugging Face calls them.

/// A block's tensors: llama.cpp's name, and Hugging Face's.
const OF_BLOCK: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Those outside the blocks.
const OTHERS: [(&str, &str); 3] =
    [("token_embd.weight", "model.embed_tokens.weight"), ("output_norm.weight", "model.norm.weight"), ("output.weight", "lm_head.weight")];

/// Hugging Face's name of a tensor; none if a plain LLaMA has no such tensor.
pub(super) fn hugging_face(name: &str) -> Option<String> {
    if let Some((_, theirs)) = OTHERS.iter().find(|(own, _)| *own == name) {
        return Some((*theirs).into());
    }
    let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
    let part = part.strip_suffix(".weight")?;
    let (_, theirs) = OF_BLOCK.iter().find(|(own, _)| *own == part)?;
    // As a number, so that no two names become one.
    let canonical = layer.parse::<u32>().is_ok_and(|number| number.to_string() == layer);
    canonical.then(|| format!("model.layers.{layer}.{theirs}.weight"))
}

/// llama.cpp's name of a tensor of a plain LLaMA, by Hugging Face's.
pub(super) fn llama_cpp(name: &str) -> Option<String> {
    if let Some((own, _)) = OTHERS.iter().find(|(_, theirs)| *theirs == name) {
        return Some((*own).into());
    }
    let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (own, _) = OF_BLOCK.iter().find(|(_, theirs)| part.strip_suffix(".weight") == Some(theirs))?;
    Some(format!("blk.{layer}.{own}.weight"))
}

/// Whose rows llama.cpp keeps in another order, and how many heads those are of: queries or keys.
pub(super) fn turned(name: &str) -> Option<Heads> {
    match name {
        _ if name.ends_with(".attn_q.weight") => Some(Heads::Queries),
        _ if name.ends_with(".attn_k.weight") => Some(Heads::Keys),
        _ => None,
    }
}

/// Which heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heads {
    Queries,
    Keys,
}

/// Where llama.cpp keeps a row of a head of width `head`: the two elements that RoPE turns together lie
/// side by side there, half a head apart here.
pub(super) fn turned_row(row: usize, head: usize) -> usize {
    let (start, within) = (row / head * head, row % head);
    start + within % (head / 2) * 2 + within / (head / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_a_plain_llama() {
        assert_eq!(hugging_face("blk.12.attn_q.weight").as_deref(), Some("model.layers.12.self_attn.q_proj.weight"));
        assert_eq!(hugging_face("output.weight").as_deref(), Some("lm_head.weight"));
        for own in ["blk.7.ffn_down.weight", "blk.0.attn_norm.weight", "token_embd.weight"] {
            assert_eq!(llama_cpp(&hugging_face(own).unwrap()).as_deref(), Some(own));
        }
        for other in ["blk.0.attn_q.bias", "blk.00.attn_q.weight", "blk.+1.attn_q.weight", "blk..attn_q.weight", "rope_freqs.weight", "blk.0.attn_qkv.weight"] {
            assert_eq!(hugging_face(other), None, "{other}");
        }
    }

    #[test]
    fn pairs_of_rows_come_together() {
        // Two heads of width 6, as llama.cpp's conversion permutes them.
        let rows: Vec<usize> = (0..12).map(|row| turned_row(row, 6)).collect();
        assert_eq!(rows, [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
    }
}
