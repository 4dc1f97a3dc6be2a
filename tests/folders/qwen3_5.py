"""Qwen 3.5 (text): gated DeltaNet with projections of their own, gated attention, a dense feed-forward or experts."""
import math

from lists import *

PREFIX = "model.language_model."


def config(**changes):
    text = {
        "model_type": "qwen3_5_text", "vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_hidden_layers": 4,
        "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 24, "hidden_act": "silu",
        "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "tie_word_embeddings": False,
        "layer_types": ["linear_attention", "full_attention"] * 2, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 12,
        "linear_value_head_dim": 20, "linear_num_key_heads": 2, "linear_num_value_heads": 6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25,
                            "mrope_interleaved": True, "mrope_section": [1, 1, 1]},
    }
    text.update(changes)
    kind = text["model_type"].replace("_text", "")
    return {"model_type": kind, "tie_word_embeddings": False, "text_config": text}


RECIPES = {
    "qwen3_5": config(),
    "qwen3_5-experts": config(model_type="qwen3_5_moe_text", num_experts=5, num_experts_per_tok=2, moe_intermediate_size=28,
                              shared_expert_intermediate_size=36),
}


def weights(full):
    c = full["text_config"]
    w = Weights(5)
    hidden, vocabulary = c["hidden_size"], c["vocab_size"]
    keys = c["linear_num_key_heads"] * c["linear_key_head_dim"]
    heads, values = c["linear_num_value_heads"], c["linear_num_value_heads"] * c["linear_value_head_dim"]

    def norm(name, size):
        w.make(name + ".weight", [size], 0.2)  # 1 is added

    w.make(PREFIX + "embed_tokens.weight", [vocabulary, hidden], 0.7)
    w.make("lm_head.weight", [vocabulary, hidden])
    norm(PREFIX + "norm", hidden)
    for i in range(c["num_hidden_layers"]):
        p = f"{PREFIX}layers.{i}."
        norm(p + "input_layernorm", hidden)
        norm(p + "post_attention_layernorm", hidden)
        if c["layer_types"][i] == "full_attention":
            size = c["head_dim"]
            w.make(p + "self_attn.q_proj.weight", [2 * c["num_attention_heads"] * size, hidden])
            for name in ("k", "v"):
                w.make(f"{p}self_attn.{name}_proj.weight", [c["num_key_value_heads"] * size, hidden])
            w.make(p + "self_attn.o_proj.weight", [hidden, c["num_attention_heads"] * size])
            norm(p + "self_attn.q_norm", size)
            norm(p + "self_attn.k_norm", size)
        else:
            p += "linear_attn."
            w.make(p + "in_proj_qkv.weight", [2 * keys + values, hidden])
            w.make(p + "in_proj_z.weight", [values, hidden])
            w.make(p + "in_proj_b.weight", [heads, hidden])
            w.make(p + "in_proj_a.weight", [heads, hidden])
            w.make(p + "conv1d.weight", [2 * keys + values, 1, c["linear_conv_kernel_dim"]], 0.5)
            w.make(p + "A_log", [heads], 0.5)
            w.make(p + "dt_bias", [heads], 0.5)
            w.make(p + "norm.weight", [c["linear_value_head_dim"]], 0.2, 1)
            w.make(p + "out_proj.weight", [hidden, values])
        feed_forward_weights(c, w, f"{PREFIX}layers.{i}.mlp.")
    return w


def feed_forward_weights(c, w, p):
    hidden = c["hidden_size"]

    def gated_weights(name, width):
        w.make(name + "gate_proj.weight", [width, hidden])
        w.make(name + "up_proj.weight", [width, hidden])
        w.make(name + "down_proj.weight", [hidden, width])

    if "num_experts" not in c:
        gated_weights(p, c["intermediate_size"])
        return
    width = c["moe_intermediate_size"]
    w.make(p + "gate.weight", [c["num_experts"], hidden])
    w.make(p + "experts.gate_up_proj", [c["num_experts"], 2 * width, hidden])
    w.make(p + "experts.down_proj", [c["num_experts"], hidden, width])
    gated_weights(p + "shared_expert.", c["shared_expert_intermediate_size"])
    w.make(p + "shared_expert_gate.weight", [1, hidden])


def gated(gate, up, down, x):
    return product(down, times([silu(v) for v in product(gate, x)], product(up, x)))


def feed_forward(c, w, p, x):
    def dense(name):
        return gated(*(w.matrix(p + name + part + "_proj.weight") for part in ("gate", "up", "down")), x)

    if "num_experts" not in c:
        return dense("")
    scores = softmax(product(w.matrix(p + "gate.weight"), x))
    chosen = sorted(range(len(scores)), key=lambda e: -scores[e])[:c["num_experts_per_tok"]]
    total = sum(scores[e] for e in chosen)
    out = scaled(dense("shared_expert."), sigmoid(dot(w.flat(p + "shared_expert_gate.weight"), x)))
    for e in chosen:
        both = w.stack(p + "experts.gate_up_proj")[e]
        half = len(both) // 2
        out = plus(out, scaled(gated(both[:half], both[half:], w.stack(p + "experts.down_proj")[e], x), scores[e] / total))
    return out


def unit(x):
    return scaled(x, 1 / math.sqrt(dot(x, x) + 1e-6))


def delta_net(c, w, p, x, kept):
    qkv, z, b, a = (product(w.matrix(f"{p}in_proj_{name}.weight"), x) for name in ("qkv", "z", "b", "a"))
    return delta_rule(c, w, p, qkv, z, b, a, kept)


def delta_rule(c, w, p, qkv, z, b, a, kept):
    """kept: the last inputs of the convolution, and a matrix [key][value] for each head."""
    taps = w.matrix(p + "conv1d.weight")
    kept.setdefault("inputs", [[0.0] * len(taps)] * (len(taps[0]) - 1))
    window = kept["inputs"] + [qkv]
    kept["inputs"] = window[1:]
    mixed = [silu(sum(t * row[i] for t, row in zip(tap, window))) for i, tap in enumerate(taps)]
    key_size, value_size = c["linear_key_head_dim"], c["linear_value_head_dim"]
    keys = c["linear_num_key_heads"] * key_size
    q, k = (heads_of(part, key_size) for part in (mixed[:keys], mixed[keys:2 * keys]))
    v, z = heads_of(mixed[2 * keys:], value_size), heads_of(z, value_size)
    beta = [sigmoid(v) for v in b]
    rate = [-math.exp(v) * softplus(s + bias) for v, s, bias in zip(w.flat(p + "A_log"), a, w.flat(p + "dt_bias"))]
    states = kept.setdefault("states", [[[0.0] * value_size for _ in range(key_size)] for _ in v])
    out = []
    for h, value in enumerate(v):
        group = h // (len(v) // len(q))
        key, query = unit(k[group]), scaled(unit(q[group]), key_size ** -0.5)
        state = [scaled(row, math.exp(rate[h])) for row in states[h]]
        found = [sum(kk * row[j] for kk, row in zip(key, state)) for j in range(value_size)]
        change = [beta[h] * (a - b) for a, b in zip(value, found)]
        states[h] = [plus(row, scaled(change, kk)) for kk, row in zip(key, state)]
        read = [sum(qq * row[j] for qq, row in zip(query, states[h])) for j in range(value_size)]
        out += times(rms_norm(read, w.flat(p + "norm.weight"), c["rms_norm_eps"]), [silu(g) for g in z[h]])
    return product(w.matrix(p + "out_proj.weight"), out)


def gated_attention(c, w, p, x, position, norm, kept):
    size = c["head_dim"]
    turning = int(size * c["rope_parameters"]["partial_rotary_factor"])
    turn = [c["rope_parameters"]["rope_theta"] ** (-2 * i / turning) for i in range(turning // 2)]
    both = heads_of(product(w.matrix(p + "q_proj.weight"), x), 2 * size)
    q = [rotated(norm(h[:size], p + "q_norm"), position, turn) for h in both]
    keys, values = kept.setdefault("keys", []), kept.setdefault("values", [])
    keys.append([rotated(norm(h, p + "k_norm"), position, turn)
                 for h in heads_of(product(w.matrix(p + "k_proj.weight"), x), size)])
    values.append(heads_of(product(w.matrix(p + "v_proj.weight"), x), size))
    mixed = attention(q, keys, values, size ** -0.5)
    gates = [sigmoid(v) for h in both for v in h[size:]]
    return product(w.matrix(p + "o_proj.weight"), times(mixed, gates))


def logits(full, w, tokens):
    c = full["text_config"]
    kept = [{} for _ in range(c["num_hidden_layers"])]

    def norm(x, name):
        return rms_norm(x, [1 + v for v in w.flat(name + ".weight")], c["rms_norm_eps"])

    rows = []
    for position, token in enumerate(tokens):
        x = w.matrix(PREFIX + "embed_tokens.weight")[token]
        for i in range(c["num_hidden_layers"]):
            p = f"{PREFIX}layers.{i}."
            normed = norm(x, p + "input_layernorm")
            if c["layer_types"][i] == "full_attention":
                x = plus(x, gated_attention(c, w, p + "self_attn.", normed, position, norm, kept[i]))
            else:
                x = plus(x, delta_net(c, w, p + "linear_attn.", normed, kept[i]))
            x = plus(x, feed_forward(c, w, p + "mlp.", norm(x, p + "post_attention_layernorm")))
        rows.append(product(w.matrix("lm_head.weight"), norm(x, PREFIX + "norm")))
    return rows
