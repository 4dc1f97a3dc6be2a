"""gpt-oss: sinks beside the keys, every other layer slides, experts with biases and a clamped SwiGLU, YaRN."""
from lists import *
from ropes import parameters, table, turned

PREFIX = "model."


def config(**changes):
    made = {
        "model_type": "gpt_oss", "vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_hidden_layers": 4,
        "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 24, "hidden_act": "silu",
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "attention_bias": True,
        "num_local_experts": 5, "num_experts_per_tok": 2, "sliding_window": 7,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "rope_parameters": {"rope_type": "yarn", "rope_theta": 150000.0, "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
                            "truncate": False, "original_max_position_embeddings": 4096},
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value is not ...}


RECIPES = {
    "gpt_oss": config(),
    "gpt_oss-bf16": config(_type="BF16", intermediate_size=60, hidden_size=72),
    "gpt_oss-plain": config(attention_bias=False, layer_types=["full_attention", "full_attention", "sliding_attention",
                                                               "full_attention"],
                            swiglu_limit=3.0, swiglu_alpha=1.5, tie_word_embeddings=True,
                            rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    "gpt_oss-defaults": config(layer_types=..., rope_parameters=..., rms_norm_eps=..., attention_bias=...,
                               num_experts_per_tok=..., hidden_act=..., tie_word_embeddings=...),
    "gpt_oss-old-rope": config(rope_parameters=..., rope_theta=20000.0,
                               rope_scaling={"rope_type": "yarn", "factor": 8.0, "beta_fast": 32.0, "beta_slow": 1.0,
                                             "truncate": True, "original_max_position_embeddings": 64}),
}
YARN = RECIPES["gpt_oss"]["rope_parameters"]


def weights(c):
    w = Weights(10, c.get("_type", "F32"))
    hidden, size, width, count = c["hidden_size"], c["head_dim"], c["intermediate_size"], c["num_local_experts"]
    bias = c.get("attention_bias", True)

    linear = w.linear

    w.make(PREFIX + "embed_tokens.weight", [c["vocab_size"], hidden], 0.1)
    w.make(PREFIX + "norm.weight", [hidden], 0.2, 1)
    if not c.get("tie_word_embeddings"):
        linear("lm_head", c["vocab_size"], hidden)
    for i in range(c["num_hidden_layers"]):
        p = f"{PREFIX}layers.{i}."
        w.make(p + "input_layernorm.weight", [hidden], 0.2, 1)
        w.make(p + "post_attention_layernorm.weight", [hidden], 0.2, 1)
        for name, heads in (("q", c["num_attention_heads"]), ("k", c["num_key_value_heads"]), ("v", c["num_key_value_heads"])):
            linear(f"{p}self_attn.{name}_proj", heads * size, hidden, bias)
        linear(p + "self_attn.o_proj", hidden, c["num_attention_heads"] * size, bias)
        w.make(p + "self_attn.sinks", [c["num_attention_heads"]], 1)
        linear(p + "mlp.router", count, hidden, True)
        w.make(p + "mlp.experts.gate_up_proj", [count, hidden, 2 * width], 4 / math.sqrt(hidden))
        w.make(p + "mlp.experts.gate_up_proj_bias", [count, 2 * width], 0.5)
        w.make(p + "mlp.experts.down_proj", [count, width, hidden], 0.3 / math.sqrt(width))
        w.make(p + "mlp.experts.down_proj_bias", [count, hidden], 0.2)
    return w


def by_inputs(matrix, x):
    """matrix [inputs][outputs]."""
    return [dot(column, x) for column in zip(*matrix)]


def experts(c, w, p, x):
    scores = linear(w, p + "router", x)
    chosen = sorted(range(len(scores)), key=lambda e: -scores[e])[:c.get("num_experts_per_tok", 4)]
    limit, alpha = c.get("swiglu_limit", 7.0), c.get("swiglu_alpha", 1.702)
    p += "experts."
    out = [0.0] * len(x)
    for e, factor in zip(chosen, softmax([scores[e] for e in chosen])):
        both = plus(by_inputs(w.stack(p + "gate_up_proj")[e], x), w.matrix(p + "gate_up_proj_bias")[e])
        gate, up = [min(v, limit) for v in both[::2]], [min(max(v, -limit), limit) for v in both[1::2]]
        inner = [(u + 1) * g * sigmoid(alpha * g) for g, u in zip(gate, up)]
        made = plus(by_inputs(w.stack(p + "down_proj")[e], inner), w.matrix(p + "down_proj_bias")[e])
        out = plus(out, scaled(made, factor))
    return out


def attended(c, w, p, x, position, made, kept, window):
    size = c["head_dim"]
    keys, values = kept.setdefault("keys", []), kept.setdefault("values", [])
    q, k, v = (heads_of(linear(w, f"{p}{name}_proj", x), size) for name in "qkv")
    keys.append([turned(h, position, made) for h in k])
    values.append(v)
    first = max(0, position + 1 - window) if window else 0
    group = len(q) // len(k)
    out = []
    for h, (head, sink) in enumerate(zip(q, w.flat(p + "sinks"))):
        head = turned(head, position, made)
        seen = [size ** -0.5 * dot(head, key[h // group]) for key in keys[first:]]
        mixed = [0.0] * size
        for factor, value in zip(softmax(seen + [sink]), values[first:]):
            mixed = plus(mixed, scaled(value[h // group], factor))
        out += mixed
    return linear(w, p + "o_proj", out)


def logits(c, w, tokens):
    kept = [{} for _ in range(c["num_hidden_layers"])]
    embedding, eps = w.matrix(PREFIX + "embed_tokens.weight"), c.get("rms_norm_eps", 1e-5)
    types = c.get("layer_types") or ["sliding_attention", "full_attention"] * 2
    old = "rope_scaling" in c or "rope_parameters" in c
    made = table(parameters(c) if old else YARN, c["head_dim"], c["max_position_embeddings"])
    rows = []
    for position, token in enumerate(tokens):
        x = embedding[token]
        for i in range(c["num_hidden_layers"]):
            p = f"{PREFIX}layers.{i}."
            normed = rms_norm(x, w.flat(p + "input_layernorm.weight"), eps)
            window = c["sliding_window"] if types[i] == "sliding_attention" else 0
            x = plus(x, attended(c, w, p + "self_attn.", normed, position, made, kept[i], window))
            normed = rms_norm(x, w.flat(p + "post_attention_layernorm.weight"), eps)
            x = plus(x, experts(c, w, p + "mlp.", normed))
        x = rms_norm(x, w.flat(PREFIX + "norm.weight"), eps)
        rows.append(product(embedding if c.get("tie_word_embeddings") else w.matrix("lm_head.weight"), x))
    return rows
