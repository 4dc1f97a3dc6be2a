// Residual streams side by side (AltUp, arXiv 2301.13310; formulas in ops/altup.h). A workgroup a row; widths are multiples of
// 4, loads 16 bytes. Every element of a row is read and written by one invocation alone.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint SUBGROUPS = 1;
layout(constant_id = 4) const uint MODE = 0;
layout(constant_id = 5) const uint STREAMS = 4;  // 2 to kMaxStreams
layout(constant_id = 6) const uint ACTIVE = 0;
#include "reduce.glsl"
#include "rows.glsl"
#include "params_altup.h"

layout(push_constant, scalar) uniform Push { StreamsPush p; };

uint first() { return 16 * gl_LocalInvocationIndex; }
uint stride() { return 16 * gl_WorkGroupSize.x; }
uint end() { return 4 * p.width; }
float sum4(vec4 v) { return (v.x + v.y) + (v.z + v.w); }

float mean_square(uint64_t x) {
  vec4 squares = vec4(0);
  for (uint o = first(); o < end(); o += stride()) {
    const vec4 v = load_f32x4(x, o);
    squares += v * v;
  }
  return workgroup_sum(sum4(squares)) / float(p.width);
}

// tanh(router . (rms_norm(x) / width)), one a stream.
void modalities(uint64_t x, out float found[kMaxStreams]) {
  const float scale = inversesqrt(mean_square(x) + p.eps) / float(p.width);
  for (uint k = 0; k < STREAMS; ++k) {
    vec4 products = vec4(0);
    for (uint o = first(); o < end(); o += stride())
      products += load_f32x4(x, o) * load_f32x4(p.norm, o) * load_f32x4(p.router, k * end() + o);
    found[k] = tanh(workgroup_sum(sum4(products)) * scale);
  }
}

void predict(uint64_t x, uint64_t streams, uint step_bytes) {
  float found[kMaxStreams];
  modalities(streams + uint64_t(ACTIVE * step_bytes), found);
  for (uint o = first(); o < end(); o += stride()) {
    vec4 old[kMaxStreams];
    for (uint j = 0; j < STREAMS; ++j) old[j] = load_f32x4(streams, j * step_bytes + o);
    for (uint i = 0; i < STREAMS; ++i) {
      vec4 v = old[i];
      for (uint j = 0; j < STREAMS; ++j) {
        float coefficient = 0;
        for (uint k = 0; k < STREAMS; ++k)
          coefficient += load_f32(p.coefficients, 4 * ((i * STREAMS + j) * STREAMS + k)) * found[k];
        v += coefficient * old[j];
      }
      store_f32x4(streams, i * step_bytes + o, v);
      if (i == ACTIVE) store_f32x4(x, o, v);
    }
  }
}

void correct(uint64_t x, uint64_t y, uint64_t streams, uint step_bytes) {
  float found[kMaxStreams];
  modalities(x, found);
  for (uint o = first(); o < end(); o += stride()) {
    const vec4 change = load_f32x4(x, o) - load_f32x4(streams, ACTIVE * step_bytes + o);
    for (uint i = 0; i < STREAMS; ++i) {
      float coefficient = 1;
      for (uint k = 0; k < STREAMS; ++k) coefficient += load_f32(p.coefficients, 4 * (i * STREAMS + k)) * found[k];
      const vec4 v = load_f32x4(streams, i * step_bytes + o) + coefficient * change;
      store_f32x4(streams, i * step_bytes + o, v);
      if (i == ACTIVE) store_f32x4(y, o, p.scale == 0 ? v : v * load_f32x4(p.scale, o));
    }
  }
}

// Streams from x and its projections y, or x from the first stream and the projections of the others: each is scaled to the
// magnitude of what is there already.
void join(uint64_t x, uint64_t y, uint64_t streams, uint step_bytes) {
  const uint64_t whole = MODE == kStreamsExpand ? x : streams;
  const float magnitude = sqrt(mean_square(whole));
  float scales[kMaxStreams];
  scales[0] = 1;
  for (uint i = 1; i < STREAMS; ++i)
    scales[i] = magnitude * inversesqrt(max(mean_square(y + uint64_t((i - 1) * step_bytes)), p.eps));
  for (uint o = first(); o < end(); o += stride()) {
    vec4 sum = load_f32x4(whole, o);
    if (MODE == kStreamsExpand) store_f32x4(streams, o, sum);
    for (uint i = 1; i < STREAMS; ++i) {
      const vec4 v = scales[i] * load_f32x4(y, (i - 1) * step_bytes + o);
      if (MODE == kStreamsExpand) store_f32x4(streams, i * step_bytes + o, v);
      sum += v;
    }
    if (MODE == kStreamsMerge) store_f32x4(x, o, sum / float(STREAMS));
  }
}

void main() {
  const uint t = gl_WorkGroupID.x;
  if (t >= step_rows(p.step)) return;
  const uint64_t x = p.x + uint64_t(t) * (4 * p.x_stride);
  const uint64_t y = p.y + uint64_t(t) * (4 * p.y_stride);
  const uint64_t streams = p.streams + uint64_t(t) * (4 * p.streams_stride);
  const uint step_bytes = 4 * p.stream_width;
  if (MODE == kStreamsPredict) predict(x, streams, step_bytes);
  if (MODE == kStreamsCorrect) correct(x, y, streams, step_bytes);
  if (MODE == kStreamsExpand || MODE == kStreamsMerge) join(x, y, streams, step_bytes);
  if (MODE == kStreamsAdd)
    for (uint o = first(); o < end(); o += stride())
      for (uint i = 1; i < STREAMS; ++i)
        store_f32x4(streams, i * step_bytes + o, load_f32x4(streams, i * step_bytes + o) + load_f32x4(y, o));
  if (MODE == kStreamsAverage)
    for (uint o = first(); o < end(); o += stride())
      store_f32x4(x, o, (load_f32x4(x, o) + load_f32x4(y, o)) * 0.70710678);
}
