"""LFM2: gated short convolutions and attention; with experts too."""
from lists import *

PREFIX = "model."


def config(**changes):
    made = {
        "model_type": "lfm2", "vocab_size": 259, "hidden_size": 144, "intermediate_size": 120, "num_hidden_layers": 4,
        "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 256, "norm_eps": 1e-5,
        "conv_L_cache": 3, "conv_bias": False, "block_auto_adjust_ff_dim": False, "tie_word_embeddings": True,
        "layer_types": ["conv", "full_attention"] * 2, "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value != "left out"}


RECIPES = {
    "lfm2": config(),
    # Two thirds of 120, rounded up to a multiple of 32.
    "lfm2-adjusted": config(block_auto_adjust_ff_dim=True, block_multiple_of=32, block_ffn_dim_multiplier=1.0,
                            conv_bias=True),
    "lfm2-experts": config(model_type="lfm2_moe", num_dense_layers=1, num_experts=5, num_experts_per_tok=2,
                           moe_intermediate_size=28, use_expert_bias=True, norm_topk_prob=True, routed_scaling_factor=1.5),
    # Heads wider than the hidden size has room for, every routing option the other way, a head of its own.
    "lfm2-plain": config(model_type="lfm2_moe", hidden_size=96, head_dim=24, num_dense_layers=2, num_experts=5,
                         num_experts_per_tok=3, moe_intermediate_size=28, use_expert_bias=False, norm_topk_prob=False,
                         routed_scaling_factor=1.0, conv_bias=True, conv_L_cache=4, tie_word_embeddings=False),
    # As the first files have it.
    "lfm2-first": config(intermediate_size="left out", block_ff_dim=120, layer_types="left out", full_attn_idxs=[1, 2],
                         rope_parameters="left out", theta=500.0, tie_word_embeddings="left out", tie_embedding=True,
                         num_hidden_layers=3, block_ffn_dim_multiplier=None, block_auto_adjust_ff_dim="left out",
                         block_multiple_of=32),
}


def width_of(c):
    return 96 if c.get("block_auto_adjust_ff_dim", True) else c["intermediate_size"]


def attends(c, layer):
    return c["layer_types"][layer] == "full_attention" if "layer_types" in c else layer in c["full_attn_idxs"]


def size_of(c):
    return c.get("head_dim", c["hidden_size"] // c["num_attention_heads"])


def has_experts(c, layer):
    return layer >= c.get("num_dense_layers", c["num_hidden_layers"])


def weights(c):
    w = Weights(6)
    hidden = c["hidden_size"]
    size = size_of(c)

    norm, linear = w.norm, w.linear

    def gated_weights(p, width):
        linear(p + "w1", width, hidden)
        linear(p + "w3", width, hidden)
        linear(p + "w2", hidden, width)

    w.make(PREFIX + "embed_tokens.weight", [c["vocab_size"], hidden], 0.1)
    if not c.get("tie_word_embeddings", True):
        w.make("lm_head.weight", [c["vocab_size"], hidden])
    norm(PREFIX + "embedding_norm", hidden)
    for i in range(c["num_hidden_layers"]):
        p = f"{PREFIX}layers.{i}."
        norm(p + "operator_norm", hidden)
        norm(p + "ffn_norm", hidden)
        if not attends(c, i):
            linear(p + "conv.in_proj", 3 * hidden, hidden, c["conv_bias"])
            linear(p + "conv.out_proj", hidden, hidden, c["conv_bias"])
            w.make(p + "conv.conv.weight", [hidden, 1, c["conv_L_cache"]], 0.6)
            if c["conv_bias"]:
                w.make(p + "conv.conv.bias", [hidden], 0.2)
        else:
            linear(p + "self_attn.q_proj", c["num_attention_heads"] * size, hidden)
            linear(p + "self_attn.k_proj", c["num_key_value_heads"] * size, hidden)
            linear(p + "self_attn.v_proj", c["num_key_value_heads"] * size, hidden)
            linear(p + "self_attn.out_proj", hidden, c["num_attention_heads"] * size)
            norm(p + "self_attn.q_layernorm", size)
            norm(p + "self_attn.k_layernorm", size)
        p += "feed_forward."
        if has_experts(c, i):
            linear(p + "gate", c["num_experts"], hidden)
            if c["use_expert_bias"]:
                w.make(p + "expert_bias", [c["num_experts"]], 0.3)
            for e in range(c["num_experts"]):
                gated_weights(f"{p}experts.{e}.", c["moe_intermediate_size"])
        else:
            gated_weights(p, width_of(c))
    return w


def gated(w, p, x):
    inner = times([silu(v) for v in product(w.matrix(p + "w1.weight"), x)], product(w.matrix(p + "w3.weight"), x))
    return product(w.matrix(p + "w2.weight"), inner)


def experts(c, w, p, x):
    scores = [sigmoid(v) for v in product(w.matrix(p + "gate.weight"), x)]
    choice = plus(scores, w.flat(p + "expert_bias")) if c["use_expert_bias"] else scores
    chosen = sorted(range(len(scores)), key=lambda e: -choice[e])[:c["num_experts_per_tok"]]
    total = sum(scores[e] for e in chosen) + 1e-6 if c["norm_topk_prob"] else 1
    out = [0.0] * len(x)
    for e in chosen:
        out = plus(out, scaled(gated(w, f"{p}experts.{e}.", x), scores[e] / total * c["routed_scaling_factor"]))
    return out


def short_conv(w, p, x, kept):
    hidden = len(x)
    both = linear(w, p + "in_proj", x)
    mixed = convolved(w, p + "conv.", times(both[:hidden], both[2 * hidden:]), kept)
    return linear(w, p + "out_proj", times(both[hidden:2 * hidden], mixed))


def attended(c, w, p, x, position, norm, kept):
    size = size_of(c)
    base = c["rope_parameters"]["rope_theta"] if "rope_parameters" in c else c["theta"]
    turn = [base ** (-2 * i / size) for i in range(size // 2)]

    def heads(name):
        return heads_of(product(w.matrix(f"{p}{name}_proj.weight"), x), size)

    q = [rotated(norm(h, p + "q_layernorm"), position, turn) for h in heads("q")]
    keys, values = kept.setdefault("keys", []), kept.setdefault("values", [])
    keys.append([rotated(norm(h, p + "k_layernorm"), position, turn) for h in heads("k")])
    values.append(heads("v"))
    return product(w.matrix(p + "out_proj.weight"), attention(q, keys, values, size ** -0.5))


def logits(c, w, tokens):
    kept = [{} for _ in range(c["num_hidden_layers"])]
    table = w.matrix(PREFIX + "embed_tokens.weight")
    head = w.matrix("lm_head.weight") if "lm_head.weight" in w else table

    def norm(x, name):
        return rms_norm(x, w.flat(name + ".weight"), c["norm_eps"])

    rows = []
    for position, token in enumerate(tokens):
        x = table[token]
        for i in range(c["num_hidden_layers"]):
            p = f"{PREFIX}layers.{i}."
            normed = norm(x, p + "operator_norm")
            if attends(c, i):
                x = plus(x, attended(c, w, p + "self_attn.", normed, position, norm, kept[i]))
            else:
                x = plus(x, short_conv(w, p + "conv.", normed, kept[i]))
            normed = norm(x, p + "ffn_norm")
            p += "feed_forward."
            x = plus(x, experts(c, w, p, normed) if has_experts(c, i) else gated(w, p, normed))
        rows.append(product(head, norm(x, PREFIX + "embedding_norm")))
    return rows
