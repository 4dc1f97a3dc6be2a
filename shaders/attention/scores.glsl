// What every attention kernel does to a score, and what an item sees. Includers define SCORES (bit 0: a soft cap; bit 1: sinks;
// bit 2: ALiBi's slopes are scaled as scores are; from bit 8 on ALiBi's heads: the power of two that is no more than all heads,
// 0 without) and have `p` within reach.
#ifndef LAHAR_SCORES_GLSL
#define LAHAR_SCORES_GLSL
#include "load.glsl"

const bool kSoftcap = (SCORES & 1) != 0, kSinks = (SCORES & 2) != 0, kScaledSlopes = (SCORES & 4) != 0;
const uint kAlibiHeads = SCORES >> 8;

// Stands for minus infinity, with differences that stay finite: exp(kNoScore - kNoScore) is 1, not NaN.
const float kNoScore = -1e37;

float capped(float score, float softcap) {
  if (!kSoftcap) return score;
  // tanh in a form that does not overflow.
  return softcap * (1.0 - 2.0 / (exp(score * (2.0 / softcap)) + 1.0));
}

// ALiBi: what a score loses for each key between it and the row's own. `decline` is that of the slope's exponent from head to
// head; heads beyond a power of two take the ones between those before. arXiv 2108.12409.
float alibi_slope(uint head, float decline, float scale) {
  if (kAlibiHeads == 0) return 0;
  const float step = head < kAlibiHeads ? float(head + 1) : float(head - kAlibiHeads) + 0.5;
  return kScaledSlopes ? exp2(-decline * step) * scale : exp2(-decline * step);
}
float biased(float score, float slope, uint j, uint last) {
  return kAlibiHeads == 0 ? score : score + slope * (float(j) - float(last));
}

// The sum of all weights relative to `best`, with that of the head's sink: a logit without a value.
float with_sink(float total, float best, uint64_t sinks, uint head) {
  if (!kSinks) return total;
  return total + exp(min(load_f32(sinks, 4 * head) - best, 80.0));
}

// The first key that a row at `last` may see: of the last `window`, of its chunk of `chunk`; 0: all.
uint first_key(uint last, uint window, uint chunk) {
  const uint first = window == 0 || window > last ? 0 : last + 1 - window;
  return chunk == 0 ? first : max(first, last - last % chunk);
}
#endif
