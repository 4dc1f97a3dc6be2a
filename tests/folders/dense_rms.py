"""Llama and what is made like it: RMSNorm before the blocks, a gated feed-forward, RoPE. Phi 3 has its projections in two
tensors, Qwen 2 biases of q, k and v, Qwen 3 norms of q's and k's heads."""
import math

from lists import *
from rope_frequencies import rope

# What the classes assume where config.json says nothing.
DEFAULTS = {
    "llama": {"rms_norm_eps": 1e-6},
    "mistral": {"rms_norm_eps": 1e-6, "num_key_value_heads": 8, "sliding_window": 4096},
    "phi3": {"rms_norm_eps": 1e-5, "original_max_position_embeddings": 4096},
    "qwen2": {"rms_norm_eps": 1e-6, "num_key_value_heads": 32},
    "qwen3": {"rms_norm_eps": 1e-6, "num_key_value_heads": 32, "head_dim": 128},
}
ACTIVATIONS = {"silu": silu, "gelu": gelu, "gelu_new": gelu_tanh, "gelu_pytorch_tanh": gelu_tanh, "relu": relu}


def config(kind, left_out=(), **changes):
    """The shapes are awkward; `left_out`: keys whose value is the class's default anyway."""
    made = {
        "model_type": kind, "vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_hidden_layers": 3,
        "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 24, "hidden_act": "silu",
        "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    if kind in ("phi3", "qwen2"):  # their classes know no head_dim
        made.update(hidden_size=144)
        left_out = (*left_out, "head_dim")
    made.update(changes)
    return {key: value for key, value in made.items() if key not in left_out}


def scaled_llama(rope_type, **values):
    return config("llama", rope_parameters={"rope_type": rope_type, "rope_theta": 10000.0, **values})


OLD_ROPE = ("rope_parameters",)
SWITCHED_ON = {"use_sliding_window": True, "sliding_window": 6}
LONG = [1.0 + 0.25 * i for i in range(9)]
RECIPES = {
    "llama": config("llama"),
    "llama-biases": config("llama", attention_bias=True, mlp_bias=True, tie_word_embeddings=True, rms_norm_eps=1e-3),
    "llama-gelu": config("llama", hidden_act="gelu", num_key_value_heads=6),
    "llama-gelu-new": config("llama", hidden_act="gelu_new", num_key_value_heads=1),
    "llama-relu": config("llama", hidden_act="relu"),
    # hidden 96, 4 heads of 24.
    "llama-bare": config("llama", ("rope_parameters", "head_dim", "hidden_act", "rms_norm_eps", "num_key_value_heads",
                                   "tie_word_embeddings"), num_attention_heads=4),
    "llama-null": config("llama", head_dim=None, num_key_value_heads=None, num_attention_heads=4),
    "llama-llama3": scaled_llama("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                 original_max_position_embeddings=64),
    "llama-linear": scaled_llama("linear", factor=4.0),
    "llama-dynamic": {**scaled_llama("dynamic", factor=3.0), "max_position_embeddings": 16},
    "llama-yarn": scaled_llama("yarn", factor=8.0, original_max_position_embeddings=32),
    "llama-yarn-more": scaled_llama("yarn", factor=8.0, original_max_position_embeddings=64, beta_fast=8.0, beta_slow=0.5,
                                    mscale=0.7, mscale_all_dim=1.2, truncate=False),
    "llama-yarn-factor": scaled_llama("yarn", factor=4.0, attention_factor=0.8),
    "llama-longrope": scaled_llama("longrope", factor=4.0, original_max_position_embeddings=16,
                                   short_factor=[1.0] * 12, long_factor=[1.0 + 0.5 * i for i in range(12)]),
    "llama-old-linear": config("llama", OLD_ROPE, rope_theta=5000.0, rope_scaling={"type": "linear", "factor": 2.5}),
    "llama-old-llama3": config("llama", OLD_ROPE, rope_theta=500000.0,
                               rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                             "high_freq_factor": 4.0, "original_max_position_embeddings": 32}),
    "llama-old-null": config("llama", OLD_ROPE, rope_theta=3000.0, rope_scaling=None),
    "mistral": config("mistral", sliding_window=7),
    "mistral-full": config("mistral", sliding_window=None, tie_word_embeddings=True),
    # Eight KV heads and a window of 4096.
    "mistral-bare": config("mistral", ("num_key_value_heads", "head_dim", "rms_norm_eps", "hidden_act"), hidden_size=96,
                           num_attention_heads=24),
    "qwen2": config("qwen2"),
    "qwen2-tied": config("qwen2", tie_word_embeddings=True, hidden_size=96),
    "qwen2-head_dim": config("qwen2", hidden_size=96, num_attention_heads=4, num_key_value_heads=4),
    "qwen2-sliding": config("qwen2", **SWITCHED_ON, max_window_layers=1,
                            layer_types=["full_attention", "sliding_attention", "sliding_attention"]),
    "qwen2-sliding-bare": config("qwen2", ("rms_norm_eps", "hidden_act"), **SWITCHED_ON, max_window_layers=2),
    "qwen2-window-off": config("qwen2", use_sliding_window=False, sliding_window=6, max_window_layers=0),
    "qwen2-yarn": config("qwen2", max_position_embeddings=128,
                         rope_parameters={"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 4.0,
                                          "original_max_position_embeddings": 32}),
    "qwen3": config("qwen3"),
    "qwen3-biases": config("qwen3", attention_bias=True, tie_word_embeddings=True),
    "qwen3-sliding": config("qwen3", **SWITCHED_ON, max_window_layers=28,
                            layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
    "qwen3-window-null": config("qwen3", use_sliding_window=True, sliding_window=None, max_window_layers=0),
    # Heads of 128.
    "qwen3-bare": config("qwen3", ("head_dim", "rms_norm_eps", "hidden_act", "rope_parameters", "tie_word_embeddings"),
                         num_attention_heads=2, num_key_value_heads=1),
    "phi3": config("phi3", original_max_position_embeddings=4096, rms_norm_eps=1e-5),
    "phi3-sliding": config("phi3", ("num_key_value_heads",), sliding_window=5, tie_word_embeddings=True),
    "phi3-partial": config("phi3", rope_parameters={"rope_type": "default", "rope_theta": 10000.0,
                                                    "partial_rotary_factor": 0.75}),
    "phi3-longrope": config("phi3", original_max_position_embeddings=16, max_position_embeddings=128,
                            rope_parameters={"rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
                                             "original_max_position_embeddings": 16, "short_factor": [1.0] * 9,
                                             "long_factor": LONG}),
    "phi3-longrope-short": config("phi3", original_max_position_embeddings=32, max_position_embeddings=128,
                                  rope_parameters={"rope_type": "longrope", "rope_theta": 10000.0,
                                                   "partial_rotary_factor": 0.75, "short_factor": LONG,
                                                   "long_factor": [9.0] * 9}),
    # Early files: "su", and the part of the head at the top.
    "phi3-old": config("phi3", OLD_ROPE, original_max_position_embeddings=16, max_position_embeddings=64, rope_theta=10000.0,
                       partial_rotary_factor=0.75,
                       rope_scaling={"type": "su", "short_factor": [1.0] * 9, "long_factor": LONG}),
    "phi3-bare": config("phi3", ("rms_norm_eps", "hidden_act", "rope_parameters", "tie_word_embeddings")),
}


def with_defaults(c):
    """What each key means in the end, and what the architecture has."""
    full = {"hidden_act": "silu", "tie_word_embeddings": False, "max_position_embeddings": 2048, "head_dim": None,
            "num_key_value_heads": None, "sliding_window": None, **DEFAULTS[c["model_type"]], **c}
    kind, layers = c["model_type"], c["num_hidden_layers"]
    full["head_dim"] = full["head_dim"] or full["hidden_size"] // full["num_attention_heads"]
    full["num_key_value_heads"] = full["num_key_value_heads"] or full["num_attention_heads"]
    if (full.get("rope_scaling") or {}).get("type") == "su":
        full["rope_scaling"] = {**full["rope_scaling"], "type": "longrope"}
    attention_bias = full.get("attention_bias", False) and kind in ("llama", "qwen3")
    full.update(qkv_bias=attention_bias or kind == "qwen2", output_bias=attention_bias, fused=kind == "phi3",
                head_norms=kind == "qwen3")
    full["windows"] = [full["sliding_window"]] * layers
    if kind in ("qwen2", "qwen3"):
        window = full["sliding_window"] if full.get("use_sliding_window", False) else None
        types = full.get("layer_types") or ["full_attention" if i < full.get("max_window_layers", 28) else "sliding_attention"
                                            for i in range(layers)]
        full["windows"] = [window if kind == "sliding_attention" else None for kind in types]
    return full


def weights(c):
    c = with_defaults(c)
    w = Weights(21)
    hidden, size, width = c["hidden_size"], c["head_dim"], c["intermediate_size"]
    heads, kv_heads = c["num_attention_heads"], c["num_key_value_heads"]

    norm, linear = w.norm, w.linear

    w.make("model.embed_tokens.weight", [c["vocab_size"], hidden], 0.5)
    norm("model.norm", hidden)
    if not c["tie_word_embeddings"]:
        linear("lm_head", c["vocab_size"], hidden)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        norm(p + "input_layernorm", hidden)
        norm(p + "post_attention_layernorm", hidden)
        if c["fused"]:
            linear(p + "self_attn.qkv_proj", (heads + 2 * kv_heads) * size, hidden)
            linear(p + "mlp.gate_up_proj", 2 * width, hidden)
        else:
            for name, rows in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
                linear(f"{p}self_attn.{name}_proj", rows * size, hidden, c["qkv_bias"])
            for name in ("gate", "up"):
                linear(f"{p}mlp.{name}_proj", width, hidden, c.get("mlp_bias", False))
        linear(p + "self_attn.o_proj", hidden, heads * size, c["output_bias"])
        linear(p + "mlp.down_proj", hidden, width, c.get("mlp_bias", False))
        if c["head_norms"]:
            norm(p + "self_attn.q_norm", size)
            norm(p + "self_attn.k_norm", size)
    return w


def projected(c, w, p, x):
    """q, k and v, each as heads."""
    heads, kv_heads, size = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
    if c["fused"]:
        every = heads_of(linear(w, p + "qkv_proj", x), size)
        return every[:heads], every[heads:heads + kv_heads], every[heads + kv_heads:]
    return [heads_of(linear(w, f"{p}{name}_proj", x), size) for name in ("q", "k", "v")]


def fed_forward(c, w, p, x):
    if c["fused"]:
        both = linear(w, p + "gate_up_proj", x)
        gate, up = both[:len(both) // 2], both[len(both) // 2:]
    else:
        gate, up = linear(w, p + "gate_proj", x), linear(w, p + "up_proj", x)
    return linear(w, p + "down_proj", times([ACTIVATIONS[c["hidden_act"]](v) for v in gate], up))


def logits(c, w, tokens):
    c = with_defaults(c)
    turned = rope(c, c["head_dim"], len(tokens))
    table = w.matrix("model.embed_tokens.weight")
    kept = [([], []) for _ in range(c["num_hidden_layers"])]

    def norm(x, name):
        return rms_norm(x, w.flat(name + ".weight"), c["rms_norm_eps"])

    rows = []
    for position, token in enumerate(tokens):
        x = table[token]
        for i, (keys, values) in enumerate(kept):
            p = f"model.layers.{i}."
            q, k, v = projected(c, w, p + "self_attn.", norm(x, p + "input_layernorm"))
            if c["head_norms"]:
                q = [norm(head, p + "self_attn.q_norm") for head in q]
                k = [norm(head, p + "self_attn.k_norm") for head in k]
            keys.append([turned(head, position) for head in k])
            values.append(v)
            window = c["windows"][i]
            first = max(0, position + 1 - window) if window else 0
            mixed = attention([turned(head, position) for head in q], keys[first:], values[first:], c["head_dim"] ** -0.5)
            x = plus(x, linear(w, p + "self_attn.o_proj", mixed))
            x = plus(x, fed_forward(c, w, p + "mlp.", norm(x, p + "post_attention_layernorm")))
        x = norm(x, "model.norm")
        rows.append(product(table, x) if c["tie_word_embeddings"] else linear(w, "lm_head", x))
    return rows
