// Weights of FORMAT as int8 for integer dot products, on top of quant/decode.glsl: a unit is kRuns runs of 16 neighbouring
// columns, run i from column4(unit, 4 * i) on; a weight is scale * q + minimum.
//   uvec4 run_words(Unit u, uint run)  the quants, four a word in the order of the columns
//   vec2 run_scale(Unit u, uint run)   scale and minimum
//   kRunMinimum                        false where all minima are zero
#extension GL_EXT_integer_dot_product : require
const uint kRuns = kUnit / 16;

#if FORMAT == 3 || FORMAT == 9  // Q8_0, I8
const bool kRunMinimum = false;
uvec4 run_words(Unit u, uint run) { return u.q; }
vec2 run_scale(Unit u, uint run) { return vec2(u.d, 0); }
#elif FORMAT == 4  // Q4_0
const bool kRunMinimum = true;
uvec4 run_words(Unit u, uint run) { return (u.q >> (4 * run)) & 0x0f0f0f0fu; }
vec2 run_scale(Unit u, uint run) { return vec2(u.d, -8 * u.d); }
#elif FORMAT == 5  // Q4_1
const bool kRunMinimum = true;
uvec4 run_words(Unit u, uint run) { return (u.q >> (4 * run)) & 0x0f0f0f0fu; }
vec2 run_scale(Unit u, uint run) { return u.dm; }
#elif FORMAT == 6  // Q4_K
const bool kRunMinimum = true;
uvec4 run_words(Unit u, uint run) { return (u.q >> (4 * run)) & 0x0f0f0f0fu; }
vec2 run_scale(Unit u, uint run) { return run == 0 ? vec2(u.sm.x, -u.sm.y) : vec2(u.sm.z, -u.sm.w); }
#elif FORMAT == 7  // Q6_K
const bool kRunMinimum = true;
uvec4 run_words(Unit u, uint run) {
  return ((u.low >> (4 * run)) & 0x0f0f0f0fu) | (((u.high >> (4 * run)) & 0x03030303u) << 4);
}
vec2 run_scale(Unit u, uint run) { return vec2(1, -32) * (run == 0 ? u.s.x : u.s.y); }
#else
#error "no int8 form of this format"
#endif

int dot_words(uvec4 a, uvec4 b) {
  return dotPacked4x8EXT(int(a.x), int(b.x)) + dotPacked4x8EXT(int(a.y), int(b.y)) + dotPacked4x8EXT(int(a.z), int(b.z)) +
         dotPacked4x8EXT(int(a.w), int(b.w));
}
