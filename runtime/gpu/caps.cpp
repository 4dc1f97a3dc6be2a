#include "gpu/caps.h"

#include "gpu/physical_device.h"
#include "gpu/read_caps.h"

namespace lahar::gpu {
namespace {

// Of matrices whose operands and sums have these types.
std::vector<CooperativeMatrixShape> matrix_shapes(const PhysicalDevice& device, VkComponentTypeKHR operands,
                                                  VkComponentTypeKHR sums) {
  std::vector<CooperativeMatrixShape> shapes;
  const auto query = device.fn.vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR;
  if (!device.cooperative_matrix.cooperativeMatrix || query == nullptr) return shapes;
  uint32_t n = 0;
  if (query(device.handle, &n, nullptr) < VK_SUCCESS) return shapes;
  std::vector<VkCooperativeMatrixPropertiesKHR> all(n, {VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR});
  if (query(device.handle, &n, all.data()) < VK_SUCCESS) return shapes;
  for (uint32_t i = 0; i < n; ++i) {
    const VkCooperativeMatrixPropertiesKHR& p = all[i];
    if (p.scope == VK_SCOPE_SUBGROUP_KHR && p.AType == operands && p.BType == operands && p.CType == sums &&
        p.ResultType == sums && !p.saturatingAccumulation)
      shapes.push_back({p.MSize, p.NSize, p.KSize});
  }
  return shapes;
}

std::vector<FlexibleMatrix> flexible_matrices(const PhysicalDevice& device, uint32_t features) {
  std::vector<FlexibleMatrix> found;
  const auto query = device.fn.vkGetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV;
  uint32_t n = 0;
  if (query == nullptr || (features & (kFlexibleMatrix | kTensorMatrix)) == 0) return found;
  if (query(device.handle, &n, nullptr) < VK_SUCCESS) return found;
  std::vector<VkCooperativeMatrixFlexibleDimensionsPropertiesNV> all(
      n, {VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_FLEXIBLE_DIMENSIONS_PROPERTIES_NV});
  if (query(device.handle, &n, all.data()) < VK_SUCCESS) return found;
  all.resize(n);
  for (const VkCooperativeMatrixFlexibleDimensionsPropertiesNV& p : all) {
    const bool subgroup = p.scope == VK_SCOPE_SUBGROUP_KHR && (features & kFlexibleMatrix) != 0;
    const bool workgroup = p.scope == VK_SCOPE_WORKGROUP_KHR && (features & kTensorMatrix) != 0 &&
                           p.workgroupInvocations > 0 && p.workgroupInvocations <= 256;
    if ((subgroup || workgroup) && p.AType == VK_COMPONENT_TYPE_FLOAT16_KHR && p.BType == VK_COMPONENT_TYPE_FLOAT16_KHR &&
        p.CType == VK_COMPONENT_TYPE_FLOAT32_KHR && p.ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
        !p.saturatingAccumulation)
      found.push_back({p.MGranularity, p.NGranularity, p.KGranularity, workgroup ? p.workgroupInvocations : 0});
  }
  return found;
}

}  // namespace

std::string feature_names(uint32_t features) {
  constexpr std::pair<Feature, std::string_view> kNames[] = {{kFloat16, "float16"},
                                                             {kInt8Dot, "int8_dot"},
                                                             {kCooperativeMatrix, "cooperative_matrix"},
                                                             {kStorage16, "storage16"},
                                                             {kStorage8, "storage8"},
                                                             {kSmallInt, "small_int"},
                                                             {kHalfSums, "half_sums"},
                                                             {kInt8Matrix, "int8_matrix"},
                                                             {kMatrixElements, "matrix_elements"},
                                                             {kFlexibleMatrix, "flexible_matrix"},
                                                             {kTensorMatrix, "tensor_matrix"}};
  std::string names;
  for (const auto& [bit, name] : kNames)
    if (features & bit) names += (names.empty() ? "" : ", ") + std::string(name);
  return names;
}

Caps read_caps(const PhysicalDevice& device, uint32_t queue_family, uint32_t disabled_features) {
  Caps caps;
  caps.info = describe(device);
  caps.pipeline_cache_uuid = hex(device.base.properties.pipelineCacheUUID);
  const VkPhysicalDeviceLimits& limits = device.base.properties.limits;
  caps.cooperative_matrix_shapes = matrix_shapes(device, VK_COMPONENT_TYPE_FLOAT16_KHR, VK_COMPONENT_TYPE_FLOAT32_KHR);
  caps.half_matrix_shapes = matrix_shapes(device, VK_COMPONENT_TYPE_FLOAT16_KHR, VK_COMPONENT_TYPE_FLOAT16_KHR);
  caps.int8_matrix_shapes = matrix_shapes(device, VK_COMPONENT_TYPE_SINT8_KHR, VK_COMPONENT_TYPE_SINT32_KHR);
  if (device.f12.shaderFloat16) caps.features |= kFloat16;
  if (device.f13.shaderIntegerDotProduct) caps.features |= kInt8Dot;
  if (device.f11.storageBuffer16BitAccess) caps.features |= kStorage16;
  if (device.f12.storageBuffer8BitAccess) caps.features |= kStorage8;
  if (device.f12.shaderInt8 && device.f10.features.shaderInt16) caps.features |= kSmallInt;
  if (!caps.cooperative_matrix_shapes.empty() && device.f12.shaderFloat16 && device.f12.vulkanMemoryModel)
    caps.features |= kCooperativeMatrix;
  if (!caps.half_matrix_shapes.empty()) caps.features |= kHalfSums;
  if (!caps.int8_matrix_shapes.empty()) caps.features |= kInt8Matrix;
  const VkPhysicalDeviceCooperativeMatrix2FeaturesNV& matrix2 = device.cooperative_matrix2;
  if (matrix2.cooperativeMatrixPerElementOperations) caps.features |= kMatrixElements;
  if (matrix2.cooperativeMatrixFlexibleDimensions) caps.features |= kFlexibleMatrix;
  if (matrix2.cooperativeMatrixFlexibleDimensions && matrix2.cooperativeMatrixWorkgroupScope &&
      matrix2.cooperativeMatrixTensorAddressing && matrix2.cooperativeMatrixBlockLoads)
    caps.features |= kTensorMatrix;
  caps.features &= ~disabled_features;
  if (!caps.has(kFloat16)) caps.features &= ~uint32_t{kCooperativeMatrix};
  if (!caps.has(kCooperativeMatrix)) caps.features &= ~uint32_t{kHalfSums | kInt8Matrix | kMatrixElements};
  if (!caps.has(kSmallInt)) caps.features &= ~uint32_t{kInt8Matrix};
  if (!caps.has(kMatrixElements)) caps.features &= ~uint32_t{kFlexibleMatrix | kTensorMatrix};
  if (!caps.has(kCooperativeMatrix)) caps.cooperative_matrix_shapes.clear();
  if (!caps.has(kHalfSums)) caps.half_matrix_shapes.clear();
  if (!caps.has(kInt8Matrix)) caps.int8_matrix_shapes.clear();
  caps.flexible_matrices = flexible_matrices(device, caps.features);
  caps.features &= ~uint32_t{kFlexibleMatrix | kTensorMatrix};
  for (const FlexibleMatrix& m : caps.flexible_matrices)
    caps.features |= m.invocations > 0 ? kTensorMatrix : kFlexibleMatrix;
  caps.max_matrix_dimension = device.matrix2.cooperativeMatrixFlexibleDimensionsMaxDimension;
  caps.matrix_shared_memory = device.matrix2.cooperativeMatrixWorkgroupScopeReservedSharedMemory;
  caps.int8_dot_accelerated = caps.has(kInt8Dot) && device.v13.integerDotProduct4x8BitPackedSignedAccelerated;

  caps.subgroup_size = device.v11.subgroupSize;
  caps.min_subgroup_size = caps.max_subgroup_size = caps.subgroup_size;
  caps.subgroup_size_control =
      device.f13.subgroupSizeControl && (device.v13.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;
  caps.full_subgroups = device.f13.computeFullSubgroups;
  if (device.f13.subgroupSizeControl) {
    caps.min_subgroup_size = device.v13.minSubgroupSize;
    caps.max_subgroup_size = device.v13.maxSubgroupSize;
  }

  caps.max_workgroup_invocations = limits.maxComputeWorkGroupInvocations;
  for (int i = 0; i < 3; ++i) {
    caps.max_workgroup_size[i] = limits.maxComputeWorkGroupSize[i];
    caps.max_workgroup_count[i] = limits.maxComputeWorkGroupCount[i];
  }
  caps.max_shared_memory = limits.maxComputeSharedMemorySize;
  caps.max_allocation = device.v11.maxMemoryAllocationSize;
  caps.max_buffer = device.v13.maxBufferSize;
  if (device.queue_families[queue_family].timestampValidBits > 0) caps.timestamp_period = limits.timestampPeriod;
  caps.memory_budget = device.has_extension(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  caps.executable_statistics = device.executable.pipelineExecutableInfo;

  uint32_t local_heaps = 0, visible_heaps = 0;  // bits
  for (uint32_t i = 0; i < device.memory.memoryTypeCount; ++i) {
    const VkMemoryType& type = device.memory.memoryTypes[i];
    if (!(type.propertyFlags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT)) continue;
    local_heaps |= 1u << type.heapIndex;
    if (type.propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) visible_heaps |= 1u << type.heapIndex;
  }
  // Mesa's lavapipe: 25.0 loads lane by lane within loops, 26.2 does not.
  caps.uniform_loops = caps.is_cpu() && VK_API_VERSION_MAJOR(caps.info.driver_version) >= 26;
  caps.unified_memory = caps.info.type != DeviceType::kDiscrete && local_heaps == visible_heaps;
  return caps;
}

}  // namespace lahar::gpu
