// The activation of an expert. Expects FLAGS, ACTIVATION, and `p` with factor and alpha.
#include "activation.glsl"

// g: the gate, or all there is without one; u: what it gates.
float expert_activation(float g, float u) {
  if ((FLAGS & kMoeClamp) != 0) {
    g = min(g, p.factor);
    return (clamp(u, -p.factor, p.factor) + 1) * g / (1 + exp(-p.alpha * g));
  }
  return (FLAGS & kMoeGated) != 0 ? activate(ACTIVATION, g) * u : activate(ACTIVATION, g);
}
