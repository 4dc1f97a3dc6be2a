"""Mamba-2: a scan by heads; B and C are shared by the heads of a group. The mixer is that of the hybrids too."""
import math
from types import SimpleNamespace

from lists import *

PREFIX = "backbone."
UNLIMITED = [0.0, {"__float__": "Infinity"}]  # as JSON has it


def config(**changes):
    made = {
        "model_type": "mamba2", "vocab_size": 259, "hidden_size": 96, "num_hidden_layers": 3, "num_heads": 8, "head_dim": 24,
        "state_size": 16, "expand": 2, "conv_kernel": 4, "n_groups": 2, "use_bias": False, "use_conv_bias": True,
        "hidden_act": "silu", "layer_norm_epsilon": 1e-5, "rms_norm": True, "residual_in_fp32": True, "chunk_size": 5,
        "time_step_limit": UNLIMITED, "time_step_min": 0.001, "time_step_max": 0.1, "time_step_rank": 6,
        "tie_word_embeddings": False,
    }
    made.update(changes)
    return made


RECIPES = {
    "mamba2": config(),
    "mamba2-tied": config(n_groups=1, num_heads=16, head_dim=12, state_size=10, tie_word_embeddings=True, chunk_size=256,
                          time_step_limit=[0.0, math.inf]),  # which JSON does not have; older files do
    "mamba2-biases": config(hidden_size=90, num_heads=6, head_dim=30, n_groups=6, use_bias=True, use_conv_bias=False,
                            conv_kernel=3, time_step_limit=[0.3, 0.8], rms_norm=False),
}


def mixer_of(heads, head, groups, state, taps, conv_bias, in_bias, out_bias, eps, **changes):
    """norm: "gate first", "norm first" or "" for the gate alone, over each of norm_groups; factors: of z, x, B, C, dt."""
    made = dict(heads=heads, head=head, groups=groups, state=state, taps=taps, conv_bias=conv_bias, in_bias=in_bias,
                out_bias=out_bias, eps=eps, norm="gate first", norm_groups=1, least=0.0, most=math.inf,
                factors=[1, 1, 1, 1, 1], in_factor=1)
    made.update(changes)
    made["inner"] = heads * head
    return SimpleNamespace(**made)


def limits_of(c):
    least, most = c.get("time_step_limit", UNLIMITED)
    return {"least": least, "most": math.inf if isinstance(most, dict) else most}


def mixer_weights(w, p, hidden, m):
    channels = m.inner + 2 * m.groups * m.state
    w.make(p + "in_proj.weight", [m.inner + channels + m.heads, hidden])
    w.make(p + "out_proj.weight", [hidden, m.inner])
    w.make(p + "conv1d.weight", [channels, 1, m.taps], 0.5)
    for name, present, size in (("in_proj", m.in_bias, m.inner + channels + m.heads), ("out_proj", m.out_bias, hidden),
                                ("conv1d", m.conv_bias, channels)):
        if present:
            w.make(f"{p}{name}.bias", [size], 0.3)
    w.make(p + "A_log", [m.heads], 0.5)
    w.make(p + "D", [m.heads], 0.3, 1)
    w.make(p + "dt_bias", [m.heads], 0.5)
    if m.norm:
        w.make(p + "norm.weight", [m.inner], 0.2, 1)


def gated(w, p, y, z, m):
    gate = [silu(v) for v in z]
    if m.norm == "gate first":
        y = times(y, gate)
    if m.norm:
        width = m.inner // m.norm_groups
        y = times([v for part in heads_of(y, width) for v in rms_norm(part, eps=m.eps)], w.flat(p + "norm.weight"))
    return y if m.norm == "gate first" else times(y, gate)


def mixer(w, p, x, m, kept):
    bc = m.groups * m.state
    parts, begin = [], 0
    projected = linear(w, p + "in_proj", scaled(x, m.in_factor))
    for size, factor in zip((m.inner, m.inner, bc, bc, m.heads), m.factors):
        parts.append(scaled(projected[begin:begin + size], factor))
        begin += size
    z, dt = parts[0], parts[4]
    mixed = [silu(v) for v in convolved(w, p + "conv1d.", parts[1] + parts[2] + parts[3], kept)]
    inputs = heads_of(mixed[:m.inner], m.head)
    b, c = (heads_of(part, m.state) for part in (mixed[m.inner:m.inner + bc], mixed[m.inner + bc:]))
    states = kept.setdefault("states", [[[0.0] * m.state for _ in range(m.head)] for _ in inputs])
    y = []
    for h, head in enumerate(inputs):
        group = h // (m.heads // m.groups)
        step = min(max(softplus(dt[h] + w.flat(p + "dt_bias")[h]), m.least), m.most)
        decay = math.exp(-step * math.exp(w.flat(p + "A_log")[h]))
        added = scaled(b[group], step)
        for i, value in enumerate(head):
            states[h][i] = [s * decay + value * v for s, v in zip(states[h][i], added)]
            y.append(dot(states[h][i], c[group]) + w.flat(p + "D")[h] * value)
    return linear(w, p + "out_proj", gated(w, p, y, z, m))


def shape_of(c):
    return mixer_of(c["num_heads"], c["head_dim"], c["n_groups"], c["state_size"], c["conv_kernel"], c["use_conv_bias"],
                    c["use_bias"], c["use_bias"], c["layer_norm_epsilon"], **limits_of(c))


def weights(c):
    w = Weights(12)
    hidden = c["hidden_size"]
    w.make(PREFIX + "embeddings.weight", [c["vocab_size"], hidden], 0.3)
    w.make(PREFIX + "norm_f.weight", [hidden], 0.2, 1)
    if not c["tie_word_embeddings"]:
        w.make("lm_head.weight", [c["vocab_size"], hidden])
    for i in range(c["num_hidden_layers"]):
        w.make(f"{PREFIX}layers.{i}.norm.weight", [hidden], 0.2, 1)
        mixer_weights(w, f"{PREFIX}layers.{i}.mixer.", hidden, shape_of(c))
    return w


def logits(c, w, tokens):
    kept = [{} for _ in range(c["num_hidden_layers"])]
    table = w.matrix(PREFIX + "embeddings.weight")
    head = w.matrix("lm_head.weight") if "lm_head.weight" in w else table
    m, eps = shape_of(c), c["layer_norm_epsilon"]
    rows = []
    for token in tokens:
        x = table[token]
        for i in range(c["num_hidden_layers"]):
            p = f"{PREFIX}layers.{i}."
            x = plus(x, mixer(w, p + "mixer.", rms_norm(x, w.flat(p + "norm.weight"), eps), m, kept[i]))
        rows.append(product(head, rms_norm(x, w.flat(PREFIX + "norm_f.weight"), eps)))
    return rows
