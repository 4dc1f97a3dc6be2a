// Inputs that each layer has of its own, and sparse activations (formulas in ops/altup.h). Grid (parts of a row, rows): a
// workgroup one layer's part of a row (inputs), or a row; any width, loads of 4 bytes.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint SUBGROUPS = 1;
layout(constant_id = 4) const uint MODE = 0;
#include "activation.glsl"
#include "reduce.glsl"
#include "rows.glsl"
#include "params_altup.h"

layout(push_constant, scalar) uniform Push { PerLayerPush p; };

float sum_of(uint64_t x, float mean, bool squared) {
  float sum = 0;
  for (uint i = gl_LocalInvocationIndex; i < p.width; i += gl_WorkGroupSize.x) {
    const float v = load_f32(x, 4 * i) - mean;
    sum += squared ? v * v : v;
  }
  return workgroup_sum(sum);
}

void main() {
  const uint t = gl_WorkGroupID.y;
  if (t >= step_rows(p.step)) return;
  const uint part = MODE == kPerLayerInputs ? gl_WorkGroupID.x * p.width : 0;
  const uint64_t x = p.x + uint64_t(t) * (4 * p.x_stride) + uint64_t(4 * part);
  const uint64_t inputs = p.inputs + uint64_t(t) * (4 * p.inputs_stride) + uint64_t(4 * (p.first + part));

  float mean = 0, scale = 1;
  if (MODE == kPerLayerInputs) scale = p.scale * inversesqrt(sum_of(x, 0, true) / float(p.width) + p.eps);
  if (MODE == kPerLayerCut) {
    mean = sum_of(x, 0, false) / float(p.width);
    mean += p.deviations * sqrt(sum_of(x, mean, true) * p.scale);
  }
  for (uint i = gl_LocalInvocationIndex; i < p.width; i += gl_WorkGroupSize.x) {
    const float v = load_f32(x, 4 * i);
    if (MODE == kPerLayerInputs) store_f32(inputs, 4 * i, load_f32(inputs, 4 * i) + v * scale * load_f32(p.weight, 4 * i));
    if (MODE == kPerLayerGate) store_f32(x, 4 * i, activate(kActivationGeluTanh, v) * load_f32(inputs, 4 * i));
    if (MODE == kPerLayerCut) store_f32(x, 4 * i, max(v - mean, 0.0));
  }
}
