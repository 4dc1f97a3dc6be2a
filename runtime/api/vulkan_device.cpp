// An application's own Vulkan device.
#include "api/state.h"
#include "gpu/requirements.h"

using namespace lahar;
using namespace lahar::api;

namespace lahar::api {

Result<std::shared_ptr<gpu::Device>> import_device(RuntimeState& runtime, const lahar_vulkan_device& given) {
  lahar_vulkan_device d = LAHAR_VULKAN_DEVICE_INIT;
  LAHAR_TRY(read_struct(&given, "lahar_vulkan_device", d));
  if ((d.lock_queue == nullptr) != (d.unlock_queue == nullptr))
    return Error{ErrorCode::kInvalidArgument,
                 "lahar_vulkan_device has one of lock_queue and unlock_queue, expected both or none"};
  LAHAR_ASSIGN(auto instance,
               gpu::Instance::import(static_cast<VkInstance>(d.instance),
                                     reinterpret_cast<PFN_vkGetInstanceProcAddr>(d.get_instance_proc_addr), runtime.log));
  gpu::ImportedDevice imported;
  imported.physical_device = static_cast<VkPhysicalDevice>(d.physical_device);
  imported.device = static_cast<VkDevice>(d.device);
  imported.queue = static_cast<VkQueue>(d.queue);
  imported.queue_family = d.queue_family;
  if (d.lock_queue != nullptr) {
    imported.lock_queue = [lock = d.lock_queue, user = d.queue_user] { lock(user); };
    imported.unlock_queue = [unlock = d.unlock_queue, user = d.queue_user] { unlock(user); };
  }
  return gpu::Device::import(std::move(instance), imported);
}

namespace {

Status requirements(RuntimeState& runtime, void* instance, void* physical_device, lahar_vulkan_function get,
                    lahar_vulkan_needs* needs) {
  if (needs == nullptr) return null_argument("needs");
  LAHAR_ASSIGN(const size_t size, struct_size(needs, sizeof(*needs), "lahar_vulkan_needs"));
  write_struct(needs, size, lahar_vulkan_needs{});
  LAHAR_ASSIGN(const auto borrowed, gpu::Instance::import(static_cast<VkInstance>(instance),
                                                          reinterpret_cast<PFN_vkGetInstanceProcAddr>(get), runtime.log));
  LAHAR_ASSIGN(auto required, gpu::Device::requirements(*borrowed, static_cast<VkPhysicalDevice>(physical_device)));
  gpu::DeviceRequirements& kept = runtime.keep(std::move(required));
  lahar_vulkan_needs result{};
  result.extensions = kept.extensions.data();
  result.extension_count = static_cast<uint32_t>(kept.extensions.size());
  result.queue_family = kept.queue_family;
  result.features = &kept.f10;
  write_struct(needs, size, result);
  return {};
}

}  // namespace
}  // namespace lahar::api

lahar_status lahar_vulkan_requirements(lahar_runtime* runtime, void* instance, void* physical_device,
                                       lahar_vulkan_function get_instance_proc_addr, lahar_vulkan_needs* needs) {
  if (runtime == nullptr) return LAHAR_INVALID_ARGUMENT;
  const auto state = runtime->state;
  return guard(&state->error,
               [&] { return requirements(*state, instance, physical_device, get_instance_proc_addr, needs); });
}
