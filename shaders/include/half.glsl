// fp16 and bf16 as words, on devices with and without 16-bit types.
#ifndef LAHAR_HALF_GLSL
#define LAHAR_HALF_GLSL

// To the nearest, ties to even (packHalf2x16 leaves the rounding to the driver); beyond +-65504 saturates, NaN stays NaN.
uint to_half(float v) {
  const uint bits = floatBitsToUint(v);
  const uint magnitude = min(bits & 0x7fffffffu, 0x477fe000u);
  const uint normal = magnitude - 0x38000000u;
  uint h = (normal + 0x0fffu + ((normal >> 13) & 1u)) >> 13;
  if (magnitude < 0x38800000u) h = uint(roundEven(uintBitsToFloat(magnitude) * 16777216.0));
  if ((bits & 0x7fffffffu) > 0x7f800000u) h = 0x7e00u;
  return h | ((bits >> 16) & 0x8000u);
}
uint to_half2(vec2 v) { return to_half(v.x) | (to_half(v.y) << 16); }
uvec2 to_half4(vec4 v) { return uvec2(to_half2(v.xy), to_half2(v.zw)); }
vec4 from_half4(uvec2 w) { return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y)); }

// The upper half of a float, to the nearest, ties to even. NaN stays NaN.
uint to_bfloat(float v) {
  const uint bits = floatBitsToUint(v);
  return isnan(v) ? 0x7fc0u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
#endif
