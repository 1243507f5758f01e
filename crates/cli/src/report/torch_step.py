"""Times training steps of an FBI-LLM student in PyTorch, as `signet bench train` does: teacher forward, student forward and
backward with binarized linear layers, clipping, AdamW. Carried by `signet report`; it needs torch and nothing else.

usage: torch_step.py SIZE BATCH SEQ STEPS DTYPE    (SIZE: tiny, 5M or 130M; DTYPE: f32 or bf16)
Prints one JSON object. Exits with 3 if PyTorch is not installed.
"""
import json
import statistics
import sys
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    print(f"PyTorch is not installed: {error}", file=sys.stderr)
    sys.exit(3)

# Vocabulary, width, feed-forward width, layers, heads: Signet's presets.
SHAPES = {"tiny": (4096, 192, 512, 4, 6), "5M": (4096, 256, 688, 4, 4), "130M": (32000, 768, 2048, 12, 12)}


class Binarize(torch.autograd.Function):
    """The signs of latent weights; the gradient passes straight through."""

    @staticmethod
    def forward(context, weight):
        return weight.sign()

    @staticmethod
    def backward(context, gradient):
        return gradient


class Linear(torch.nn.Module):
    """A linear layer without bias; binarized: signs scaled by alpha and shifted by beta, one of each per input."""

    def __init__(self, inputs, outputs, binarized):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(outputs, inputs) * 0.02)
        self.binarized = binarized
        if binarized:
            mean = self.weight.detach().mean(0, keepdim=True)
            self.beta = torch.nn.Parameter(mean)
            self.alpha = torch.nn.Parameter((self.weight.detach() - mean).abs().mean(0, keepdim=True))

    def forward(self, x):
        weight = self.alpha * Binarize.apply(self.weight) + self.beta if self.binarized else self.weight
        return F.linear(x, weight.to(x.dtype))


class Norm(torch.nn.Module):
    """Root mean square normalization."""

    def __init__(self, width):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(width))

    def forward(self, x):
        y = x.float()
        return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-5) * self.gain).to(x.dtype)


def rotate(x, cosine, sine):
    """Rotary position embedding of heads, as pairs of halves."""
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cosine - right * sine, right * cosine + left * sine), dim=-1)


class Block(torch.nn.Module):
    def __init__(self, width, wide, heads, binarized):
        super().__init__()
        self.heads = heads
        self.norm, self.norm2 = Norm(width), Norm(width)
        self.query, self.key, self.value, self.out = (Linear(width, width, binarized) for _ in range(4))
        self.gate, self.up, self.down = Linear(width, wide, binarized), Linear(width, wide, binarized), Linear(wide, width, binarized)

    def forward(self, x, cosine, sine):
        batch, tokens, width = x.shape
        h = self.norm(x)
        split = lambda y: y.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)
        q, k, v = rotate(split(self.query(h)), cosine, sine), rotate(split(self.key(h)), cosine, sine), split(self.value(h))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, tokens, width))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Model(torch.nn.Module):
    def __init__(self, size, binarized):
        super().__init__()
        vocabulary, width, wide, layers, heads = SHAPES[size]
        self.embedding = torch.nn.Embedding(vocabulary, width)
        self.blocks = torch.nn.ModuleList(Block(width, wide, heads, binarized) for _ in range(layers))
        self.norm, self.head = Norm(width), Linear(width, vocabulary, False)
        self.half = width // heads // 2

    def forward(self, ids):
        x = self.embedding(ids)
        frequency = 10000.0 ** (-torch.arange(self.half, device=ids.device) / self.half)
        angle = torch.arange(ids.shape[1], device=ids.device)[:, None] * frequency
        cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        for block in self.blocks:
            x = block(x, cosine, sine)
        return self.head(self.norm(x))


def best_device():
    """Device type and name: a GPU of any vendor, else the CPU."""
    if torch.cuda.is_available():
        return "cuda", torch.cuda.get_device_name()
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        return "xpu", torch.xpu.get_device_name()
    if hasattr(torch.backends, "mps") and torch.backends.mps.is_available():
        return "mps", "Apple GPU (mps)"
    return "cpu", f"CPU, {torch.get_num_threads()} threads"


def main():
    size, batch, seq, steps, dtype = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    torch.manual_seed(0)
    device, name = best_device()
    student, teacher = Model(size, True).to(device), Model(size, False).to(device).requires_grad_(False)
    if dtype == "bf16":
        teacher = teacher.to(torch.bfloat16)
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1)
    ids = torch.randint(0, SHAPES[size][0], (batch, seq), device=device)
    rates = []
    for step in range(2 + steps):
        begun = time.perf_counter()
        with torch.no_grad():
            target = F.softmax(teacher(ids).float(), dim=-1)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == "bf16"):
            logits = student(ids)
        loss = F.cross_entropy(logits.float().flatten(0, 1), target.flatten(0, 1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        # Reading the loss waits for the device.
        loss.item()
        if device == "cuda":
            torch.cuda.synchronize()
        if step >= 2:
            rates.append(batch * seq / (time.perf_counter() - begun))
    print(json.dumps({"event": "torch_train", "torch": torch.__version__, "device": name, "size": size, "batch": batch, "seq": seq, "dtype": dtype,
                      "parameters": sum(p.numel() for p in student.parameters()),
                      "tokens_per_s": {"least": min(rates), "median": statistics.median(rates), "greatest": max(rates)}}))


main()
