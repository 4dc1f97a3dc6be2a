// What every attention kernel does to a score. Includers define SOFTCAP (0 or 1).
#ifndef LAHAR_SCORES_GLSL
#define LAHAR_SCORES_GLSL

// Stands for minus infinity, with differences that stay finite: exp(kNoScore - kNoScore) is 1, not NaN.
const float kNoScore = -1e37;

float capped(float score, float softcap) {
  if (SOFTCAP == 0) return score;
  // tanh in a form that does not overflow.
  return softcap * (1.0 - 2.0 / (exp(score * (2.0 / softcap)) + 1.0));
}

// The first key that a row at `last` may see.
uint first_key(uint last, uint window) { return window == 0 || window > last ? 0 : last + 1 - window; }
#endif
