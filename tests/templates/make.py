"""Makes cases.jsonl: python make.py, with transformers 5.24.0, jinja2 3.1.6 and tokenizers.

Every template of constructs.txt (one a line: ⏎ is a line feed, ␍ a carriage return, ␉ a tab, `@name` at
the end names another input than `plain`; those of `## Refused` are errors in Signet, which docs/formats.md
lists) and of whole/ goes through apply_chat_template. A case has the text that came of it, or "fails" where
it raised an error.
"""
import json, re, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
import jinja2, transformers
here = Path(__file__).parent
weather = {"type": "function", "function": {"name": "warmth", "description": "Tells how warm it is.", "parameters": {"type": "object", "properties": {"town": {"type": "string", "description": "Its name"}, "days": {"type": "array", "items": {"type": "integer"}}, "unit": {"type": "string", "enum": ["K", "°C"], "default": "K"}, "near": {"type": ["string", "number"]}}, "required": ["town"]}, "return": {"type": "number"}}}
clock = {"type": "function", "function": {"name": "clock", "description": "The time.", "parameters": {"type": "object", "properties": {}}}}
inputs = {
    "plain": {"messages": [{"role": "system", "content": "Be brief. "}, {"role": "user", "content": "  Zwei Äpfel,\tdrei <Birnen> & 'mehr' \n"}, {"role": "assistant", "content": "Ja: \"fünf\"."}]},
    "ask": {"messages": [{"role": "user", "content": " How warm is it? "}], "add_generation_prompt": True},
    "tools": {"tools": [weather, clock], "add_generation_prompt": True, "messages": [
        {"role": "user", "content": "Wie warm ist es in Köln?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "abcdefghi", "type": "function", "function": {"name": "warmth", "arguments": {"town": "Köln", "days": [1, 2], "exact": True, "limit": None, "share": 0.5, "big": 1e22, "small": 1e-7}}}]},
        {"role": "tool", "name": "warmth", "tool_call_id": "abcdefghi", "content": "{\"K\": 285.4}", "weight": 1.0, "extra": {"none_inside": None, "z": 1, "a": [2]}, "empty": None},
    ]},
    "think": {"messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2", "reasoning_content": "one and one"}, {"role": "user", "content": "and 2+2?"}, {"role": "assistant", "content": "4", "thinking": "two and two"}]},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi 'there'"}, {"type": "text", "text": "\"you\"\n"}]}, {"role": "assistant", "content": "Yo"}]},
    "documents": {"documents": [{"title": "A & B", "text": " Some words that go on for more than one line. "}, {"text": "Others"}], "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "What is in these documents, and in which of them?"}], "add_generation_prompt": True},
}
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "[UNK]": 2}, unk_token="[UNK]")), bos_token="<s>", eos_token="</s>", unk_token="[UNK]")
def case(name, template, input):
    row = {"name": name, "template": template, "input": input}
    given = json.loads(json.dumps(inputs[input]))
    try:
        row["text"] = tokenizer.apply_chat_template(chat_template=template, tokenize=False, conversation=given.pop("messages"), **given)
    except Exception as error:
        row["fails"] = f"{type(error).__name__}: {error}"
    if " at 0x" in str(row):
        sys.exit(f"{template} prints an address, which is another each time")
    return row
cases, section, count = [], "", 0
for line in (here / "constructs.txt").read_text().splitlines():
    if line.startswith("## "):
        section, count = line[3:], 0
        continue
    count += 1
    template, _, input = line.partition(" @") if re.search(r" @\w+$", line) else (line, "", "plain")
    cases.append(case(f"{section} {count}", template.replace("⏎", "\n").replace("␍", "\r").replace("␉", "\t"), input))
for path in sorted((here / "whole").iterdir()):
    cases += [case(f"{path.stem} {input}", path.read_text(), input) for input in inputs]
made = f"apply_chat_template of transformers {transformers.__version__} with jinja2 {jinja2.__version__}, Python {sys.version.split()[0]}, by make.py"
with open(here / "cases.jsonl", "w") as out:
    for row in [{"made": made, "inputs": inputs}] + cases:
        print(json.dumps(row, ensure_ascii=False), file=out)
print(len(cases), "cases,", sum("fails" in case for case in cases), "of them errors")
