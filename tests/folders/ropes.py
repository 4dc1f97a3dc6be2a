"""Rotary positions as configurations describe them: plain, on a part of the head, linear, YaRN, Llama 3's."""
import math


def parameters(c):
    """Of the new form (rope_parameters) or the old one (rope_theta, rope_scaling)."""
    made = dict(c.get("rope_scaling") or c.get("rope_parameters") or {})
    made.setdefault("rope_theta", c.get("rope_theta"))
    made["rope_type"] = made.get("rope_type", made.get("type", "default"))
    return made


def magnitude_of(factor, multiplier=1.0):
    return 1.0 if factor <= 1 else 0.1 * multiplier * math.log(factor) + 1


def yarn(frequencies, p, dims, context):
    base, factor, original = p["rope_theta"], p["factor"], p.get("original_max_position_embeddings") or context

    def dim_that_turns(times):
        return dims * math.log(original / (times * 2 * math.pi)) / (2 * math.log(base))

    low, high = dim_that_turns(p.get("beta_fast") or 32), dim_that_turns(p.get("beta_slow") or 1)
    if p.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dims - 1)
    if low == high:
        high += 0.001
    out = []
    for i, frequency in enumerate(frequencies):
        slow = min(max((i - low) / (high - low), 0), 1)
        out.append(frequency / factor * slow + frequency * (1 - slow))
    magnitude = p.get("attention_factor")
    if magnitude is None:
        mscale, all_dims = p.get("mscale"), p.get("mscale_all_dim")
        magnitude = magnitude_of(factor, mscale) / magnitude_of(factor, all_dims) if mscale and all_dims else magnitude_of(factor)
    return out, magnitude


def llama3(frequencies, p):
    original, factor = p["original_max_position_embeddings"], p["factor"]
    low, high = p["low_freq_factor"], p["high_freq_factor"]
    out = []
    for frequency in frequencies:
        turns = original * frequency / (2 * math.pi)
        between = min(max((turns - low) / (high - low), 0), 1)
        out.append((1 - between) * frequency / factor + between * frequency)
    return out


def table(p, dims, context=2048):
    """Frequencies of dims / 2 pairs, and the factor of cos and sin."""
    frequencies = [p["rope_theta"] ** (-2 * i / dims) for i in range(dims // 2)]
    if p["rope_type"] == "yarn":
        return yarn(frequencies, p, dims, context)
    if p["rope_type"] == "llama3":
        return llama3(frequencies, p), 1.0
    if p["rope_type"] == "linear":
        return [v / p["factor"] for v in frequencies], 1.0
    assert p["rope_type"] == "default"
    return frequencies, 1.0


def turned(head, position, made, neighbours=False):
    """Pairs are dims i and i + n, or 2i and 2i + 1 where they are neighbours; what lies behind the n pairs stays."""
    frequencies, magnitude = made
    n = len(frequencies)
    out = list(head)
    for i, frequency in enumerate(frequencies):
        a, b = (2 * i, 2 * i + 1) if neighbours else (i, i + n)
        c, s = magnitude * math.cos(position * frequency), magnitude * math.sin(position * frequency)
        out[a], out[b] = head[a] * c - head[b] * s, head[b] * c + head[a] * s
    return out
