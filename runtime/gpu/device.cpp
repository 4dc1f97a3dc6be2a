#include "gpu/device.h"

#include "core/platform.h"
#include "gpu/commands.h"
#include "gpu/device_state.h"
#include "gpu/error.h"
#include "gpu/physical_device.h"
#include "gpu/read_caps.h"

namespace lahar::gpu {
namespace {

// The structures that vkCreateDevice is given: what is required, and of the optional things those that the device has.
struct Wanted {
  VkPhysicalDeviceFeatures2 f10{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, nullptr, {}};
  VkPhysicalDeviceVulkan11Features f11{};
  VkPhysicalDeviceVulkan12Features f12{};
  VkPhysicalDeviceVulkan13Features f13{};
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR cooperative_matrix{};
  VkPhysicalDeviceCooperativeMatrix2FeaturesNV cooperative_matrix2{};
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executable{};
  std::vector<const char*> extensions;

  Wanted(const PhysicalDevice& device, const Caps& caps) {
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
  Wanted(const Wanted&) = delete;
};

}  // namespace

Result<std::shared_ptr<Device>> Device::open(std::shared_ptr<Instance> instance, DeviceOptions options) {
  LAHAR_ASSIGN(const DeviceInfo info, instance->select(options.selector));
  const InstanceTable& ifn = instance->state_->fn;
  const PhysicalDevice physical(ifn, info.handle);

  std::shared_ptr<Device> device(new Device);
  device->instance_ = std::move(instance);
  device->state_ = std::make_unique<State>();
  device->state_->instance = device->instance_->state_.get();
  device->queue_family_ = *physical.compute_family();
  device->caps_ = read_caps(physical, device->queue_family_, options.disabled_features);
  if (options.gpu_kernels && device->caps_.is_cpu()) device->caps_.info.type = DeviceType::kOther;
  device->caps_.info.index = info.index;

  const Wanted wanted(physical, device->caps_);
  const float priority = 0.5f;
  VkDeviceQueueCreateInfo queue{VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
  queue.queueFamilyIndex = device->queue_family_;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  VkDeviceCreateInfo create{VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, &wanted.f10};
  create.queueCreateInfoCount = 1;
  create.pQueueCreateInfos = &queue;
  create.enabledExtensionCount = static_cast<uint32_t>(wanted.extensions.size());
  create.ppEnabledExtensionNames = wanted.extensions.data();
  LAHAR_VK(ifn.vkCreateDevice(info.handle, &create, nullptr, &device->handle_), "opening " + info.name);
  load_device_table(device->fn_, device->handle_, ifn);
  const VolkDeviceTable& fn = device->fn_;
  State& state = *device->state_;
  fn.vkGetDeviceQueue(device->handle_, device->queue_family_, 0, &state.queue);

  VkSemaphoreTypeCreateInfo type{VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  const VkSemaphoreCreateInfo semaphore{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, &type, 0};
  LAHAR_VK(fn.vkCreateSemaphore(device->handle_, &semaphore, nullptr, &state.timeline), "vkCreateSemaphore");
  VkCommandPoolCreateInfo pool{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.queueFamilyIndex = device->queue_family_;
  LAHAR_VK(fn.vkCreateCommandPool(device->handle_, &pool, nullptr, &state.pool), "vkCreateCommandPool");
  const uint32_t bits = physical.queue_families[device->queue_family_].timestampValidBits;
  state.timestamp_mask = bits >= 64 ? UINT64_MAX : (uint64_t{1} << bits) - 1;

  LAHAR_ASSIGN(state.allocator, Allocator::create({device->instance_->handle_, info.handle, device->handle_, &ifn,
                                                   device->caps_.memory_budget}));
  LAHAR_ASSIGN(device->kernels_, KernelCache::create(*device, options));
  return device;
}

Device::~Device() {
  if (handle_ == VK_NULL_HANDLE) return;
  fn_.vkDeviceWaitIdle(handle_);  // a lost device answers at once
  kernels_.reset();
  while (!state_->retired.empty()) {
    const std::function<void()> destroy = std::move(state_->retired.front().destroy);
    state_->retired.pop_front();
    destroy();
  }
  state_->allocator.reset();
  if (state_->pool != VK_NULL_HANDLE) fn_.vkDestroyCommandPool(handle_, state_->pool, nullptr);
  if (state_->timeline != VK_NULL_HANDLE) fn_.vkDestroySemaphore(handle_, state_->timeline, nullptr);
  fn_.vkDestroyDevice(handle_, nullptr);
}

const Log& Device::log() const { return instance_->log(); }

Result<Buffer> Device::create_buffer(uint64_t size, Memory intent, const std::string& name) {
  if (size == 0) return Error{ErrorCode::kInvalidArgument, "buffer " + name + ": it has no bytes"};
  const uint64_t limit = std::min(caps_.max_buffer, caps_.max_allocation);
  if (size > limit)
    return Error{ErrorCode::kLimit, "buffer " + name + ": " + std::to_string(size) + " bytes are more than " +
                                        caps_.info.name + " takes in one buffer (" + std::to_string(limit) + ")"};
  collect();
  Result<Allocation> allocation = state_->allocator->allocate(size, intent);
  if (!allocation.ok()) {
    if (allocation.error().code == ErrorCode::kDeviceLost) state_->lost = true;
    return annotate(allocation.error(), "buffer " + name);
  }
  Buffer buffer;
  buffer.device_ = shared_from_this();
  buffer.handle_ = allocation->buffer;
  buffer.allocation_ = allocation->memory;
  buffer.mapped_ = allocation->mapped;
  buffer.size_ = size;
  VkBufferDeviceAddressInfo address{VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO};
  address.buffer = buffer.handle_;
  buffer.address_ = fn_.vkGetBufferDeviceAddress(handle_, &address);
  set_name(VK_OBJECT_TYPE_BUFFER, reinterpret_cast<uint64_t>(buffer.handle_), name);
  return buffer;
}

void Device::set_name(VkObjectType type, uint64_t object, const std::string& name) const {
  if (!instance_->state_->labels) return;
  VkDebugUtilsObjectNameInfoEXT info{VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT};
  info.objectType = type;
  info.objectHandle = object;
  info.pObjectName = name.c_str();
  instance_->state_->fn.vkSetDebugUtilsObjectNameEXT(handle_, &info);
}

MemoryUse Device::memory_use() const {
  const Allocator::Use use = state_->allocator->use();
  return {use.used, use.budget};
}

Result<uint64_t> Device::submit(std::span<const CommandList* const> lists, VkSemaphore wait_timeline, uint64_t wait_value) {
  if (state_->lost) return Error{ErrorCode::kDeviceLost, caps_.info.name + " was lost"};
  std::vector<VkCommandBufferSubmitInfo> buffers;
  for (const CommandList* list : lists) {
    VkCommandBufferSubmitInfo& info = buffers.emplace_back();
    info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO;
    info.commandBuffer = list->handle();
  }
  VkSemaphoreSubmitInfo wait{VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO};
  wait.semaphore = wait_timeline;
  wait.value = wait_value;
  wait.stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT;
  VkSemaphoreSubmitInfo signal{VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO};
  signal.semaphore = state_->timeline;
  signal.stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT;
  VkSubmitInfo2 info{VK_STRUCTURE_TYPE_SUBMIT_INFO_2};
  info.waitSemaphoreInfoCount = wait_timeline != VK_NULL_HANDLE ? 1 : 0;
  info.pWaitSemaphoreInfos = &wait;
  info.commandBufferInfoCount = static_cast<uint32_t>(buffers.size());
  info.pCommandBufferInfos = buffers.data();
  info.signalSemaphoreInfoCount = 1;
  info.pSignalSemaphoreInfos = &signal;

  uint64_t value = 0;
  {
    const std::lock_guard lock(state_->queue_mutex);
    value = state_->submitted + 1;
    signal.value = value;
    const VkResult result = fn_.vkQueueSubmit2(state_->queue, 1, &info, VK_NULL_HANDLE);
    if (result == VK_ERROR_DEVICE_LOST) state_->lost = true;
    LAHAR_VK(result, "vkQueueSubmit2");
    state_->submitted = value;
    for (const CommandList* list : lists) list->set_submitted(value);
  }
  collect();
  return value;
}

Result<bool> Device::wait(uint64_t value, uint64_t timeout) const {
  if (state_->lost) return Error{ErrorCode::kDeviceLost, caps_.info.name + " was lost"};
  if (value > submitted())
    return Error{ErrorCode::kInvalidArgument,
                 "waiting for submission " + std::to_string(value) + " of " + std::to_string(submitted())};
  VkSemaphoreWaitInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO};
  info.semaphoreCount = 1;
  info.pSemaphores = &state_->timeline;
  info.pValues = &value;
  const VkResult result = fn_.vkWaitSemaphores(handle_, &info, timeout);
  if (result == VK_ERROR_DEVICE_LOST) state_->lost = true;
  LAHAR_VK(result, "vkWaitSemaphores");
  return result != VK_TIMEOUT;
}

Result<void> Device::wait_idle() const {
  LAHAR_TRY(wait(submitted()));
  return {};
}

uint64_t Device::submitted() const { return state_->submitted; }

Result<uint64_t> Device::completed() const {
  uint64_t value = 0;
  const VkResult result = fn_.vkGetSemaphoreCounterValue(handle_, state_->timeline, &value);
  if (result == VK_ERROR_DEVICE_LOST) state_->lost = true;
  LAHAR_VK(result, "vkGetSemaphoreCounterValue");
  return value;
}

void Device::retire(std::function<void()> destroy) {
  {
    const std::lock_guard lock(state_->retired_mutex);
    state_->retired.push_back({submitted(), std::move(destroy)});
  }
  collect();
}

void Device::collect() {
  // A lost device finishes nothing more; what it held is destroyed with it.
  if (state_->lost) return;
  std::deque<State::Retired> ready;
  {
    const std::lock_guard lock(state_->retired_mutex);
    if (state_->retired.empty()) return;
    const Result<uint64_t> now = completed();
    if (!now.ok()) return;
    while (!state_->retired.empty() && state_->retired.front().value <= *now) {
      ready.push_back(std::move(state_->retired.front()));
      state_->retired.pop_front();
    }
  }
  for (State::Retired& r : ready) r.destroy();
}

}  // namespace lahar::gpu
