"""Llama 4 (text): attention in chunks, layers without RoPE, q/k norm without weights after RoPE, queries that grow with the
position, experts whose input is weighted beside a shared one."""
from lists import *
from ropes import parameters, table, turned

TYPES = {True: "chunked_attention", False: "full_attention"}


def config(**changes):
    made = {
        "model_type": "llama4_text", "vocab_size": 259, "hidden_size": 96, "intermediate_size": 44, "num_hidden_layers": 4,
        "intermediate_size_mlp": 88, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 24, "hidden_act": "silu",
        "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "attention_bias": False,
        "num_local_experts": 4, "num_experts_per_tok": 1, "moe_layers": [1, 3], "interleave_moe_layer_step": 2,
        "use_qk_norm": True, "no_rope_layers": [1, 1, 0, 1], "no_rope_layer_interval": 4, "attention_chunk_size": 8,
        "layer_types": ["chunked_attention", "chunked_attention", "full_attention", "chunked_attention"],
        "attn_temperature_tuning": True, "floor_scale": 5, "attn_scale": 0.3,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
    }
    made.update(changes)
    made = {key: value for key, value in made.items() if value is not ...}
    if made["model_type"] == "llama4":
        return {"architectures": ["Llama4ForConditionalGeneration"], "model_type": "llama4",
                "text_config": dict(made, model_type="llama4_text")}
    return made


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
# As Scout is published: no band between the frequencies that stay and those that are divided.
STEP = dict(LLAMA3, factor=16.0, high_freq_factor=1.0)
RECIPES = {
    "llama4_text": config(),
    "llama4_text-two": config(num_experts_per_tok=2, attention_bias=True, use_qk_norm=False, attn_temperature_tuning=False,
                              moe_layers=[0, 1, 3], rope_parameters=dict(LLAMA3, rope_theta=10000.0)),
    "llama4_text-defaults": config(moe_layers=..., no_rope_layers=..., layer_types=..., use_qk_norm=..., floor_scale=...,
                                   attn_scale=..., attn_temperature_tuning=..., attention_chunk_size=7, rms_norm_eps=...,
                                   rope_parameters=..., num_experts_per_tok=..., no_rope_layer_interval=2,
                                   interleave_moe_layer_step=..., tie_word_embeddings=...),
    # As quantizers write the experts, a tensor each.
    "llama4_text-each": config(_form="each", no_rope_layers=[1, 0, 1, 1], layer_types=..., attn_temperature_tuning=4),
    "llama4": config(model_type="llama4", attention_chunk_size=9, interleave_moe_layer_step=2, moe_layers=...,
                     rope_parameters=..., rope_theta=20000.0, rope_scaling=STEP),
}


def text(full):
    c = dict(full.get("text_config", full))
    layers = range(c["num_hidden_layers"])
    step = c.setdefault("interleave_moe_layer_step", 1)
    c.setdefault("moe_layers", list(range(step - 1, c["num_hidden_layers"], step)))
    every = c.setdefault("no_rope_layer_interval", 4)
    c.setdefault("no_rope_layers", [int((i + 1) % every != 0) for i in layers])
    c.setdefault("layer_types", [TYPES[c["no_rope_layers"][i] != 0] for i in layers])
    for key, value in (("use_qk_norm", True), ("attn_temperature_tuning", True), ("floor_scale", 8192), ("attn_scale", 0.1),
                       ("num_experts_per_tok", 1), ("rms_norm_eps", 1e-5), ("tie_word_embeddings", False)):
        c.setdefault(key, value)
    return c, "language_model." if "text_config" in full else ""


def weights(full):
    c, root = text(full)
    w = Weights(11)
    hidden, size, width, count = c["hidden_size"], c["head_dim"], c["intermediate_size"], c["num_local_experts"]

    linear = w.linear

    def mlp(p, width):
        linear(p + "gate_proj", width, hidden)
        linear(p + "up_proj", width, hidden)
        linear(p + "down_proj", hidden, width)

    w.make(root + "model.embed_tokens.weight", [c["vocab_size"], hidden], 0.1)
    w.make(root + "model.norm.weight", [hidden], 0.2, 1)
    linear(root + "lm_head", c["vocab_size"], hidden)
    for i in range(c["num_hidden_layers"]):
        p = f"{root}model.layers.{i}."
        w.make(p + "input_layernorm.weight", [hidden], 0.2, 1)
        w.make(p + "post_attention_layernorm.weight", [hidden], 0.2, 1)
        for name, heads in (("q", c["num_attention_heads"]), ("k", c["num_key_value_heads"]), ("v", c["num_key_value_heads"])):
            linear(f"{p}self_attn.{name}_proj", heads * size, hidden, c["attention_bias"])
        linear(p + "self_attn.o_proj", hidden, c["num_attention_heads"] * size, c["attention_bias"])
        p += "feed_forward."
        if i not in c["moe_layers"]:
            mlp(p, c["intermediate_size_mlp"])
            continue
        linear(p + "router", count, hidden)
        mlp(p + "shared_expert.", width)
        if c.get("_form") == "each":
            for e in range(count):
                mlp(f"{p}experts.{e}.", width)
            continue
        w.make(p + "experts.gate_up_proj", [count, hidden, 2 * width], 1.5 / math.sqrt(hidden))
        w.make(p + "experts.down_proj", [count, width, hidden], 1.5 / math.sqrt(width))
    return w


def by_inputs(matrix, x):
    """matrix [inputs][outputs]."""
    return [dot(column, x) for column in zip(*matrix)]


def experts(c, w, p, x):
    scores = linear(w, p + "router", x)
    out = mlp(w, p + "shared_expert.", x)
    for e in sorted(range(len(scores)), key=lambda e: -scores[e])[:c["num_experts_per_tok"]]:
        if c.get("_form") == "each":
            out = plus(out, mlp(w, f"{p}experts.{e}.", scaled(x, sigmoid(scores[e]))))
            continue
        both = by_inputs(w.stack(p + "experts.gate_up_proj")[e], scaled(x, sigmoid(scores[e])))
        half = len(both) // 2
        inner = times([silu(v) for v in both[:half]], both[half:])
        out = plus(out, by_inputs(w.stack(p + "experts.down_proj")[e], inner))
    return out


def attended(c, w, p, x, position, layer, made, kept):
    size, eps = c["head_dim"], c["rms_norm_eps"]
    q, k, v = (heads_of(linear(w, f"{p}{name}_proj", x), size) for name in "qkv")
    if c["no_rope_layers"][layer]:
        q, k = ([turned(h, position, made, True) for h in heads] for heads in (q, k))
        if c["use_qk_norm"]:
            q, k = ([rms_norm(h, None, eps) for h in heads] for heads in (q, k))
    elif c["attn_temperature_tuning"]:
        factor = 1 + c["attn_scale"] * math.log(1 + (position + 1) // c["floor_scale"])
        q = [scaled(h, factor) for h in q]
    keys, values = kept.setdefault("keys", []), kept.setdefault("values", [])
    keys.append(k)
    values.append(v)
    chunk = c["attention_chunk_size"]
    first = position // chunk * chunk if c["layer_types"][layer] == "chunked_attention" else 0
    return linear(w, p + "o_proj", attention(q, keys[first:], values[first:], size ** -0.5))


def logits(full, w, tokens):
    c, root = text(full)
    kept = [{} for _ in range(c["num_hidden_layers"])]
    embedding = w.matrix(root + "model.embed_tokens.weight")
    rope = parameters(c)
    rope["rope_theta"] = rope["rope_theta"] or 500000.0
    made = table(rope, c["head_dim"], c["max_position_embeddings"])
    rows = []
    for position, token in enumerate(tokens):
        x = embedding[token]
        for i in range(c["num_hidden_layers"]):
            p = f"{root}model.layers.{i}."
            normed = rms_norm(x, w.flat(p + "input_layernorm.weight"), c["rms_norm_eps"])
            x = plus(x, attended(c, w, p + "self_attn.", normed, position, i, made, kept[i]))
            normed = rms_norm(x, w.flat(p + "post_attention_layernorm.weight"), c["rms_norm_eps"])
            p += "feed_forward."
            x = plus(x, experts(c, w, p, normed) if i in c["moe_layers"] else mlp(w, p, normed))
        x = rms_norm(x, w.flat(root + "model.norm.weight"), c["rms_norm_eps"])
        rows.append(product(w.matrix(root + "lm_head.weight"), x))
    return rows
