"""Norms after the blocks alone: EXAONE 4 (q and k normed by the head; sliding layers with RoPE, full ones without) and OLMo 2 (q
and k normed over all heads)."""
from decoder import *

DEFAULTS = {
    "exaone4": {"rms_norm_eps": 1e-5, "num_key_value_heads": 32, "tie_word_embeddings": False, "sliding_window": 4096},
    "olmo2": {"rms_norm_eps": 1e-5, "num_key_value_heads": None, "tie_word_embeddings": False},
}


def config(kind, **changes):
    made = {"model_type": kind, "vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_hidden_layers": 3,
            "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 24, "hidden_act": "silu",
            "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
            "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0}}
    made.update(changes)
    return made


LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 16.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}

RECIPES = {
    "exaone4": config("exaone4", num_hidden_layers=4, sliding_window=7, sliding_window_pattern=4, rope_parameters=LLAMA3,
                      layer_types=["sliding_attention"] * 3 + ["full_attention"]),
    "exaone4-pattern": config("exaone4", num_hidden_layers=4, sliding_window=5, sliding_window_pattern=3, layer_types=None,
                              tie_word_embeddings=True, rms_norm_eps=1e-3),
    # Without sliding layers all of them rotate.
    "exaone4-full": config("exaone4", sliding_window=None, sliding_window_pattern=0, layer_types=["full_attention"] * 3),
    "exaone4-old": config("exaone4", sliding_window=7, layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                          rope_parameters=None, rope_theta=30000.0, rope_scaling={"rope_type": "linear", "factor": 3.0}),
    "exaone4-bare": {"model_type": "exaone4", "vocab_size": 259, "hidden_size": 128, "intermediate_size": 88,
                     "num_hidden_layers": 5, "num_attention_heads": 32},
    "olmo2": config("olmo2", attention_bias=False),
    "olmo2-biases": config("olmo2", attention_bias=True, tie_word_embeddings=True, rms_norm_eps=1e-3, rope_parameters=None,
                           rope_theta=30000.0),
    "olmo2-bare": {"model_type": "olmo2", "vocab_size": 259, "hidden_size": 96, "intermediate_size": 88,
                   "num_hidden_layers": 2, "num_attention_heads": 4},
}


def traits_of(recipe):
    c = filled(recipe, DEFAULTS)
    t = traits(c, pre_attention="", post_attention="post_attention_layernorm", pre_ffn="", post_ffn="post_feedforward_layernorm",
               qk_norm="head" if c["model_type"] == "exaone4" else "all")
    if c["model_type"] == "olmo2" or c["sliding_window"] is None:
        return t
    period = c.get("sliding_window_pattern", 4)
    kinds = c.get("layer_types") or ["full_attention" if (i + 1) % period == 0 else "sliding_attention" for i in range(t.layers)]
    sliding = [kind == "sliding_attention" for kind in kinds]
    t.turns = [turn if slides else None for turn, slides in zip(t.turns, sliding)]
    t.windows = [c["sliding_window"] if slides else None for slides in sliding]
    return t


def weights(recipe):
    return make_weights(traits_of(recipe))


def logits(recipe, w, tokens):
    return run(traits_of(recipe), w, tokens)
