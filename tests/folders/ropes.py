"""Rotary positions as configurations describe them: plain, on a part of the head, linear, YaRN, Llama 3's."""
import math

from rope_frequencies import llama3, magnitude, yarn


def parameters(c):
    """Of the new form (rope_parameters) or the old one (rope_theta, rope_scaling)."""
    made = dict(c.get("rope_scaling") or c.get("rope_parameters") or {})
    made.setdefault("rope_theta", c.get("rope_theta"))
    made["rope_type"] = made.get("rope_type", made.get("type", "default"))
    return made


def table(p, dims, context=2048):
    """Frequencies of dims / 2 pairs, and the factor of cos and sin."""
    p = dict(p, original=p.get("original_max_position_embeddings") or context)
    powers = [p["rope_theta"] ** (2 * i / dims) for i in range(dims // 2)]
    if p["rope_type"] == "yarn":
        return yarn(p, powers, dims), magnitude(p, context)
    if p["rope_type"] == "llama3":
        return llama3(p, powers), 1.0
    assert p["rope_type"] in ("linear", "default")
    return [1 / (power * p.get("factor", 1) if p["rope_type"] == "linear" else power) for power in powers], 1.0


def turned(head, position, made, neighbours=False):
    """Pairs are dims i and i + n, or 2i and 2i + 1 where they are neighbours; what lies behind the n pairs stays."""
    frequencies, scale = made
    n = len(frequencies)
    out = list(head)
    for i, frequency in enumerate(frequencies):
        a, b = (2 * i, 2 * i + 1) if neighbours else (i, i + n)
        c, s = scale * math.cos(position * frequency), scale * math.sin(position * frequency)
        out[a], out[b] = head[a] * c - head[b] * s, head[b] * c + head[a] * s
    return out
