"""RWKV-4. At inference transformers halves the residual stream behind every so many layers, and what is added to it."""
import math

from lists import *

PREFIX = "rwkv."


def config(**changes):
    made = {
        "model_type": "rwkv", "vocab_size": 259, "hidden_size": 96, "num_hidden_layers": 4, "attention_hidden_size": 96,
        "intermediate_size": 88, "layer_norm_epsilon": 1e-5, "rescale_every": 6, "context_length": 256,
        "tie_word_embeddings": False,
    }
    made.update(changes)
    return made


RECIPES = {
    "rwkv4": config(),
    "rwkv4-odd": config(hidden_size=84, attention_hidden_size=60, intermediate_size=None, layer_norm_epsilon=0.02),
    "rwkv4-rescaled": config(rescale_every=1, attention_hidden_size=None, tie_word_embeddings=True),
    "rwkv4-second": config(rescale_every=2, layer_norm_epsilon=0.01, attention_hidden_size=132),
    "rwkv4-unscaled": config(rescale_every=0, num_hidden_layers=2),
}


def weights(c):
    w = Weights(16)
    hidden = c["hidden_size"]
    inner, width = c["attention_hidden_size"] or hidden, c["intermediate_size"] or 4 * hidden

    def norm(name):
        w.make(name + ".weight", [hidden], 0.2, 1)
        w.make(name + ".bias", [hidden], 0.2)

    w.make(PREFIX + "embeddings.weight", [c["vocab_size"], hidden], 0.7)
    norm(PREFIX + "ln_out")
    if not c["tie_word_embeddings"]:
        w.make("head.weight", [c["vocab_size"], hidden])
    for i in range(c["num_hidden_layers"]):
        p = f"{PREFIX}blocks.{i}."
        for name in ("pre_ln", "ln1", "ln2") if i == 0 else ("ln1", "ln2"):
            norm(p + name)
        for name in ("attention.time_mix_key", "attention.time_mix_value", "attention.time_mix_receptance",
                     "feed_forward.time_mix_key", "feed_forward.time_mix_receptance"):
            w.make(p + name, [1, 1, hidden], 0.3, 0.5)
        w.make(p + "attention.time_decay", [inner], 1)
        w.make(p + "attention.time_first", [inner], 1)
        for name, rows, cols in (("attention.key", inner, hidden), ("attention.value", inner, hidden),
                                 ("attention.receptance", inner, hidden), ("attention.output", hidden, inner),
                                 ("feed_forward.key", width, hidden), ("feed_forward.receptance", hidden, hidden),
                                 ("feed_forward.value", hidden, width)):
            w.make(f"{p}{name}.weight", [rows, cols])
    return w


def mixed(w, p, names, x, before):
    """Of each name, the product with what is partly this token and partly the one before it."""
    out = []
    for name in names:
        share = w.flat(f"{p}time_mix_{name}")
        out.append(product(w.matrix(f"{p}{name}.weight"), [a * t + b * (1 - t) for a, b, t in zip(x, before, share)]))
    return out


def time_mix(w, p, x, kept):
    k, v, r = mixed(w, p, ("key", "value", "receptance"), x, kept.get("time", [0.0] * len(x)))
    kept["time"] = x
    above, below = kept.get("above", [0.0] * len(k)), kept.get("below", [0.0] * len(k))
    first, decay = w.flat(p + "time_first"), w.flat(p + "time_decay")
    now = [math.exp(a + b) for a, b in zip(k, first)]
    y = [(a + n * vv) / (b + n) for a, b, n, vv in zip(above, below, now, v)]
    kept["above"] = [a * math.exp(-math.exp(d)) + math.exp(kk) * vv for a, d, kk, vv in zip(above, decay, k, v)]
    kept["below"] = [b * math.exp(-math.exp(d)) + math.exp(kk) for b, d, kk in zip(below, decay, k)]
    return product(w.matrix(p + "output.weight"), [sigmoid(a) * b for a, b in zip(r, y)])


def channel_mix(w, p, x, kept):
    before = kept.get("channel", [0.0] * len(x))
    kept["channel"] = x
    k, r = mixed(w, p, ("key",), x, before)[0], mixed(w, p, ("receptance",), x, before)[0]
    return times([sigmoid(v) for v in r], product(w.matrix(p + "value.weight"), [max(v, 0.0) ** 2 for v in k]))


def logits(c, w, tokens):
    kept = [{} for _ in range(c["num_hidden_layers"])]
    every = c["rescale_every"]

    def norm(x, name, eps=c["layer_norm_epsilon"]):
        return layer_norm(x, w.flat(name + ".weight"), w.flat(name + ".bias"), eps)

    head = w.matrix("head.weight" if "head.weight" in w else PREFIX + "embeddings.weight")
    rows = []
    for token in tokens:
        x = norm(w.matrix(PREFIX + "embeddings.weight")[token], PREFIX + "blocks.0.pre_ln")
        for i in range(c["num_hidden_layers"]):
            p = f"{PREFIX}blocks.{i}."
            share = 0.5 ** (i // every) if every > 0 else 1
            x = plus(x, scaled(time_mix(w, p + "attention.", norm(x, p + "ln1"), kept[i]), share))
            x = plus(x, scaled(channel_mix(w, p + "feed_forward.", norm(x, p + "ln2"), kept[i]), share))
            if every > 0 and (i + 1) % every == 0:
                x = scaled(x, 0.5)
        rows.append(product(head, norm(x, PREFIX + "ln_out", 1e-5)))  # whatever is configured
    return rows
