"""Gemma 3n (text): AltUp's streams, LAuReL, inputs of each layer's own, sparse activations, shared keys and values."""
import math
from statistics import NormalDist

from decoder import ACTIVATIONS, applied
from lists import *

DEFAULTS = {"rms_norm_eps": 1e-6, "num_key_value_heads": 2, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
            "tie_word_embeddings": True, "attention_bias": False, "sliding_window": 512, "final_logit_softcapping": 30.0,
            "hidden_size_per_layer_input": 256, "altup_active_idx": 0, "altup_coef_clip": 120.0, "altup_correct_scale": True,
            "altup_num_inputs": 4, "num_kv_shared_layers": 15, "laurel_rank": 64}


def config(layers, **changes):
    made = {
        "model_type": "gemma3n_text", "vocab_size": 259, "hidden_size": 96, "intermediate_size": [88] * layers,
        "num_hidden_layers": layers, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 24,
        "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 256, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True, "attention_bias": False, "sliding_window": 7, "final_logit_softcapping": 30.0,
        "vocab_size_per_layer_input": 259, "hidden_size_per_layer_input": 20, "altup_active_idx": 0, "altup_coef_clip": 120.0,
        "altup_correct_scale": True, "altup_num_inputs": 4, "num_kv_shared_layers": 2, "laurel_rank": 12,
        "activation_sparsity_pattern": [0.0] * layers,
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
                            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}},
    }
    made.update(changes)
    return made


SMALL = ["sliding_attention", "full_attention"] * 2

RECIPES = {
    "gemma3n": config(4, layer_types=SMALL, activation_sparsity_pattern=[0.95, 0.8, 0.0, 0.0]),
    "gemma3n-streams": config(3, layer_types=SMALL[:3], altup_num_inputs=3, altup_active_idx=1, altup_correct_scale=False,
                              altup_coef_clip=0.5, num_kv_shared_layers=0, attention_bias=True, intermediate_size=[88, 60, 92],
                              activation_sparsity_pattern=[0.0, 0.4, 0.0]),
    # No list of types or of sparsities: every fifth layer is full, and nothing is sparse in a model of ten layers or fewer.
    "gemma3n-default": config(7, layer_types=None, activation_sparsity_pattern=None, intermediate_size=88,
                              rope_parameters=None, rope_theta=500000.0, rope_local_base_freq=30000.0),
    "gemma3n-folder": {"model_type": "gemma3n", "architectures": ["Gemma3nForConditionalGeneration"],
                       "text_config": config(4, layer_types=SMALL), "tensor_prefix": "model.language_model."},
}


def prefix_of(recipe):
    return recipe.get("tensor_prefix", "model.")


def settings(recipe):
    c = {**DEFAULTS, **recipe.get("text_config", recipe)}
    layers = c["num_hidden_layers"]
    if not isinstance(c["intermediate_size"], list):
        c["intermediate_size"] = [c["intermediate_size"]] * layers
    c["layer_types"] = c.get("layer_types") or ["full_attention" if (i + 1) % 5 == 0 else "sliding_attention"
                                                for i in range(layers)]
    if c.get("activation_sparsity_pattern") is None:
        sparse = 10 if layers > 10 else 0
        c["activation_sparsity_pattern"] = [0.95] * sparse + [0.0] * (layers - sparse)
    return c


def shared(c, layer):
    return layer >= c["num_hidden_layers"] - c["num_kv_shared_layers"] > 0


def weights(recipe):
    c, prefix = settings(recipe), prefix_of(recipe)
    w = Weights(9)
    hidden, layers, own, streams = (c[key] for key in ("hidden_size", "num_hidden_layers", "hidden_size_per_layer_input",
                                                       "altup_num_inputs"))

    norm, linear = w.norm, w.linear

    w.make(prefix + "embed_tokens.weight", [c["vocab_size"], hidden], 0.1)
    w.make(prefix + "embed_tokens_per_layer.weight", [c["vocab_size_per_layer_input"], layers * own], 0.3)
    linear(prefix + "per_layer_model_projection", layers * own, hidden)
    norm(prefix + "per_layer_projection_norm", own)
    norm(prefix + "norm", hidden)
    for i in range(streams - 1):
        linear(f"{prefix}altup_projections.{i}", hidden, hidden)
        linear(f"{prefix}altup_unembed_projections.{i}", hidden, hidden)
    for i in range(layers):
        p = f"{prefix}layers.{i}."
        for name in ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm",
                     "post_per_layer_input_norm", "laurel.post_laurel_norm", "altup.router_norm"):
            norm(p + name, hidden)
        linear(p + "self_attn.q_proj", c["num_attention_heads"] * c["head_dim"], hidden, c["attention_bias"])
        linear(p + "self_attn.o_proj", hidden, c["num_attention_heads"] * c["head_dim"], c["attention_bias"])
        norm(p + "self_attn.q_norm", c["head_dim"])
        if not shared(c, i) or "tensor_prefix" in recipe:  # the published folders have them in every layer
            for name in "kv":
                linear(f"{p}self_attn.{name}_proj", c["num_key_value_heads"] * c["head_dim"], hidden, c["attention_bias"])
            norm(p + "self_attn.k_norm", c["head_dim"])
        width = c["intermediate_size"][i]
        linear(p + "mlp.gate_proj", width, hidden)
        linear(p + "mlp.up_proj", width, hidden)
        linear(p + "mlp.down_proj", hidden, width)
        linear(p + "laurel.linear_left", c["laurel_rank"], hidden)
        linear(p + "laurel.linear_right", hidden, c["laurel_rank"])
        linear(p + "per_layer_input_gate", own, hidden)
        linear(p + "per_layer_projection", hidden, own)
        w.make(p + "altup.modality_router.weight", [streams, hidden], 8)
        w.make(p + "altup.prediction_coefs.weight", [streams * streams, streams], 0.4)
        w.make(p + "altup.correction_coefs.weight", [streams, streams], 0.6)
        w.make(p + "altup.correct_output_scale", [hidden], 0.3, 1)
    return w


def layer_inputs(c, w, prefix, token, x, norm):
    own = c["hidden_size_per_layer_input"]
    table = heads_of(scaled(w.matrix(prefix + "embed_tokens_per_layer.weight")[token], math.sqrt(own)), own)
    projected = scaled(applied(w, prefix + "per_layer_model_projection", x), len(x) ** -0.5)
    return [scaled(plus(norm(part, prefix + "per_layer_projection_norm"), row), 2 ** -0.5)
            for part, row in zip(heads_of(projected, own), table)]


def as_large_as(x, model):
    """x scaled to the root mean square of `model`."""
    return scaled(x, math.sqrt(dot(model, model) / len(model)) / math.sqrt(max(dot(x, x) / len(x), 1e-5)))


def modalities(w, p, x, norm):
    return [math.tanh(v) for v in applied(w, p + "altup.modality_router", scaled(norm(x, p + "altup.router_norm"), 1 / len(x)))]


def predicted(c, w, p, streams, norm):
    n = len(streams)
    weights = applied(w, p + "altup.prediction_coefs", modalities(w, p, streams[c["altup_active_idx"]], norm))
    out = []
    for i in range(n):  # n coefficients for each stream that is made
        mixed = streams[i]
        for j in range(n):
            mixed = plus(mixed, scaled(streams[j], weights[i * n + j]))
        out.append(mixed)
    return out


def corrected(c, w, p, predictions, active, norm):
    clip = c["altup_coef_clip"]
    matrix = [[min(max(v, -clip), clip) for v in row] for row in w.matrix(p + "altup.correction_coefs.weight")]
    factors = product(matrix, modalities(w, p, active, norm))
    change = [a - b for a, b in zip(active, predictions[c["altup_active_idx"]])]
    return [plus(prediction, scaled(change, factor + 1)) for prediction, factor in zip(predictions, factors)]


def fed_forward(c, w, p, layer, x, act):
    gate = applied(w, p + "gate_proj", x)
    sparsity = c["activation_sparsity_pattern"][layer]
    if sparsity > 0:
        mean = sum(gate) / len(gate)
        deviation = math.sqrt(sum((v - mean) ** 2 for v in gate) / len(gate))
        cut = mean + deviation * NormalDist().inv_cdf(sparsity)
        gate = [max(v - cut, 0.0) for v in gate]
    return applied(w, p + "down_proj", times([act(v) for v in gate], applied(w, p + "up_proj", x)))


def attended(c, w, p, layer, position, x, norm, cache, source):
    size, kind = c["head_dim"], c["layer_types"][layer]
    nested = (c.get("rope_parameters") or {}).get(kind, {})
    base = c.get("rope_theta", 1e6) if kind == "full_attention" else c.get("rope_local_base_freq", 1e4)
    turn = [nested.get("rope_theta", base) ** (-2 * i / size) for i in range(size // 2)]

    def heads(name):
        return heads_of(applied(w, f"{p}{name}_proj", x), size)

    q = [rotated(norm(h, p + "q_norm"), position, turn) for h in heads("q")]
    if not shared(c, layer):
        kept = cache.setdefault(layer, ([], []))
        kept[0].append([rotated(norm(h, p + "k_norm"), position, turn) for h in heads("k")])
        kept[1].append([rms_norm(h, None, c["rms_norm_eps"]) for h in heads("v")])
        source[kind] = layer
    keys, values = cache[source[kind]]
    first = max(0, position + 1 - c["sliding_window"]) if kind == "sliding_attention" else 0
    return applied(w, p + "o_proj", attention(q, keys[first:], values[first:], 1.0))


def logits(recipe, w, tokens):
    c, prefix = settings(recipe), prefix_of(recipe)
    act = ACTIVATIONS[c["hidden_activation"]]
    active = c["altup_active_idx"]
    table = w.matrix(prefix + "embed_tokens.weight")
    cache, rows = {}, []

    def norm(x, name):
        return rms_norm(x, w.flat(name + ".weight"), c["rms_norm_eps"])

    for position, token in enumerate(tokens):
        x = scaled(table[token], math.sqrt(c["hidden_size"]))
        inputs = layer_inputs(c, w, prefix, token, x, norm)
        others = range(c["altup_num_inputs"] - 1)
        streams = [x] + [as_large_as(applied(w, f"{prefix}altup_projections.{i}", x), x) for i in others]
        source = {}
        for i in range(c["num_hidden_layers"]):
            p = f"{prefix}layers.{i}."
            predictions = predicted(c, w, p, streams, norm)
            before = norm(predictions[active], p + "input_layernorm")
            laurel = applied(w, p + "laurel.linear_right", applied(w, p + "laurel.linear_left", before))
            laurel = plus(before, norm(laurel, p + "laurel.post_laurel_norm"))
            mixed = norm(attended(c, w, p + "self_attn.", i, position, before, norm, cache, source),
                         p + "post_attention_layernorm")
            mixed = scaled(plus(plus(predictions[active], mixed), laurel), 2 ** -0.5)
            fed = fed_forward(c, w, p + "mlp.", i, norm(mixed, p + "pre_feedforward_layernorm"), act)
            streams = corrected(c, w, p, predictions, plus(mixed, norm(fed, p + "post_feedforward_layernorm")), norm)
            first = streams[active]
            if c["altup_correct_scale"]:
                first = times(first, w.flat(p + "altup.correct_output_scale"))
            gate = times([act(v) for v in applied(w, p + "per_layer_input_gate", first)], inputs[i])
            added = norm(applied(w, p + "per_layer_projection", gate), p + "post_per_layer_input_norm")
            streams = streams[:1] + [plus(stream, added) for stream in streams[1:]]
        merged = streams[0]
        for i in others:
            merged = plus(merged, as_large_as(applied(w, f"{prefix}altup_unembed_projections.{i}", streams[i + 1]), streams[0]))
        x = norm(scaled(merged, 1 / len(streams)), prefix + "norm")
        cap = c["final_logit_softcapping"]
        rows.append([cap * math.tanh(v / cap) for v in product(table, x)])
    return rows
