// The decoder of the weight format that FORMAT names (quant::WeightFormat). A unit is what one 16-byte load of plane 0
// holds (of formats under four bits, an 8-byte one): kUnit columns, as kUnit / 4 groups of four neighbours, not always in the
// order of the columns.
//   Unit load_unit(Weights w, uint r, uint unit)  row r of w, r * row_bytes below 4 GiB
//   vec4 decode4(Unit u, uint i)                  group i of it, as weights
//   uint column4(uint unit, uint i)               the first column of that group
// Weights past the last column are zero up to the end of their unit (grouped scales excepted: there they are 0 * scale).
#ifndef LAHAR_DECODE_GLSL
#define LAHAR_DECODE_GLSL
#include "quant/weights.glsl"

vec4 signed_bytes(uint w) {
  const int v = int(w);
  return vec4(bitfieldExtract(v, 0, 8), bitfieldExtract(v, 8, 8), bitfieldExtract(v, 16, 8), bitfieldExtract(v, 24, 8));
}
vec4 bytes4(uint w) { return vec4(w & 0xff, (w >> 8) & 0xff, (w >> 16) & 0xff, w >> 24); }
// The low nibbles of word i of q in bytes, from i = 4 on the high ones of word i - 4: columns 4 * i ... of 32 that lie as in Q4_0.
uint nibbles4(uvec4 q, uint i) { return (q[i & 3] >> (i & 4)) & 0x0f0f0f0fu; }
// The lowest four bits, each at the bottom of a byte.
uint spread4(uint bits) { return ((bits & 15) * 0x00204081u) & 0x01010101u; }

#if FORMAT == 0
#include "quant/f32.glsl"
#elif FORMAT == 1
#include "quant/f16.glsl"
#elif FORMAT == 2
#include "quant/bf16.glsl"
#elif FORMAT == 3
#include "quant/q8_0.glsl"
#elif FORMAT == 4
#include "quant/q4_0.glsl"
#elif FORMAT == 5
#include "quant/q4_1.glsl"
#elif FORMAT == 6
#include "quant/q4_k.glsl"
#elif FORMAT == 7
#include "quant/q6_k.glsl"
#elif FORMAT == 8
#include "quant/f8.glsl"
#elif FORMAT == 9
#include "quant/i8.glsl"
#elif FORMAT == 10
#include "quant/q5_0.glsl"
#elif FORMAT == 11
#include "quant/q5_1.glsl"
#elif FORMAT == 12
#include "quant/q2_k.glsl"
#elif FORMAT == 13
#include "quant/q3_k.glsl"
#elif FORMAT == 14
#include "quant/q5_k.glsl"
#elif FORMAT == 15
#include "quant/iq4_nl.glsl"
#elif FORMAT == 16
#include "quant/iq4_xs.glsl"
#elif FORMAT == 17
#include "quant/iq3_s.glsl"
#elif FORMAT == 18
#include "quant/mxfp4.glsl"
#elif FORMAT == 19
#include "quant/tq1_0.glsl"
#elif FORMAT == 20
#include "quant/tq2_0.glsl"
#elif FORMAT == 21
#include "quant/i4.glsl"
#endif
#endif
