"""Qwen3-Next: gated DeltaNet whose projections are sorted by key heads, gated attention, experts in some layers or all."""
from lists import *
from qwen3_5 import delta_rule, gated

PREFIX = "model."


def config(**changes):
    made = {
        "model_type": "qwen3_next", "vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_hidden_layers": 4,
        "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 24, "hidden_act": "silu",
        "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "attention_bias": False, "tie_word_embeddings": False,
        "layer_types": ["linear_attention", "full_attention"] * 2, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 12,
        "linear_value_head_dim": 20, "linear_num_key_heads": 2, "linear_num_value_heads": 6, "decoder_sparse_step": 1,
        "mlp_only_layers": [], "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 28,
        "shared_expert_intermediate_size": 36, "norm_topk_prob": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value != "left out"}


RECIPES = {
    "qwen3_next": config(),
    # Layers without experts; the older form of RoPE, half of the head; every third layer attends.
    "qwen3_next-sparse": config(decoder_sparse_step=2, mlp_only_layers=[3], norm_topk_prob=False, rope_parameters="left out",
                                rope_theta=500.0, partial_rotary_factor=0.5, layer_types="left out",
                                full_attention_interval=3, num_hidden_layers=5),
    "qwen3_next-biases": config(attention_bias=True, num_hidden_layers=2, tie_word_embeddings=True, linear_num_key_heads=3,
                                linear_num_value_heads=3, linear_conv_kernel_dim=3, linear_key_head_dim=20,
                                linear_value_head_dim=8,
                                rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),  # a quarter
    "qwen3_next-dense": config(num_experts=0, num_hidden_layers=2),
}


def attends(c, layer):
    if "layer_types" in c:
        return c["layer_types"][layer] == "full_attention"
    return (layer + 1) % c["full_attention_interval"] == 0


def has_experts(c, layer):
    return c["num_experts"] > 0 and layer not in c["mlp_only_layers"] and (layer + 1) % c["decoder_sparse_step"] == 0


def weights(c):
    w = Weights(17)
    hidden, size = c["hidden_size"], c["head_dim"]
    key_heads, heads = c["linear_num_key_heads"], c["linear_num_value_heads"]
    keys, values = key_heads * c["linear_key_head_dim"], heads * c["linear_value_head_dim"]

    def norm(name, size):
        w.make(name + ".weight", [size], 0.2)  # 1 is added

    def gated_weights(name, width):
        for part, rows, cols in (("gate", width, hidden), ("up", width, hidden), ("down", hidden, width)):
            w.make(f"{name}{part}_proj.weight", [rows, cols])

    w.make(PREFIX + "embed_tokens.weight", [c["vocab_size"], hidden], 0.5)
    if not c["tie_word_embeddings"]:
        w.make("lm_head.weight", [c["vocab_size"], hidden])
    norm(PREFIX + "norm", hidden)
    for i in range(c["num_hidden_layers"]):
        p = f"{PREFIX}layers.{i}."
        norm(p + "input_layernorm", hidden)
        norm(p + "post_attention_layernorm", hidden)
        if attends(c, i):
            q, kv = c["num_attention_heads"] * size, c["num_key_value_heads"] * size
            for name, rows, cols in (("q", 2 * q, hidden), ("k", kv, hidden), ("v", kv, hidden), ("o", hidden, q)):
                w.make(f"{p}self_attn.{name}_proj.weight", [rows, cols])
                if c["attention_bias"]:
                    w.make(f"{p}self_attn.{name}_proj.bias", [rows], 0.3)
            norm(p + "self_attn.q_norm", size)
            norm(p + "self_attn.k_norm", size)
        else:
            at = p + "linear_attn."
            w.make(at + "in_proj_qkvz.weight", [2 * keys + 2 * values, hidden])
            w.make(at + "in_proj_ba.weight", [2 * heads, hidden])
            w.make(at + "conv1d.weight", [2 * keys + values, 1, c["linear_conv_kernel_dim"]], 0.5)
            w.make(at + "A_log", [heads], 0.5)
            w.make(at + "dt_bias", [heads], 0.5)
            w.make(at + "norm.weight", [c["linear_value_head_dim"]], 0.2, 1)
            w.make(at + "out_proj.weight", [hidden, values])
        p += "mlp."
        if not has_experts(c, i):
            gated_weights(p, c["intermediate_size"])
            continue
        w.make(p + "gate.weight", [c["num_experts"], hidden])
        for e in range(c["num_experts"]):
            gated_weights(f"{p}experts.{e}.", c["moe_intermediate_size"])
        gated_weights(p + "shared_expert.", c["shared_expert_intermediate_size"])
        w.make(p + "shared_expert_gate.weight", [1, hidden])
    return w


def sorted_by_part(rows, groups, sizes):
    """rows: for each group, parts of these sizes; returns each part of all groups."""
    parts = [[] for _ in sizes]
    for group in heads_of(rows, len(rows) // groups):
        begin = 0
        for part, size in zip(parts, sizes):
            part += group[begin:begin + size]
            begin += size
    return parts


def delta_net(c, w, p, x, kept):
    groups = c["linear_num_key_heads"]
    each = c["linear_num_value_heads"] // groups
    keys, values = c["linear_key_head_dim"], each * c["linear_value_head_dim"]
    q, k, v, z = sorted_by_part(product(w.matrix(p + "in_proj_qkvz.weight"), x), groups, [keys, keys, values, values])
    b, a = sorted_by_part(product(w.matrix(p + "in_proj_ba.weight"), x), groups, [each, each])
    return delta_rule(c, w, p, q + k + v, z, b, a, kept)


def gated_attention(c, w, p, x, position, norm, kept):
    size = c["head_dim"]
    rope = c.get("rope_parameters", c)
    turning = int(size * rope.get("partial_rotary_factor", 0.25))
    turn = [rope["rope_theta"] ** (-2 * i / turning) for i in range(turning // 2)]
    both = heads_of(linear(w, p + "q_proj", x), 2 * size)
    q = [rotated(norm(h[:size], p + "q_norm"), position, turn) for h in both]
    keys, values = kept.setdefault("keys", []), kept.setdefault("values", [])
    keys.append([rotated(norm(h, p + "k_norm"), position, turn) for h in heads_of(linear(w, p + "k_proj", x), size)])
    values.append(heads_of(linear(w, p + "v_proj", x), size))
    gates = [sigmoid(v) for h in both for v in h[size:]]
    return linear(w, p + "o_proj", times(attention(q, keys, values, size ** -0.5), gates))


def feed_forward(c, w, p, x, sparse):
    def dense(name):
        return gated(*(w.matrix(f"{p}{name}{part}_proj.weight") for part in ("gate", "up", "down")), x)

    if not sparse:
        return dense("")
    scores = softmax(product(w.matrix(p + "gate.weight"), x))
    chosen = sorted(range(len(scores)), key=lambda e: -scores[e])[:c["num_experts_per_tok"]]
    total = sum(scores[e] for e in chosen) if c["norm_topk_prob"] else 1
    out = scaled(dense("shared_expert."), sigmoid(dot(w.flat(p + "shared_expert_gate.weight"), x)))
    for e in chosen:
        out = plus(out, scaled(dense(f"experts.{e}."), scores[e] / total))
    return out


def logits(c, w, tokens):
    kept = [{} for _ in range(c["num_hidden_layers"])]
    table = w.matrix(PREFIX + "embed_tokens.weight")
    head = w.matrix("lm_head.weight") if "lm_head.weight" in w else table

    def norm(x, name):
        return rms_norm(x, [1 + v for v in w.flat(name + ".weight")], c["rms_norm_eps"])

    rows = []
    for position, token in enumerate(tokens):
        x = table[token]
        for i in range(c["num_hidden_layers"]):
            p = f"{PREFIX}layers.{i}."
            normed = norm(x, p + "input_layernorm")
            if attends(c, i):
                x = plus(x, gated_attention(c, w, p + "self_attn.", normed, position, norm, kept[i]))
            else:
                x = plus(x, delta_net(c, w, p + "linear_attn.", normed, kept[i]))
            x = plus(x, feed_forward(c, w, p + "mlp.", norm(x, p + "post_attention_layernorm"), has_experts(c, i)))
        rows.append(product(head, norm(x, PREFIX + "norm")))
    return rows
