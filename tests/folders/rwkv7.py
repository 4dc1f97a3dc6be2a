"""RWKV-7, as flash-linear-attention keeps it."""
import math

from lists import *

PREFIX = "model."
RANKS = {"w": 8, "a": 12, "v": 6, "g": 20}



def config(**changes):
    made = {
        "model_type": "rwkv7", "vocab_size": 259, "hidden_size": 96, "head_dim": 24, "num_hidden_layers": 3, "norm_eps": 1e-5,
        "norm_bias": True, "norm_first": True, "intermediate_size": 200, "hidden_act": "sqrelu", "attn": None,
        "decay_low_rank_dim": RANKS["w"], "a_low_rank_dim": RANKS["a"], "v_low_rank_dim": RANKS["v"],
        "gate_low_rank_dim": RANKS["g"], "max_position_embeddings": 256, "tie_word_embeddings": False,
    }
    made.update(changes)
    return made


RECIPES = {
    "rwkv7": config(),
    # Two and a quarter times 96, rounded up to a multiple of 32.
    "rwkv7-plain": config(norm_bias=False, intermediate_size=None, hidden_ratio=2.25, head_dim=None, num_heads=4,
                          tie_word_embeddings=True, norm_eps=1e-3),
}


def width_of(c):
    return c["intermediate_size"] or 224


def size_of(c):
    return c["head_dim"] or c["hidden_size"] // c["num_heads"]


def weights(c):
    w = Weights(7)
    hidden = c["hidden_size"]

    def norm(name, bias=c["norm_bias"]):
        w.make(name + ".weight", [hidden], 0.2, 1)
        if bias:
            w.make(name + ".bias", [hidden], 0.2)

    w.make(PREFIX + "embeddings.weight", [c["vocab_size"], hidden], 0.7)
    if not c["tie_word_embeddings"]:
        w.make("lm_head.weight", [c["vocab_size"], hidden])
    norm(PREFIX + "norm")
    for i in range(c["num_hidden_layers"]):
        p = f"{PREFIX}layers.{i}."
        for name in ("pre_norm", "attn_norm", "ffn_norm") if i == 0 else ("attn_norm", "ffn_norm"):
            norm(p + name)
        w.make(p + "ffn.x_k", [hidden], 0.3, 0.5)
        w.make(p + "ffn.key.weight", [width_of(c), hidden])
        w.make(p + "ffn.value.weight", [hidden, width_of(c)], 0.03)
        p += "attn."
        for name in "rwkvag":
            w.make(p + "x_" + name, [1, 1, hidden], 0.3, 0.5)
        for name in "rkvo":
            w.make(f"{p}{name}_proj.weight", [hidden, hidden])
        for name, rank in RANKS.items():
            if name == "v" and i == 0:
                continue
            w.make(f"{p}{name}_lora.lora.0.weight", [rank, hidden])
            w.make(f"{p}{name}_lora.lora.2.weight", [hidden, rank])
            if name != "g":
                w.make(f"{p}{name}_lora.lora.2.bias", [hidden], 0.5)
        w.make(p + "k_k", [hidden], 0.2, 0.85)
        w.make(p + "k_a", [hidden], 0.2, 1)
        w.make(p + "r_k", [hidden // size_of(c), size_of(c)], 0.3)
        norm(p + "g_norm", True)
    return w


def low_rank(w, p, x, inner):
    y = product(w.matrix(p + ".lora.2.weight"), [inner(v) for v in product(w.matrix(p + ".lora.0.weight"), x)])
    return plus(y, w.flat(p + ".lora.2.bias")) if p + ".lora.2.bias" in w else y


def towards(x, before, weight):
    return [a + (b - a) * t for a, b, t in zip(x, before, weight)]


def time_mix(c, w, p, x, kept, first_value):
    before = kept.get("time", [0.0] * len(x))
    kept["time"] = x
    mixed = {name: towards(x, before, w.flat(p + "x_" + name)) for name in "rwkvag"}
    r, k, v = (product(w.matrix(f"{p}{name}_proj.weight"), mixed[name]) for name in "rkv")
    decay = [math.exp(-math.exp(-0.5) * sigmoid(t)) for t in low_rank(w, p + "w_lora", mixed["w"], math.tanh)]
    if first_value is None:
        first_value = v
    else:
        v = towards(v, first_value, [sigmoid(t) for t in low_rank(w, p + "v_lora", mixed["v"], lambda t: t)])
    a = [sigmoid(t) for t in low_rank(w, p + "a_lora", mixed["a"], lambda t: t)]
    gate = low_rank(w, p + "g_lora", mixed["g"], sigmoid)
    size = size_of(c)
    direction = heads_of(times(k, w.flat(p + "k_k")), size)
    k = [kk * (1 + (aa - 1) * s) for kk, aa, s in zip(k, a, w.flat(p + "k_a"))]
    rs, ks, vs, decays, rates = (heads_of(t, size) for t in (r, k, v, decay, a))
    states = kept.setdefault("states", [[[0.0] * size for _ in range(size)] for _ in rs])
    weights_of_norm, biases = (heads_of(w.flat(p + "g_norm." + part), size) for part in ("weight", "bias"))
    bonus = w.matrix(p + "r_k")
    out = []
    for h in range(len(rs)):
        unit = scaled(direction[h], 1 / max(math.sqrt(dot(direction[h], direction[h])), 1e-12))
        turned = times(unit, rates[h])
        for i, row in enumerate(states[h]):  # one a value
            removed = dot(row, unit)
            states[h][i] = [s * d - removed * t + vs[h][i] * kk for s, d, t, kk in zip(row, decays[h], turned, ks[h])]
        read = [dot(row, rs[h]) for row in states[h]]
        normed = layer_norm(read, weights_of_norm[h], biases[h], size * c["norm_eps"])
        own = sum(x * y * z for x, y, z in zip(rs[h], ks[h], bonus[h]))
        out += plus(normed, scaled(vs[h], own))
    return product(w.matrix(p + "o_proj.weight"), times(out, gate)), first_value


def channel_mix(w, p, x, kept):
    before = kept.get("channel", [0.0] * len(x))
    kept["channel"] = x
    inner = product(w.matrix(p + "key.weight"), towards(x, before, w.flat(p + "x_k")))
    return product(w.matrix(p + "value.weight"), [max(v, 0.0) ** 2 for v in inner])


def logits(c, w, tokens):
    kept = [{} for _ in range(c["num_hidden_layers"])]
    head = w.matrix("lm_head.weight" if "lm_head.weight" in w else PREFIX + "embeddings.weight")

    def norm(x, name):
        bias = w.flat(name + ".bias") if c["norm_bias"] else [0.0] * len(x)
        return layer_norm(x, w.flat(name + ".weight"), bias, c["norm_eps"])

    rows = []
    for token in tokens:
        x = norm(w.matrix(PREFIX + "embeddings.weight")[token], PREFIX + "layers.0.pre_norm")
        first_value = None
        for i in range(c["num_hidden_layers"]):
            p = f"{PREFIX}layers.{i}."
            mixed, first_value = time_mix(c, w, p + "attn.", norm(x, p + "attn_norm"), kept[i], first_value)
            x = plus(x, mixed)
            x = plus(x, channel_mix(w, p + "ffn.", norm(x, p + "ffn_norm"), kept[i]))
        rows.append(product(head, norm(x, PREFIX + "norm")))
    return rows
