// The simplest kernel of the bank, for tests of the layer below the ops: to[i] = from[i] * factor + add, uint32.
#pragma once

#include "gpu/commands.h"
#include "gpu/device.h"
#include "stream.h"

namespace lahar::test {

inline const gpu::Kernel* stream_kernel(gpu::Device& device, uint32_t factor = 1) {
  return device.kernels().get({gpu::ShaderId::stream, {64, 1, 1, {factor}}, 0});
}

// Records it with true declarations. Sizes are multiples of 16 bytes; with `groups` set, it counts workgroups of 256
// numbers.
inline void record_stream(gpu::Recorder& recorder, const gpu::BufferRange& from, const gpu::BufferRange& to, uint32_t add,
                          uint32_t factor = 1, const gpu::BufferRange& groups = {}) {
  const auto vectors = static_cast<uint32_t>(to.size / 16);
  const params::StreamParams push{from.address(), to.address(), vectors, add};
  const gpu::BufferRange reads[] = {from}, writes[] = {to};
  recorder.dispatch({.label = "stream",
                     .kernel = stream_kernel(recorder.device(), factor),
                     .push = gpu::push_bytes(push),
                     .groups = {(vectors + 63) / 64},
                     .indirect = groups,
                     .reads = reads,
                     .writes = writes});
}

}  // namespace lahar::test
