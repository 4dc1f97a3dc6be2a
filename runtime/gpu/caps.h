// What a device can do, read once when it is opened. Kernels choose among their variants by this and by nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gpu/features.h"
#include "gpu/instance.h"

namespace lahar::gpu {

struct CooperativeMatrixShape {
  uint32_t m = 0, n = 0, k = 0;  // at subgroup scope
};

// Matrices of VK_NV_cooperative_matrix2 may have any multiple of these as their dimensions.
struct FlexibleMatrix {
  uint32_t m = 0, n = 0, k = 0;
  uint32_t invocations = 0;  // of the workgroup that shares a matrix; 0: a matrix is a subgroup's
};

struct Caps {
  DeviceInfo info;
  uint32_t features = 0;            // bits of Feature
  std::string pipeline_cache_uuid;  // 32 hex digits

  uint32_t subgroup_size = 0;                             // the device's default
  uint32_t min_subgroup_size = 0, max_subgroup_size = 0;  // equal where the size cannot be controlled
  bool subgroup_size_control = false;
  bool full_subgroups = false;  // computeFullSubgroups

  uint32_t max_workgroup_invocations = 0;
  uint32_t max_workgroup_size[3] = {};
  uint32_t max_workgroup_count[3] = {};
  uint32_t max_shared_memory = 0;      // bytes
  uint64_t max_allocation = 0;         // bytes of one VkDeviceMemory
  uint64_t max_buffer = 0;             // bytes of one VkBuffer
  uint32_t storage_alignment = 16;     // bytes
  float timestamp_period = 0;          // nanoseconds a tick; 0 where the queue has no timestamps
  bool unified_memory = false;         // not a discrete GPU, and all its memory is host-visible
  bool memory_budget = false;          // VK_EXT_memory_budget
  bool int8_dot_accelerated = false;   // the hardware has 4x8-bit packed signed dot products
  bool executable_statistics = false;  // VK_KHR_pipeline_executable_properties
  // Of a driver that runs lanes as elements of CPU vectors: that values are the same in all lanes is seen within loops too.
  bool uniform_loops = false;
  // fp16 operands with fp32 sums; fp16 operands and sums; int8 operands with int32 sums. Empty without the feature's bit.
  std::vector<CooperativeMatrixShape> cooperative_matrix_shapes, half_matrix_shapes, int8_matrix_shapes;
  // fp16 operands with fp32 sums, workgroups of at most 256; those of the features' bits.
  std::vector<FlexibleMatrix> flexible_matrices;
  uint32_t max_matrix_dimension = 0;  // of flexible ones
  uint32_t matrix_shared_memory = 0;  // bytes that the driver takes where matrices are a workgroup's

  bool has(uint32_t required) const { return (features & required) == required; }
  bool is_cpu() const { return info.type == DeviceType::kCpu; }
};

}  // namespace lahar::gpu
