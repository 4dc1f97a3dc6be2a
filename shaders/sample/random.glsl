// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
#ifndef LAHAR_RANDOM_GLSL
#define LAHAR_RANDOM_GLSL

uvec4 philox(uvec4 counter, uvec2 key) {
  for (uint round = 0; round < 10; ++round) {
    uint high0, low0, high1, low1;
    umulExtended(0xD2511F53u, counter.x, high0, low0);
    umulExtended(0xCD9E8D57u, counter.z, high1, low1);
    counter = uvec4(high1 ^ counter.y ^ key.x, low1, high0 ^ counter.w ^ key.y, low0);
    key += uvec2(0x9E3779B9u, 0xBB67AE85u);
  }
  return counter;
}

// An exponential variate, -log(1 - u), from 32 random bits; exact near 0, where the smallest of many lie.
float exponential(uint bits) {
  const float u = min((float(bits) + 0.5) * 2.3283064365386963e-10, 0.99999994);
  return u < 0.0078125 ? u * (1.0 + u * (0.5 + u * (1.0 / 3 + u * 0.25))) : -log(1.0 - u);
}
#endif
