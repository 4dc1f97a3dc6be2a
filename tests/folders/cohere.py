"""Command R (cohere), Command R7B and A (cohere2): LayerNorm without biases, blocks in parallel, RoPE on neighbouring dims, scaled
logits; cohere2 has sliding layers with RoPE and full ones without."""
from decoder import *

DEFAULTS = {
    "cohere": {"layer_norm_eps": 1e-5, "logit_scale": 0.0625, "tie_word_embeddings": True, "num_key_value_heads": None,
               "use_qk_norm": False},
    "cohere2": {"layer_norm_eps": 1e-5, "logit_scale": 0.0625, "tie_word_embeddings": True, "num_key_value_heads": None,
                "sliding_window": 4096},
}
SIZES = {"vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_hidden_layers": 3, "num_attention_heads": 6,
         "num_key_value_heads": 2, "head_dim": 24}
REST = {"hidden_act": "silu", "max_position_embeddings": 256, "layer_norm_eps": 1e-5, "logit_scale": 0.25,
        "tie_word_embeddings": True, "attention_bias": False, "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0}}
# Heads of hidden_size / num_attention_heads, as many of keys and values.
FEW = {"vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_attention_heads": 4}

RECIPES = {
    "cohere": {"model_type": "cohere", **SIZES, **REST, "use_qk_norm": False},
    "cohere-norms": {"model_type": "cohere", **SIZES, **REST, "use_qk_norm": True, "attention_bias": True,
                     "tie_word_embeddings": False, "layer_norm_eps": 1e-3, "rope_parameters": None, "rope_theta": 30000.0},
    "cohere-bare": {"model_type": "cohere", **FEW, "num_hidden_layers": 2},
    "cohere2": {"model_type": "cohere2", **SIZES, **REST, "num_hidden_layers": 4, "sliding_window": 7,
                "layer_types": ["sliding_attention"] * 3 + ["full_attention"]},
    "cohere2-pattern": {"model_type": "cohere2", **SIZES, **REST, "sliding_window": 5, "sliding_window_pattern": 2,
                        "attention_bias": True, "tie_word_embeddings": False},
    "cohere2-bare": {"model_type": "cohere2", **FEW, "num_hidden_layers": 5},
}


def kinds(c):
    period = c.get("sliding_window_pattern", 4)
    return c.get("layer_types") or ["full_attention" if (i + 1) % period == 0 else "sliding_attention"
                                    for i in range(c["num_hidden_layers"])]


def traits_of(recipe):
    c = filled(recipe, DEFAULTS)
    t = traits(c, eps=c["layer_norm_eps"], layer_norm=True, parallel=True, pre_ffn="", logit_factor=c["logit_scale"],
               rotate=rotated_neighbours)
    if c["model_type"] == "cohere":
        t.turns = [frequencies(rope_of(c, 500000.0), t.size)] * t.layers
        t.qk_norm = "each" if c["use_qk_norm"] else ""
        return t
    sliding = [kind == "sliding_attention" for kind in kinds(c)]
    t.turns = [turn if slides else None for turn, slides in zip(t.turns, sliding)]
    t.windows = [c["sliding_window"] if slides else None for slides in sliding]
    return t


def weights(recipe):
    return make_weights(traits_of(recipe))


def logits(recipe, w, tokens):
    return run(traits_of(recipe), w, tokens)
