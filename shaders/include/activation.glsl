// Activation functions (ops::Activation). Safe for every finite argument: none overflows to NaN.
#ifndef LAHAR_ACTIVATION_GLSL
#define LAHAR_ACTIVATION_GLSL

const uint kActivationNone = 0, kActivationSilu = 1, kActivationGeluTanh = 2, kActivationGelu = 3, kActivationRelu = 4,
           kActivationReluSquared = 5, kActivationSigmoid = 6, kActivationTanh = 7;

// Abramowitz and Stegun 7.1.26; absolute error below 1.5e-7.
float erf_approximate(float x) {
  const float a = abs(x);
  const float t = 1.0 / (1.0 + 0.3275911 * a);
  const float poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const float e = 1.0 - poly * exp(-a * a);
  return x < 0 ? -e : e;
}

float activate(uint kind, float x) {
  if (kind == kActivationSilu) return x / (1.0 + exp(-x));
  // x/2 * (1 + tanh(u)) is x * sigmoid(2u).
  if (kind == kActivationGeluTanh) return x / (1.0 + exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)));
  if (kind == kActivationGelu) return 0.5 * x * (1.0 + erf_approximate(x * 0.7071067811865476));
  if (kind == kActivationRelu) return max(x, 0.0);
  if (kind == kActivationReluSquared) return max(x, 0.0) * max(x, 0.0);
  if (kind == kActivationSigmoid) return 1.0 / (1.0 + exp(-x));
  if (kind == kActivationTanh) return 2.0 / (1.0 + exp(-2.0 * x)) - 1.0;
  return x;
}

vec4 activate4(uint kind, vec4 x) {
  return vec4(activate(kind, x.x), activate(kind, x.y), activate(kind, x.z), activate(kind, x.w));
}
#endif
