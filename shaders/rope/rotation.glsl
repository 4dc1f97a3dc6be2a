// cos and sin of position * frequency, exact to about 1e-4 rad at position 2^17: the phase is kept in turns, as a 32-bit
// fraction that wraps by itself, because an fp32 product of the two would be off by 8e-3 there.
#ifndef LAHAR_ROTATION_GLSL
#define LAHAR_ROTATION_GLSL
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require

// frequency / 2 pi in units of 2^-32 turns, rounded; frequency >= 0. 2734261102 is 2^34 / 2 pi.
uint turns_per_position(float frequency) {
  const uint bits = floatBitsToUint(frequency);
  const uint mantissa = (bits & 0x7fffffu) | 0x800000u;
  const int shift = 152 - int((bits >> 23) & 0xffu);
  if (shift > 60) return 0;
  const uint64_t product = uint64_t(mantissa) * 2734261102ul;
  if (shift <= 0) return uint(product << min(-shift, 63));
  return uint((product + (1ul << (shift - 1))) >> shift);
}

// Returns (cos, sin) of a phase in units of 2^-32 turns. Taylor polynomials on an eighth of a turn: below 1e-7.
vec2 cos_sin(uint phase) {
  const uint quadrant = (phase + 0x20000000u) >> 30;
  const float a = float(int(phase - (quadrant << 30))) * 1.4629180792671596e-9;
  const float s = a * a;
  const float sine = a + a * s * (-1.0 / 6 + s * (1.0 / 120 + s * (-1.0 / 5040 + s * (1.0 / 362880))));
  const float cosine = 1.0 + s * (-0.5 + s * (1.0 / 24 + s * (-1.0 / 720 + s * (1.0 / 40320))));
  const vec2 r = (quadrant & 1u) != 0 ? vec2(sine, cosine) : vec2(cosine, sine);
  return vec2(((quadrant + 1u) & 2u) != 0 ? -r.x : r.x, (quadrant & 2u) != 0 ? -r.y : r.y);
}
#endif
