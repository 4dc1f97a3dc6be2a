"""Experts behind attention that is Llama's or near it: Mixtral, Qwen 2 and 3, OLMoE, Granite, GLM 4.5, MiniMax M2, ERNIE 4.5.

Tensors have the names that transformers saves, or with "_form": "memory" those that its modules have in memory (experts
fused), which is what it saves when told not to go back to the original format."""
from lists import *
from moe_configs import *
from ropes import parameters, table, turned

PREFIX = "model."
ACTIVATIONS = {"silu": silu, "gelu_pytorch_tanh": gelu_tanh, "relu": lambda x: max(x, 0.0),
               "gelu": lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2)))}

def weights(c):
    w = Weights(8)
    hidden, size, width, count = c["hidden_size"], size_of(c), width_of(c), count_of(c)
    q, kv = c["num_attention_heads"] * size, kv_heads_of(c) * size
    qkv_bias, out_bias, bias = biases_of(c)

    linear = w.linear

    def mlp(p, width):
        for name, shape in (("gate_proj", (width, hidden)), ("up_proj", (width, hidden)), ("down_proj", (hidden, width))):
            linear(p + name, *shape, bias)

    w.make(PREFIX + "embed_tokens.weight", [c["vocab_size"], hidden], 0.1)
    w.make(PREFIX + "norm.weight", [hidden], 0.2, 1)
    if not get(c, "tie_word_embeddings"):
        linear("lm_head", c["vocab_size"], hidden)
    if bias:
        w.make("lm_head.bias", [c["vocab_size"]], 0.2)
    router, choice, each = names(c)
    for i in range(c["num_hidden_layers"]):
        p = f"{PREFIX}layers.{i}."
        w.make(p + "input_layernorm.weight", [hidden], 0.2, 1)
        w.make(p + "post_attention_layernorm.weight", [hidden], 0.2, 1)
        linear(p + "self_attn.q_proj", q, hidden, qkv_bias)
        linear(p + "self_attn.k_proj", kv, hidden, qkv_bias)
        linear(p + "self_attn.v_proj", kv, hidden, qkv_bias)
        linear(p + "self_attn.o_proj", hidden, q, out_bias)
        if q_norm_of(c):
            w.make(p + "self_attn.q_norm.weight", [size if q_norm_of(c) == "head" else q], 0.2, 1)
            w.make(p + "self_attn.k_norm.weight", [size if q_norm_of(c) == "head" else kv], 0.2, 1)
        if not is_sparse(c, i):
            mlp(p + "mlp.", c["intermediate_size"])
            continue
        linear(p + router, count, hidden)
        if choice:
            w.make(p + choice, [1, count] if c["model_type"] == "ernie4_5_moe" else [count], 0.15)
        if each:
            for e in range(count):
                for name, shape in zip(each(e), ([width, hidden], [width, hidden], [hidden, width])):
                    w.make(p + name, shape)
        else:
            up, down = fused(c)
            w.make(p + up, [count, 2 * width, hidden])
            w.make(p + down, [count, hidden, width])
        shared, name = shared_of(c)
        if shared and name == "shared_mlp.":
            linear(p + name + "input_linear", 2 * shared, hidden)
            linear(p + name + "output_linear", hidden, shared)
        elif shared:
            mlp(p + name, shared)
        if c["model_type"] == "qwen2_moe":
            linear(p + "mlp.shared_expert_gate", 1, hidden)
    return w


def route(c, w, p, x):
    """The chosen experts, each with its factor."""
    kind = c["model_type"]
    router, bias, _ = names(c)
    scores = product(w.matrix(p + router + ".weight"), x)
    chosen_count = get(c, "moe_k" if kind == "ernie4_5_moe" else "num_experts_per_tok")
    if kind.startswith("granitemoe"):
        chosen = sorted(range(len(scores)), key=lambda e: -scores[e])[:chosen_count]
        return list(zip(chosen, softmax([scores[e] for e in chosen])))
    scores = [sigmoid(v) for v in scores] if kind in ("glm4_moe", "minimax_m2") else softmax(scores)
    choice = plus(scores, w.flat(p + bias)) if bias else scores
    if kind == "glm4_moe":
        size = len(scores) // get(c, "n_group")
        ranks = [sum(sorted(group)[-2:]) for group in heads_of(choice, size)]
        best = sorted(range(len(ranks)), key=lambda g: -ranks[g])[:get(c, "topk_group")]
        choice = [v if e // size in best else -math.inf for e, v in enumerate(choice)]
    chosen = sorted(range(len(scores)), key=lambda e: -choice[e])[:chosen_count]
    factors = [scores[e] for e in chosen]
    if kind in ("mixtral", "minimax_m2", "ernie4_5_moe") or get(c, "norm_topk_prob"):
        factors = scaled(factors, 1 / sum(factors))
    return list(zip(chosen, scaled(factors, get(c, "routed_scaling_factor")) if kind == "glm4_moe" else factors))


def gated(act, up, down, x):
    """up: gate and up, one behind the other."""
    both = product(up, x)
    half = len(both) // 2
    return product(down, times([act(v) for v in both[:half]], both[half:]))


def mlp(w, p, act, x):
    inner = times([act(v) for v in linear(w, p + "gate_proj", x)], linear(w, p + "up_proj", x))
    return linear(w, p + "down_proj", inner)


def experts(c, w, p, x):
    act = ACTIVATIONS[get(c, "hidden_act")]
    _, _, each = names(c)
    out = [0.0] * len(x)
    for e, factor in route(c, w, p, x):
        if each:
            gate, up, down = (w.matrix(p + name) for name in each(e))
            made = gated(act, gate + up, down, x)
        else:
            made = gated(act, *(w.stack(p + name)[e] for name in fused(c)), x)
        out = plus(out, scaled(made, factor))
    width, name = shared_of(c)
    if not width:
        return out
    if name == "shared_mlp.":
        return plus(out, gated(act, w.matrix(p + name + "input_linear.weight"), w.matrix(p + name + "output_linear.weight"), x))
    shared = mlp(w, p + name, act, x)
    if c["model_type"] == "qwen2_moe":
        shared = scaled(shared, sigmoid(linear(w, p + "mlp.shared_expert_gate", x)[0]))
    return plus(out, shared)


def attended(c, w, p, x, position, made, kept, window):
    size, eps, norm, kind = size_of(c), get(c, "rms_norm_eps"), q_norm_of(c), c["model_type"]

    def heads(name, normed=True):
        y = linear(w, f"{p}{name}_proj", x)
        if normed and norm == "all":
            y = rms_norm(y, w.flat(f"{p}{name}_norm.weight"), eps)
        if kind == "olmoe" and get(c, "clip_qkv"):
            y = [min(max(v, -get(c, "clip_qkv")), get(c, "clip_qkv")) for v in y]
        parts = heads_of(y, size)
        return [rms_norm(h, w.flat(f"{p}{name}_norm.weight"), eps) for h in parts] if normed and norm == "head" else parts

    q = [turned(h, position, made, kind == "ernie4_5_moe") for h in heads("q")]
    keys, values = kept.setdefault("keys", []), kept.setdefault("values", [])
    keys.append([turned(h, position, made, kind == "ernie4_5_moe") for h in heads("k")])
    values.append(heads("v", False))
    first = max(0, position + 1 - window) if window else 0
    scale = get(c, "attention_multiplier") if kind.startswith("granitemoe") else size ** -0.5
    return linear(w, p + "o_proj", attention(q, keys[first:], values[first:], scale))


def logits(c, w, tokens):
    kept = [{} for _ in range(c["num_hidden_layers"])]
    embedding = w.matrix(PREFIX + "embed_tokens.weight")
    granite = c["model_type"].startswith("granitemoe")
    act, eps = ACTIVATIONS[get(c, "hidden_act")], get(c, "rms_norm_eps")
    rope = parameters(c)
    if rope["rope_theta"] is None:
        rope["rope_theta"] = get(c, "rope_theta")
    part = rope.get("partial_rotary_factor", c.get("partial_rotary_factor", get(c, "part")))
    if "rotary_dim" in c:
        part = c["rotary_dim"] / size_of(c)
    made = table(rope, int(size_of(c) * part), c.get("max_position_embeddings"))
    residual = get(c, "residual_multiplier") if granite else 1
    rows = []
    for position, token in enumerate(tokens):
        x = scaled(embedding[token], get(c, "embedding_multiplier") if granite else 1)
        for i in range(c["num_hidden_layers"]):
            p = f"{PREFIX}layers.{i}."
            normed = rms_norm(x, w.flat(p + "input_layernorm.weight"), eps)
            mixed = attended(c, w, p + "self_attn.", normed, position, made, kept[i], window_of(c, i))
            x = plus(x, scaled(mixed, residual))
            normed = rms_norm(x, w.flat(p + "post_attention_layernorm.weight"), eps)
            fed = experts(c, w, p, normed) if is_sparse(c, i) else mlp(w, p + "mlp.", act, normed)
            x = plus(x, scaled(fed, residual))
        x = rms_norm(x, w.flat(PREFIX + "norm.weight"), eps)
        row = product(embedding if get(c, "tie_word_embeddings") else w.matrix("lm_head.weight"), x)
        if "lm_head.bias" in w:
            row = plus(row, w.flat("lm_head.bias"))
        rows.append(scaled(row, 1 / get(c, "logits_scaling")) if granite else row)
    return rows
