"""What the configurations of mixtures of experts say, and the ones that are compared: see moe.py."""
# What the configuration classes assume for keys that are missing.
COMMON = {"hidden_act": "silu", "tie_word_embeddings": False, "attention_bias": False, "rms_norm_eps": 1e-6, "head_dim": None,
          "rope_theta": 10000.0, "part": 1.0, "_form": "saved"}
DEFAULTS = {
    "mixtral": {"num_key_value_heads": 8, "rms_norm_eps": 1e-5, "rope_theta": 1e6, "sliding_window": None,
                "num_experts_per_tok": 2, "num_local_experts": 8},
    "qwen2_moe": {"num_key_value_heads": 16, "qkv_bias": True, "norm_topk_prob": False, "decoder_sparse_step": 1,
                  "mlp_only_layers": None, "use_sliding_window": False, "num_experts_per_tok": 4},
    "qwen3_moe": {"num_key_value_heads": 4, "norm_topk_prob": False, "decoder_sparse_step": 1, "mlp_only_layers": None,
                  "use_sliding_window": False, "num_experts_per_tok": 8},
    "olmoe": {"rms_norm_eps": 1e-5, "norm_topk_prob": False, "clip_qkv": None, "num_experts_per_tok": 8},
    "granitemoe": {"num_experts_per_tok": 2, "num_local_experts": 8, "embedding_multiplier": 1.0, "logits_scaling": 1.0,
                   "residual_multiplier": 1.0, "attention_multiplier": 1.0, "shared_intermediate_size": 0},
    "glm4_moe": {"num_key_value_heads": 8, "rms_norm_eps": 1e-5, "part": 0.5, "n_group": 1, "topk_group": 1,
                 "first_k_dense_replace": 1, "norm_topk_prob": True, "use_qk_norm": False, "n_shared_experts": 1,
                 "routed_scaling_factor": 1.0, "num_experts_per_tok": 8},
    "minimax_m2": {"num_key_value_heads": 8, "rope_theta": 5e6, "num_experts_per_tok": 8},
    "ernie4_5_moe": {"num_key_value_heads": 4, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "tie_word_embeddings": True,
                     "use_bias": False, "moe_k": 6, "moe_num_shared_experts": 2, "moe_layer_start_index": 1,
                     "moe_layer_end_index": -1, "moe_layer_interval": 1},
}
DEFAULTS["granitemoeshared"] = DEFAULTS["granitemoe"]
COUNTS = {"mixtral": "num_local_experts", "qwen2_moe": "num_experts", "qwen3_moe": "num_local_experts",
          "olmoe": "num_experts", "granitemoe": "num_local_experts", "granitemoeshared": "num_local_experts",
          "glm4_moe": "n_routed_experts", "minimax_m2": "num_local_experts", "ernie4_5_moe": "moe_num_experts"}


def get(c, key):
    if key in c:
        return c[key]
    own = DEFAULTS[c["model_type"]]
    return own[key] if key in own else COMMON[key]


def count_of(c):
    key = COUNTS[c["model_type"]]
    return get(c, key if key in c or key in DEFAULTS[c["model_type"]] else "num_experts")


def width_of(c):
    return c["moe_intermediate_size"] if "moe_intermediate_size" in c else c["intermediate_size"]


def is_sparse(c, layer):
    kind = c["model_type"]
    if kind in ("qwen2_moe", "qwen3_moe"):
        return layer not in (get(c, "mlp_only_layers") or []) and (layer + 1) % get(c, "decoder_sparse_step") == 0
    if kind == "glm4_moe":
        return layer >= get(c, "first_k_dense_replace")
    if kind == "ernie4_5_moe":
        last = get(c, "moe_layer_end_index")
        last = c["num_hidden_layers"] - 1 if last == -1 else last
        return get(c, "moe_layer_start_index") <= layer <= last and (layer + 1) % get(c, "moe_layer_interval") == 0
    return True


def shared_of(c):
    """Width and name of the shared expert."""
    kind = c["model_type"]
    if kind == "qwen2_moe":
        return c["shared_expert_intermediate_size"], "mlp.shared_expert."
    if kind == "glm4_moe":
        return get(c, "n_shared_experts") * width_of(c), "mlp.shared_experts."
    if kind == "ernie4_5_moe":
        return get(c, "moe_num_shared_experts") * width_of(c), "mlp.shared_experts."
    return (c.get("shared_intermediate_size", 0) if kind == "granitemoeshared" else 0), "shared_mlp."


def window_of(c, layer):
    kind, window = c["model_type"], c.get("sliding_window")
    if kind == "mixtral":
        return window
    if kind == "qwen3_moe":
        return window if get(c, "use_sliding_window") else None
    if kind == "qwen2_moe" and get(c, "use_sliding_window"):
        if "layer_types" in c:
            return window if c["layer_types"][layer] == "sliding_attention" else None
        return window if layer % 2 == 0 and layer < c["max_window_layers"] else None
    return None


def biases_of(c):
    """Of q, k and v; of the attention's output; of feed-forward blocks and head."""
    kind = c["model_type"]
    if kind == "qwen2_moe":
        return get(c, "qkv_bias"), False, False
    if kind == "glm4_moe":
        return get(c, "attention_bias"), False, False
    if kind == "ernie4_5_moe":
        return (get(c, "use_bias"),) * 3
    return (kind not in ("mixtral", "minimax_m2") and get(c, "attention_bias"),) * 2 + (False,)


def q_norm_of(c):
    kind = c["model_type"]
    if kind == "qwen3_moe" or (kind == "glm4_moe" and get(c, "use_qk_norm")):
        return "head"
    return "all" if kind in ("olmoe", "minimax_m2") else None


def names(c):
    """The router, its bias, and a function from an expert's number to its three names; None: fused."""
    kind, memory = c["model_type"], get(c, "_form") == "memory"
    if kind in ("granitemoe", "granitemoeshared"):
        return "block_sparse_moe.router.layer", None, None
    if kind in ("mixtral", "minimax_m2"):
        p = "mlp." if memory else "block_sparse_moe."
        each = ("w1", "w3", "w2")
        bias = p + "e_score_correction_bias" if kind == "minimax_m2" else None
    else:
        p, each = "mlp.", ("gate_proj", "up_proj", "down_proj")
        bias = {"glm4_moe": "mlp.gate.e_score_correction_bias",
                "ernie4_5_moe": f"mlp.{'gate.' if memory else ''}moe_statics.e_score_correction_bias"}.get(kind)
    return p + "gate", bias, None if memory else lambda e: [f"{p}experts.{e}.{name}.weight" for name in each]


def size_of(c):
    return get(c, "head_dim") or c["hidden_size"] // c["num_attention_heads"]


def kv_heads_of(c):
    return c["num_key_value_heads"] if "num_key_value_heads" in c else DEFAULTS[c["model_type"]].get(
        "num_key_value_heads", c["num_attention_heads"])


def fused(c):
    if c["model_type"].startswith("granitemoe"):
        return "block_sparse_moe.input_linear.weight", "block_sparse_moe.output_linear.weight"
    return "mlp.experts.gate_up_proj", "mlp.experts.down_proj"


def config(kind, **changes):
    made = {"model_type": kind, "vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_hidden_layers": 3,
            "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 24, "hidden_act": "silu",
            "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
    made.update(OWN.get(kind, {}))
    made.update(changes)
    return {key: value for key, value in made.items() if value is not ...}  # ...: the key is left out


OWN = {
    "mixtral": {"intermediate_size": 44, "num_local_experts": 5, "num_experts_per_tok": 2, "sliding_window": None},
    "qwen2_moe": {"num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 44, "norm_topk_prob": False,
                  "shared_expert_intermediate_size": 52, "decoder_sparse_step": 1, "mlp_only_layers": [], "qkv_bias": True,
                  "sliding_window": 0, "use_sliding_window": False, "max_window_layers": 28,
                  "layer_types": ["full_attention"] * 3},
    "qwen3_moe": {"num_local_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 44, "norm_topk_prob": True,
                  "decoder_sparse_step": 1, "mlp_only_layers": [], "sliding_window": None, "use_sliding_window": False,
                  "attention_bias": False},
    "olmoe": {"hidden_size": 144, "head_dim": ..., "intermediate_size": 36, "num_experts": 6, "num_experts_per_tok": 3,
              "norm_topk_prob": False, "attention_bias": False, "clip_qkv": None},
    "granitemoe": {"intermediate_size": 44, "num_local_experts": 5, "num_experts_per_tok": 2, "embedding_multiplier": 3.0,
                   "logits_scaling": 2.5, "residual_multiplier": 0.4, "attention_multiplier": 0.15, "attention_bias": False},
    "glm4_moe": {"n_routed_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 44, "n_shared_experts": 1,
                 "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "norm_topk_prob": True, "use_qk_norm": False,
                 "routed_scaling_factor": 1.5, "attention_bias": True,
                 "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
    "minimax_m2": {"intermediate_size": 44, "num_local_experts": 6, "num_experts_per_tok": 3,
                   "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "partial_rotary_factor": 0.5}},
    "ernie4_5_moe": {"hidden_size": 144, "head_dim": ..., "moe_num_experts": 6, "moe_k": 3, "moe_intermediate_size": 36,
                     "moe_num_shared_experts": 2, "moe_layer_start_index": 1, "moe_layer_end_index": 2,
                     "moe_layer_interval": 1, "moe_norm_min": 1e-12, "use_bias": False, "tie_word_embeddings": True,
                     "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
}
OWN["granitemoeshared"] = dict(OWN["granitemoe"], shared_intermediate_size=52)
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}

RECIPES = {
    "mixtral": config("mixtral"),
    "mixtral-window": config("mixtral", sliding_window=7, hidden_act="gelu_pytorch_tanh", tie_word_embeddings=True),
    "mixtral-fused": config("mixtral", _form="memory", hidden_act=..., rms_norm_eps=..., num_experts_per_tok=...,
                            sliding_window=..., rope_parameters=..., tie_word_embeddings=...),
    "qwen2_moe": config("qwen2_moe"),
    "qwen2_moe-dense-between": config("qwen2_moe", num_hidden_layers=4, decoder_sparse_step=2, mlp_only_layers=[1],
                                      layer_types=["full_attention"] * 4, norm_topk_prob=True, qkv_bias=False,
                                      hidden_size=144, head_dim=...),
    "qwen2_moe-window": config("qwen2_moe", use_sliding_window=True, sliding_window=7, _form="memory",
                               layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
    "qwen2_moe-defaults": config("qwen2_moe", use_sliding_window=True, sliding_window=7, max_window_layers=2, layer_types=...,
                                 rms_norm_eps=..., norm_topk_prob=..., decoder_sparse_step=..., mlp_only_layers=...,
                                 qkv_bias=..., rope_parameters=..., rope_theta=50000.0,
                                 rope_scaling={"type": "linear", "factor": 2.0}),
    "qwen3_moe": config("qwen3_moe"),
    "qwen3_moe-window": config("qwen3_moe", use_sliding_window=True, sliding_window=7, attention_bias=True,
                               norm_topk_prob=False, decoder_sparse_step=2, _form="memory"),
    "qwen3_moe-defaults": config("qwen3_moe", hidden_size=144, head_dim=..., num_attention_heads=12, num_key_value_heads=...,
                                 num_local_experts=..., num_experts=5, norm_topk_prob=..., decoder_sparse_step=...,
                                 mlp_only_layers=[0], use_sliding_window=..., sliding_window=4, rms_norm_eps=...,
                                 attention_bias=..., rope_parameters=YARN),
    "olmoe": config("olmoe"),
    "olmoe-clip": config("olmoe", clip_qkv=0.7, attention_bias=True, norm_topk_prob=True, _form="memory"),
    "olmoe-defaults": config("olmoe", num_key_value_heads=..., clip_qkv=..., norm_topk_prob=..., rms_norm_eps=...,
                             attention_bias=..., hidden_act=..., rope_parameters=..., rope_theta=20000.0),
    "granitemoe": config("granitemoe"),
    "granitemoe-bias": config("granitemoe", attention_bias=True, tie_word_embeddings=True, hidden_size=144, head_dim=...),
    "granitemoe-defaults": config("granitemoe", embedding_multiplier=..., logits_scaling=..., residual_multiplier=...,
                                  attention_multiplier=..., num_experts_per_tok=..., rms_norm_eps=..., rope_parameters=...),
    "granitemoeshared": config("granitemoeshared", hidden_act="gelu"),
    "granitemoeshared-none": config("granitemoeshared", shared_intermediate_size=0),
    "glm4_moe": config("glm4_moe"),
    "glm4_moe-groups": config("glm4_moe", use_qk_norm=True, n_group=3, topk_group=2, n_shared_experts=2,
                              norm_topk_prob=False, first_k_dense_replace=2, attention_bias=False, _form="memory"),
    "glm4_moe-defaults": config("glm4_moe", n_shared_experts=..., n_group=..., topk_group=..., first_k_dense_replace=...,
                                norm_topk_prob=..., use_qk_norm=..., routed_scaling_factor=..., attention_bias=...,
                                hidden_size=144, head_dim=..., rope_parameters=..., rope_theta=20000.0, rms_norm_eps=...),
    "minimax_m2": config("minimax_m2"),
    "minimax_m2-fused": config("minimax_m2", _form="memory", rope_parameters=..., rms_norm_eps=...),
    "minimax_m2-rotary-dim": config("minimax_m2", rope_parameters=..., rope_theta=10000.0, rotary_dim=10),
    "ernie4_5_moe": config("ernie4_5_moe"),
    "ernie4_5_moe-some": config("ernie4_5_moe", num_hidden_layers=4, moe_layer_start_index=1, moe_layer_interval=2,
                                moe_layer_end_index=3, moe_num_shared_experts=0, tie_word_embeddings=False, _form="memory"),
    "ernie4_5_moe-bias": config("ernie4_5_moe", use_bias=True, head_dim=20),
    "ernie4_5_moe-defaults": config("ernie4_5_moe", num_attention_heads=12, num_key_value_heads=..., moe_k=...,
                                    moe_num_shared_experts=..., moe_layer_start_index=..., moe_layer_end_index=...,
                                    moe_layer_interval=..., use_bias=..., tie_word_embeddings=..., rms_norm_eps=...,
                                    rope_parameters=...),
}
