// The shaders that were compiled at build time from shaders/kernels.json. The enumerators of ShaderId are generated
// ("matmul/gemv" variant "q4_0" is ShaderId::gemv_q4_0), so that a missing shader is a compile error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "gpu/shader_ids.h"  // generated: enum class ShaderId : uint16_t { ..., kCount };

namespace lahar::gpu {

struct ShaderInfo {
  std::string_view name;             // kernel ("gemv")
  std::string_view variant;          // variant ("q4_0"); empty where the kernel has one form
  uint32_t required_features = 0;    // bits of gpu::Feature
  std::span<const std::byte> spirv;  // see gpu/shader_pack.h; empty where the build's shader compiler was too old for it
  std::string_view source;           // under shaders/ ("matmul/gemv.comp")
  std::string_view defines;          // "KEY=VALUE\n" for each
};

// Of static data. An id that is none has an empty name.
ShaderInfo shader_info(ShaderId id);

}  // namespace lahar::gpu
