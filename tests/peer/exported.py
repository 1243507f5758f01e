"""Holds `signet export` against PyTorch and transformers.

    python exported.py dense PACKED DIR        the packed file's own mathematics against transformers on the dense export
    python exported.py gguf PACKED FILE        the same against transformers on the GGUF export
    python exported.py latent DIR GOLDEN OUT   loads a latent export as FBI-LLM's eval.py loads a checkpoint (every
                                               *.safetensors of the directory, strictly), takes the golden run's steps
                                               with PyTorch's autograd and AdamW, and writes the result to OUT
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, ModelConfig, LlamaForCausalLM

TOKENS = torch.tensor([[5, 17, 100, 42, 7, 301 % 200, 9, 64, 3, 11, 150, 33]])


def relative(got, want):
    return ((got - want).norm() / want.norm()).item()


def packed(path):
    """A transformers model with the weights that a packed file stands for, in float32."""
    with safe_open(path, "pt") as file:
        config = ModelConfig(**json.loads(file.metadata()["config"]))
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    state = {}
    for name, tensor in tensors.items():
        if name.endswith((".wscale", ".wbias")):
            continue
        if not name.endswith(".signs"):
            state[name] = tensor.float()
            continue
        layer = name.removesuffix(".signs")
        scale, bias = tensors[layer + ".wscale"].float(), tensors[layer + ".wbias"].float()
        words = tensor.view(torch.int32).to(torch.int64) & 0xFFFFFFFF
        bits = (words[:, :, None] >> torch.arange(32)) & 1
        signs = bits.reshape(words.shape[0], -1)[:, : scale.shape[1]] * 2 - 1
        state[layer + ".weight"] = signs * scale + bias
    model = LlamaForCausalLM(config).float()
    missing = model.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys and all("lm_head" in key for key in missing.missing_keys), missing
    model.tie_weights()
    return model.eval()


@torch.no_grad()
def compare(own, exported):
    want, got = own(TOKENS).logits, exported.eval()(TOKENS).logits.float()
    print(f"logits: {relative(got, want):.2e} relative; the likeliest token is the same at {(got.argmax(-1) == want.argmax(-1)).sum()} of {TOKENS.numel()} positions")


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(_, weight):
        return torch.where(weight > 0, 1.0, -1.0)

    @staticmethod
    def backward(_, gradient):
        return gradient


class BinaryLinear(torch.nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.weight = linear.weight
        self.wscale = torch.nn.Parameter(torch.zeros(1, linear.in_features))
        self.wbias = torch.nn.Parameter(torch.zeros(1, linear.in_features))

    def forward(self, x):
        return torch.nn.functional.linear(x, self.wscale * Sign.apply(self.weight) + self.wbias)


def latent(directory, golden, out):
    config = ModelConfig(**json.loads((directory / "config.json").read_text()))
    student = LlamaForCausalLM(config).float()
    for name, module in list(student.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            parent, child = name.rsplit(".", 1)
            setattr(student.get_submodule(parent), child, BinaryLinear(module))
    state = {}
    for file in directory.glob("*.safetensors"):
        state.update(load_file(file))
    student.load_state_dict(state)
    teacher = LlamaForCausalLM.from_pretrained(golden / "teacher").float().eval()
    run, figures = json.loads((golden / "run.json").read_text()), load_file(golden / "run.safetensors")
    asked = run["hyperparameters"]
    optimizer = torch.optim.AdamW(student.parameters(), betas=asked["betas"], eps=asked["eps"], weight_decay=asked["weight_decay"])
    for micro, tokens in enumerate(figures["tokens"].long()[: 2 * asked["accumulate"]]):
        logits = student(tokens[:, :-1]).logits.flatten(0, 1)
        with torch.no_grad():
            target = teacher(tokens[:, :-1]).logits.softmax(-1).flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, target)
        (loss / asked["accumulate"]).backward()
        print(f"micro-step {micro}: loss {loss.item():.6f}, golden {run['loss'][micro][0]:.6f}")
        if (micro + 1) % asked["accumulate"] == 0:
            torch.nn.utils.clip_grad_norm_(student.parameters(), asked["clip"])
            for group in optimizer.param_groups:
                group["lr"] = run["lr_per_micro_step"][micro]
            optimizer.step()
            optimizer.zero_grad()
            step = (micro + 1) // asked["accumulate"]
            mine = torch.cat([p.detach().flatten() for _, p in student.named_parameters()])
            theirs = torch.cat([figures[f"after{step}.{name}"].flatten() for name, _ in student.named_parameters()])
            print(f"parameters after step {step}: {relative(mine, theirs):.2e} relative")
    out.mkdir(exist_ok=True)
    shutil.copy(directory / "config.json", out)
    save_file({name: p.detach().contiguous() for name, p in student.named_parameters()}, out / "model.safetensors", {"format": "pt"})


match sys.argv[1]:
    case "dense":
        compare(packed(sys.argv[2]), AutoModelForCausalLM.from_pretrained(sys.argv[3], dtype=torch.float32))
    case "gguf":
        file = Path(sys.argv[3])
        compare(packed(sys.argv[2]), AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32))
    case "latent":
        latent(*map(Path, sys.argv[2:5]))
