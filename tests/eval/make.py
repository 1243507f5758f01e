"""Makes tokenizer.json and reference/ here. Run it in this folder, with lm-eval 0.4.13, transformers, torch and
tokenizers installed: python make.py

The model is the golden teacher of ../golden/ad with a tokenizer of its size: byte-level BPE with few merges, which
begins each text with <s> as LLaMA's does and drops what is not ASCII.
"""

import json, os, shutil, subprocess, sys, tempfile
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

VOCABULARY = 211

texts = []
for name in sorted(os.listdir("rows")):
    texts += open(os.path.join("rows", name)).read().splitlines()
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
ascii_only = [chr(c) for c in range(33, 127)] + ["Ġ", "Ċ"]
trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], initial_alphabet=ascii_only, limit_alphabet=len(ascii_only), show_progress=False)
tokenizer.train_from_iterator(texts, trainer)
tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
assert tokenizer.get_vocab_size() == VOCABULARY, tokenizer.get_vocab_size()
tokenizer.save("tokenizer.json")

SHOTS = [("piqa", 3), ("winogrande", 2)]
with tempfile.TemporaryDirectory() as model:
    for name in ["config.json", "model.safetensors"]:
        shutil.copy(os.path.join("../golden/ad/teacher", name), model)
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(name, model)

    def oracle(task, rows, out, *more):
        subprocess.check_call([sys.executable, "oracle.py", model, task, f"rows/{rows}.jsonl", f"reference/{out}.json", *more])

    for task in ["boolq", "piqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa"]:
        oracle(task, task, task)
    for task, shots in SHOTS:
        oracle(task, task, f"{task}.{shots}", "--shots", str(shots), "--shots-from", f"rows/{task}.shots.jsonl")
    oracle("openbookqa", "openbookqa", "openbookqa.2.in_order", "--shots", "2", "--shots-from", "rows/openbookqa.shots.jsonl", "--in-order")
