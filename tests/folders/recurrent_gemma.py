"""RecurrentGemma: real-gated linear recurrent units and local attention, each before a gated feed-forward."""
from lists import *

PREFIX = "model."


def config(**changes):
    made = {
        "model_type": "recurrent_gemma", "vocab_size": 259, "hidden_size": 96, "intermediate_size": 176,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "lru_width": 96,
        "attention_window_size": 8, "conv1d_width": 4, "logits_soft_cap": 30.0, "rms_norm_eps": 1e-6,
        "hidden_activation": "gelu_pytorch_tanh", "partial_rotary_factor": 0.5, "attention_bias": False,
        "block_types": ["recurrent", "recurrent", "attention"], "head_dim": 24, "w_init_variance_scale": 0.01,
        "final_w_init_variance_scale": 0.5, "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value is not None}


RECIPES = {
    "recurrent_gemma": config(),
    # A unit wider than the model, biases of q, k and v, the old form of RoPE, a head of its own.
    "recurrent_gemma-wide": config(lru_width=112, num_key_value_heads=1, attention_bias=True, conv1d_width=3,
                                   block_types=["attention", "recurrent"], hidden_activation="gelu", logits_soft_cap=2.5,
                                   intermediate_size=177, rms_norm_eps=1e-3, rope_parameters=None, rope_theta=500.0,
                                   tie_word_embeddings=False),
    "recurrent_gemma-defaults": config(
        num_key_value_heads=None, lru_width=None, attention_window_size=None, conv1d_width=None, logits_soft_cap=None,
        rms_norm_eps=None, hidden_activation=None, partial_rotary_factor=None, attention_bias=None, block_types=None,
        head_dim=None, tie_word_embeddings=None, rope_parameters=None),
}
ACTIVATIONS = {"gelu_pytorch_tanh": gelu_tanh, "gelu": lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2)))}


class Sizes:
    def __init__(self, c):
        self.hidden = c["hidden_size"]
        self.heads = c["num_attention_heads"]
        self.kv_heads = c.get("num_key_value_heads", self.heads)
        self.head = self.hidden // self.heads
        self.lru = c.get("lru_width", self.hidden)
        self.block = self.lru // self.heads
        self.taps = c.get("conv1d_width", 4)
        self.inner = c["intermediate_size"] // 2


def attends(c, layer):
    types = c.get("block_types", ["recurrent", "recurrent", "attention"])
    return types[layer % len(types)] == "attention"


def recurrent_weights(w, p, s):
    for name, rows, cols in (("linear_y", s.lru, s.hidden), ("linear_x", s.lru, s.hidden), ("linear_out", s.hidden, s.lru)):
        w.make(f"{p}{name}.weight", [rows, cols])
        w.make(f"{p}{name}.bias", [rows], 0.2)
    w.make(p + "conv_1d.weight", [s.lru, 1, s.taps], 0.6)
    w.make(p + "conv_1d.bias", [s.lru], 0.2)
    p += "rg_lru."
    # Decays a token from about 0.2 up to nearly 1.
    w.make(p + "recurrent_param", [s.lru], 2.5, -4)
    for gate in ("input", "recurrent"):
        w.make(f"{p}{gate}_gate_weight", [s.heads, s.block, s.block])
        w.make(f"{p}{gate}_gate_bias", [s.heads, s.block], 0.5)


def attention_weights(c, w, p, s):
    for name, heads in (("q", s.heads), ("k", s.kv_heads), ("v", s.kv_heads)):
        w.make(f"{p}{name}_proj.weight", [heads * s.head, s.hidden])
        if c.get("attention_bias", False):
            w.make(f"{p}{name}_proj.bias", [heads * s.head], 0.2)
    w.make(p + "o_proj.weight", [s.hidden, s.heads * s.head])
    w.make(p + "o_proj.bias", [s.hidden], 0.2)


def weights(c):
    w = Weights(8)
    s = Sizes(c)
    w.make(PREFIX + "embed_tokens.weight", [c["vocab_size"], s.hidden], 0.1)
    if not c.get("tie_word_embeddings", True):
        w.make("lm_head.weight", [c["vocab_size"], s.hidden])
    w.make(PREFIX + "final_norm.weight", [s.hidden], 0.2)
    for i in range(c["num_hidden_layers"]):
        p = f"{PREFIX}layers.{i}."
        w.make(p + "temporal_pre_norm.weight", [s.hidden], 0.2)
        w.make(p + "channel_pre_norm.weight", [s.hidden], 0.2)
        if attends(c, i):
            attention_weights(c, w, p + "temporal_block.", s)
        else:
            recurrent_weights(w, p + "temporal_block.", s)
        for name, rows, cols in (("gate", s.inner, s.hidden), ("up", s.inner, s.hidden), ("down", s.hidden, s.inner)):
            w.make(f"{p}mlp_block.{name}_proj.weight", [rows, cols])
            w.make(f"{p}mlp_block.{name}_proj.bias", [rows], 0.2)
    return w


def gate_of(w, p, x):
    """Each head's channels times a matrix of their own, from the left."""
    out = []
    for rows, part, bias in zip(w.stack(p + "weight"), heads_of(x, len(w.matrix(p + "bias")[0])), w.matrix(p + "bias")):
        out += [sigmoid(dot(part, column) + b) for column, b in zip(zip(*rows), bias)]
    return out


def recurrent_unit(w, p, x, position, kept):
    inputs, recurrence = gate_of(w, p + "input_gate_", x), gate_of(w, p + "recurrent_gate_", x)
    state = kept.get("state", [0.0] * len(x))
    out = []
    for value, i, r, parameter, before in zip(x, inputs, recurrence, w.flat(p + "recurrent_param"), state):
        log_a = -8 * r * softplus(parameter)
        # The first token is not weakened: there is nothing that it would be mixed with.
        amount = 1 if position == 0 else math.sqrt(-math.expm1(2 * log_a))
        out.append(math.exp(log_a) * before + amount * i * value)
    kept["state"] = out
    return out


def recurrent(w, p, x, position, act, kept):
    y = [act(v) for v in linear(w, p + "linear_y", x)]
    mixed = convolved(w, p + "conv_1d.", linear(w, p + "linear_x", x), kept)
    return linear(w, p + "linear_out", times(recurrent_unit(w, p + "rg_lru.", mixed, position, kept), y))


def attended(c, w, p, x, position, s, kept):
    rotary = c.get("rope_parameters", c)
    dims = int(s.head * rotary.get("partial_rotary_factor", 0.5))
    turn = [rotary.get("rope_theta", 10000.0) ** (-2 * i / dims) for i in range(dims // 2)]

    def heads(name):
        return heads_of(linear(w, f"{p}{name}_proj", x), s.head)

    keys, values = kept.setdefault("keys", []), kept.setdefault("values", [])
    keys.append([rotated(h, position, turn) for h in heads("k")])
    values.append(heads("v"))
    # As many keys as the cache of a sequence has room for, the token's own included.
    window = c.get("attention_window_size", 2048)
    q = [rotated(h, position, turn) for h in heads("q")]
    return linear(w, p + "o_proj", attention(q, keys[-window:], values[-window:], s.head ** -0.5))


def bfloat16(v):
    """The nearest value of 8 significant bits."""
    _, exponent = math.frexp(v)
    return math.ldexp(round(math.ldexp(v, 8 - exponent)), exponent - 8)


def logits(c, w, tokens):
    kept = [{} for _ in range(c["num_hidden_layers"])]
    s = Sizes(c)
    act = ACTIVATIONS[c.get("hidden_activation", "gelu_pytorch_tanh")]
    table = w.matrix(PREFIX + "embed_tokens.weight")
    head = table if c.get("tie_word_embeddings", True) else w.matrix("lm_head.weight")
    cap = c.get("logits_soft_cap", 30.0)

    def norm(x, name):
        return rms_norm(x, [1 + v for v in w.flat(name + ".weight")], c.get("rms_norm_eps", 1e-6))

    rows = []
    for position, token in enumerate(tokens):
        x = scaled(table[token], bfloat16(math.sqrt(s.hidden)))
        for i in range(c["num_hidden_layers"]):
            p = f"{PREFIX}layers.{i}."
            normed = norm(x, p + "temporal_pre_norm")
            if attends(c, i):
                x = plus(x, attended(c, w, p + "temporal_block.", normed, position, s, kept[i]))
            else:
                x = plus(x, recurrent(w, p + "temporal_block.", normed, position, act, kept[i]))
            normed = norm(x, p + "channel_pre_norm")
            p += "mlp_block."
            inner = times([act(v) for v in linear(w, p + "gate_proj", normed)], linear(w, p + "up_proj", normed))
            x = plus(x, linear(w, p + "down_proj", inner))
        rows.append([cap * math.tanh(v / cap) for v in product(head, norm(x, PREFIX + "final_norm"))])
    return rows
