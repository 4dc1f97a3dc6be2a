// Weights of FORMAT as int8 for integer dot products, on top of quant/decode.glsl: a unit is kRuns runs of 16 neighbouring
// columns, run i from column4(unit, 4 * i) on; a weight is scale * q + minimum.
//   uvec4 run_words(Unit u, uint run)  the quants, four a word in the order of the columns
//   vec2 run_scale(Unit u, uint run)   scale and minimum
//   kRunMinimum                        false where all minima are zero
#extension GL_EXT_integer_dot_product : require
const uint kRuns = kUnit / 16;

// Of units that lie as in Q4_0: word i of a run.
#define WORDS(word) uvec4(word(u, 4 * run), word(u, 4 * run + 1), word(u, 4 * run + 2), word(u, 4 * run + 3))

#if FORMAT == 3 || FORMAT == 9  // Q8_0, I8
const bool kRunMinimum = false;
uvec4 run_words(Unit u, uint run) { return u.q; }
vec2 run_scale(Unit u, uint run) { return vec2(u.d, 0); }
#elif FORMAT == 15 || FORMAT == 16  // IQ4_NL, IQ4_XS
const bool kRunMinimum = false;
uint iq4_word(Unit u, uint i) {
  const ivec4 v = ivec4(iq4_values(nibbles4(u.q, i)));
  return uint((v.x & 255) | ((v.y & 255) << 8) | ((v.z & 255) << 16) | (v.w << 24));
}
uvec4 run_words(Unit u, uint run) { return WORDS(iq4_word); }
vec2 run_scale(Unit u, uint run) { return vec2(u.d, 0); }
#else
const bool kRunMinimum = true;
#if FORMAT == 7  // Q6_K
uvec4 run_words(Unit u, uint run) {
  return ((u.low >> (4 * run)) & 0x0f0f0f0fu) | (((u.high >> (4 * run)) & 0x03030303u) << 4);
}
#elif FORMAT == 10 || FORMAT == 11  // Q5_0, Q5_1
uint five_bits(Unit u, uint i) { return nibbles4(u.q, i) | (spread4(u.high >> (4 * i)) << 4); }
uvec4 run_words(Unit u, uint run) { return WORDS(five_bits); }
#elif FORMAT == 14  // Q5_K
uvec4 run_words(Unit u, uint run) {
  return ((u.q >> (4 * run)) & 0x0f0f0f0fu) | (((u.high >> run) & 0x01010101u) << 4);
}
#elif FORMAT == 18  // MXFP4
uint doubled(Unit u, uint i) { return e2m1_bytes(nibbles4(u.q, i)); }
uvec4 run_words(Unit u, uint run) { return WORDS(doubled); }
#elif FORMAT == 4 || FORMAT == 5 || FORMAT == 6 || FORMAT == 21  // Q4_0, Q4_1, Q4_K, I4
uvec4 run_words(Unit u, uint run) { return (u.q >> (4 * run)) & 0x0f0f0f0fu; }
#else
#error "no int8 form of this format"
#endif
#if FORMAT == 5 || FORMAT == 11
vec2 run_scale(Unit u, uint run) { return u.dm; }
#elif FORMAT == 6 || FORMAT == 14
vec2 run_scale(Unit u, uint run) { return run == 0 ? vec2(u.sm.x, -u.sm.y) : vec2(u.sm.z, -u.sm.w); }
#elif FORMAT == 7
vec2 run_scale(Unit u, uint run) { return vec2(1, -32) * (run == 0 ? u.s.x : u.s.y); }
#elif FORMAT == 21
vec2 run_scale(Unit u, uint run) { return u.dz.x * vec2(1, -u.dz.y); }
#else
vec2 run_scale(Unit u, uint run) { return u.d * vec2(1, FORMAT == 4 ? -8 : -16); }
#endif
#endif

int dot_words(uvec4 a, uvec4 b) {
  return dotPacked4x8EXT(int(a.x), int(b.x)) + dotPacked4x8EXT(int(a.y), int(b.y)) + dotPacked4x8EXT(int(a.z), int(b.z)) +
         dotPacked4x8EXT(int(a.w), int(b.w));
}
