"""What lm-evaluation-harness makes of a task's rows, with its own definition of the task.

    python oracle.py MODEL TASK ROWS.jsonl OUT.json [--shots K --shots-from SHOTS.jsonl [--in-order]] [--limit N] [--max-length N] [--batch N]

ROWS and SHOTS are JSON lines in the dataset's own field names. OUT is a list of rows: the requests as text, the
log-likelihood and the greedy flag of each, acc and acc_norm.
"""

import argparse, json, os, tempfile
import lm_eval, lm_eval.tasks
from lm_eval.models.huggingface import HFLM

DEFINITIONS = {
    "boolq": "super_glue/boolq/default.yaml",
    "piqa": "piqa/piqa.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "winogrande": "winogrande/default.yaml",
    "arc_easy": "arc/arc_easy.yaml",
    "arc_challenge": "arc/arc_challenge.yaml",
    "openbookqa": "openbookqa/openbookqa.yaml",
}

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("task", choices=DEFINITIONS)
parser.add_argument("rows")
parser.add_argument("out")
parser.add_argument("--shots", type=int, default=0)
parser.add_argument("--shots-from")
parser.add_argument("--in-order", action="store_true")
parser.add_argument("--limit", type=int)
parser.add_argument("--max-length", type=int)
parser.add_argument("--batch", type=int, default=8)
options = parser.parse_args()

rows, shots = os.path.abspath(options.rows), os.path.abspath(options.shots_from or options.rows)
definition = os.path.join(os.path.dirname(lm_eval.tasks.__file__), DEFINITIONS[options.task])
yaml = [f"include: {definition}", "task: local", "dataset_path: json", "dataset_name: null", "dataset_kwargs:", "  data_files:"]
yaml += [f"    train: {shots}", f"    validation: {rows}", f"    test: {rows}"]
if options.in_order:
    yaml += ["fewshot_config:", "  sampler: first_n", "  split: train"]
with tempfile.TemporaryDirectory() as folder:
    with open(os.path.join(folder, "local.yaml"), "w") as file:
        file.write("\n".join(yaml) + "\n")
    manager = lm_eval.tasks.TaskManager(include_path=folder)
    more = {"max_length": options.max_length} if options.max_length else {}
    model = HFLM(pretrained=options.model, dtype="float32", device="cpu", batch_size=options.batch, **more)
    found = lm_eval.simple_evaluate(
        model=model, tasks=["local"], task_manager=manager, num_fewshot=options.shots, limit=options.limit, log_samples=True, bootstrap_iters=100
    )
out = []
for sample in sorted(found["samples"]["local"], key=lambda sample: sample["doc_id"]):
    requests = [
        {"context": arguments[0], "continuation": arguments[1], "loglikelihood": float(response[0]), "greedy": str(response[1]) == "True"}
        for arguments, response in zip(sample["arguments"], sample["filtered_resps"])
    ]
    out.append({"row": sample["doc_id"], "requests": requests, "acc": sample["acc"], "acc_norm": sample.get("acc_norm")})
figures = {name: value for name, value in found["results"]["local"].items() if isinstance(value, float)}
with open(options.out, "w") as file:
    json.dump({"lm_eval": lm_eval.__version__, "figures": figures, "rows": out}, file, indent=1, ensure_ascii=False)
print(options.task, figures)
