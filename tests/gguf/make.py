"""Makes the files beside it, with Python's own readers of GGUF as the oracle:

    pip install torch transformers gguf tokenizers safetensors
    python make.py [LLAMA2_TOKENIZER.json]

tiny.gguf is a LLaMA with random weights in every type that Signet reads, a byte-level BPE and a chat
template; tiny.json has what its tokenizer makes of some texts, and reference.safetensors its logits by
transformers in float32. blocks.gguf has random blocks of every type, reference.safetensors what the gguf
package widens them to. sentence.gguf has a cut of LLaMA-2's vocabulary with its scores, and no tensors;
sentence.json what LLaMA-2's own tokenizer.json, cut to the same tokens, makes of some texts. llama3.gguf has
the metadata of a Llama 3.2 with heads of 64, and what its frequencies are divided by as transformers has it.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as T
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, ModelConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

here = Path(__file__).parent
rng = np.random.default_rng(11111)
TYPES = [T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q4_K, T.Q5_K, T.Q6_K]
# Where the halves of a block are: its scale, and its least value if it has one.
HALVES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}
TEXTS = [
    "", " ", "  two", "The capital of France is", "1234567890 in 2024", "x²½Ⅷ٣ y", "I'm can't WE'LL", "line\n\n\nline\r\n\ttab",
    "<|im_start|>user\nHi<|im_end|>\n", "café naïve über", "東京 は 🙂🙂", "a  b   c    d", "def f(x):\n    return x ** 2",
]


def random_blocks(kind, rows, cols, scale):
    """Bytes of random blocks whose halves are random, of both signs, and about as large as `scale`."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (rows * cols // elements, size), dtype=np.uint8)
    for at in HALVES[kind]:
        halves = (rng.standard_normal(len(blocks)) * scale).astype(np.float16)
        blocks[:, at : at + 2] = halves.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, -1)


def stored(kind, values):
    if kind == T.F32:
        return values.astype(np.float32)
    if kind == T.F16:
        return values.astype(np.float16)
    return gguf.quants.quantize(values.astype(np.float32), kind)


def add(writer, name, data, kind):
    writer.add_tensor(name, data, raw_dtype=kind if kind not in (T.F32, T.F16) else None)


def blocks(reference):
    writer = gguf.GGUFWriter(here / "blocks.gguf", "blocks")
    for kind in TYPES:
        if kind in HALVES:
            data = random_blocks(kind, 3, 512, 0.01)
            # A scale below the normal halves, and one of nothing.
            data[0, HALVES[kind][0] : HALVES[kind][0] + 2] = [3, 128]
            data[1, HALVES[kind][0] : HALVES[kind][0] + 2] = [0, 0]
        else:
            data = stored(kind, rng.standard_normal((3, 512)))
        add(writer, kind.name, data, kind)
        reference[f"blocks.{kind.name}"] = gguf.quants.dequantize(data, kind).astype(np.float32)
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def byte_level(texts):
    """A small BPE that splits as SmolLM2's does."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False))
    return tokenizer


TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def tiny(reference):
    text = Path(here / "../../README.md").read_text()
    tokenizer = byte_level(text.splitlines())
    described = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(described["vocab"], key=described["vocab"].get)
    width, wide, layers, heads, kv_heads, head = 32, 256, 4, 4, 2, 12
    writer = gguf.GGUFWriter(here / "tiny.gguf", "llama")
    writer.add_name("a tiny LLaMA of random weights")
    writer.add_block_count(layers)
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(wide)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(50000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in described["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)

    def weight(name, kind, rows, cols, scale):
        values = rng.standard_normal((rows, cols)) * scale
        data = random_blocks(kind, rows, cols, scale / 500) if kind in (T.Q4_K, T.Q5_K, T.Q6_K) else stored(kind, values)
        add(writer, name, data, kind)

    def norm(name):
        add(writer, name, (1 + 0.2 * rng.standard_normal(width)).astype(np.float32), T.F32)

    weight("token_embd.weight", T.Q8_0, len(tokens), width, 1.0)
    kinds = [(T.F32, T.F16, T.Q4_K), (T.BF16, T.Q4_0, T.Q5_K), (T.Q4_1, T.Q5_0, T.Q6_K), (T.Q5_1, T.Q8_0, T.Q4_1)]
    for layer, (first, second, down) in enumerate(kinds):
        block = f"blk.{layer}."
        norm(block + "attn_norm.weight")
        weight(block + "attn_q.weight", first, heads * head, width, 0.4)
        weight(block + "attn_k.weight", first, kv_heads * head, width, 0.4)
        weight(block + "attn_v.weight", second, kv_heads * head, width, 0.2)
        # Heads are narrower than width over heads, so that rows of this one are no whole blocks.
        weight(block + "attn_output.weight", T.F16, width, heads * head, 0.2)
        norm(block + "ffn_norm.weight")
        weight(block + "ffn_gate.weight", second if layer else T.Q4_0, wide, width, 0.2)
        weight(block + "ffn_up.weight", first if layer else T.Q4_1, wide, width, 0.2)
        weight(block + "ffn_down.weight", down, width, wide, 0.1)
    norm("output_norm.weight")
    finish(writer)

    model = AutoModelForCausalLM.from_pretrained(here, gguf_file="tiny.gguf", dtype=torch.float32)
    assert model.config.head_dim == head and model.config.tie_word_embeddings, model.config
    ids = tokenizer.encode("The capital of France is 7 <|im_end|>").ids
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].numpy()
    reference["tiny.logits"] = logits
    texts = [{"text": text, "ids": tokenizer.encode(text).ids} for text in TEXTS]
    (here / "tiny.json").write_text(json.dumps({"ids": ids, "texts": texts}, indent=1))


def sentence(path):
    """LLaMA-2's vocabulary, cut to its first 900 tokens and the single characters it ends with."""
    own = json.loads(Path(path).read_text())
    vocab = own["model"]["vocab"]
    tokens = sorted(vocab, key=vocab.get)
    wanted = set("".join(TEXTS).replace(" ", "▁")) | set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ▁,.!?'-")
    kept = [token for token in tokens if vocab[token] < 900 or token in wanted]
    ids = {token: n for n, token in enumerate(kept)}
    writer = gguf.GGUFWriter(here / "sentence.gguf", "llama")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(kept)
    # LLaMA-2's scores are less the later a token was found; runs of spaces are joined last.
    spaces = lambda token: len(token) > 1 and not token.strip("▁")
    writer.add_token_scores([0.0 if vocab[token] < 259 else -1e9 if spaces(token) else 259.0 - vocab[token] for token in kept])
    writer.add_token_types([2 if n == 0 else 3 if n < 3 else 6 if n < 259 else 1 for n in range(len(kept))])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    finish(writer)
    pair = lambda merge: merge.split(" ") if isinstance(merge, str) else merge
    merges = [pair(merge) for merge in own["model"]["merges"]]
    own["model"]["merges"] = [[a, b] for a, b in merges if a in ids and b in ids and a + b in ids]
    own["model"]["vocab"] = ids
    tokenizer = Tokenizer.from_str(json.dumps(own))
    def both(text):
        document = tokenizer.encode(text).ids
        return {"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids, "document": document, "decoded": tokenizer.decode(document)}
    texts = [both(text) for text in TEXTS + ["</s> and <s>on", "Hello, world! The people"]]
    (here / "sentence.json").write_text(json.dumps({"texts": texts}, indent=1))


def llama3():
    scaling = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaling["original_max_position_embeddings"] = 8192
    config = ModelConfig(hidden_size=128, num_attention_heads=2, rope_parameters=scaling, max_position_embeddings=131072)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 500000.0 ** (-torch.arange(0, 64, 2).double() / 64)
    writer = gguf.GGUFWriter(here / "llama3.gguf", "llama")
    writer.add_block_count(1)
    writer.add_context_length(131072)
    writer.add_embedding_length(128)
    writer.add_feed_forward_length(256)
    writer.add_head_count(2)
    writer.add_rope_freq_base(500000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    add(writer, "rope_freqs.weight", (plain / scaled.double()).float().numpy(), T.F32)
    add(writer, "token_embd.weight", np.zeros((4, 128), np.float16), T.F16)
    finish(writer)


reference = {}
blocks(reference)
tiny(reference)
save_file(reference, here / "reference.safetensors")
llama3()
if len(sys.argv) > 1:
    sentence(sys.argv[1])
