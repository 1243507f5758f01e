//! LLaMA (arXiv 2302.13971), and models of the same architecture: SmolLM2, TinyLlama, Llama 2 and 3.

use super::Architecture;
use super::hugging_face_config::{is_off, no_window};
use crate::graph::{ShapeError, Tape, TensorId};
use crate::model::config::ModelConfig;
use crate::model::forward::Forward;
use crate::model::tensors::{HeadKind, Role, TensorRow, numbered};
use crate::ops::{Add, Swiglu};
use serde_json::json;

/// The LLaMA architecture.
pub(super) static LLAMA: Architecture = Architecture {
    title: "LLaMA",
    model_type: "llama",
    class: "LlamaForCausalLM",
    // LLaMA 7B.
    defaults: &[
        ("vocab_size", 32_000),
        ("hidden_size", 4096),
        ("intermediate_size", 11_008),
        ("num_hidden_layers", 32),
        ("num_attention_heads", 32),
        ("max_position_embeddings", 2048),
    ],
    fields: &[
        ("hidden_act", |json| json["hidden_act"].is_null() || json["hidden_act"] == "silu" || json["hidden_act"] == "swish"),
        ("attention_bias", |json| is_off(&json["attention_bias"])),
        ("mlp_bias", |json| is_off(&json["mlp_bias"])),
        ("sliding_window", no_window),
        ("quantization_config", |json| json["quantization_config"].is_null()),
    ],
    extra_fields: || json!({ "hidden_act": "silu", "attention_bias": false, "mlp_bias": false }),
    gguf: "llama",
    keys: &["rope.scale_linear", "tensor_data_layout"],
    ignored_keys: &["expert_count", "expert_used_count", "use_parallel_residual", "attention.sliding_window"],
    first: &[TensorRow { name: "model.embed_tokens.weight", gguf: "token_embd.weight", role: Role::Embedding, shape: vocabulary, permuted: None }],
    block: &[
        norm(ATTENTION_NORM, "blk.{}.attn_norm.weight"),
        TensorRow {
            permuted: Some(HeadKind::Queries),
            ..linear(QKV, "model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", |config| (config.q_width(), config.hidden_size))
        },
        TensorRow {
            permuted: Some(HeadKind::Keys),
            ..linear(QKV, "model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", |config| (config.kv_width(), config.hidden_size))
        },
        linear(QKV, "model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight", |config| (config.kv_width(), config.hidden_size)),
        linear(O, "model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight", |config| (config.hidden_size, config.q_width())),
        linear(GATE_UP, "model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight", |config| (config.intermediate_size, config.hidden_size)),
        linear(GATE_UP, "model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight", |config| (config.intermediate_size, config.hidden_size)),
        linear(DOWN, "model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight", |config| (config.hidden_size, config.intermediate_size)),
        norm(FEED_FORWARD_NORM, "blk.{}.ffn_norm.weight"),
    ],
    last: &[
        norm(LAST_NORM, "output_norm.weight"),
        TensorRow { name: "lm_head.weight", gguf: "output.weight", role: Role::Head, shape: vocabulary, permuted: None },
    ],
    tape,
};

const ATTENTION_NORM: &str = "model.layers.{}.input_layernorm.weight";
const FEED_FORWARD_NORM: &str = "model.layers.{}.post_attention_layernorm.weight";
const LAST_NORM: &str = "model.norm.weight";

const QKV: &str = "model.layers.{}.qkv";
const O: &str = "model.layers.{}.o";
const GATE_UP: &str = "model.layers.{}.gate_up";
const DOWN: &str = "model.layers.{}.down";

fn vocabulary(config: &ModelConfig) -> (usize, usize) {
    (config.vocab_size, config.hidden_size)
}

/// A norm of the residual stream.
const fn norm(name: &'static str, gguf: &'static str) -> TensorRow {
    TensorRow { name, gguf, role: Role::Norm, shape: |config| (1, config.hidden_size), permuted: None }
}

const fn linear(group: &'static str, name: &'static str, gguf: &'static str, shape: fn(&ModelConfig) -> (usize, usize)) -> TensorRow {
    TensorRow { name, gguf, role: Role::Linear { group }, shape, permuted: None }
}

/// Records the model up to the final norm.
fn tape(forward: &Forward<'_>, tape: &mut Tape, tokens: TensorId) -> Result<TensorId, ShapeError> {
    let x = forward.embedding(tape, tokens)?;
    let x = forward.blocks(tape, x, |tape, layer, x| block(forward, tape, layer, x))?;
    forward.norm(tape, LAST_NORM, x)
}

fn block(forward: &Forward<'_>, tape: &mut Tape, layer: usize, x: TensorId) -> Result<TensorId, ShapeError> {
    let groups = forward.weights.config.groups_of(layer);
    let [qkv, o, gate_up, down] = &groups[..] else { unreachable!("the table has four groups") };
    let normed = forward.cheap(tape, |tape| forward.norm(tape, &numbered(ATTENTION_NORM, layer), x))?;
    let qkv = forward.linear(tape, qkv, normed)?;
    let attended = forward.attention(tape, layer, qkv)?;
    let projected = forward.linear(tape, o, attended)?;
    let x = tape.push_one(Add, &[x, projected], &[])?;
    let normed = forward.cheap(tape, |tape| forward.norm(tape, &numbered(FEED_FORWARD_NORM, layer), x))?;
    let gate_up = forward.linear(tape, gate_up, normed)?;
    let wide = forward.cheap(tape, |tape| tape.push_one(Swiglu, &[gate_up], &[]))?;
    let down = forward.linear(tape, down, wide)?;
    tape.push_one(Add, &[x, down], &[])
}
