"""Llama but for a trait or two: ERNIE 4.5, GLM-4, Granite, Hunyuan, Seed-OSS, SmolLM 3."""
from decoder import *

DEFAULTS = {
    "ernie4_5": {"rms_norm_eps": 1e-5, "num_key_value_heads": 2, "head_dim": 128, "tie_word_embeddings": True, "use_bias": False},
    "glm": {"rms_norm_eps": 1.5625e-7, "num_key_value_heads": 2, "head_dim": 128, "tie_word_embeddings": False,
            "attention_bias": True},
    "granite": {"rms_norm_eps": 1e-6, "num_key_value_heads": None, "tie_word_embeddings": False, "embedding_multiplier": 1.0,
                "logits_scaling": 1.0, "residual_multiplier": 1.0, "attention_multiplier": 1.0},
    "hunyuan_v1_dense": {"rms_norm_eps": 1e-5, "num_key_value_heads": None, "tie_word_embeddings": False},
    "seed_oss": {"rms_norm_eps": 1e-6, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": False,
                 "attention_bias": True, "attention_out_bias": False},
    "smollm3": {"rms_norm_eps": 1e-6, "num_key_value_heads": 4, "tie_word_embeddings": True, "no_rope_layers": None,
                "no_rope_layer_interval": 4, "use_sliding_window": False, "sliding_window": None},
}
DEFAULTS["glm4"] = DEFAULTS["glm"]

BARE = {"vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_hidden_layers": 2, "num_attention_heads": 4}


def config(kind, **changes):
    made = {"model_type": kind, "vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_hidden_layers": 3,
            "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 24, "hidden_act": "silu",
            "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
            "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0}}
    made.update(changes)
    return made


def half(theta, part=0.5):
    return {"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": part}


RECIPES = {
    "ernie4_5": config("ernie4_5", use_bias=False, tie_word_embeddings=True),
    "ernie4_5-biases": config("ernie4_5", use_bias=True, hidden_act="gelu", rope_parameters=None, rope_theta=30000.0),
    "ernie4_5-bare": {"model_type": "ernie4_5", **BARE},
    "ernie4_5-null": config("ernie4_5", num_attention_heads=4, num_key_value_heads=None, head_dim=None),
    "glm": config("glm", attention_bias=True, partial_rotary_factor=0.5, rope_parameters=half(10000.0)),
    # What the object says counts, not what a class writes beside it.
    "glm-part": config("glm", attention_bias=False, partial_rotary_factor=0.5, tie_word_embeddings=True,
                       rope_parameters=half(10000.0, 0.75)),
    "glm-old": config("glm", attention_bias=False, partial_rotary_factor=0.25, rope_parameters=None, rope_theta=30000.0,
                      hidden_act="gelu_pytorch_tanh"),
    "glm-bare": {"model_type": "glm", **BARE},
    "glm4": config("glm4", attention_bias=True, partial_rotary_factor=0.5, rope_parameters=half(10000.0)),
    "glm4-plain": config("glm4", attention_bias=False, partial_rotary_factor=1.0, rope_parameters=half(20000.0, 1.0),
                         tie_word_embeddings=True),
    "glm4-bare": {"model_type": "glm4", **BARE},
    "granite": config("granite", embedding_multiplier=6.0, logits_scaling=4.0, residual_multiplier=0.22,
                      attention_multiplier=0.15, attention_bias=False, mlp_bias=False),
    "granite-biases": config("granite", embedding_multiplier=2, attention_bias=True, mlp_bias=True, tie_word_embeddings=True,
                             attention_multiplier=0.2, hidden_act="relu"),
    "granite-bare": {"model_type": "granite", **BARE},
    "hunyuan": config("hunyuan_v1_dense", attention_bias=False,
                      rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "alpha": 1000.0, "factor": 1.0,
                                       "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0}),
    "hunyuan-biases": config("hunyuan_v1_dense", attention_bias=True, tie_word_embeddings=True),
    "hunyuan-old": config("hunyuan_v1_dense", rope_parameters=None, rope_theta=30000.0,
                          rope_scaling={"type": "dynamic", "alpha": 50.0, "factor": 2.0}),
    "hunyuan-bare": {"model_type": "hunyuan_v1_dense", **BARE},
    "seed_oss": config("seed_oss", attention_bias=True, attention_out_bias=False, mlp_bias=False),
    "seed_oss-biases": config("seed_oss", attention_bias=True, attention_out_bias=True, mlp_bias=True,
                              tie_word_embeddings=True),
    "seed_oss-plain": config("seed_oss", attention_bias=False, attention_out_bias=True, rope_parameters=None,
                             rope_theta=30000.0),
    "seed_oss-bare": {"model_type": "seed_oss", **BARE, "num_attention_heads": 8, "num_hidden_layers": 1},
    "smollm3": config("smollm3", num_hidden_layers=4, no_rope_layers=[1, 0, 1, 1], no_rope_layer_interval=4,
                      use_sliding_window=False, sliding_window=None, layer_types=["full_attention"] * 4),
    "smollm3-sliding": config("smollm3", use_sliding_window=True, sliding_window=7, no_rope_layer_interval=2,
                              attention_bias=True, mlp_bias=True, tie_word_embeddings=True),
    "smollm3-types": config("smollm3", use_sliding_window=True, sliding_window=5, no_rope_layers=[1, 1, 0],
                            layer_types=["full_attention", "sliding_attention", "full_attention"]),
    # The mask is made by the list alone.
    "smollm3-listed": config("smollm3", use_sliding_window=False, sliding_window=5, no_rope_layers=[1, 1, 0],
                             layer_types=["full_attention", "sliding_attention", "full_attention"]),
    "smollm3-bare": {"model_type": "smollm3", **BARE, "num_hidden_layers": 5},
}


def smollm3_layers(c):
    """Whether positions turn and whether the window slides, for each layer."""
    layers = range(c["num_hidden_layers"])
    turn = c["no_rope_layers"] or [(i + 1) % c["no_rope_layer_interval"] != 0 for i in layers]
    slides = c["use_sliding_window"] and c["sliding_window"] is not None
    kinds = c.get("layer_types") or ["full_attention" if turn[i] or not slides else "sliding_attention" for i in layers]
    return turn, [kind == "sliding_attention" for kind in kinds]


def traits_of(recipe):
    c = filled(recipe, DEFAULTS)
    kind = c["model_type"]
    t = traits(c)
    if kind == "ernie4_5":
        t.qkv_bias = t.output_bias = t.ffn_bias = c["use_bias"]
        t.rotate = rotated_neighbours
        t.turns = [frequencies(rope_of(c, 500000.0), t.size)] * t.layers
    elif kind in ("glm", "glm4"):
        t.output_bias = False
        t.fused_gate_up = True
        t.rotate = rotated_neighbours
        t.turns = [frequencies(rope_of(c, part=0.5), t.size)] * t.layers
        if kind == "glm4":
            t.post_attention, t.post_ffn = "post_self_attn_layernorm", "post_mlp_layernorm"
    elif kind == "granite":
        t.scale = c["attention_multiplier"]
        t.embedding_factor, t.residual_factor = c["embedding_multiplier"], c["residual_multiplier"]
        t.logit_factor = 1 / c["logits_scaling"]
    elif kind == "hunyuan_v1_dense":
        t.qk_norm, t.qk_norm_after_rope, t.q_norm, t.k_norm = "head", True, "query_layernorm", "key_layernorm"
    elif kind == "seed_oss":
        t.output_bias = c["attention_out_bias"]
    else:
        turn, slides = smollm3_layers(c)
        turns = frequencies(rope_of(c, 2000000.0), t.size)
        t.turns = [turns if layer else None for layer in turn]
        t.windows = [c["sliding_window"] if layer else None for layer in slides]
    return t


def weights(recipe):
    return make_weights(traits_of(recipe))


def logits(recipe, w, tokens):
    return run(traits_of(recipe), w, tokens)
