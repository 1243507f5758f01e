"""Makes what lies beside it: tiny random LLaMA models in the layouts in which models are published, with the
logits of transformers in float32. python make.py DIRECTORY"""
import json, sys, torch
from pathlib import Path
from transformers import ModelConfig, LlamaForCausalLM
out = Path(sys.argv[1])
base = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=41,
            max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=False, attention_bias=False, initializer_range=0.4)
def save_logits(at, tokens, logits):
    json.dump({"tokens": tokens.tolist(), "rows": {i: [float(f"{x:.6g}") for x in logits[i].tolist()] for i in (0, 1, 7, 23, 47)}}, open(at / "logits.json", "w"))

cases = {
    "llama3": (dict(rope_parameters=dict(rope_type="llama3", rope_theta=500.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32), head_dim=16), torch.float32, None),
    "tied": (dict(rope_parameters=dict(rope_type="linear", rope_theta=5e5, factor=2.5), tie_word_embeddings=True), torch.float32, None),
    "heads": (dict(head_dim=10, num_key_value_heads=1), torch.bfloat16, "5KB"),
}
for n, (name, (options, dtype, shard)) in enumerate(cases.items()):
    torch.manual_seed(11111 + n)
    model = LlamaForCausalLM(ModelConfig(**{**base, **options})).to(dtype)
    # Norms that are not all one.
    for key, value in model.named_parameters():
        if "norm" in key: value.data = (1 + 0.3 * torch.randn(value.shape)).to(dtype)
    model.save_pretrained(out / name, **({"max_shard_size": shard} if shard else {}))
    # Anew, because .to(bfloat16) rounded the frequencies of RoPE, too.
    model = LlamaForCausalLM.from_pretrained(out / name, dtype=torch.float32)
    tokens = torch.randint(0, 41, (48,))
    with torch.no_grad(): logits = model(tokens[None]).logits[0]
    save_logits(out / name, tokens, logits)
    (out / name / "generation_config.json").unlink(missing_ok=True)

# As the published FBI-LLM checkpoints: PyTorch shards, latent weights with wscale and wbias, buffers of old versions of transformers.
torch.manual_seed(11199)
config = ModelConfig(**base)
model = LlamaForCausalLM(config).bfloat16()
state = {}
for key, value in model.state_dict().items():
    value = value + (0.3 * torch.randn(value.shape)).bfloat16() if "norm" in key else value
    if key.startswith("model.layers") and key.endswith("proj.weight"):
        layer = key.removesuffix(".weight")
        value[0, 0], value[0, 1] = 0.0, -0.0
        state[layer + ".wscale"] = (0.1 + 0.5 * torch.rand(1, value.shape[1])).bfloat16()
        state[layer + ".wbias"] = (0.1 * torch.randn(1, value.shape[1])).bfloat16()
    state[key] = value
dense = {key: value.float() for key, value in state.items() if not key.endswith((".wscale", ".wbias"))}
for key in [key for key in state if key.endswith(".wscale")]:
    layer = key.removesuffix(".wscale")
    sign = torch.where(state[layer + ".weight"].float() > 0, 1.0, -1.0)
    dense[layer + ".weight"] = state[key].float() * sign + state[layer + ".wbias"].float()
model = LlamaForCausalLM(config).float()
model.load_state_dict(dense)
(out / "fbi").mkdir(exist_ok=True)
for layer in range(2): state[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = 1 / 10000 ** (torch.arange(0, 4, 2) / 4)
keys = list(state)
shards = {"pytorch_model-00001-of-00002.bin": keys[::2], "pytorch_model-00002-of-00002.bin": keys[1::2]}
for name, part in shards.items(): torch.save({key: state[key] for key in part}, out / "fbi" / name)
json.dump({"metadata": {"total_size": sum(v.numel() * 2 for v in state.values())}, "weight_map": {key: name for name, part in shards.items() for key in part}}, open(out / "fbi" / "pytorch_model.bin.index.json", "w"))
config.architectures = ["LlamaForCausalLM"]
json.dump({**config.to_dict(), "rope_parameters": None, "rope_theta": 10000.0, "rope_scaling": None}, open(out / "fbi" / "config.json", "w"), indent=1)
tokens = torch.randint(0, 41, (48,))
with torch.no_grad(): logits = model(tokens[None]).logits[0]
save_logits(out / "fbi", tokens, logits)

# What torch.save makes of other things than plain state dicts.
import collections, zipfile, os
files = out / "torch"
files.mkdir(exist_ok=True)
whole = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 8
torch.save(collections.OrderedDict(a=whole, b=whole, rows=whole[1:], param=torch.nn.Parameter(torch.tensor([1.5, -2.0])), half=whole.half(), brain=whole.bfloat16(), ids=torch.arange(3), none=torch.zeros(0, 4)), files / "shared.bin")
torch.save({"turned": whole.T}, files / "turned.bin")
torch.save({"weight": whole}, files / "old.bin", _use_new_zipfile_serialization=False)
torch.save({"weight": whole}, files / "protocol4.bin", pickle_protocol=4)
class Evil:
    def __reduce__(self): return (os.system, ("echo pwned",))
torch.save({"weight": Evil()}, files / "evil.bin")
torch.save({"model": {"weight": whole}, "epoch": 3}, files / "checkpoint.bin")
torch.save({"weight": torch.tensor([[0.5, float("nan")]])}, files / "nan.bin")
# Everything that torch.load(weights_only=True) reads beside plain tensors, in both formats.
attribute = torch.nn.Parameter(whole.clone()); attribute.note = "kept beside it"
kinds = {
    "turned": whole.T, "columns": whole[:, 1:3], "steps": whole[::2, ::3], "row": whole[1], "column": whole[:, 2], "repeated": whole[0].expand(2, 4), "negative": torch._neg_view(whole.T),
    "attribute": attribute, "double": whole.double() + 1e-12, "scalar": torch.tensor(2.5), "complex": torch.complex(whole, whole), "sparse": whole.to_sparse(), "quantized": torch.quantize_per_tensor(whole, 0.1, 0, torch.quint8),
    "count": 3, "big": 1 << 80, "fraction": 0.5, "bytes": b"\x00\xff", "words": {"a": [1, None]}, "set": {1}, "size": whole.shape, "dtype": torch.float16, "device": torch.device("cpu"), "half of a pair": "\ud800", 7: whole,
}
torch.save(kinds, files / "legacy.bin", _use_new_zipfile_serialization=False)
eighths = {"e4m3": whole.to(torch.float8_e4m3fn), "e5m2": whole.to(torch.float8_e5m2).T, "u16": torch.tensor([1], dtype=torch.uint16), "meta": torch.empty(2, 2, device="meta")}
torch.save({**kinds, **eighths}, files / "kinds.bin")
with zipfile.ZipFile(files / "kinds.bin") as stored, zipfile.ZipFile(files / "deflated.bin", "w", zipfile.ZIP_DEFLATED) as deflated:
    for name in stored.namelist(): deflated.writestr(name, stored.read(name))
(files / "padded.bin").write_bytes((files / "protocol4.bin").read_bytes() + b"\0" * 600)
class Reads:
    def __reduce__(self): return (os.getenv, ("HOME",))
torch.save({"weight": whole, "beside": Reads()}, files / "getenv.bin", _use_new_zipfile_serialization=False)
