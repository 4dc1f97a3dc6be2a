"""Nemotron-H: every layer is one block alone: Mamba-2, attention without positions, a feed-forward block or experts."""
from lists import *
from mamba import linear
from mamba2 import UNLIMITED, mixer, mixer_of, mixer_weights

LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}


def config(kinds, **changes):
    made = {
        "model_type": "nemotron_h", "vocab_size": 259, "hidden_size": 96, "num_attention_heads": 6, "num_key_value_heads": 2,
        "head_dim": 24, "intermediate_size": 88, "layer_norm_epsilon": 1e-5, "max_position_embeddings": 256,
        "attention_bias": False, "mlp_bias": False, "mlp_hidden_act": "relu2", "use_bias": False, "use_conv_bias": True,
        "mamba_hidden_act": "silu", "mamba_num_heads": 6, "mamba_head_dim": 24, "n_groups": 2, "ssm_state_size": 16,
        "conv_kernel": 4, "expand": 2, "chunk_size": 5, "time_step_min": 0.001, "time_step_max": 0.1,
        "time_step_limit": UNLIMITED, "n_routed_experts": 6, "n_shared_experts": 1, "moe_intermediate_size": 28,
        "moe_shared_expert_intermediate_size": 36, "moe_latent_size": None, "num_experts_per_tok": 2, "n_group": 1,
        "topk_group": 1, "norm_topk_prob": True, "routed_scaling_factor": 1.0, "sliding_window": None,
        "tie_word_embeddings": False, "layers_block_type": [LETTERS[kind] for kind in kinds],
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value != "left out"}


RECIPES = {
    "nemotron_h": config("M*-M"),
    # The letters of older files; a least step that counts, and biases where there can be some.
    "nemotron_h-biases": config("-M*", layers_block_type="left out", hybrid_override_pattern="-M*", num_hidden_layers=3,
                                use_bias=True, mlp_bias=True, use_conv_bias=False, n_groups=3, ssm_state_size=10,
                                time_step_min=0.7),
    "nemotron_h-later": config("M*-", mlp_hidden_act="silu", layers_block_type=["linear_attention", "full_attention", "mlp"]),
    "nemotron_h-experts": config("ME*E"),
    "nemotron_h-groups": config("E*E", n_group=3, topk_group=2, norm_topk_prob=False, routed_scaling_factor=2.5,
                                num_experts_per_tok=3, mlp_bias=True),
    "nemotron_h-latent": config("EM*E", moe_latent_size=40, mlp_bias=True, routed_scaling_factor=1.5),
    # Attention with biases, which NVIDIA's own code has, and the name of the embedding that newer transformers write.
    "nemotron_h-attention": config("*-", attention_bias=True, has_biases=True, tie_word_embeddings=True),
}


def names_of(c):
    return ("model.", "embeddings") if c.get("has_biases") else ("backbone.", "embedding")


def kinds_of(c):
    listed = c.get("layers_block_type") or [LETTERS[letter] for letter in c["hybrid_override_pattern"]]
    return [{"linear_attention": "mamba", "full_attention": "attention"}.get(kind, kind) for kind in listed]


def shape_of(c):
    return mixer_of(c["mamba_num_heads"], c["mamba_head_dim"], c["n_groups"], c["ssm_state_size"], c["conv_kernel"],
                    c["use_conv_bias"], c["use_bias"], c["use_bias"], c["layer_norm_epsilon"], norm_groups=c["n_groups"],
                    least=c["time_step_min"])


def weights(c):
    w = Weights(15)
    hidden, size = c["hidden_size"], c["head_dim"]
    root, embedding = names_of(c)
    q, kv = c["num_attention_heads"] * size, c["num_key_value_heads"] * size

    def linear_weights(name, rows, cols, bias):
        w.make(name + ".weight", [rows, cols])
        if bias:
            w.make(name + ".bias", [rows], 0.3)

    def pair(p, width, cols, bias):
        linear_weights(p + "up_proj", width, cols, bias)
        linear_weights(p + "down_proj", cols, width, bias)

    w.make(f"{root}{embedding}.weight", [c["vocab_size"], hidden], 0.3)
    w.make(root + "norm_f.weight", [hidden], 0.2, 1)
    w.make("lm_head.weight", [c["vocab_size"], hidden])  # never tied
    for i, kind in enumerate(kinds_of(c)):
        w.make(f"{root}layers.{i}.norm.weight", [hidden], 0.2, 1)
        p = f"{root}layers.{i}.mixer."
        if kind == "mamba":
            mixer_weights(w, p, hidden, shape_of(c))
        elif kind == "attention":
            for name, rows, cols in (("q", q, hidden), ("k", kv, hidden), ("v", kv, hidden), ("o", hidden, q)):
                linear_weights(f"{p}{name}_proj", rows, cols, c.get("has_biases"))
        elif kind == "mlp":
            pair(p, c["intermediate_size"], hidden, c["mlp_bias"])
        else:
            w.make(p + "gate.weight", [c["n_routed_experts"], hidden])
            w.make(p + "gate.e_score_correction_bias", [c["n_routed_experts"]], 0.3)
            latent = c["moe_latent_size"] or hidden
            for e in range(c["n_routed_experts"]):
                pair(f"{p}experts.{e}.", c["moe_intermediate_size"], latent, False)
            pair(p + "shared_experts.", c["moe_shared_expert_intermediate_size"], hidden, c["mlp_bias"])
            if c["moe_latent_size"]:
                linear_weights(p + "fc1_latent_proj", latent, hidden, c["mlp_bias"])
                linear_weights(p + "fc2_latent_proj", hidden, latent, c["mlp_bias"])
    return w


def plain(c, w, p, x):
    act = {"relu2": lambda v: max(v, 0.0) ** 2, "silu": silu}[c["mlp_hidden_act"]]
    return linear(w, p + "down_proj", [act(v) for v in linear(w, p + "up_proj", x)])


def chosen_experts(c, w, p, x):
    scores = [sigmoid(v) for v in product(w.matrix(p + "gate.weight"), x)]
    choice = plus(scores, w.flat(p + "gate.e_score_correction_bias"))
    size = len(scores) // c["n_group"]
    ranks = [sum(sorted(group)[-2:]) for group in heads_of(choice, size)]
    groups = sorted(range(c["n_group"]), key=lambda g: -ranks[g])[:c["topk_group"]]
    within = [e for e in range(len(scores)) if e // size in groups]
    chosen = sorted(within, key=lambda e: -choice[e])[:c["num_experts_per_tok"]]
    total = sum(scores[e] for e in chosen) if c["norm_topk_prob"] else 1
    return [(e, scores[e] / total * c["routed_scaling_factor"]) for e in chosen]


def experts(c, w, p, x):
    inner = linear(w, p + "fc1_latent_proj", x) if c["moe_latent_size"] else x
    out = [0.0] * len(inner)
    for e, share in chosen_experts(c, w, p, x):
        out = plus(out, scaled(plain(c, w, f"{p}experts.{e}.", inner), share))
    if c["moe_latent_size"]:
        out = linear(w, p + "fc2_latent_proj", out)
    return plus(out, plain(c, w, p + "shared_experts.", x))


def attended(c, w, p, x, kept):
    size = c["head_dim"]
    q, k, v = (heads_of(linear(w, f"{p}{name}_proj", x), size) for name in "qkv")
    kept.setdefault("keys", []).append(k)
    kept.setdefault("values", []).append(v)
    return linear(w, p + "o_proj", attention(q, kept["keys"], kept["values"], size ** -0.5))


def logits(c, w, tokens):
    root, embedding = names_of(c)
    kinds, m = kinds_of(c), shape_of(c)
    kept = [{} for _ in kinds]

    def norm(x, name):
        return rms_norm(x, w.flat(name + ".weight"), c["layer_norm_epsilon"])

    rows = []
    for token in tokens:
        x = w.matrix(f"{root}{embedding}.weight")[token]
        for i, kind in enumerate(kinds):
            p = f"{root}layers.{i}.mixer."
            normed = norm(x, f"{root}layers.{i}.norm")
            if kind == "mamba":
                y = mixer(w, p, normed, m, kept[i])
            elif kind == "attention":
                y = attended(c, w, p, normed, kept[i])
            else:
                y = plain(c, w, p, normed) if kind == "mlp" else experts(c, w, p, normed)
            x = plus(x, y)
        rows.append(product(w.matrix("lm_head.weight"), norm(x, root + "norm_f")))
    return rows
