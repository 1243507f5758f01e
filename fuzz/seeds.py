"""Makes the seeds: python seeds.py REPOSITORY RUN.TOML METRICS.JSONL, with torch, tokenizers and safetensors."""
import json, sys, zipfile, torch
from pathlib import Path
from tokenizers import Tokenizer, models, pre_tokenizers, decoders, normalizers, processors, AddedToken
from safetensors.torch import save
repo = Path(sys.argv[1]); out = repo / "fuzz/seeds"; pub = repo / "tests/published"
def put(target, name, data):
    (out / target).mkdir(parents=True, exist_ok=True)
    if isinstance(data, str): data = data.encode()
    assert len(data) < 10240, (target, name, len(data))
    (out / target / name).write_bytes(data)
put("safetensors", "types", save({"f": torch.tensor([[1., -2.], [.5, 0.]]), "h": torch.ones(3).half(), "b": torch.ones(2, 2).bfloat16(), "i": torch.arange(4, dtype=torch.int32), "e": torch.zeros(0, 4), "n": torch.tensor([float("nan")])}, metadata={"format": "pt"}))
put("safetensors", "model", (pub / "heads/model-00001-of-00003.safetensors").read_bytes())
put("safetensors", "twice", (lambda h: len(h).to_bytes(8, "little") + h + b"\0" * 4)(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}'))
put("index", "safetensors", (pub / "heads/model.safetensors.index.json").read_bytes())
put("index", "torch", '{"metadata":{"total_size":8},"weight_map":{"a":"1.bin","b":"2.bin"}}')
put("index", "again", '{"weight_map":{"a":"1.bin","b":"2.bin","a":"1.bin"}}')
for path in (pub / "torch").iterdir(): put("torch", path.stem, path.read_bytes())
for name in ("shared", "protocol4", "evil", "checkpoint", "turned", "kinds"):
    with zipfile.ZipFile(pub / f"torch/{name}.bin") as z: put("pickle", name, z.read(f"{name}/data.pkl"))
put("pickle", "python2", b"\x80\x02ccollections\nOrderedDict\n](](U\x01wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + b"0X\x03\0\0\0cpuK\x04tQK\x01K\x02\x85K\x01\x85\x89}tRee\x85R.")
for path in pub.iterdir():
    if (path / "config.json").is_file(): put("config", path.name, (path / "config.json").read_bytes())
put("config", "llama31", '{"model_type":"llama","hidden_size":64,"intermediate_size":96,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"vocab_size":50,"rope_theta":500000.0,"rope_scaling":{"factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192,"rope_type":"llama3"},"hidden_act":"silu","tie_word_embeddings":false}')
put("config", "given-twice", '{"model_type":"llama","hidden_size":64,"intermediate_size":96,"num_hidden_layers":2,"num_attention_heads":4,"vocab_size":50,"max_position_embeddings":4194304,"rope_theta":10000,"rope_parameters":{"rope_theta":500000.0,"type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4.0},"original_max_position_embeddings":64.0}')
put("config", "factors", '{"hidden_size":32,"intermediate_size":96,"num_hidden_layers":2,"num_attention_heads":8,"vocab_size":50,"rope_scaling":{"rope_type":"longrope","short_factor":[1.0,2.5],"long_factor":[1.0,2.5],"attention_factor":1.0},"rope_parameters":{"rope_type":"linear","factor":2}}')
words = ["<s>", "</s>", "a", "b", "c", "d", "e", "l", "o", "w", "r", "Ġ", "lo", "wor", "Ġwor", "Ġworld", "h", "t", "i", "n", "s"]
bpe = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words + ["wo", "Ġwo", "ld", "el"])}, merges=[("l", "o"), ("w", "o"), ("wo", "r"), ("Ġ", "wor")]))
bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
bpe.decoder = decoders.ByteLevel(); bpe.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
put("tokenizer", "bpe", bpe.to_str())
tiny = {"<s>": 0, "</s>": 1, **{w: i + 2 for i, w in enumerate("a b c d e f g h i k l m n o p r s t u w y z".split())}}
llama = Tokenizer(models.BPE(vocab={"<unk>": 0, "<s>": 1, "</s>": 2, **{f"<0x{b:02X}>": 3 + b for b in range(0, 12)}, "▁": 15, "t": 16, "h": 17, "e": 18, "th": 19, "the": 20, "▁the": 21}, merges=[("t", "h"), ("th", "e"), ("▁", "the")], byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
llama.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
llama.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
put("tokenizer", "llama", llama.to_str())
uni = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁a", -1.0), ("b", -2.0), ("ab", -1.5)], unk_id=0)); uni.pre_tokenizer = pre_tokenizers.Metaspace(); uni.normalizer = normalizers.NFKC()
put("tokenizer", "unigram", uni.to_str())
wl = Tokenizer(models.WordLevel(tiny, unk_token="<s>")); wl.pre_tokenizer = pre_tokenizers.Split(__import__("tokenizers").Regex(r"\p{L}+|\d|\s"), "isolated"); wl.normalizer = normalizers.BertNormalizer()
put("tokenizer", "words", wl.to_str())
wp = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2}, unk_token="[UNK]")); wp.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
put("tokenizer", "pieces", wp.to_str())
from tokenizers import Regex
def patterns(name, normalizer, *before):
    tokenizer = Tokenizer(models.WordLevel(tiny, unk_token="<s>"))
    if normalizer: tokenizer.normalizer = normalizers.Sequence(normalizer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(p), b, invert=i) for p, b, i in before] + [pre_tokenizers.ByteLevel(use_regex=not before)])
    put("tokenizer", name, tokenizer.to_str())
patterns("classes", None, (r"[[:alpha:]&&[^a-c\p{^Lu}]]+|\R|\X|\h{,2}", "isolated", False), (r"(?i:'s|ß)|(?W)\b\w+\B", "merged_with_next", True))
patterns("groups", None, (r"(?<n>a)?(?(<n>)b|c)\k<n>|\g<m>(?<m>[^\s])|(?>x+)y++", "contiguous", False), (r"(?<=^|\s)\S|(?<!a)b(?=c)|\Kd|\G ", "removed", False))
patterns("double", [normalizers.Replace(Regex("."), "aa") for _ in range(40)])
patterns("prepend", [normalizers.Prepend("a" * 100) for _ in range(40)] + [normalizers.Replace("a", "b" * 100), normalizers.Replace("b", "c" * 100), normalizers.Replace("c", "d" * 100)])
patterns("bytes", [normalizers.ByteLevel() for _ in range(40)])
patterns("backtracks", None, (r"(?=(a+)+$)(?:a|aa)+b|(?:\s*\s*)*x", "isolated", False))
# The files beside a tokenizer.json, with a zero byte between them.
for name, files in {'class': [{'tokenizer_class': 'GPT2TokenizerFast', 'add_prefix_space': True, 'split_special_tokens': True, 'bos_token': None}], 'class-tokens': [{'tokenizer_class': 'Qwen2Tokenizer', 'added_tokens_decoder': {'25': {'content': '<|turn|>', 'lstrip': True, 'special': True}}, 'extra_special_tokens': ['<|turn|>', '<x>']}], 'decoder': [{'tokenizer_class': 'PreTrainedTokenizerFast', 'bos_token': '<s>', 'eos_token': {'__type': 'AddedToken', 'content': '<|over|>', 'lstrip': True, 'normalized': False}, 'added_tokens_decoder': {'1': {'content': '</s>', 'special': True}, '25': {'content': '<|turn|>', 'rstrip': True, 'single_word': False, 'special': True}, '27': {'content': 'lo', 'special': False}}, 'extra_special_tokens': ['<|a|>', {'__type': 'AddedToken', 'content': '<|b|>'}], 'model_max_length': 1e+30}], 'legacy': [{'bos_token': '<s>', 'image_token': '<img>', 'additional_special_tokens': ['<x>', 'wor'], 'pad_token': None}, {'eos_token': {'content': '</s>', 'lstrip': False, 'normalized': False, 'rstrip': False, 'single_word': False}, 'pad_token': '<pad>', 'extra_special_tokens': ['<y>']}, {'<z>': 25, 'lo': 12}], 'named': [{'extra_special_tokens': {'turn': '<|turn|>', 'over': '<|over|>'}, 'model_specific_special_tokens': {'v': '<v>'}, 'eos_token': '</s>'}, {'extra_special_tokens': {'w': '<w>'}}], 'code-llama': [{'tokenizer_class': 'CodeLlamaTokenizer', 'eos_token': '</s>', 'prefix_token': '<p>', 'add_prefix_space': False}], 'cohere': [{'tokenizer_class': 'CohereTokenizerFast', 'extra_special_tokens': [{'__type': 'AddedToken', 'content': 'q ', 'lstrip': True}], 'split_special_tokens': True}, {'additional_special_tokens': [{'content': 'q ', 'normalized': True}]}, {'q ': 25}], 'roberta': [{'tokenizer_class': 'RobertaTokenizer', 'cls_token': '<s>', 'sep_token': {'__type': 'AddedToken', 'content': '</s>'}, 'unk_token': None}]}.items():
    put("beside", name, b"\0".join(json.dumps(file).encode() for file in files))
# Packed.
def packed(binary):
    v, w, f = 24, 4, 36
    config = dict(hidden_size=w, intermediate_size=f, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, vocab_size=v, max_position_embeddings=32, rms_norm_eps=1e-5, rope_theta=1e4, tie_word_embeddings=True)
    t = {}
    for name, o, i in [("self_attn.q_proj", 4, w), ("self_attn.k_proj", 2, w), ("self_attn.v_proj", 2, w), ("self_attn.o_proj", w, 4), ("mlp.gate_proj", f, w), ("mlp.up_proj", f, w), ("mlp.down_proj", w, f)]:
        n = f"model.layers.0.{name}"
        if binary:
            t[n + ".signs"] = torch.ones(o, (i + 31) // 32, dtype=torch.uint32)
            t[n + ".wscale"] = torch.ones(1, i).half(); t[n + ".wbias"] = torch.zeros(1, i).half()
        else: t[n + ".weight"] = torch.ones(o, i).half()
    t["model.embed_tokens.weight"] = torch.ones(v, w).half()
    for n in ("layers.0.input_layernorm", "layers.0.post_attention_layernorm", "norm"): t[f"model.{n}.weight"] = torch.ones(w).half()
    meta = {"signet.format": "1", "config": json.dumps(config), "chat_template": "{{ messages[0].content }}", "bos_token": "<s>", "eos_token": "</s>"}
    if binary: meta["tokenizer"] = wl.to_str()
    return save(t, metadata=meta)
put("packed", "student", packed(True)); put("packed", "teacher", packed(False))
# The same with checksums, and texts that hold their own (docs/formats.md, Checksums).
import struct, xxhash
def digest(b): return "xxh3:" + xxhash.xxh3_64_hexdigest(b)
def with_sums(b):
    n = struct.unpack("<Q", b[:8])[0]; h = json.loads(b[8:8 + n]); data = b[8 + n:]; meta = h.pop("__metadata__")
    compact = dict(separators=(",", ":"), ensure_ascii=False)
    meta["signet.checksums"] = json.dumps({k: digest(data[slice(*h[k]["data_offsets"])]) for k in sorted(h)}, **compact)
    meta["signet.header"] = digest(json.dumps([dict(sorted(meta.items())), [[k, h[k]["dtype"], h[k]["shape"]] for k in sorted(h)]], **compact).encode())
    text = json.dumps({"__metadata__": meta, **h}, **compact).encode(); text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data
put("packed", "sealed", with_sums(packed(True)))
def with_own_sum(value):
    zeros = "xxh3:" + "0" * 16
    text = json.dumps({**value, "checksum": zeros}, indent=2, ensure_ascii=False, sort_keys=True)
    return text.replace('"checksum": "' + zeros, '"checksum": "' + digest(text.encode()), 1)
state = dict(format=1, step=8, cursor=8, tokens=256, seconds=0.5, best=[8, 5.25], device="cpu", cache=None, guard=dict(config=dict(enabled=True, window=64, patience=16, norm_z=12.0, loss_z=12.0, tolerate=3, rollbacks=5), history=[dict(step=8, loss=5.5, norm=0.25)], in_a_row=0, rollbacks=0, scale=dict(before=1.0, after=1.0, **{"from": 0}), full_scale=1.0, steps_since_overflow=8))
put("state", "earlier", json.dumps(state, indent=2))
def line(text): return text + "\n"
put("state", "changes", line('{"step":5,"lr":0.1}') + line('{"step":9,"sample_prompt":"a \\"b\\""}') + '{"step":12,"lr":0.2}\n')
state["checksums"] = {"config.json": digest(b"{}"), "model.safetensors": {"header": digest(b"h"), "tensors": {"model.norm.weight": digest(b"n")}}}
state["run"] = {"settings": "steps = 12\n", "variants": "{}", "changes": line('{"step":5,"lr":0.1}'), "metrics": {"bytes": 100, "checksum": digest(b"m")}}
put("state", "sealed", with_own_sum(state))
put("template", "chatml", "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe helpful<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
put("template", "llama2", "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{% if loop.index0 == 0 and system_message %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}")
put("template", "features", "{%- macro f(x, n=2) -%}{{ x.split(',')[-1] | upper }}{{ x * n }}{%- endmacro -%}{% set ns = namespace(n=0) %}{% for m in messages if m.role is defined %}{% set ns.n = ns.n + m.content | length %}{{ f(m.content.replace('i', 'xyz')) }}{% if loop.last %}{% break %}{% endif %}{% endfor %}{{ ns.n // 2 ** 3 }}{{ {'a': [1, 2.5, none, true]} | tojson(indent=2) }}{{ range(5) | list | join('-') }}{{ 'x y'.title().strip().find('Y') }}{{ '%s' | format('a') }}{{ messages | map(attribute='role') | unique | sort | join }}")
put("template", "methods", "{{ ' a b '.split(none, 1) }}{{ 'a,b'.rsplit(',', 1) }}{{ '%5.2f|%-4s|%(k)s' % {'k': 1} }}{{ '{:>5}{0!r:{1}}'.format('a', 9) }}{{ 'x'.center(7, '*').zfill(9).title().swapcase().partition('X') }}{{ {'b': [1, (2,)], 3: none}.items() | list }}{{ (1e22, 1e-7, 2 ** 70, -7 // 2) }}{{ [3, 1] | sort | batch(2) | list | tojson(indent=1, separators=(',', ':')) }}{{ 'a\\nb' | indent | wordwrap(3) | urlize | pprint }}{{ '<b>&amp;' | striptags ~ ('<' | e) }}")
put("template", "statements", "{% macro m(a, b=a) %}{{ a }}{{ varargs }}{{ kwargs }}{{ caller(1) if caller }}{% endmacro %}{% call(x) m(1, 2, 3, k=4) %}{{ x }}{% endcall %}{% for k, v in [(1, [2])] recursive %}{{ loop.changed(k) }}{{ loop.previtem }}{{ loop(v) if v[1:] }}{% else %}-{% endfor %}{% set x | upper %}y{% endset %}{% filter replace('a', 'b') %}a{% endfilter %}{% with a = 1 %}{% block q scoped %}{{ a }}{% endblock %}{% endwith %}{{ self.q() }}{% generation %}g{% endgeneration %}{% raw %}{{ }}{% endraw %}{% autoescape true %}{{ '<' ~ x }}{% endautoescape %}{% set c = cycler(1, 2) %}{{ c.next() }}")
put("template", "held", "{% set ns = namespace(x=[]) %}{% for i in range(300) %}{% set ns.x = [ns.x].count %}{% set ns.y = ns %}{% set ns.z = namespace(z=ns.z) %}{% endfor %}{{ messages | groupby('role') | map(attribute='list') | map('length') | sum }}{{ strftime_now('%d %b %Y %j %U') | length }}")
put("template", "edges", "{{ range(0, 4, 2)[::2 ** 126] | list }}{{ range(0, 2 ** 99, 2 ** 98)[::-(2 ** 62)] | list }}{{ (-2) ** 127 in range(0, -5, -1) }}{{ '{:.70000f}'.format(1.5) | length }}{{ '{:,%}'.format(1e308) }}{{ '{:0999,}'.format(1) }}{{ ('-' * 90 ~ ' a-b') | wordwrap(7) }}{% set ns = namespace(g=['a'], out='', all=[]) %}{% for i in range(40) %}{% set ns.g = ns.g | map('string') %}{% set ns.out = ns.out ~ 'x' * 400 %}{% set ns.all = ns.all + [i] %}{% endfor %}{{ ns.g | list }}{{ ns.out | length }}{{ ns.all }}")
put("template", "frames", "{% for i in range(2) %}{% for x in [1] %}{{ a }}{% endfor %}{% set a = loop.index %}{{ a }}{% if i %}{% set bos_token = 'b' %}{% endif %}{% endfor %}{% macro f(x=y) %}{{ x }}{{ messages | length }}{% set y = 1 %}{{ varargs }}{% endmacro %}{{ f(*[1, 2]) }}{% set y = 2 %}{% call f() %}{{ y }}{{ caller is defined }}{% endcall %}{% set messages = [] %}{% with q = messages, loop = 1 %}{{ q }}{{ loop }}{% set q = q + [3] %}{% endwith %}{% filter upper %}{{ z }}{% set z = 1 %}{% endfilter %}{% block b %}{{ y }}{{ self }}{% endblock %}{% generation %}{{ g }}{% set g = kwargs %}{% endgeneration %}")
put("template", "numbers", "{{ '{:<08d}{:=+08G}{:#.0e}{:z.1f}{:_b}{:^09,.2%}'.format(5, 65, 1e16, -0.01, 2 ** 40, 0.5) }}{{ '%#.0f|%010f|%-+08.3e|%c' % (1e-5, 'inf' | float, -7, 65) }}{{ -0.3 | round(0, 'ceil') }}{{ [1, 2] | batch(0) | list }}{{ (2)[1:] }}{{ {'a': 1}[:1] is defined }}{{ 'x'.encode() | int(0, 16) }}{{ nothing | truncate(5) }}{{ messages[0].x | urlencode }}{{ namespace(a=1) | urlencode }}{{ (1 > 0) in 'x'.encode() }}")
put("settings", "run.toml", (Path(sys.argv[2]).read_bytes()))
put("metrics", "run", open(sys.argv[3], "rb").read()[:6000])
# GGUF.
import gguf, numpy as np, tempfile
def ggml(tokenizer):
    path = Path(tempfile.mkdtemp()) / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for add, value in [("context_length", 32), ("embedding_length", 32), ("block_count", 1), ("feed_forward_length", 32), ("head_count", 2), ("head_count_kv", 1), ("layer_norm_rms_eps", 1e-5), ("rope_freq_base", 1e4)]:
        getattr(writer, "add_" + add)(value)
    if tokenizer == "bpe":
        words = [chr(c) for c in range(97, 123)] + ["Ġ", "th", "the", "<s>", "</s>"]
        writer.add_tokenizer_model("gpt2"); writer.add_tokenizer_pre("smollm"); writer.add_token_list(words); writer.add_token_merges(["t h", "th e"])
        writer.add_token_types([1] * 29 + [3] * 2)
    else:
        words = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(20)] + ["▁", "t", "h", "e", "th", "the", "▁the"]
        writer.add_tokenizer_model("llama"); writer.add_token_list(words); writer.add_token_scores([-float(i) for i in range(len(words))])
        writer.add_token_types([2, 3, 3] + [6] * 20 + [1] * 7)
    writer.add_bos_token_id(1); writer.add_eos_token_id(2); writer.add_chat_template("{{ messages[0].content }}")
    def tensor(name, rows, kind):
        if rows is None: return writer.add_tensor(name, np.ones(32, np.float32))
        values = np.random.default_rng(1).standard_normal((rows, 32)).astype(np.float32)
        if kind in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16): return writer.add_tensor(name, values.astype(np.float32 if kind == 0 else np.float16))
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    T = gguf.GGMLQuantizationType
    tensor("token_embd.weight", len(words), T.Q8_0)
    for name, rows, kind in [("attn_q", 32, T.Q4_0), ("attn_k", 16, T.Q4_1), ("attn_v", 16, T.Q5_0), ("attn_output", 32, T.F16), ("ffn_gate", 32, T.Q5_1), ("ffn_up", 32, T.BF16), ("ffn_down", 32, T.Q4_0)]:
        tensor(f"blk.0.{name}.weight", rows, kind)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"): tensor(name + ".weight", None, None)
    writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
    return path.read_bytes()
put("gguf", "bpe", ggml("bpe")); put("gguf", "sentence", ggml("sentence"))
# A tensor of 256 columns, so that blocks of 256 are there.
path = Path(tempfile.mkdtemp()) / "k.gguf"
writer = gguf.GGUFWriter(path, "llama")
for kind, size in [(gguf.GGMLQuantizationType.Q4_K, 144), (gguf.GGMLQuantizationType.Q5_K, 176), (gguf.GGMLQuantizationType.Q6_K, 210)]:
    writer.add_tensor(f"blk.0.{kind.name}.weight", np.arange(2 * size, dtype=np.uint8).reshape(2, size) % 120, raw_dtype=kind)
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
put("gguf", "blocks", path.read_bytes())
# Text and rows, plain and compressed.
import gzip
rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [{"text": "the world ½"}, {"token_ids": [1, 2, 3]}, {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}, {"text": ""}])
texts = "".join(json.dumps({"text": t}) + "\n" for t in ["a b", "c d e", "one\ntwo"])
put("rows", "mixed", rows); put("rows", "text", texts); put("rows", "gzip", gzip.compress(texts.encode(), mtime=0)); put("rows", "ids", '{"token_ids": [1, 2, 3]}\n{"token_ids": [4]}\n')
put("rows", "chat", '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}\n')
put("rows", "numbers", '{"messages": [{"role": "user", "content": "hi", "n": [18446744073709551616, -0, -9223372036854775809, 1e400, -0.0, NaN]}], "tools": [{"x": 340282366920938463463374607431768211456}]}\n')
put("text", "plain", "the world is wide\n\nand à la carte\r\n" * 3); put("text", "gzip", gzip.compress(b"the world is wide\n" * 20, mtime=0))
import subprocess
zstd = lambda text: subprocess.run(["zstd", "-q", "-c"], input=text, stdout=subprocess.PIPE, check=True).stdout
put("rows", "zstd", zstd(texts.encode())); put("text", "zstd", zstd(b"the world is wide\n" * 20))
# Files as others leave them: byte order marks, other encodings, numbers that JSON has not, zeros behind.
over = '\ufeff{"text": "one row", "score": NaN}\n\ufeff{"text": "half \\ud83d of a pair", "low": [-Infinity]}\n{"text": null}\n'
put("rows", "over", over); put("rows", "padded", gzip.compress(texts.encode(), mtime=0) + b"\0" * 64 + gzip.compress(b'{"text": "x"}\n', mtime=0) + b"\0" * 512)
put("text", "mark", "\ufeffthe world is wide\n"); put("text", "wide", "\ufeffthe world".encode("utf-16-le")); put("text", "pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
put("json", "numbers", '{"a": NaN, "b": [-Infinity, 1e5, Infinity], "c": "NaN and \\"Infinity\\""}'); put("json", "surrogates", '["\\ud83d\\ude00", "\\ud83d", "\\udc00x", "\\\\ud83d"]')
put("json", "error", '{"error": "Repository not found"}'); put("json", "page", "\ufeff <!DOCTYPE html><html></html>"); put("json", "wide", '{"a": 1}'.encode("utf-16-le"))
put("index", "below", '{"metadata":{},"weight_map":{"a":"parts/1.bin","b":"parts/of/2.bin"}}')
put("config", "over", '{"hidden_size":64,"intermediate_size":96,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":null,"vocab_size":50,"hidden_act":"swish","note":NaN,"name":"\\ud83d"}')
header = b'{"__metadata__":null,"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]},"b":{"dtype":"F8_E4M3","shape":[1,4],"data_offsets":[16,20]}}'
put("safetensors", "doubles", len(header).to_bytes(8, "little") + header + bytes(range(20)))
# A task and rows for it, a zero byte between.
for name, row in [("boolq", {"passage": "b", "title": "A", "question": "is it", "answer": True}), ("arc_easy", {"question": "Why?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"}), ("winogrande", {"sentence": "It was _ that fell.", "option1": "he", "option2": "she", "answer": "1"}), ("hellaswag", {"activity_label": "Dance", "ctx_a": "A man.", "ctx_b": "he", "ctx": "A man. he", "endings": ["x [y] z", "w"], "label": "0"})]:
    put("task", name, (repo / f"assets/tasks/{name}.toml").read_text() + "\0" + json.dumps(row) + "\n")
