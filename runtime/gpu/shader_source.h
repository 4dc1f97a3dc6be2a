// For work on kernels: with LAHAR_SHADER_DIR set to a copy of shaders/, their sources are compiled when they are first used,
// so that a change needs no build.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "gpu/shader_bank.h"

namespace lahar::gpu {

// The folder, where the environment names one.
std::optional<std::string> shader_source_folder();

// Compiles `shader` from `folder` with the same options as the build. Any thread. Errors: kNotFound (no shaderc on this
// machine, or no such source), kInvalidArgument (the compiler's messages).
Result<std::vector<uint32_t>> compile_shader(const std::string& folder, const ShaderInfo& shader);

}  // namespace lahar::gpu
