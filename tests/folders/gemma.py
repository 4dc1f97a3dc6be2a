"""Gemma 2 and 3: norms before and after the blocks whose weights are offsets from 1, scaled embeddings, soft caps (2), norms of q and
k and a RoPE for each kind of layer (3); the text part of Gemma 3's multimodal folders, by either of the prefixes that are in use."""
from decoder import *

DEFAULTS = {
    "gemma2": {"rms_norm_eps": 1e-6, "num_key_value_heads": 4, "head_dim": 256, "tie_word_embeddings": True,
               "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 256, "sliding_window": 4096,
               "final_logit_softcapping": 30.0, "attn_logit_softcapping": 50.0},
    "gemma3_text": {"rms_norm_eps": 1e-6, "num_key_value_heads": 4, "head_dim": 256, "tie_word_embeddings": True,
                    "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 256, "sliding_window": 4096,
                    "final_logit_softcapping": None},
}
DEFAULTS["gemma3"] = DEFAULTS["gemma3_text"]
NAMES = {"pre_attention": "input_layernorm", "post_attention": "post_attention_layernorm",
         "pre_ffn": "pre_feedforward_layernorm", "post_ffn": "post_feedforward_layernorm"}


def config(kind, **changes):
    made = {"model_type": kind, "vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_hidden_layers": 3,
            "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 24, "hidden_activation": "gelu_pytorch_tanh",
            "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "attention_bias": False,
            "query_pre_attn_scalar": 24, "sliding_window": 7, "final_logit_softcapping": 30.0, "attn_logit_softcapping": 50.0}
    if kind == "gemma2":
        made["rope_parameters"] = {"rope_type": "default", "rope_theta": 20000.0}
    else:
        made["rope_parameters"] = {"full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
                                   "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}
        made["final_logit_softcapping"] = made["attn_logit_softcapping"] = None
    made.update(changes)
    return made


def listed(letters):
    return [{"s": "sliding_attention", "f": "full_attention"}[letter] for letter in letters]


BARE = {"vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_attention_heads": 4}
SCALED = {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
          "sliding_attention": {"rope_type": "default", "rope_theta": 20000.0}}

# A multimodal folder's head is tied or not by the outermost flag alone.
FOLDER = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "tie_word_embeddings": True,
          "image_token_index": 258, "mm_tokens_per_image": 4, "vision_config": {"model_type": "siglip_vision_model"}}

RECIPES = {
    "gemma2": config("gemma2", num_hidden_layers=4, layer_types=listed("sfsf")),
    "gemma2-uncapped": config("gemma2", layer_types=listed("fss"), final_logit_softcapping=None, attn_logit_softcapping=None,
                              query_pre_attn_scalar=144, attention_bias=True, tie_word_embeddings=False),
    "gemma2-old": config("gemma2", hidden_activation="gelu", attn_logit_softcapping=3.0, final_logit_softcapping=2.0,
                         rope_parameters=None, rope_theta=30000.0, rms_norm_eps=1e-3),
    "gemma2-bare": {"model_type": "gemma2", **BARE, "num_hidden_layers": 2},
    "gemma3": config("gemma3_text", num_hidden_layers=6, _sliding_window_pattern=6, layer_types=listed("sssssf")),
    "gemma3-scaled": config("gemma3_text", layer_types=listed("fsf"), rope_parameters=SCALED, query_pre_attn_scalar=144,
                            final_logit_softcapping=5.0, attention_bias=True, tie_word_embeddings=False),
    "gemma3-old": config("gemma3_text", sliding_window_pattern=2, rope_parameters=None, rope_theta=500000.0,
                         rope_local_base_freq=30000.0, rope_scaling={"rope_type": "linear", "factor": 4.0}),
    "gemma3-bare": {"model_type": "gemma3_text", **BARE, "num_hidden_layers": 2},
    "gemma3-folder": {**FOLDER, "text_config": config("gemma3_text", layer_types=listed("sfs")),
                      "tensor_prefix": "model.language_model."},
    "gemma3-folder-head": {**FOLDER, "tie_word_embeddings": False, "tensor_prefix": "language_model.model.",
                           "text_config": config("gemma3_text", sliding_window_pattern=2, layer_types=None)},
}


def parameters(c):
    """RoPE's parameters of full and of sliding layers."""
    if c["model_type"] == "gemma2":
        return rope_of(c), rope_of(c)
    nested = c.get("rope_parameters") or {}
    full = {"rope_theta": c.get("rope_theta", 1000000.0), **nested.get("full_attention", {}), **(c.get("rope_scaling") or {})}
    return full, {"rope_theta": c.get("rope_local_base_freq", 10000.0), **nested.get("sliding_attention", {})}


def traits_of(recipe):
    c = filled(recipe.get("text_config", recipe), DEFAULTS)
    layers = c["num_hidden_layers"]
    period = 2 if c["model_type"] == "gemma2" else c.get("sliding_window_pattern", 6)
    first = [kind == "sliding_attention" for kind in c.get("layer_types") or ()]
    sliding = first or [(i + 1) % period != 0 for i in range(layers)]
    full, local = (frequencies(rope, c["head_dim"]) for rope in parameters(c))
    t = traits(c, **NAMES, norm_offset=1, activation=ACTIVATIONS[c["hidden_activation"]], embedding_deviation=0.1,
               embedding_factor=math.sqrt(c["hidden_size"]), scale=c["query_pre_attn_scalar"] ** -0.5,
               logit_cap=c["final_logit_softcapping"], turns=[local if slides else full for slides in sliding],
               windows=[c["sliding_window"] if slides else None for slides in sliding],
               tied=recipe.get("tie_word_embeddings", True))
    if c["model_type"] == "gemma2":
        t.score_cap = c["attn_logit_softcapping"]
    else:
        t.qk_norm = "head"
    if "tensor_prefix" in recipe:
        t.prefix = recipe["tensor_prefix"]
        t.head_name = "language_model.lm_head.weight" if t.prefix.startswith("language_model.") else "lm_head.weight"
    return t


def weights(recipe):
    return make_weights(traits_of(recipe))


def logits(recipe, w, tokens):
    return run(traits_of(recipe), w, tokens)
