"""What a configuration says of RoPE: a frequency for each pair of dims, and the factor of cos and sin. The formulas are those
of transformers' modeling_rope_utils, which name the papers."""
import math

from lists import rotated


def parameters(c, base_key="rope_theta", part_key="partial_rotary_factor", part=1.0, theta=10000.0):
    """In one form: the keys inside rope_parameters (before: rope_scaling) go before those at the top."""
    found = dict(c.get("rope_scaling") or c.get("rope_parameters") or {})
    found.setdefault("rope_theta", c.get(base_key, theta))
    found.setdefault("partial_rotary_factor", c.get(part_key, part))
    found.setdefault("rope_type", found.get("type", "default"))
    trained = found.get("original_max_position_embeddings", c.get("max_position_embeddings"))
    found["original"] = c.get("original_max_position_embeddings", trained)
    return found


def yarn(p, powers, dims):
    factor, base = p["factor"], p["rope_theta"]

    def dim_of(turns):
        return dims * math.log(p["original"] / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = dim_of(p.get("beta_fast") or 32), dim_of(p.get("beta_slow") or 1)
    if p.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dims - 1)
    if low == high:
        high += 0.001
    frequencies = []
    for i, power in enumerate(powers):
        slow = min(max((i - low) / (high - low), 0), 1)
        frequencies.append(slow / (factor * power) + (1 - slow) / power)
    return frequencies


def llama3(p, powers):
    frequencies = []
    for power in powers:
        wave = 2 * math.pi * power
        slow, fast = p["original"] / p["low_freq_factor"], p["original"] / p["high_freq_factor"]
        frequency = 1 / power
        if wave > slow:
            frequency /= p["factor"]
        elif wave >= fast:
            smooth = (p["original"] / wave - p["low_freq_factor"]) / (p["high_freq_factor"] - p["low_freq_factor"])
            frequency = (1 - smooth) * frequency / p["factor"] + smooth * frequency
        frequencies.append(frequency)
    return frequencies


def magnitude_of(factor, mscale=1.0):
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1


def magnitude(p, length):
    if p.get("attention_factor") is not None:
        return p["attention_factor"]
    if p["rope_type"] == "yarn":
        if p.get("mscale") and p.get("mscale_all_dim"):
            return magnitude_of(p["factor"], p["mscale"]) / magnitude_of(p["factor"], p["mscale_all_dim"])
        return magnitude_of(p["factor"])
    if p["rope_type"] == "longrope":
        factor = p.get("factor") or length / p["original"]
        return 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(p["original"]))
    return 1.0


def rope(c, head_size, tokens, **keys):
    """For a sequence of so many tokens. Returns a function of a head and its position."""
    p = parameters(c, **keys)
    dims = int(head_size * p["partial_rotary_factor"])
    base, kind, length = p["rope_theta"], p["rope_type"], c.get("max_position_embeddings")
    if kind == "dynamic":
        stretched = p["factor"] * max(tokens, length) / length - (p["factor"] - 1)
        base *= stretched ** (dims / (dims - 2))
    powers = [base ** (2 * i / dims) for i in range(dims // 2)]
    frequencies = [1 / power for power in powers]
    if kind == "linear":
        frequencies = [f / p["factor"] for f in frequencies]
    if kind == "yarn":
        frequencies = yarn(p, powers, dims)
    if kind == "llama3":
        frequencies = llama3(p, powers)
    if kind == "longrope":
        factors = p["long_factor" if tokens > p["original"] else "short_factor"]
        frequencies = [f / factor for f, factor in zip(frequencies, factors)]
    factor = magnitude(p, length)

    def turned(head, position):
        out = rotated(head, position, frequencies)
        return [v * factor for v in out[:dims]] + out[dims:]

    return turned
