"""A decoder of attention and gated feed-forward, for architectures that differ in where their norms lie, what they scale and how
they tell positions. What differs is said by the traits; a file for each family makes them from a config."""
import math
from types import SimpleNamespace

from lists import *

ACTIVATIONS = {"silu": silu, "gelu_pytorch_tanh": gelu_tanh, "relu": lambda x: max(x, 0.0),
               "gelu": lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2)))}


def filled(c, defaults):
    """The config with what it leaves out."""
    return {**defaults[c["model_type"]], **c}


def frequencies(rope, size):
    """Of pairs of dims, by `rope`: rope_type, rope_theta, partial_rotary_factor and what the type needs."""
    dims = int(size * rope.get("partial_rotary_factor", 1))
    base = rope["rope_theta"]
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "dynamic":  # Hunyuan's: grown once
        base *= rope["alpha"] ** (dims / (dims - 2))
    plain = [base ** (-2 * i / dims) for i in range(dims // 2)]
    if kind == "linear":
        return [f / rope["factor"] for f in plain]
    if kind != "llama3":
        return plain
    low, high, context = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    out = []
    for f in plain:
        share = min(max((context * f / (2 * math.pi) - low) / (high - low), 0), 1)  # of the frequency as it was
        out.append(share * f + (1 - share) * f / rope["factor"])
    return out


def rope_of(c, theta=10000.0, part=None):
    """RoPE's parameters in the new form or the old one, with the class's default for the base and the part of the head."""
    rope = {"rope_theta": c.get("rope_theta", theta)}
    if part is not None:
        rope["partial_rotary_factor"] = c.get("partial_rotary_factor", part)
    rope.update(c.get("rope_scaling") or c.get("rope_parameters") or {})
    return rope


def rotated_neighbours(head, position, turn):
    """As rotated, but a pair are dims 2i and 2i + 1."""
    out = list(head)
    for i, frequency in enumerate(turn):
        c, s = math.cos(position * frequency), math.sin(position * frequency)
        out[2 * i], out[2 * i + 1] = head[2 * i] * c - head[2 * i + 1] * s, head[2 * i + 1] * c + head[2 * i] * s
    return out


def traits(c, **changes):
    """What Llama does with the sizes of `c`, but for the changes."""
    heads, layers = c["num_attention_heads"], c["num_hidden_layers"]
    size = c.get("head_dim") or c["hidden_size"] // heads
    bias = c.get("attention_bias", False)
    made = SimpleNamespace(
        prefix="model.", head_name="lm_head.weight", tied=c["tie_word_embeddings"], vocabulary=c["vocab_size"],
        hidden=c["hidden_size"], width=c["intermediate_size"], layers=layers, heads=heads,
        kv_heads=c["num_key_value_heads"] or heads, size=size, eps=c.get("rms_norm_eps"),
        activation=ACTIVATIONS[c.get("hidden_act", "silu")],
        layer_norm=False,  # in place of RMSNorm, without biases
        norm_offset=0,  # added to the norms' weights
        pre_attention="input_layernorm", post_attention="", pre_ffn="post_attention_layernorm", post_ffn="",
        parallel=False,  # attention and feed-forward read one norm's output
        qk_norm="",  # "head": one weight for all heads, "each": one a head, "all": over all heads together
        qk_norm_after_rope=False, q_norm="q_norm", k_norm="k_norm",
        qkv_bias=bias, output_bias=bias, ffn_bias=c.get("mlp_bias", False), fused_gate_up=False,
        scale=size ** -0.5, score_cap=None, logit_cap=None, embedding_factor=1, residual_factor=1, logit_factor=1,
        rotate=rotated, turns=[frequencies(rope_of(c), size)] * layers,  # None: the layer's positions do not turn
        windows=[None] * layers, embedding_deviation=0.1 if c["tie_word_embeddings"] else 0.7)
    made.__dict__.update(changes)
    return made


def make_weights(t):
    w = Weights(8)

    def norm(name, shape):
        w.make(name + ".weight", shape, 0.2, 1 - t.norm_offset)

    def linear(name, rows, cols, bias):
        w.make(name + ".weight", [rows, cols])
        if bias:
            w.make(name + ".bias", [rows], 0.2)

    w.make(t.prefix + "embed_tokens.weight", [t.vocabulary, t.hidden], t.embedding_deviation)
    if not t.tied:
        w.make(t.head_name, [t.vocabulary, t.hidden])
    norm(t.prefix + "norm", [t.hidden])
    for i in range(t.layers):
        p = f"{t.prefix}layers.{i}."
        for name in (t.pre_attention, t.post_attention, t.pre_ffn, t.post_ffn):
            if name:
                norm(p + name, [t.hidden])
        linear(p + "self_attn.q_proj", t.heads * t.size, t.hidden, t.qkv_bias)
        linear(p + "self_attn.k_proj", t.kv_heads * t.size, t.hidden, t.qkv_bias)
        linear(p + "self_attn.v_proj", t.kv_heads * t.size, t.hidden, t.qkv_bias)
        linear(p + "self_attn.o_proj", t.hidden, t.heads * t.size, t.output_bias)
        for name, heads in ((t.q_norm, t.heads), (t.k_norm, t.kv_heads)) if t.qk_norm else ():
            shape = {"head": [t.size], "each": [heads, t.size], "all": [heads * t.size]}[t.qk_norm]
            norm(f"{p}self_attn.{name}", shape)
        if t.fused_gate_up:
            linear(p + "mlp.gate_up_proj", 2 * t.width, t.hidden, t.ffn_bias)
        else:
            linear(p + "mlp.gate_proj", t.width, t.hidden, t.ffn_bias)
            linear(p + "mlp.up_proj", t.width, t.hidden, t.ffn_bias)
        linear(p + "mlp.down_proj", t.hidden, t.width, t.ffn_bias)
    return w


def applied(w, name, x):
    y = product(w.matrix(name + ".weight"), x)
    return plus(y, w.flat(name + ".bias")) if name + ".bias" in w else y


def normed(t, w, name, x):
    weight = [v + t.norm_offset for v in w.flat(name + ".weight")]
    return layer_norm(x, weight, [0.0] * len(x), t.eps) if t.layer_norm else rms_norm(x, weight, t.eps)


def heads_normed(t, w, name, x):
    """All heads of q or k, one behind the other."""
    if t.qk_norm == "all":
        return normed(t, w, name, x)
    if t.qk_norm == "head":
        return [v for head in heads_of(x, t.size) for v in normed(t, w, name, head)]
    weights = heads_of(w.flat(name + ".weight"), t.size)
    return [v for head, weight in zip(heads_of(x, t.size), weights) for v in layer_norm(head, weight, [0.0] * t.size, t.eps)]


def turned(t, w, p, kind, layer, position, x):
    """q or k (`kind`) with its norm and RoPE, as heads."""
    y = applied(w, f"{p}{kind}_proj", x)
    name = p + (t.q_norm if kind == "q" else t.k_norm)
    if t.qk_norm and not t.qk_norm_after_rope:
        y = heads_normed(t, w, name, y)
    heads = heads_of(y, t.size)
    if t.turns[layer] is not None:
        heads = [t.rotate(head, position, t.turns[layer]) for head in heads]
    if t.qk_norm and t.qk_norm_after_rope:
        heads = heads_of(heads_normed(t, w, name, [v for head in heads for v in head]), t.size)
    return heads


def capped(values, cap):
    return [cap * math.tanh(v / cap) for v in values] if cap else values


def attended(t, w, p, layer, position, x, kept):
    q = turned(t, w, p, "q", layer, position, x)
    keys, values = kept
    keys.append(turned(t, w, p, "k", layer, position, x))
    values.append(heads_of(applied(w, p + "v_proj", x), t.size))
    first = max(0, position + 1 - t.windows[layer]) if t.windows[layer] else 0
    out = []
    for h, head in enumerate(q):
        group = h // (t.heads // t.kv_heads)
        shares = softmax(capped([t.scale * dot(head, key[group]) for key in keys[first:]], t.score_cap))
        mixed = [0.0] * t.size
        for share, value in zip(shares, values[first:]):
            mixed = [m + share * v for m, v in zip(mixed, value[group])]
        out += mixed
    return applied(w, p + "o_proj", out)


def fed_forward(t, w, p, x):
    if t.fused_gate_up:
        both = applied(w, p + "gate_up_proj", x)
        gate, up = both[:t.width], both[t.width:]
    else:
        gate, up = applied(w, p + "gate_proj", x), applied(w, p + "up_proj", x)
    return applied(w, p + "down_proj", times([t.activation(v) for v in gate], up))


def run(t, w, tokens):
    """The logits at every position."""
    table = w.matrix(t.prefix + "embed_tokens.weight")
    head = table if t.tied else w.matrix(t.head_name)
    kept = [([], []) for _ in range(t.layers)]
    rows = []
    for position, token in enumerate(tokens):
        x = scaled(table[token], t.embedding_factor)
        for i in range(t.layers):
            p = f"{t.prefix}layers.{i}."
            norm = lambda name, v: normed(t, w, p + name, v) if name else v
            before = norm(t.pre_attention, x)
            mixed = norm(t.post_attention, attended(t, w, p + "self_attn.", i, position, before, kept[i]))
            if t.parallel:
                x = plus(plus(x, mixed), fed_forward(t, w, p + "mlp.", before))
                continue
            x = plus(x, scaled(mixed, t.residual_factor))
            fed = norm(t.post_ffn, fed_forward(t, w, p + "mlp.", norm(t.pre_ffn, x)))
            x = plus(x, scaled(fed, t.residual_factor))
        out = scaled(product(head, normed(t, w, t.prefix + "norm", x)), t.logit_factor)
        rows.append(capped(out, t.logit_cap))
    return rows
