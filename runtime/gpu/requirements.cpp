#include "gpu/requirements.h"

namespace lahar::gpu {

DeviceRequirements::DeviceRequirements(const PhysicalDevice& device, const Caps& caps) {
  f11.sType = device.f11.sType, f12.sType = device.f12.sType, f13.sType = device.f13.sType;
  f10.pNext = &f11, f11.pNext = &f12, f12.pNext = &f13;
  void** tail = &f13.pNext;

  f10.features.shaderInt64 = VK_TRUE;
  f12.bufferDeviceAddress = f12.timelineSemaphore = f12.scalarBlockLayout = VK_TRUE;
  f13.synchronization2 = f13.maintenance4 = VK_TRUE;

  f10.features.shaderInt16 = device.f10.features.shaderInt16;
  f11.storageBuffer16BitAccess = device.f11.storageBuffer16BitAccess;
  f12.storageBuffer8BitAccess = device.f12.storageBuffer8BitAccess;
  f12.shaderFloat16 = device.f12.shaderFloat16;
  f12.shaderInt8 = device.f12.shaderInt8;
  f12.vulkanMemoryModel = device.f12.vulkanMemoryModel;
  f12.vulkanMemoryModelDeviceScope = device.f12.vulkanMemoryModelDeviceScope;
  f13.shaderIntegerDotProduct = device.f13.shaderIntegerDotProduct;
  f13.subgroupSizeControl = device.f13.subgroupSizeControl;
  f13.computeFullSubgroups = device.f13.computeFullSubgroups;

  if (caps.has(kCooperativeMatrix)) {
    cooperative_matrix.sType = device.cooperative_matrix.sType;
    cooperative_matrix.cooperativeMatrix = VK_TRUE;
    *tail = &cooperative_matrix, tail = &cooperative_matrix.pNext;
    extensions.push_back(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
  }
  if (caps.has(kMatrixElements)) {
    cooperative_matrix2.sType = device.cooperative_matrix2.sType;
    cooperative_matrix2.cooperativeMatrixPerElementOperations = VK_TRUE;
    cooperative_matrix2.cooperativeMatrixFlexibleDimensions = caps.has(kFlexibleMatrix) || caps.has(kTensorMatrix);
    cooperative_matrix2.cooperativeMatrixWorkgroupScope = caps.has(kTensorMatrix);
    cooperative_matrix2.cooperativeMatrixTensorAddressing = caps.has(kTensorMatrix);
    cooperative_matrix2.cooperativeMatrixBlockLoads = caps.has(kTensorMatrix);
    *tail = &cooperative_matrix2, tail = &cooperative_matrix2.pNext;
    extensions.push_back(VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME);
  }
  if (caps.executable_statistics) {
    executable.sType = device.executable.sType;
    executable.pipelineExecutableInfo = VK_TRUE;
    *tail = &executable;
    extensions.push_back(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
  }
  if (caps.memory_budget) extensions.push_back(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  // Must be enabled where it is there.
  if (device.has_extension("VK_KHR_portability_subset")) extensions.push_back("VK_KHR_portability_subset");
}

}  // namespace lahar::gpu
