"""Writes losses.json beside this file: the divergences of a few rows of logits and their gradients, in
float64 by PyTorch's own functions and automatic differentiation. Needs torch; the tests do not."""

import json
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(7)
torch.set_default_dtype(torch.float64)
ROWS, VOCABULARY, KEPT = 5, 23, 4


def kl(p, q):
    """Σ p·(ln p − ln q), from logarithms."""
    return F.kl_div(q, p, reduction="none", log_target=True).sum(-1)


def js(p, q):
    m = torch.logsumexp(torch.stack([p, q]), 0) - torch.log(torch.tensor(2.0))
    return (kl(p, m) + kl(q, m)) / 2


def joined(log_q, ids):
    """The logarithms of the kept tokens' probabilities, and of all others together."""
    others = log_q.scatter(-1, ids, -torch.inf)
    return torch.cat([log_q.gather(-1, ids), torch.logsumexp(others, -1, keepdim=True)], -1)


DIVERGENCES = {"forward": lambda p, q: -(p.exp() * q).sum(-1), "reverse": lambda p, q: kl(q, p), "js": js}

student = (torch.randn(ROWS, VOCABULARY) * 2.5).float().double()
teacher = (torch.randn(ROWS, VOCABULARY) * 2.5).float().double()
# A student that agrees with its teacher, and one that is sure of something else.
student[1] = (teacher[1] + 0.01 * torch.randn(VOCABULARY)).float().double()
student[2, 3] = 60.0
tokens = torch.randint(VOCABULARY, (ROWS,))
weights = torch.tensor([1.0, 0.5, 2.0, 1.0, 0.25])

cases = []
for temperature in [1.0, 2.0]:
    for kept in [0, KEPT]:
        for name, divergence in DIVERGENCES.items():
            if kept and name == "reverse":
                continue
            for next_token in [0.0, 0.5]:
                s = student.clone().requires_grad_()
                p, q = F.log_softmax(teacher / temperature, -1), F.log_softmax(s / temperature, -1)
                if kept:
                    ids = p.topk(kept).indices.sort(-1).values
                    p, q = joined(p, ids), joined(q, ids)
                    # What a student is given: shares as 32-bit floats.
                    shares = p.exp().float().double()
                    p = shares.log()
                rows = temperature**2 * divergence(p, q)
                hard = F.cross_entropy(s, tokens, reduction="none")
                ((1 - next_token) * rows + next_token * hard).mul(weights).sum().backward()
                case = dict(temperature=temperature, divergence=name, next_token=next_token, rows=rows.tolist(), gradient=s.grad.flatten().tolist())
                if kept:
                    case |= dict(ids=ids.flatten().tolist(), shares=shares.flatten().tolist())
                cases.append(case)

measures = []
p, q = F.log_softmax(teacher, -1), F.log_softmax(student, -1)
for row in range(ROWS):
    ar = F.cross_entropy(student[row], tokens[row])
    # By the names of the terms in metrics.jsonl.
    terms = dict(ad=-(p[row].exp() * q[row]).sum(), ar=ar, kl=kl(p, q)[row], reverse=kl(q, p)[row], js=js(p, q)[row])
    measures.append({name: value.item() for name, value in terms.items()})

out = dict(
    rows=ROWS, vocabulary=VOCABULARY, student=student.flatten().tolist(), teacher=teacher.flatten().tolist(), tokens=tokens.tolist(),
    weights=weights.tolist(), measures=measures, cases=cases,
)


def short(value):
    """Nine digits: a 32-bit float, and more than it can be held to."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, list):
        return [short(part) for part in value]
    return {key: short(part) for key, part in value.items()} if isinstance(value, dict) else value


pathlib.Path(__file__).with_name("losses.json").write_text(json.dumps(short(out)) + "\n")
