// Inside of ops: kernels that loop over CPU vectors (shaders/matmul/loop_core.glsl).
#pragma once

#include <algorithm>
#include <thread>

#include "ops/op_helpers.h"
#include "quant/matrix.h"

namespace lahar::ops::detail {

// The driver deals equal shares of the workgroups to its threads: one workgroup for each is enough.
inline uint32_t cpu_threads() { return std::max(1u, std::thread::hardware_concurrency()); }

// kBlock of quant/blocks.glsl.
inline uint32_t block_columns(quant::WeightFormat format, uint32_t lanes) {
  return format <= quant::WeightFormat::kBF16 ? 8 * lanes : 256;
}

// A lane holds the scale of a part, of which a block of 256 columns has eight or sixteen.
inline bool can_loop_over(const gpu::Caps& caps, gpu::ShaderId id) {
  const gpu::ShaderInfo shader = gpu::shader_info(id);
  return caps.uniform_loops && (caps.subgroup_size == 8 || caps.subgroup_size == 16) && caps.has(shader.required_features) &&
         !shader.spirv.empty();
}

}  // namespace lahar::ops::detail
