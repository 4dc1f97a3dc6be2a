"""Granite 4: Mamba-2 and attention layers, with positions or without; experts beside a shared one, or the shared one alone."""
from lists import *
from mamba import linear
from mamba2 import UNLIMITED, limits_of, mixer, mixer_of, mixer_weights

PREFIX = "model."


def config(**changes):
    made = {
        "model_type": "granitemoehybrid", "vocab_size": 259, "hidden_size": 96, "intermediate_size": 28,
        "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 24, "hidden_act": "silu",
        "rms_norm_eps": 1e-6, "max_position_embeddings": 256, "attention_bias": False, "tie_word_embeddings": False,
        "embedding_multiplier": 2.0, "logits_scaling": 3.0, "residual_multiplier": 0.7, "attention_multiplier": 0.15,
        "num_local_experts": 5, "num_experts_per_tok": 2, "shared_intermediate_size": 36, "position_embedding_type": None,
        "layer_types": ["mamba", "attention", "mamba"], "mamba_n_heads": 8, "mamba_n_groups": 2, "mamba_d_state": 16,
        "mamba_d_head": 24, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_chunk_size": 5, "mamba_conv_bias": True,
        "mamba_proj_bias": False, "time_step_limit": UNLIMITED,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value != "left out"}


RECIPES = {
    "granite_hybrid": config(),
    "granite_hybrid-rope": config(position_embedding_type="rope", attention_bias=True, mamba_proj_bias=True,
                                  mamba_conv_bias=False, mamba_n_groups=1, tie_word_embeddings=True,
                                  time_step_limit=[0.2, 0.9], num_experts_per_tok=3),
    "granite_hybrid-dense": config(num_local_experts=0, position_embedding_type="nope", mamba_d_head="auto",
                                   layer_types=["attention", "mamba", "attention"], num_key_value_heads=None),
    "granite_hybrid-dense-rope": config(num_local_experts=0, position_embedding_type="rope", rope_parameters="left out",
                                        rope_theta=500.0, embedding_multiplier="left out", attention_multiplier="left out",
                                        residual_multiplier="left out", logits_scaling="left out"),
    "granite_hybrid-later": config(layer_types=["linear_attention", "full_attention", "linear_attention"]),
}


def shape_of(c):
    return mixer_of(c["mamba_n_heads"], 24, c["mamba_n_groups"], c["mamba_d_state"], c["mamba_d_conv"], c["mamba_conv_bias"],
                    c["mamba_proj_bias"], c["mamba_proj_bias"], c["rms_norm_eps"], **limits_of(c))


def attends(c, layer):
    return c["layer_types"][layer] in ("attention", "full_attention")


def weights(c):
    w = Weights(14)
    hidden, size, heads = c["hidden_size"], c["head_dim"], c["num_attention_heads"]
    kv = (c["num_key_value_heads"] or heads) * size
    w.make(PREFIX + "embed_tokens.weight", [c["vocab_size"], hidden], 0.3)
    w.make(PREFIX + "norm.weight", [hidden], 0.2, 1)
    if not c["tie_word_embeddings"]:
        w.make("lm_head.weight", [c["vocab_size"], hidden])
    for i in range(c["num_hidden_layers"]):
        p = f"{PREFIX}layers.{i}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            w.make(f"{p}{name}.weight", [hidden], 0.2, 1)
        if attends(c, i):
            for name, rows, cols in (("q", heads * size, hidden), ("k", kv, hidden), ("v", kv, hidden),
                                     ("o", hidden, heads * size)):
                w.make(f"{p}self_attn.{name}_proj.weight", [rows, cols])
                if c["attention_bias"]:
                    w.make(f"{p}self_attn.{name}_proj.bias", [rows], 0.3)
        else:
            mixer_weights(w, p + "mamba.", hidden, shape_of(c))
        shared, width, experts = c["shared_intermediate_size"], c["intermediate_size"], c["num_local_experts"]
        w.make(p + "shared_mlp.input_linear.weight", [2 * shared, hidden])
        w.make(p + "shared_mlp.output_linear.weight", [hidden, shared])
        if experts:
            p += "block_sparse_moe."
            w.make(p + "router.layer.weight", [experts, hidden])
            w.make(p + "input_linear.weight", [experts, 2 * width, hidden])
            w.make(p + "output_linear.weight", [experts, hidden, width])
    return w


def attended(c, w, p, x, position, kept):
    size = c["head_dim"]
    turn = []
    if c["position_embedding_type"] == "rope":
        base = c.get("rope_parameters", c)["rope_theta"]
        turn = [base ** (-2 * i / size) for i in range(size // 2)]
    q, k, v = (heads_of(linear(w, f"{p}{name}_proj", x), size) for name in "qkv")
    keys, values = kept.setdefault("keys", []), kept.setdefault("values", [])
    keys.append([rotated(h, position, turn) for h in k])
    values.append(v)
    mixed = attention([rotated(h, position, turn) for h in q], keys, values, c.get("attention_multiplier", 1.0))
    return linear(w, p + "o_proj", mixed)


def gated(both, down, x):
    y = product(both, x)
    half = len(y) // 2
    return product(down, times([silu(v) for v in y[:half]], y[half:]))


def feed_forward(c, w, p, x):
    out = gated(w.matrix(p + "shared_mlp.input_linear.weight"), w.matrix(p + "shared_mlp.output_linear.weight"), x)
    if not c["num_local_experts"]:
        return out
    p += "block_sparse_moe."
    scores = product(w.matrix(p + "router.layer.weight"), x)
    chosen = sorted(range(len(scores)), key=lambda e: -scores[e])[:c["num_experts_per_tok"]]
    for e, share in zip(chosen, softmax([scores[e] for e in chosen])):
        expert = gated(w.stack(p + "input_linear.weight")[e], w.stack(p + "output_linear.weight")[e], x)
        out = plus(out, scaled(expert, share))
    return out


def logits(c, w, tokens):
    kept = [{} for _ in range(c["num_hidden_layers"])]
    table = w.matrix(PREFIX + "embed_tokens.weight")
    head = w.matrix("lm_head.weight") if "lm_head.weight" in w else table
    m, share = shape_of(c), c.get("residual_multiplier", 1.0)

    def norm(x, name):
        return rms_norm(x, w.flat(name + ".weight"), c["rms_norm_eps"])

    rows = []
    for position, token in enumerate(tokens):
        x = scaled(table[token], c.get("embedding_multiplier", 1.0))
        for i in range(c["num_hidden_layers"]):
            p = f"{PREFIX}layers.{i}."
            normed = norm(x, p + "input_layernorm")
            if attends(c, i):
                mixed = attended(c, w, p + "self_attn.", normed, position, kept[i])
            else:
                mixed = mixer(w, p + "mamba.", normed, m, kept[i])
            x = plus(x, scaled(mixed, share))
            x = plus(x, scaled(feed_forward(c, w, p, norm(x, p + "post_attention_layernorm")), share))
        rows.append(scaled(product(head, norm(x, PREFIX + "norm")), 1 / c.get("logits_scaling", 1.0)))
    return rows
