// destination[i] = source[i] * constant 3 + add, as 32-bit integers in vectors of 16 bytes: what a device can move, and what
// the tests of the layer below the ops dispatch. One vector an invocation; the tail is guarded. Bytes moved: 32 a vector.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#include "stream.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint kFactor = 1;

layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer Source { uvec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 16) writeonly buffer Destination { uvec4 v; };

layout(push_constant, scalar) uniform Push { StreamParams p; };

void main() {
  const uint i = gl_GlobalInvocationID.x;
  if (i >= p.vectors) return;
  Destination(p.destination + uint64_t(i) * 16).v = Source(p.source + uint64_t(i) * 16).v * kFactor + p.add;
}
