"""Configurations of the architectures with LayerNorm: awkward shapes, every option that changes what is computed, and keys left
out that have the value which the class assumes anyway."""


def config(kind, **changes):
    return {"model_type": kind, "vocab_size": 259, **changes}


def bloom(**changes):
    return config("bloom", **{"hidden_size": 144, "n_layer": 3, "n_head": 6, "layer_norm_epsilon": 1e-5, **changes})


def falcon(**changes):
    return config("falcon", **{
        "hidden_size": 144, "num_hidden_layers": 3, "num_attention_heads": 6, "num_kv_heads": 6, "ffn_hidden_size": 88,
        "multi_query": True, "parallel_attn": True, "new_decoder_architecture": False, "num_ln_in_parallel_attn": None,
        "alibi": False, "bias": False, "activation": "gelu", "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True,
        "max_position_embeddings": 256, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, **changes})


def gpt2(**changes):
    return config("gpt2", **{"n_embd": 96, "n_layer": 3, "n_head": 4, "n_positions": 64, "n_inner": None,
                             "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, **changes})


def gpt_neox(**changes):
    return config("gpt_neox", **{
        "hidden_size": 96, "intermediate_size": 88, "num_hidden_layers": 3, "num_attention_heads": 4, "hidden_act": "gelu",
        "layer_norm_eps": 1e-5, "use_parallel_residual": True, "attention_bias": True, "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}, **changes})


def mpt(**changes):
    return config("mpt", **{"d_model": 96, "n_heads": 4, "n_layers": 3, "expansion_ratio": 4, "max_seq_len": 64,
                            "layer_norm_epsilon": 1e-5, "no_bias": True, "learned_pos_emb": True,
                            "attn_config": {"alibi": True, "alibi_bias_max": 8, "clip_qkv": None, "softmax_scale": None},
                            **changes})


def stablelm(**changes):
    return config("stablelm", **{
        "hidden_size": 144, "intermediate_size": 88, "num_hidden_layers": 3, "num_attention_heads": 6,
        "num_key_value_heads": 2, "hidden_act": "silu", "layer_norm_eps": 1e-5, "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}, **changes})


def starcoder2(**changes):
    return config("starcoder2", **{
        "hidden_size": 144, "intermediate_size": 88, "num_hidden_layers": 3, "num_attention_heads": 6,
        "num_key_value_heads": 2, "hidden_act": "gelu_pytorch_tanh", "norm_epsilon": 1e-5, "use_bias": True,
        "sliding_window": None, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, **changes})


def refined(kind, **changes):
    """What Falcon was called first, with GPT-2's short names."""
    return config(kind, **{"hidden_size": 96, "n_layer": 3, "n_head": 4, "layer_norm_epsilon": 1e-5, "parallel_attn": True,
                           "alibi": False, "bias": False, "apply_residual_connection_post_layernorm": False, **changes})


def without(c, *keys):
    return {key: value for key, value in c.items() if key not in keys}


RECIPES = {
    "bloom": bloom(),
    "bloom-8": bloom(hidden_size=96, n_head=8, layer_norm_epsilon=1e-3, tie_word_embeddings=False),
    "bloom-early": without(bloom(num_hidden_layers=3, num_attention_heads=6, n_embed=96), "n_layer", "n_head",
                           "hidden_size", "layer_norm_epsilon"),
    "falcon": falcon(),
    "falcon-heads": falcon(hidden_size=96, num_attention_heads=4, num_kv_heads=4, multi_query=False, bias=True,
                           ffn_hidden_size=None, tie_word_embeddings=False),
    "falcon-sequential": falcon(parallel_attn=False, multi_query=False, bias=True, layer_norm_epsilon=1e-3),
    "falcon-new": falcon(new_decoder_architecture=True, num_kv_heads=2),
    "falcon-new-null": falcon(new_decoder_architecture=True, num_kv_heads=None, hidden_size=96, num_attention_heads=4),
    "falcon-new-shared": falcon(new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1, bias=True,
                                activation="gelu_pytorch_tanh"),
    "falcon-alibi": falcon(alibi=True, multi_query=False, parallel_attn=False, bias=True),
    "falcon-alibi-new": falcon(alibi=True, new_decoder_architecture=True, num_kv_heads=2),
    "falcon-bare": without(falcon(), "num_kv_heads", "ffn_hidden_size", "multi_query", "parallel_attn", "alibi", "bias",
                           "new_decoder_architecture", "num_ln_in_parallel_attn", "activation", "layer_norm_epsilon",
                           "tie_word_embeddings", "rope_parameters"),
    "falcon-linear": falcon(rope_parameters={"rope_type": "linear", "rope_theta": 5000.0, "factor": 2.0}),
    "refinedweb-7b": refined("RefinedWebModel", multi_query=True),
    "refinedweb-1b": refined("RefinedWebModel", multi_query=False, parallel_attn=False, alibi=True, bias=True),
    "refinedweb-40b": refined("RefinedWeb", hidden_size=144, n_head=6, n_head_kv=2),
    "gpt2": gpt2(),
    "gpt2-6": gpt2(n_head=6, n_inner=88, activation_function="gelu", layer_norm_epsilon=1e-3, tie_word_embeddings=False),
    "gpt2-scales": gpt2(scale_attn_by_inverse_layer_idx=True, scale_attn_weights=False, reorder_and_upcast_attn=True),
    "gpt2-relu": gpt2(activation_function="relu", n_inner=56),
    "gpt2-bare": without(gpt2(), "n_inner", "activation_function", "layer_norm_epsilon"),
    "gpt_neox": gpt_neox(),
    "gpt_neox-sequential": gpt_neox(use_parallel_residual=False, num_attention_heads=6, hidden_act="gelu_new"),
    "gpt_neox-whole": gpt_neox(attention_bias=False, tie_word_embeddings=True, layer_norm_eps=1e-3, rope_parameters={
        "rope_type": "default", "rope_theta": 3000.0, "partial_rotary_factor": 1.0}),
    "gpt_neox-old": without(gpt_neox(rotary_pct=0.5, rotary_emb_base=5000), "rope_parameters"),
    "gpt_neox-linear": gpt_neox(rope_parameters={"rope_type": "linear", "factor": 3.0, "rope_theta": 10000.0,
                                                 "partial_rotary_factor": 0.5}),
    "gpt_neox-bare": without(gpt_neox(), "rope_parameters", "attention_bias", "use_parallel_residual", "hidden_act",
                             "layer_norm_eps", "tie_word_embeddings"),
    "mpt": mpt(),
    "mpt-6": mpt(d_model=144, n_heads=6, attn_config={"alibi_bias_max": 8, "clip_qkv": 0.7, "softmax_scale": 0.3}),
    # What the class does not heed.
    "mpt-unheeded": mpt(expansion_ratio=2, logit_scale=0.5, no_bias=False, attn_config={"alibi": False, "alibi_bias_max": 16}),
    "mpt-bare": without(mpt(layer_norm_epsilon=1e-3, tie_word_embeddings=False), "attn_config", "expansion_ratio",
                        "max_seq_len"),
    "stablelm-3b": stablelm(num_key_value_heads=6),
    "stablelm-1.6b": stablelm(use_qkv_bias=True, num_key_value_heads=6),
    "stablelm-12b": stablelm(use_parallel_residual=True, qk_layernorm=True),
    "stablelm-all": stablelm(use_qkv_bias=True, qk_layernorm=True, hidden_act="gelu", layer_norm_eps=1e-3,
                             tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 3000.0,
                                                                        "partial_rotary_factor": 0.5}),
    "stablelm-old": without(stablelm(use_parallel_residual=True, rope_theta=5000, partial_rotary_factor=0.75),
                            "rope_parameters", "hidden_act", "layer_norm_eps"),
    "stablelm-bare": without(stablelm(), "rope_parameters", "hidden_act", "layer_norm_eps", "tie_word_embeddings"),
    "starcoder2": starcoder2(),
    "starcoder2-sliding": starcoder2(sliding_window=6, use_bias=False, norm_epsilon=1e-3, tie_word_embeddings=False),
    "starcoder2-head_dim": starcoder2(hidden_size=96, head_dim=24, hidden_act="gelu"),
    "starcoder2-bare": without(starcoder2(), "num_key_value_heads", "hidden_act", "norm_epsilon", "use_bias",
                               "sliding_window", "rope_parameters"),
}
