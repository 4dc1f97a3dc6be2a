// What a device can do, read once when it is opened. Kernels choose among their variants by this and by nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gpu/instance.h"

namespace lahar::gpu {

// What a variant in kernels.json may ask for ("requires"); one bit each in ShaderInfo::requires.
enum Feature : uint32_t {
  kFloat16 = 1u << 0,            // shaderFloat16
  kInt8Dot = 1u << 1,            // shaderIntegerDotProduct, 4x8 packed signed accelerated
  kCooperativeMatrix = 1u << 2,  // VK_KHR_cooperative_matrix with fp16 x fp16 -> fp32 at subgroup scope, and kFloat16
  kStorage16 = 1u << 3,          // storageBuffer16BitAccess
  kStorage8 = 1u << 4,           // storageBuffer8BitAccess
};

struct CooperativeMatrixShape {
  uint32_t m = 0, n = 0, k = 0;  // fp16 operands, fp32 accumulator, subgroup scope
};

struct Caps {
  DeviceInfo info;
  uint32_t features = 0;  // bits of Feature

  uint32_t subgroup_size = 0;                             // the device's default
  uint32_t min_subgroup_size = 0, max_subgroup_size = 0;  // equal where the size cannot be controlled
  bool subgroup_size_control = false;

  uint32_t max_workgroup_invocations = 0;
  uint32_t max_workgroup_size[3] = {};
  uint32_t max_workgroup_count[3] = {};
  uint32_t max_shared_memory = 0;      // bytes
  uint64_t max_allocation = 0;         // bytes of one VkDeviceMemory
  uint64_t max_buffer = 0;             // bytes of one VkBuffer
  uint32_t storage_alignment = 16;     // bytes
  float timestamp_period = 0;          // nanoseconds a tick; 0 where the queue has no timestamps
  bool unified_memory = false;         // all device-local memory is host-visible too
  bool memory_budget = false;          // VK_EXT_memory_budget
  bool executable_statistics = false;  // VK_KHR_pipeline_executable_properties
  std::vector<CooperativeMatrixShape> cooperative_matrix_shapes;

  bool has(uint32_t required) const { return (features & required) == required; }
  bool is_cpu() const { return info.type == DeviceType::kCpu; }
};

}  // namespace lahar::gpu
