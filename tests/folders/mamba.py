"""Mamba, and Falcon Mamba, whose step sizes, B and C are normed: a selective scan of every channel."""
import math

from lists import *

PREFIX = "backbone."


def config(**changes):
    made = {
        "model_type": "mamba", "vocab_size": 259, "hidden_size": 96, "num_hidden_layers": 3, "state_size": 16, "expand": 2,
        "intermediate_size": 192, "conv_kernel": 4, "use_bias": False, "use_conv_bias": True, "hidden_act": "silu",
        "time_step_rank": 6, "layer_norm_epsilon": 1e-5, "residual_in_fp32": True, "tie_word_embeddings": True,
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value != "left out"}


def odd(**changes):
    """Sizes that no vector of four divides, and what is written at all left out where it is the class's default."""
    return config(hidden_size=90, intermediate_size=180, time_step_rank="auto", state_size=10, conv_kernel=3, use_bias=True,
                  layer_norm_epsilon="left out", expand="left out", hidden_act="left out", **changes)


RECIPES = {
    "mamba": config(),
    "mamba-biases": config(use_bias=True, use_conv_bias=False, time_step_rank=7, tie_word_embeddings=False),
    "mamba-odd": odd(tie_word_embeddings="left out"),
    "falcon_mamba": config(model_type="falcon_mamba", mixer_rms_eps=1e-3),
    "falcon_mamba-four": config(model_type="falcon_mamba", time_step_rank=8, tie_word_embeddings=False),
    "falcon_mamba-odd": odd(model_type="falcon_mamba"),
}


def rank_of(c):
    return math.ceil(c["hidden_size"] / 16) if c["time_step_rank"] == "auto" else c["time_step_rank"]


def weights(c):
    w = Weights(11)
    hidden, inner, state, rank = c["hidden_size"], c["intermediate_size"], c["state_size"], rank_of(c)

    def linear(name, rows, cols, bias):
        w.make(name + ".weight", [rows, cols])
        if bias:
            w.make(name + ".bias", [rows], 0.3)

    w.make(PREFIX + "embeddings.weight", [c["vocab_size"], hidden], 0.3)
    w.make(PREFIX + "norm_f.weight", [hidden], 0.2, 1)
    if not c.get("tie_word_embeddings", True):
        w.make("lm_head.weight", [c["vocab_size"], hidden])
    for i in range(c["num_hidden_layers"]):
        p = f"{PREFIX}layers.{i}."
        w.make(p + "norm.weight", [hidden], 0.2, 1)
        p += "mixer."
        linear(p + "in_proj", 2 * inner, hidden, c["use_bias"])
        linear(p + "x_proj", rank + 2 * state, inner, False)
        linear(p + "dt_proj", inner, rank, True)
        linear(p + "out_proj", hidden, inner, c["use_bias"])
        w.make(p + "conv1d.weight", [inner, 1, c["conv_kernel"]], 0.5)
        if c["use_conv_bias"]:
            w.make(p + "conv1d.bias", [inner], 0.3)
        w.make(p + "A_log", [inner, state], 0.6)
        w.make(p + "D", [inner], 0.3, 1)
    return w


def mixer(c, w, p, x, kept):
    inner, state, rank = c["intermediate_size"], c["state_size"], rank_of(c)
    both = linear(w, p + "in_proj", x)
    u = [silu(v) for v in convolved(w, p + "conv1d.", both[:inner], kept)]
    chosen = linear(w, p + "x_proj", u)
    parts = [chosen[:rank], chosen[rank:rank + state], chosen[rank + state:]]
    if c["model_type"] == "falcon_mamba":
        parts = [rms_norm(part, eps=c.get("mixer_rms_eps", 1e-6)) for part in parts]
    step, b, into = [softplus(v) for v in linear(w, p + "dt_proj", parts[0])], parts[1], parts[2]
    rates = kept.setdefault("rates", [[-math.exp(a) for a in row] for row in w.matrix(p + "A_log")])
    states = kept.setdefault("states", [[0.0] * state for _ in range(inner)])
    y = []
    for i, dt in enumerate(step):
        fresh = dt * u[i]
        states[i] = [s * math.exp(dt * a) + fresh * v for s, a, v in zip(states[i], rates[i], b)]
        y.append(dot(states[i], into) + w.flat(p + "D")[i] * u[i])
    return linear(w, p + "out_proj", times(y, [silu(v) for v in both[inner:]]))


def logits(c, w, tokens):
    kept = [{} for _ in range(c["num_hidden_layers"])]
    table = w.matrix(PREFIX + "embeddings.weight")
    head = w.matrix("lm_head.weight") if "lm_head.weight" in w else table
    eps = c.get("layer_norm_epsilon", 1e-5)
    rows = []
    for token in tokens:
        x = table[token]
        for i in range(c["num_hidden_layers"]):
            p = f"{PREFIX}layers.{i}."
            x = plus(x, mixer(c, w, p + "mixer.", rms_norm(x, w.flat(p + "norm.weight"), eps), kept[i]))
        rows.append(product(head, rms_norm(x, w.flat(PREFIX + "norm_f.weight"), eps)))
    return rows
