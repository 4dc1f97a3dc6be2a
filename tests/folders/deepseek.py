"""DeepSeek V2 and V3: latent attention, experts within groups, shared experts, dense layers in front.

YaRN's factor of the scores is the one of DeepSeek's own code for both; earlier versions of transformers leave it out for V2."""
from lists import *
from rope_frequencies import magnitude_of
from ropes import parameters, table, turned

PREFIX = "model."


def config(kind, **changes):
    made = {"model_type": kind, "vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_hidden_layers": 3,
            "num_attention_heads": 6, "num_key_value_heads": 6, "head_dim": 12, "hidden_act": "silu",
            "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "attention_bias": False,
            "q_lora_rank": 36, "kv_lora_rank": 44, "qk_nope_head_dim": 24, "qk_rope_head_dim": 12, "v_head_dim": 28,
            "n_routed_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 28, "n_shared_experts": 1,
            "first_k_dense_replace": 1, "routed_scaling_factor": 1.5, "norm_topk_prob": kind != "deepseek_v2",
            "n_group": 1, "topk_group": 1, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
    if kind == "deepseek_v2":
        made.update(topk_method="greedy", mlp_bias=False)
    else:
        made.update(rope_interleave=True, qk_head_dim=36)
    made.update(changes)
    return {key: value for key, value in made.items() if value is not ...}


YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 32.0,
        "beta_slow": 1.0}
RECIPES = {
    "deepseek_v2": config("deepseek_v2"),
    "deepseek_v2-lite": config("deepseek_v2", q_lora_rank=None, n_shared_experts=2, norm_topk_prob=True, n_group=3,
                               topk_group=1, rope_parameters=..., rope_theta=10000.0,
                               rope_scaling=dict(YARN, type="yarn", rope_type=..., mscale=0.707, mscale_all_dim=0.707)),
    "deepseek_v2-groups": config("deepseek_v2", topk_method="group_limited_greedy", n_group=3, topk_group=2,
                                 num_experts_per_tok=3, mlp_bias=True, attention_bias=True, _form="memory"),
    "deepseek_v2-defaults": config("deepseek_v2", num_hidden_layers=1, q_lora_rank=..., kv_lora_rank=..., n_group=...,
                                   n_shared_experts=..., first_k_dense_replace=..., routed_scaling_factor=...,
                                   topk_method=..., topk_group=..., norm_topk_prob=..., rms_norm_eps=..., mlp_bias=...,
                                   rope_parameters=..., head_dim=..., num_key_value_heads=..., attention_bias=...),
    "deepseek_v3": config("deepseek_v3"),
    "deepseek_v3-groups": config("deepseek_v3", n_group=3, topk_group=2, num_experts_per_tok=3, routed_scaling_factor=2.5,
                                 rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0)),
    "deepseek_v3-halves": config("deepseek_v3", rope_interleave=False, qk_rope_head_dim=16, q_lora_rank=None,
                                 norm_topk_prob=False, n_shared_experts=2, _form="memory",
                                 rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=0.5)),
    "deepseek_v3-halves-12": config("deepseek_v3", rope_interleave=False, attention_bias=True, first_k_dense_replace=0,
                                    tie_word_embeddings=True),
    "deepseek_v3-defaults": config("deepseek_v3", num_hidden_layers=4, n_group=..., topk_group=..., n_routed_experts=16,
                                   num_experts_per_tok=..., first_k_dense_replace=..., routed_scaling_factor=...,
                                   n_shared_experts=..., norm_topk_prob=..., rope_interleave=..., rope_parameters=YARN,
                                   attention_bias=..., rms_norm_eps=...),
    "kimi_k2": config("kimi_k2", rope_parameters=..., rope_theta=50000.0, scoring_func="sigmoid", topk_method="noaux_tc",
                      rope_scaling=dict(YARN, type="yarn", rope_type=..., mscale=1.0, mscale_all_dim=1.0)),
}
for recipe in RECIPES.values():  # keys inside that are left out
    if "rope_scaling" in recipe:
        recipe["rope_scaling"] = {k: v for k, v in recipe["rope_scaling"].items() if v is not ... and k != "rope_theta"}

COMMON = {"attention_bias": False, "q_lora_rank": 1536, "kv_lora_rank": 512, "rms_norm_eps": 1e-6, "mlp_bias": False,
          "rope_interleave": True}
DEFAULTS = {
    "deepseek_v2": {"first_k_dense_replace": 0, "n_group": None, "topk_group": None, "topk_method": "greedy",
                    "n_shared_experts": 2, "routed_scaling_factor": 1.0},
    "deepseek_v3": {"first_k_dense_replace": 3, "n_group": 8, "topk_group": 4, "n_shared_experts": 1,
                    "routed_scaling_factor": 2.5, "num_experts_per_tok": 8, "norm_topk_prob": True},
}


def get(c, key):
    if key in c:
        return c[key]
    own = DEFAULTS["deepseek_v2" if c["model_type"] == "deepseek_v2" else "deepseek_v3"]
    return own[key] if key in own else COMMON[key]


def weights(c):
    w = Weights(9)
    hidden, heads, latent = c["hidden_size"], c["num_attention_heads"], get(c, "kv_lora_rank")
    nope, rope, value = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
    width, count, bias = c["moe_intermediate_size"], c["n_routed_experts"], get(c, "attention_bias")

    norm, linear = w.norm, w.linear

    def mlp(p, width, bias):
        linear(p + "gate_proj", width, hidden, bias)
        linear(p + "up_proj", width, hidden, bias)
        linear(p + "down_proj", hidden, width, bias)

    w.make(PREFIX + "embed_tokens.weight", [c["vocab_size"], hidden], 0.1)
    norm(PREFIX + "norm", hidden)
    if not c["tie_word_embeddings"]:
        linear("lm_head", c["vocab_size"], hidden)
    for i in range(c["num_hidden_layers"]):
        p = f"{PREFIX}layers.{i}."
        norm(p + "input_layernorm", hidden)
        norm(p + "post_attention_layernorm", hidden)
        if get(c, "q_lora_rank") is None:
            linear(p + "self_attn.q_proj", heads * (nope + rope), hidden)
        else:
            linear(p + "self_attn.q_a_proj", get(c, "q_lora_rank"), hidden, bias)
            norm(p + "self_attn.q_a_layernorm", get(c, "q_lora_rank"))
            linear(p + "self_attn.q_b_proj", heads * (nope + rope), get(c, "q_lora_rank"))
        linear(p + "self_attn.kv_a_proj_with_mqa", latent + rope, hidden, bias)
        norm(p + "self_attn.kv_a_layernorm", latent)
        linear(p + "self_attn.kv_b_proj", heads * (nope + value), latent)
        linear(p + "self_attn.o_proj", hidden, heads * value, bias)
        p += "mlp."
        if i < get(c, "first_k_dense_replace"):
            mlp(p, c["intermediate_size"], get(c, "mlp_bias"))
            continue
        linear(p + "gate", count, hidden)
        if c["model_type"] != "deepseek_v2":
            w.make(p + "gate.e_score_correction_bias", [count], 0.15)
        if c.get("_form") == "memory":
            w.make(p + "experts.gate_up_proj", [count, 2 * width, hidden])
            w.make(p + "experts.down_proj", [count, hidden, width])
        else:
            for e in range(count):
                mlp(f"{p}experts.{e}.", width, False)
        mlp(p + "shared_experts.", get(c, "n_shared_experts") * width, get(c, "mlp_bias"))
    return w


def within_groups(choice, ranks, size, count):
    best = sorted(range(len(ranks)), key=lambda g: -ranks[g])[:count]
    return [v if e // size in best else -math.inf for e, v in enumerate(choice)]  # a score with its bias may be below 0


def route(c, w, p, x):
    scores = product(w.matrix(p + "gate.weight"), x)
    groups = get(c, "n_group")
    if c["model_type"] == "deepseek_v2":
        choice = scores = softmax(scores)
        if get(c, "topk_method") == "group_limited_greedy":
            size = len(scores) // groups
            choice = within_groups(scores, [max(g) for g in heads_of(scores, size)], size, get(c, "topk_group"))
    else:
        scores = [sigmoid(v) for v in scores]
        choice = plus(scores, w.flat(p + "gate.e_score_correction_bias"))
        size = len(scores) // groups
        choice = within_groups(choice, [sum(sorted(g)[-2:]) for g in heads_of(choice, size)], size, get(c, "topk_group"))
    chosen = sorted(range(len(scores)), key=lambda e: -choice[e])[:get(c, "num_experts_per_tok")]
    factors = [scores[e] * get(c, "routed_scaling_factor") for e in chosen]
    if c["model_type"] != "deepseek_v2" and get(c, "norm_topk_prob"):
        factors = scaled(factors, 1 / sum(scores[e] for e in chosen))
    return zip(chosen, factors)


def experts(c, w, p, x):
    out = mlp(w, p + "shared_experts.", x)
    for e, factor in route(c, w, p, x):
        if c.get("_form") == "memory":
            both = product(w.stack(p + "experts.gate_up_proj")[e], x)
            half = len(both) // 2
            made = product(w.stack(p + "experts.down_proj")[e], times([silu(v) for v in both[:half]], both[half:]))
        else:
            made = mlp(w, f"{p}experts.{e}.", x)
        out = plus(out, scaled(made, factor))
    return out


def attended(c, w, p, x, position, turn, scale, kept):
    nope, rope, latent = c["qk_nope_head_dim"], c["qk_rope_head_dim"], get(c, "kv_lora_rank")
    if get(c, "q_lora_rank") is None:
        q = linear(w, p + "q_proj", x)
    else:
        q = linear(w, p + "q_b_proj", rms_norm(linear(w, p + "q_a_proj", x), w.flat(p + "q_a_layernorm.weight")))
    q = [h[:nope] + turn(h[nope:], position) for h in heads_of(q, nope + rope)]
    both = linear(w, p + "kv_a_proj_with_mqa", x)
    shared = turn(both[latent:], position)
    apart = heads_of(linear(w, p + "kv_b_proj", rms_norm(both[:latent], w.flat(p + "kv_a_layernorm.weight"))),
                     nope + c["v_head_dim"])
    keys, values = kept.setdefault("keys", []), kept.setdefault("values", [])
    keys.append([h[:nope] + shared for h in apart])
    values.append([h[nope:] for h in apart])
    return linear(w, p + "o_proj", attention(q, keys, values, scale))


def logits(c, w, tokens):
    kept = [{} for _ in range(c["num_hidden_layers"])]
    embedding, eps = w.matrix(PREFIX + "embed_tokens.weight"), get(c, "rms_norm_eps")
    rope = parameters(c)
    rope["rope_theta"] = rope["rope_theta"] or 10000.0
    made = table(rope, c["qk_rope_head_dim"], c["max_position_embeddings"])
    neighbours = c["model_type"] == "deepseek_v2" or get(c, "rope_interleave")
    scale = (c["qk_nope_head_dim"] + c["qk_rope_head_dim"]) ** -0.5
    if rope["rope_type"] != "default" and rope.get("mscale_all_dim"):
        scale *= magnitude_of(rope["factor"], rope["mscale_all_dim"]) ** 2
    rows = []
    for position, token in enumerate(tokens):
        x = embedding[token]
        for i in range(c["num_hidden_layers"]):
            p = f"{PREFIX}layers.{i}."
            normed = rms_norm(x, w.flat(p + "input_layernorm.weight"), eps)
            x = plus(x, attended(c, w, p + "self_attn.", normed, position, lambda h, at: turned(h, at, made, neighbours),
                                 scale, kept[i]))
            normed = rms_norm(x, w.flat(p + "post_attention_layernorm.weight"), eps)
            sparse = i >= get(c, "first_k_dense_replace")
            x = plus(x, experts(c, w, p + "mlp.", normed) if sparse else mlp(w, p + "mlp.", normed))
        x = rms_norm(x, w.flat(PREFIX + "norm.weight"), eps)
        rows.append(product(embedding if c["tie_word_embeddings"] else w.matrix("lm_head.weight"), x))
    return rows
