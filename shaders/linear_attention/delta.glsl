// What the kernels of the gated delta rule share.
#ifndef LAHAR_DELTA_GLSL
#define LAHAR_DELTA_GLSL

uint delta_key_head(uint head, uint heads, uint key_heads, uint tiled) {
  return tiled != 0 ? head % key_heads : head / (heads / key_heads);
}

// Scales of q and k from the sums of their squares.
vec2 delta_scales(vec2 squares, uint key_dim) {
  return inversesqrt(squares + 1e-6) * vec2(inversesqrt(float(key_dim)), 1);
}

// The factor g of the state, and beta.
vec2 delta_gates(float alpha, float decay, float beta) {
  const float softplus = max(alpha, 0) + log(1 + exp(-abs(alpha)));
  return vec2(exp(decay * softplus), 1 / (1 + exp(-beta)));
}

// What delta_pairs.comp writes of a chunk of `size` tokens for one head (params_linear_attention.h).
uint64_t delta_pairs(uint64_t base, uint chunk, uint head, uint heads, uint size) {
  return base + (uint64_t(chunk) * heads + head) * (8 * size * size + 16 * size);
}
uint delta_changes_at(uint t, uint i, uint size) { return 4 * (t * size + i); }
uint delta_outputs_at(uint t, uint i, uint size) { return 4 * ((size + t) * size + i); }
uint delta_token_at(uint t, uint size) { return 8 * size * size + 16 * t; }
#endif
