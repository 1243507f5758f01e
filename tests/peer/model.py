"""Writes a GGUF with random weights of a LLaMA's shape for compare.mjs: block linears in Q1_0, embedding
and head in F16 or Q8_0.

    python model.py OUT LAYERS WIDTH FEED_FORWARD HEADS VOCABULARY [f16|q8_0]

Q1_0 has blocks of 128 weights: width and feed-forward must be multiples of it."""

import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

out = sys.argv[1]
layers, width, feed_forward, heads, vocabulary = map(int, sys.argv[2:7])
matrices = sys.argv[7] if len(sys.argv) > 7 else "f16"
BYTES = 256
WORDS = vocabulary - 3 - BYTES
random = np.random.default_rng(0)

writer = gguf.GGUFWriter(out, "llama")
writer.add_block_count(layers)
writer.add_context_length(2048)
writer.add_embedding_length(width)
writer.add_feed_forward_length(feed_forward)
writer.add_head_count(heads)
writer.add_head_count_kv(heads)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_freq_base(10_000.0)
writer.add_rope_dimension_count(width // heads)
writer.add_vocab_size(vocabulary)
writer.add_tokenizer_model("llama")
writer.add_token_list(["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(BYTES)] + [f"<w{n}>" for n in range(WORDS)])
# Unknown, control, bytes; the first hundred words are found in any text as they are, so that a prompt of
# n of them has n tokens.
writer.add_token_types([2, 3, 3] + [6] * BYTES + [4 if n < 100 else 1 for n in range(WORDS)])
writer.add_token_scores([-float(n) for n in range(vocabulary)])
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
writer.add_unk_token_id(0)
writer.add_add_bos_token(False)


def signs(name, rows, columns):
    blocks = rows * columns // 128
    data = np.empty((blocks, 18), np.uint8)
    data[:, :2] = np.full(blocks, columns**-0.5, np.float16).view(np.uint8).reshape(blocks, 2)
    data[:, 2:] = random.integers(0, 256, (blocks, 16), np.uint8)
    writer.add_tensor(name, data.reshape(rows, columns // 128 * 18), raw_dtype=Type.Q1_0)


def matrix(name, rows, columns):
    data = (random.standard_normal((rows, columns)) * 0.03).astype(np.float32)
    # No byte is ever the likeliest: wllama ends where the text is no UTF-8.
    data[: 3 + BYTES] = 0
    if matrices == "f16":
        writer.add_tensor(name, data.astype(np.float16))
    else:
        writer.add_tensor(name, gguf.quants.quantize(data, Type.Q8_0), raw_dtype=Type.Q8_0)


matrix("token_embd.weight", vocabulary, width)
matrix("output.weight", vocabulary, width)
writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
for n in range(layers):
    for norm in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.{n}.{norm}.weight", np.ones(width, np.float32))
    for layer in ("attn_q", "attn_k", "attn_v", "attn_output"):
        signs(f"blk.{n}.{layer}.weight", width, width)
    signs(f"blk.{n}.ffn_gate.weight", feed_forward, width)
    signs(f"blk.{n}.ffn_up.weight", feed_forward, width)
    signs(f"blk.{n}.ffn_down.weight", width, feed_forward)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
