"""Little linear algebra over lists of Python's floats (float64), and the writing of Hugging Face folders. No dependencies."""
import json
import math
import os
import random
import struct
from array import array
from operator import add, mul


def dot(a, b):
    return sum(map(mul, a, b))


def product(weight, x):
    """weight [rows][cols], x [cols]."""
    return [dot(row, x) for row in weight]


def plus(a, b):
    return list(map(add, a, b))


def times(a, b):
    return list(map(mul, a, b))


def scaled(a, factor):
    return [v * factor for v in a]


def rms_norm(x, weight=None, eps=1e-6):
    inverse = 1 / math.sqrt(dot(x, x) / len(x) + eps)
    return [v * inverse * w for v, w in zip(x, weight)] if weight else [v * inverse for v in x]


def layer_norm(x, weight, bias, eps):
    mean = sum(x) / len(x)
    centred = [v - mean for v in x]
    inverse = 1 / math.sqrt(dot(centred, centred) / len(x) + eps)
    return [v * inverse * w + b for v, w, b in zip(centred, weight, bias)]


def softmax(x):
    largest = max(x)
    powers = [math.exp(v - largest) for v in x]
    total = sum(powers)
    return [v / total for v in powers]


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def silu(x):
    return x * sigmoid(x)


def softplus(x):
    return x if x > 30 else math.log1p(math.exp(x))


def relu(x):
    return max(x, 0.0)


def gelu(x):
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


def gelu_tanh(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def heads_of(x, size):
    return [x[i:i + size] for i in range(0, len(x), size)]


def rotated(head, position, frequencies):
    """Dims i and i + n are a pair, for the n frequencies; what lies behind them stays."""
    n = len(frequencies)
    out = list(head)
    for i, frequency in enumerate(frequencies):
        c, s = math.cos(position * frequency), math.sin(position * frequency)
        out[i], out[i + n] = head[i] * c - head[i + n] * s, head[i + n] * c + head[i] * s
    return out


def attend(q, keys, values, scale):
    weights = softmax([scale * dot(q, key) for key in keys])
    out = [0.0] * len(values[0])
    for weight, value in zip(weights, values):
        out = [o + weight * v for o, v in zip(out, value)]
    return out


def attention(q, keys, values, scale):
    """q: heads; keys and values: [tokens][kv heads]. Returns the heads' outputs, one behind the other."""
    group = len(q) // len(keys[0])
    out = []
    for h, head in enumerate(q):
        out += attend(head, [k[h // group] for k in keys], [v[h // group] for v in values], scale)
    return out


def convolved(w, p, x, kept):
    """Channel by channel over the tokens so far; the last inputs are kept."""
    taps = w.matrix(p + "weight")
    kept.setdefault("inputs", [[0.0] * len(taps)] * (len(taps[0]) - 1))
    window = kept["inputs"] + [x]
    kept["inputs"] = window[1:]
    mixed = [sum(t * row[i] for t, row in zip(tap, window)) for i, tap in enumerate(taps)]
    return plus(mixed, w.flat(p + "bias")) if p + "bias" in w else mixed


def rounded(values, kind):
    """As floats of 32 bits, or (BF16) with the lower half of their bits zero."""
    packed = bytearray(struct.pack(f"<{len(values)}f", *values))
    if kind == "BF16":
        packed[0::4] = packed[1::4] = bytes(len(values))
    return list(struct.unpack(f"<{len(values)}f", packed))


class Weights:
    """Random tensors by name; all values are floats of 32 bits, or of 16 (BF16)."""

    def __init__(self, seed, kind="F32"):
        self.random = random.Random(seed)
        self.tensors = {}
        self.kind = kind

    def make(self, name, shape, scale=None, mean=0.0, change=None):
        if scale is None:
            scale = 1.5 / math.sqrt(shape[-1])
        # Uniform, of that mean and deviation: quicker to make than normal values.
        raw = array("h", self.random.randbytes(2 * math.prod(shape)))
        factor = scale * math.sqrt(3) / (1 << 15)
        values = [mean + factor * v for v in raw]
        if change:
            values = [change(v) for v in values]
        self.tensors[name] = (shape, rounded(values, self.kind))

    def norm(self, name, count):
        self.make(name + ".weight", [count], 0.2, 1)

    def linear(self, name, rows, cols, bias=False):
        self.make(name + ".weight", [rows, cols])
        if bias:
            self.make(name + ".bias", [rows], 0.2)

    def __contains__(self, name):
        return name in self.tensors

    def flat(self, name):
        return self.tensors[name][1]

    def matrix(self, name):
        shape, values = self.tensors[name]
        return heads_of(values, shape[-1])

    def stack(self, name):
        """[n][rows][cols] of three dimensions."""
        shape, _ = self.tensors[name]
        return heads_of(self.matrix(name), shape[1])


def linear(w, name, x):
    """With its bias where it has one."""
    y = product(w.matrix(name + ".weight"), x)
    return plus(y, w.flat(name + ".bias")) if name + ".bias" in w else y


def mlp(w, p, x):
    """Gated by SiLU."""
    inner = times([silu(v) for v in linear(w, p + "gate_proj", x)], linear(w, p + "up_proj", x))
    return linear(w, p + "down_proj", inner)


def write_folder(folder, config, weights):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as out:
        json.dump(config, out, indent=1)
    header, blob = {}, bytearray()
    for name, (shape, values) in weights.tensors.items():
        begin = len(blob)
        packed = struct.pack(f"<{len(values)}f", *values)
        blob += packed if weights.kind == "F32" else bytes(b for i, b in enumerate(packed) if i % 4 >= 2)
        header[name] = {"dtype": weights.kind, "shape": list(shape), "data_offsets": [begin, len(blob)]}
    text = json.dumps(header).encode()
    with open(os.path.join(folder, "model.safetensors"), "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + blob)
