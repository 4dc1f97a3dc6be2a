// RWKV-7's elementwise parts that more than one kernel needs; `p` has v, v_first, mix_values, v_stride, plane_floats.
float sigmoid(float x) { return 1 / (1 + exp(-x)); }
vec4 sigmoid(vec4 x) { return 1 / (1 + exp(-x)); }

uint64_t plane_row(uint plane, uint t) {
  return p.planes + 4 * (uint64_t(plane) * p.plane_floats + uint64_t(t) * p.stride);
}

// The first layer's value, mixed in by a gate.
float value_of(uint t, uint channel) {
  const float v = load_f32(p.v + uint64_t(t) * (4 * p.v_stride), 4 * channel);
  if (p.mix_values == 0) return v;
  const float mix = sigmoid(load_f32(plane_row(kRwkv7VMix, t), 4 * channel) + load_f32(p.v0, 4 * channel));
  return v + (load_f32(p.v_first + uint64_t(t) * (4 * p.v_stride), 4 * channel) - v) * mix;
}
