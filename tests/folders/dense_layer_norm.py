"""Architectures with LayerNorm: BLOOM, Falcon, GPT-2, GPT-NeoX, MPT, StableLM, StarCoder 2."""
import math

from dense_layer_norm_recipes import RECIPES  # noqa: F401
from lists import *
from rope_frequencies import rope

ACTIVATIONS = {"gelu": gelu, "gelu_new": gelu_tanh, "gelu_pytorch_tanh": gelu_tanh, "relu": relu, "silu": silu}
# Names of the tensors. A layer's follow `layer` + its number + ".".
LIKE_LLAMA = {"root": "model.", "table": "embed_tokens", "layer": "layers.", "last": "norm", "before": "input_layernorm",
              "between": "post_attention_layernorm", "out": "self_attn.o_proj", "qkv": "self_attn.{}_proj"}
LIKE_BLOOM = {"root": "transformer.", "table": "word_embeddings", "layer": "h.", "last": "ln_f", "before": "input_layernorm",
              "between": "post_attention_layernorm", "out": "self_attention.dense", "qkv": "self_attention.query_key_value",
              "up": "mlp.dense_h_to_4h", "down": "mlp.dense_4h_to_h"}
NAMES = {
    "bloom": LIKE_BLOOM,
    "falcon": LIKE_BLOOM,
    "gpt2": {"root": "transformer.", "table": "wte", "layer": "h.", "last": "ln_f", "before": "ln_1", "between": "ln_2",
             "out": "attn.c_proj", "qkv": "attn.c_attn", "up": "mlp.c_fc", "down": "mlp.c_proj"},
    "gpt_neox": {**LIKE_BLOOM, "root": "gpt_neox.", "table": "embed_in", "layer": "layers.", "last": "final_layer_norm",
                 "out": "attention.dense", "qkv": "attention.query_key_value", "head": "embed_out"},
    "mpt": {"root": "transformer.", "table": "wte", "layer": "blocks.", "last": "norm_f", "before": "norm_1",
            "between": "norm_2", "out": "attn.out_proj", "qkv": "attn.Wqkv", "up": "ffn.up_proj", "down": "ffn.down_proj"},
    "stablelm": {**LIKE_LLAMA, "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"},
    "starcoder2": {**LIKE_LLAMA, "up": "mlp.c_fc", "down": "mlp.c_proj"},
}
NAMES["RefinedWeb"] = NAMES["RefinedWebModel"] = LIKE_BLOOM


def slopes(heads, largest):
    """ALiBi's: of the next power of two, the even ones before the odd ones where that is more than there are heads."""
    power = 2 ** math.ceil(math.log2(heads))
    every = [2.0 ** (-largest * (i + 1) / power) for i in range(power)]
    return every if power == heads else (every[1::2] + every[::2])[:heads]


def read(c):
    """What a configuration means, in the same words for all."""
    kind = "falcon" if c["model_type"].startswith("Refined") else c["model_type"]

    def first(default, *keys):
        return next((c[key] for key in keys if c.get(key) is not None), default)

    hidden = first(None, "n_embed", "hidden_size", "n_embd", "d_model")
    heads = first(None, "num_attention_heads", "n_head", "n_heads")
    m = {
        "kind": kind, "names": NAMES[kind], "hidden": hidden, "heads": heads,
        "layers": first(None, "num_hidden_layers", "n_layer", "n_layers"), "kv_heads": heads, "size": hidden // heads,
        "width": first(4 * hidden, "intermediate_size", "ffn_hidden_size", "n_inner"),
        "eps": first(1e-5, "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon"),
        "act": ACTIVATIONS[first("gelu", "activation_function", "activation", "hidden_act")],
        "tied": first(kind not in ("gpt_neox", "stablelm"), "tie_word_embeddings"), "norm_bias": True,
        "qkv_bias": True, "out_bias": True, "up_bias": True, "parallel": False, "norms": 2, "table_norm": False,
        "slopes": None, "rope": None, "clip": None, "window": None, "head_norms": False,
        # How the rows of a q, k, v tensor lie: all of q first, or group by group; None: a tensor each.
        "fused": "stacked",
    }
    m["scale"] = m["size"] ** -0.5
    if kind == "bloom":
        m.update(fused="groups", slopes=slopes(heads, 8), table_norm=True, act=gelu_tanh)
    if kind == "gpt2":
        m.update(act=ACTIVATIONS[c.get("activation_function", "gelu_new")],
                 scale=m["scale"] if c.get("scale_attn_weights", True) else 1.0)
    if kind == "gpt_neox":
        bias = c.get("attention_bias", True)
        m.update(fused="groups", parallel=c.get("use_parallel_residual", True), qkv_bias=bias, out_bias=bias,
                 rope={"base_key": "rotary_emb_base", "part_key": "rotary_pct", "part": 0.25})
    if kind == "mpt":
        attention = c.get("attn_config") or {}
        m.update(slopes=slopes(heads, attention.get("alibi_bias_max", 8)), clip=attention.get("clip_qkv"), norm_bias=False,
                 scale=attention.get("softmax_scale") or m["scale"], qkv_bias=False, out_bias=False, up_bias=False)
    if kind == "stablelm":
        parallel = c.get("use_parallel_residual", False)
        m.update(fused=None, kv_heads=c["num_key_value_heads"], act=ACTIVATIONS[c.get("hidden_act", "silu")],
                 qkv_bias=c.get("use_qkv_bias", False), out_bias=False, up_bias=False, parallel=parallel,
                 norms=1 if parallel else 2, head_norms=c.get("qk_layernorm", False), rope={"part": 0.25})
    if kind == "starcoder2":
        bias = c.get("use_bias", True)
        size = c.get("head_dim") or m["size"]
        m.update(fused=None, kv_heads=c.get("num_key_value_heads", 2), size=size, scale=size ** -0.5, rope={},
                 act=ACTIVATIONS[c.get("hidden_act", "gelu_pytorch_tanh")], qkv_bias=bias, out_bias=bias, up_bias=bias,
                 window=c.get("sliding_window"))
    if kind == "falcon":
        # RefinedWeb had its groups before they were called a new architecture.
        new = c.get("new_decoder_architecture", "n_head_kv" in c)
        groups = first(heads, "num_kv_heads", "n_head_kv")
        bias = c.get("bias", False)
        m.update(fused="groups", kv_heads=groups if new else 1 if c.get("multi_query", True) else heads, qkv_bias=bias,
                 out_bias=bias, up_bias=bias, parallel=new or c.get("parallel_attn", True))
        two = new and first(2, "num_ln_in_parallel_attn") == 2
        m["norms"] = 2 if two or not m["parallel"] else 1
        if two:
            m["names"] = {**m["names"], "before": "ln_attn", "between": "ln_mlp"}
        if c.get("alibi"):
            # The slopes are added before the scale, which is the size's root here too.
            m["slopes"] = [slope * m["scale"] for slope in slopes(heads, 8)]
        else:
            m["rope"] = {}
    return m


def weights(c):
    m = read(c)
    w = Weights(22)
    names, hidden, size = m["names"], m["hidden"], m["size"]
    turned_over = m["kind"] == "gpt2"

    def norm(name):
        w.make(name + ".weight", [hidden], 0.2, 1)
        if m["norm_bias"]:
            w.make(name + ".bias", [hidden], 0.2)

    def matrix(name, rows, cols, bias):
        w.make(name + ".weight", [cols, rows] if turned_over else [rows, cols], 1.5 / math.sqrt(cols))
        if bias:
            w.make(name + ".bias", [rows], 0.2)

    root = names["root"]
    w.make(f"{root}{names['table']}.weight", [c["vocab_size"], hidden], 0.5)
    norm(root + names["last"])
    if m["table_norm"]:
        norm(root + "word_embeddings_layernorm")
    if m["kind"] == "gpt2":
        w.make(root + "wpe.weight", [c["n_positions"], hidden], 0.3)
    if not m["tied"]:
        w.make(names.get("head", "lm_head") + ".weight", [c["vocab_size"], hidden])
    for i in range(m["layers"]):
        p = f"{root}{names['layer']}{i}."
        norm(p + names["before"])
        if m["norms"] == 2:
            norm(p + names["between"])
        heads = {"q": m["heads"], "k": m["kv_heads"], "v": m["kv_heads"]}
        if m["fused"]:
            matrix(p + names["qkv"], sum(heads.values()) * size, hidden, m["qkv_bias"])
        else:
            for part, count in heads.items():
                matrix(p + names["qkv"].format(part), count * size, hidden, m["qkv_bias"])
        matrix(p + names["out"], hidden, m["heads"] * size, m["out_bias"])
        for part in ("gate", "up") if "gate" in names else ("up",):
            matrix(p + names[part], m["width"], hidden, m["up_bias"])
        matrix(p + names["down"], hidden, m["width"], m["up_bias"])
        if m["head_norms"]:
            for part in ("q", "k"):
                for h in range(heads[part]):
                    w.make(f"{p}self_attn.{part}_layernorm.norms.{h}.weight", [size], 0.2, 1)
    return w


def columns(w, name, x):
    """As linear, for a matrix that is stored [inputs][outputs]."""
    out = w.flat(name + ".bias")
    for value, row in zip(x, w.matrix(name + ".weight")):
        out = [o + value * v for o, v in zip(out, row)]
    return out


def biased_attention(m, q, keys, values):
    """For each key before the last one, the score loses the head's slope."""
    group = len(q) // len(keys[0])
    out = []
    for h, head in enumerate(q):
        scores = [m["scale"] * dot(head, k[h // group]) for k in keys]
        parts = softmax([s - m["slopes"][h] * (len(keys) - 1 - j) for j, s in enumerate(scores)])
        for d in range(len(head)):
            out.append(sum(part * v[h // group][d] for part, v in zip(parts, values)))
    return out


def logits(c, w, tokens):
    m = read(c)
    names = m["names"]
    root = names["root"]
    table = w.matrix(f"{root}{names['table']}.weight")
    turned = rope(c, m["size"], len(tokens), **m["rope"]) if m["rope"] is not None else lambda head, position: head
    apply = columns if m["kind"] == "gpt2" else linear
    kept = [([], []) for _ in range(m["layers"])]

    def norm(x, name, bias=m["norm_bias"]):
        weight = w.flat(name + ".weight")
        return layer_norm(x, weight, w.flat(name + ".bias") if bias else [0.0] * len(x), m["eps"])

    def projected(p, x):
        if not m["fused"]:
            return [heads_of(linear(w, p + names["qkv"].format(part), x), m["size"]) for part in ("q", "k", "v")]
        every = apply(w, p + names["qkv"], x)
        if m["clip"]:
            every = [min(max(v, -m["clip"]), m["clip"]) for v in every]
        every = heads_of(every, m["size"])
        if m["fused"] == "stacked":
            return [every[i * m["heads"]:(i + 1) * m["heads"]] for i in range(3)]
        groups = heads_of(every, m["heads"] // m["kv_heads"] + 2)
        return [head for g in groups for head in g[:-2]], [g[-2] for g in groups], [g[-1] for g in groups]

    def attended(i, p, x, position):
        q, k, v = projected(p, x)
        if m["head_norms"]:
            q, k = ([norm(head, f"{p}self_attn.{part}_layernorm.norms.{h}", False) for h, head in enumerate(heads)]
                    for part, heads in (("q", q), ("k", k)))
        keys, values = kept[i]
        keys.append([turned(head, position) for head in k])
        values.append(v)
        q = [turned(head, position) for head in q]
        first = max(0, position + 1 - m["window"]) if m["window"] else 0
        if m["slopes"]:
            mixed = biased_attention(m, q, keys, values)
        else:
            scale = m["scale"] / (i + 1) if c.get("scale_attn_by_inverse_layer_idx") else m["scale"]
            mixed = attention(q, keys[first:], values[first:], scale)
        return apply(w, p + names["out"], mixed)

    def fed_forward(p, x):
        if "gate" in names:
            inner = times([m["act"](v) for v in linear(w, p + names["gate"], x)], linear(w, p + names["up"], x))
        else:
            inner = [m["act"](v) for v in apply(w, p + names["up"], x)]
        return apply(w, p + names["down"], inner)

    rows = []
    for position, token in enumerate(tokens):
        x = table[token]
        if m["kind"] == "gpt2":
            x = plus(x, w.matrix(root + "wpe.weight")[position])
        if m["table_norm"]:
            x = norm(x, root + "word_embeddings_layernorm")
        for i in range(m["layers"]):
            p = f"{root}{names['layer']}{i}."
            before = norm(x, p + names["before"])
            after = plus(x, attended(i, p, before, position))
            if m["parallel"]:
                x = plus(after, fed_forward(p, before if m["norms"] == 1 else norm(x, p + names["between"])))
            else:
                x = plus(after, fed_forward(p, norm(after, p + names["between"])))
        x = norm(x, root + names["last"])
        rows.append(product(table, x) if m["tied"] else linear(w, names.get("head", "lm_head"), x))
    return rows
