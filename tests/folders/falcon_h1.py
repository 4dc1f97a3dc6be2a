"""Falcon H1: attention and Mamba-2 side by side in every layer, and a factor on nearly everything."""
from lists import *
from mamba import linear
from mamba2 import UNLIMITED, limits_of, mixer, mixer_of, mixer_weights

PREFIX = "model."


def config(**changes):
    made = {
        "model_type": "falcon_h1", "vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_hidden_layers": 2,
        "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 24, "hidden_act": "silu", "rms_norm_eps": 1e-5,
        "max_position_embeddings": 256, "mamba_d_ssm": 144, "mamba_n_heads": 6, "mamba_d_head": 24, "mamba_n_groups": 2,
        "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_chunk_size": 5, "mamba_conv_bias": True,
        "mamba_proj_bias": False, "mamba_norm_before_gate": True, "mamba_rms_norm": False, "projectors_bias": False,
        "attention_bias": False, "mlp_bias": False, "time_step_limit": UNLIMITED, "tie_word_embeddings": False,
        "lm_head_multiplier": 1.0, "embedding_multiplier": 1.0, "key_multiplier": 1.0, "attention_out_multiplier": 1.0,
        "attention_in_multiplier": 1.0, "ssm_in_multiplier": 1.0, "ssm_out_multiplier": 1.0, "mlp_multipliers": [1.0, 1.0],
        "ssm_multipliers": [1.0] * 5, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value != "left out"}


def multiplied(**changes):
    return config(lm_head_multiplier=0.3, embedding_multiplier=2.5, key_multiplier=1.4, attention_out_multiplier=0.7,
                  attention_in_multiplier=1.3, ssm_in_multiplier=0.8, ssm_out_multiplier=1.2, mlp_multipliers=[0.6, 1.5],
                  ssm_multipliers=[0.9, 1.1, 1.6, 0.7, 1.25], **changes)


RECIPES = {
    "falcon_h1": config(mamba_d_ssm=None, mamba_n_heads=8, tie_word_embeddings=True),
    "falcon_h1-factors": multiplied(mamba_rms_norm=True, mamba_norm_before_gate=False),
    "falcon_h1-biases": multiplied(mamba_rms_norm=True, attention_bias=True, mlp_bias=True, mamba_proj_bias=True,
                                   projectors_bias=True, mamba_n_groups=3, mamba_d_state=10),
    "falcon_h1-projectors": config(projectors_bias=True, mamba_conv_bias=False, mamba_d_ssm=120, mamba_n_heads=5,
                                   mamba_n_groups=1, attention_bias=True, time_step_limit=[0.2, 0.9],
                                   rope_parameters="left out", rope_theta=1e5),
}


def shape_of(c):
    norm = ("norm first" if c["mamba_norm_before_gate"] else "gate first") if c["mamba_rms_norm"] else ""
    return mixer_of(c["mamba_n_heads"], c["mamba_d_head"], c["mamba_n_groups"], c["mamba_d_state"], c["mamba_d_conv"],
                    c["mamba_conv_bias"], c["mamba_proj_bias"], c["projectors_bias"], c["rms_norm_eps"], norm=norm,
                    norm_groups=c["mamba_n_groups"], factors=c["ssm_multipliers"], in_factor=c["ssm_in_multiplier"],
                    **limits_of(c))


def weights(c):
    w = Weights(13)
    hidden, size, width = c["hidden_size"], c["head_dim"], c["intermediate_size"]
    q, kv = c["num_attention_heads"] * size, c["num_key_value_heads"] * size
    w.make(PREFIX + "embed_tokens.weight", [c["vocab_size"], hidden], 0.3)
    w.make(PREFIX + "final_layernorm.weight", [hidden], 0.2, 1)
    if not c["tie_word_embeddings"]:
        w.make("lm_head.weight", [c["vocab_size"], hidden])
    for i in range(c["num_hidden_layers"]):
        p = f"{PREFIX}layers.{i}."
        for name in ("input_layernorm", "pre_ff_layernorm"):
            w.make(f"{p}{name}.weight", [hidden], 0.2, 1)
        for name, rows, cols, bias in (
                ("self_attn.q_proj", q, hidden, "attention_bias"), ("self_attn.k_proj", kv, hidden, "attention_bias"),
                ("self_attn.v_proj", kv, hidden, "attention_bias"), ("self_attn.o_proj", hidden, q, "attention_bias"),
                ("feed_forward.gate_proj", width, hidden, "mlp_bias"), ("feed_forward.up_proj", width, hidden, "mlp_bias"),
                ("feed_forward.down_proj", hidden, width, "mlp_bias")):
            w.make(f"{p}{name}.weight", [rows, cols])
            if c[bias]:
                w.make(f"{p}{name}.bias", [rows], 0.3)
        mixer_weights(w, p + "mamba.", hidden, shape_of(c))
    return w


def attended(c, w, p, x, position, kept):
    size = c["head_dim"]
    base = c.get("rope_parameters", c)["rope_theta"]
    turn = [base ** (-2 * i / size) for i in range(size // 2)]
    q, k, v = (heads_of(linear(w, f"{p}{name}_proj", x), size) for name in "qkv")
    keys, values = kept.setdefault("keys", []), kept.setdefault("values", [])
    keys.append([rotated(scaled(h, c["key_multiplier"]), position, turn) for h in k])
    values.append(v)
    mixed = attention([rotated(h, position, turn) for h in q], keys, values, size ** -0.5)
    return linear(w, p + "o_proj", mixed)


def feed_forward(c, w, p, x):
    gate_factor, down_factor = c["mlp_multipliers"]
    gate = [silu(v * gate_factor) for v in linear(w, p + "gate_proj", x)]
    return scaled(linear(w, p + "down_proj", times(gate, linear(w, p + "up_proj", x))), down_factor)


def logits(c, w, tokens):
    kept = [{} for _ in range(c["num_hidden_layers"])]
    table = w.matrix(PREFIX + "embed_tokens.weight")
    head = w.matrix("lm_head.weight") if "lm_head.weight" in w else table
    m = shape_of(c)

    def norm(x, name):
        return rms_norm(x, w.flat(name + ".weight"), c["rms_norm_eps"])

    rows = []
    for position, token in enumerate(tokens):
        x = scaled(table[token], c["embedding_multiplier"])
        for i in range(c["num_hidden_layers"]):
            p = f"{PREFIX}layers.{i}."
            normed = norm(x, p + "input_layernorm")
            mixed = scaled(mixer(w, p + "mamba.", normed, m, kept[i]), c["ssm_out_multiplier"])
            seen = attended(c, w, p + "self_attn.", scaled(normed, c["attention_in_multiplier"]), position, kept[i])
            x = plus(x, plus(mixed, scaled(seen, c["attention_out_multiplier"])))
            x = plus(x, feed_forward(c, w, p + "feed_forward.", norm(x, p + "pre_ff_layernorm")))
        rows.append(scaled(product(head, norm(x, PREFIX + "final_layernorm")), c["lm_head_multiplier"]))
    return rows
