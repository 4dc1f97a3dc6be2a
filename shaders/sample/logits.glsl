// Logits as the sampler sees them: finite, with an order-preserving integer key.
#ifndef LAHAR_LOGITS_GLSL
#define LAHAR_LOGITS_GLSL

const float kLowestLogit = -3.4028234663852886e38;

bool is_nan(float v) { return (floatBitsToUint(v) & 0x7fffffffu) > 0x7f800000u; }

// NaN and -inf become the lowest finite number, +inf the highest, -0 becomes 0 (bit tests: isnan may be optimized away).
float finite_logit(float v) {
  const uint bits = floatBitsToUint(v);
  const uint magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return kLowestLogit;
  if (magnitude == 0x7f800000u) return bits == magnitude ? -kLowestLogit : kLowestLogit;
  return magnitude == 0 ? 0.0 : v;
}

// a < b as floats if and only if key(a) < key(b).
uint logit_key(float v) {
  const uint bits = floatBitsToUint(v);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
float key_logit(uint key) { return uintBitsToFloat((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key); }

// a - b of finite logits, without infinity.
float logit_difference(float a, float b) { return max(a - b, kLowestLogit); }
#endif
