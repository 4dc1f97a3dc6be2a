"""Gemma 4: sizes of heads by the kind of layer, proportional RoPE, values from keys, shared keys and values, inputs of each
layer's own, experts beside the dense feed-forward, a factor behind each layer."""
import math

from lists import *

PREFIX = "model.language_model."


def config(**changes):
    text = {
        "model_type": "gemma4_text", "vocab_size": 259, "hidden_size": 96, "intermediate_size": 88, "num_hidden_layers": 6,
        "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 24, "global_head_dim": 40,
        "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 256, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True, "sliding_window": 7, "final_logit_softcapping": 30.0,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1000000.0}},
        "vocab_size_per_layer_input": 259, "hidden_size_per_layer_input": 0, "attention_k_eq_v": False,
        "num_kv_shared_layers": 0, "enable_moe_block": False, "use_double_wide_mlp": False,
        "use_bidirectional_attention": "vision", "num_global_key_value_heads": None,
    }
    text.update(changes)
    return {"architectures": ["Gemma4ForConditionalGeneration"], "model_type": "gemma4", "text_config": text}


RECIPES = {
    "gemma4": config(),
    "gemma4-small": config(hidden_size_per_layer_input=20, num_kv_shared_layers=3, use_double_wide_mlp=True),
    "gemma4-keys-as-values": config(attention_k_eq_v=True, num_global_key_value_heads=1),
    "gemma4-experts": config(enable_moe_block=True, num_experts=5, top_k_experts=2, moe_intermediate_size=28,
                             attention_k_eq_v=True, num_global_key_value_heads=1),
}


def shape_of(c, layer):
    """Whether the layer slides, head size, KV heads, whether values are keys, whether it has keys of its own."""
    sliding = c["layer_types"][layer] == "sliding_attention"
    same = c["attention_k_eq_v"] and not sliding
    return (sliding, c["head_dim"] if sliding else c["global_head_dim"],
            c["num_global_key_value_heads"] if same else c["num_key_value_heads"], same,
            layer < c["num_hidden_layers"] - c["num_kv_shared_layers"])


def weights(full):
    c = full["text_config"]
    w = Weights(4)
    hidden, layers, own = c["hidden_size"], c["num_hidden_layers"], c["hidden_size_per_layer_input"]

    def norm(name, size):
        w.make(name + ".weight", [size], 0.2, 1)

    w.make(PREFIX + "embed_tokens.weight", [c["vocab_size"], hidden], 0.1)
    norm(PREFIX + "norm", hidden)
    if own:
        w.make(PREFIX + "embed_tokens_per_layer.weight", [c["vocab_size"], layers * own], 0.3)
        w.make(PREFIX + "per_layer_model_projection.weight", [layers * own, hidden])
        norm(PREFIX + "per_layer_projection_norm", own)
    for i in range(layers):
        p = f"{PREFIX}layers.{i}."
        _, size, kv_heads, same, has_keys = shape_of(c, i)
        width = c["intermediate_size"] * (2 if c["use_double_wide_mlp"] and not has_keys else 1)
        for name in ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"):
            norm(p + name, hidden)
        w.make(p + "self_attn.q_proj.weight", [c["num_attention_heads"] * size, hidden])
        w.make(p + "self_attn.o_proj.weight", [hidden, c["num_attention_heads"] * size])
        norm(p + "self_attn.q_norm", size)
        if has_keys:
            for name in ("k",) if same else ("k", "v"):
                w.make(f"{p}self_attn.{name}_proj.weight", [kv_heads * size, hidden])
            norm(p + "self_attn.k_norm", size)
        w.make(p + "mlp.gate_proj.weight", [width, hidden])
        w.make(p + "mlp.up_proj.weight", [width, hidden])
        w.make(p + "mlp.down_proj.weight", [hidden, width])
        w.make(p + "layer_scalar", [1], 0.2, 0.8)
        if own:
            w.make(p + "per_layer_input_gate.weight", [own, hidden])
            w.make(p + "per_layer_projection.weight", [hidden, own])
            norm(p + "post_per_layer_input_norm", hidden)
        if c["enable_moe_block"]:
            experts, width = c["num_experts"], c["moe_intermediate_size"]
            w.make(p + "router.proj.weight", [experts, hidden])
            w.make(p + "router.scale", [hidden], 2, 9)
            w.make(p + "router.per_expert_scale", [experts], 0.3, 1)
            w.make(p + "experts.gate_up_proj", [experts, 2 * width, hidden])
            w.make(p + "experts.down_proj", [experts, hidden, width])
            for name in ("post_feedforward_layernorm_1", "pre_feedforward_layernorm_2", "post_feedforward_layernorm_2"):
                norm(p + name, hidden)
    return w


def frequencies(c, sliding, size):
    rope = c["rope_parameters"]["sliding_attention" if sliding else "full_attention"]
    turning = size // 2 if sliding else int(rope["partial_rotary_factor"] * size // 2)
    return [rope["rope_theta"] ** (-2 * i / size) if i < turning else 0.0 for i in range(size // 2)]


def gated(up_gate, up, down, x):
    return product(down, times([gelu_tanh(v) for v in product(up_gate, x)], product(up, x)))


def experts(c, w, p, x):
    hidden = len(x)
    router_input = scaled(times(rms_norm(x), w.flat(p + "router.scale")), hidden ** -0.5)
    scores = softmax(product(w.matrix(p + "router.proj.weight"), router_input))
    chosen = sorted(range(len(scores)), key=lambda e: -scores[e])[:c["top_k_experts"]]
    total = sum(scores[e] for e in chosen)
    inner = rms_norm(x, w.flat(p + "pre_feedforward_layernorm_2.weight"))
    out = [0.0] * hidden
    for e in chosen:
        both, down = w.stack(p + "experts.gate_up_proj")[e], w.stack(p + "experts.down_proj")[e]
        half = len(both) // 2
        factor = scores[e] / total * w.flat(p + "router.per_expert_scale")[e]
        out = plus(out, scaled(gated(both[:half], both[half:], down, inner), factor))
    return out


def layer_inputs(c, w, token, x):
    own, layers = c["hidden_size_per_layer_input"], c["num_hidden_layers"]
    if not own:
        return None
    table = heads_of(scaled(w.matrix(PREFIX + "embed_tokens_per_layer.weight")[token], math.sqrt(own)), own)
    projected = heads_of(scaled(product(w.matrix(PREFIX + "per_layer_model_projection.weight"), x), len(x) ** -0.5), own)
    weight = w.flat(PREFIX + "per_layer_projection_norm.weight")
    return [scaled(plus(rms_norm(projected[i], weight), table[i]), 2 ** -0.5) for i in range(layers)]


def logits(full, w, tokens):
    c = full["text_config"]
    table = w.matrix(PREFIX + "embed_tokens.weight")
    cache = {}
    rows = []
    for position, token in enumerate(tokens):
        x = scaled(table[token], math.sqrt(c["hidden_size"]))
        inputs = layer_inputs(c, w, token, x)
        source = {}
        for i in range(c["num_hidden_layers"]):
            p = f"{PREFIX}layers.{i}."
            norm = lambda v, name: rms_norm(v, w.flat(p + name + ".weight"))
            sliding, size, _, same, has_keys = shape_of(c, i)
            turn = frequencies(c, sliding, size)
            normed = norm(x, "input_layernorm")
            q = [rotated(norm(h, "self_attn.q_norm"), position, turn)
                 for h in heads_of(product(w.matrix(p + "self_attn.q_proj.weight"), normed), size)]
            if has_keys:
                keys = heads_of(product(w.matrix(p + "self_attn.k_proj.weight"), normed), size)
                values = keys if same else heads_of(product(w.matrix(p + "self_attn.v_proj.weight"), normed), size)
                kept = cache.setdefault(i, ([], []))
                kept[0].append([rotated(norm(h, "self_attn.k_norm"), position, turn) for h in keys])
                kept[1].append([rms_norm(h) for h in values])
                source[sliding] = i
            keys, values = cache[source[sliding]]
            first = max(0, position + 1 - c["sliding_window"]) if sliding else 0
            mixed = attention(q, keys[first:], values[first:], 1.0)
            x = plus(x, norm(product(w.matrix(p + "self_attn.o_proj.weight"), mixed), "post_attention_layernorm"))
            fed = gated(w.matrix(p + "mlp.gate_proj.weight"), w.matrix(p + "mlp.up_proj.weight"),
                        w.matrix(p + "mlp.down_proj.weight"), norm(x, "pre_feedforward_layernorm"))
            if c["enable_moe_block"]:
                fed = plus(norm(fed, "post_feedforward_layernorm_1"),
                           norm(experts(c, w, p, x), "post_feedforward_layernorm_2"))
            x = plus(x, norm(fed, "post_feedforward_layernorm"))
            if inputs:
                gate = [gelu_tanh(v) for v in product(w.matrix(p + "per_layer_input_gate.weight"), x)]
                added = product(w.matrix(p + "per_layer_projection.weight"), times(gate, inputs[i]))
                x = plus(x, norm(added, "post_per_layer_input_norm"))
            x = scaled(x, w.flat(p + "layer_scalar")[0])
        x = rms_norm(x, w.flat(PREFIX + "norm.weight"))
        cap = c["final_logit_softcapping"]
        rows.append([cap * math.tanh(v / cap) for v in product(table, x)])
    return rows
