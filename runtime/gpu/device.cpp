#include "gpu/device.h"

#include "core/platform.h"
#include "gpu/commands.h"
#include "gpu/device_state.h"
#include "gpu/error.h"
#include "gpu/physical_device.h"
#include "gpu/prove_matrices.h"
#include "gpu/read_caps.h"
#include "gpu/requirements.h"

namespace lahar::gpu {

Result<std::shared_ptr<Device>> Device::open(std::shared_ptr<Instance> instance, DeviceOptions options) {
  LAHAR_ASSIGN(const DeviceInfo info, instance->select(options.selector));
  const InstanceTable& ifn = instance->state_->fn;
  const PhysicalDevice physical(ifn, info.handle);
  std::shared_ptr<Device> device = bare(std::move(instance), physical, *physical.compute_family(), options);
  device->caps_.info.index = info.index;

  const DeviceRequirements wanted(physical, device->caps_);
  const float priority = 0.5f;
  VkDeviceQueueCreateInfo queue{VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
  queue.queueFamilyIndex = device->queue_family_;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  std::vector<VkDeviceQueueCreateInfo> queues{queue};
  const std::optional<uint32_t> transfer = physical.transfer_family();
  if (transfer) {
    queue.queueFamilyIndex = *transfer;
    queues.push_back(queue);
  }
  VkDeviceCreateInfo create{VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, &wanted.f10};
  create.queueCreateInfoCount = static_cast<uint32_t>(queues.size());
  create.pQueueCreateInfos = queues.data();
  create.enabledExtensionCount = static_cast<uint32_t>(wanted.extensions.size());
  create.ppEnabledExtensionNames = wanted.extensions.data();
  LAHAR_VK(ifn.vkCreateDevice(info.handle, &create, nullptr, &device->handle_), "opening " + info.name);
  load_device_table(device->fn_, device->handle_, ifn);
  device->fn_.vkGetDeviceQueue(device->handle_, device->queue_family_, 0, &device->state_->queue);
  if (transfer) {
    device->state_->transfer_family = *transfer;
    device->fn_.vkGetDeviceQueue(device->handle_, *transfer, 0, &device->state_->transfer_queue);
  }
  LAHAR_TRY(device->prepare(physical, options));
  if (device->caps_.has(kTensorMatrix)) {
    const Result<bool> right = tensor_matrices_are_right(*device, options);
    if (!right.ok()) device->log().warning("tensor loads are not used: " + right.error().message);
    if (!right.ok() || !*right) {
      // This device may be lost, and its kernels hold one that did not compile: another one, which never heard of tensor
      // loads.
      options.disabled_features |= kTensorMatrix;
      return open(device->instance_, options);
    }
  }
  return device;
}

Result<std::shared_ptr<Device>> Device::import(std::shared_ptr<Instance> instance, const ImportedDevice& imported,
                                               DeviceOptions options) {
  LAHAR_TRY(requirements(*instance, imported.physical_device));
  options.disabled_features |= kTensorMatrix;  // their proof might cost the application its device
  const InstanceTable& ifn = instance->state_->fn;
  const PhysicalDevice physical(ifn, imported.physical_device);
  const size_t families = physical.queue_families.size();
  if (imported.device == VK_NULL_HANDLE || imported.queue == VK_NULL_HANDLE)
    return Error{ErrorCode::kInvalidArgument, "the imported device or its queue is null"};
  if (imported.queue_family >= families ||
      !(physical.queue_families[imported.queue_family].queueFlags & VK_QUEUE_COMPUTE_BIT))
    return Error{ErrorCode::kInvalidArgument, "queue family " + std::to_string(imported.queue_family) +
                                                  " of the imported device has no compute; there are " +
                                                  std::to_string(families) + " families"};
  std::shared_ptr<Device> device = bare(std::move(instance), physical, imported.queue_family, options);
  State& state = *device->state_;
  state.borrowed = true;
  state.queue = imported.queue;
  state.lock_queue = imported.lock_queue;
  state.unlock_queue = imported.unlock_queue;
  device->handle_ = imported.device;
  load_device_table(device->fn_, device->handle_, ifn);
  LAHAR_TRY(device->prepare(physical, options));
  return device;
}

Result<std::unique_ptr<DeviceRequirements>> Device::requirements(const Instance& instance, VkPhysicalDevice handle) {
  if (handle == VK_NULL_HANDLE) return Error{ErrorCode::kInvalidArgument, "the physical device is null"};
  const PhysicalDevice physical(instance.state_->fn, handle);
  const DeviceInfo info = describe(physical);
  if (!info.refusal.empty()) return Error{ErrorCode::kUnsupported, info.name + " " + info.refusal};
  const uint32_t family = *physical.compute_family();
  auto required = std::make_unique<DeviceRequirements>(physical, read_caps(physical, family, kTensorMatrix));
  required->queue_family = family;
  return required;
}

std::shared_ptr<Device> Device::bare(std::shared_ptr<Instance> instance, const PhysicalDevice& physical,
                                     uint32_t queue_family, const DeviceOptions& options) {
  std::shared_ptr<Device> device(new Device);
  device->instance_ = std::move(instance);
  device->state_ = std::make_unique<State>();
  device->state_->instance = device->instance_->state_.get();
  device->queue_family_ = queue_family;
  device->caps_ = read_caps(physical, queue_family, options.disabled_features);
  if (options.gpu_kernels && device->caps_.is_cpu()) device->caps_.info.type = DeviceType::kOther;
  return device;
}

Status Device::prepare(const PhysicalDevice& physical, const DeviceOptions& options) {
  const VolkDeviceTable& fn = fn_;
  State& state = *state_;
  LAHAR_TRY(State::create_timeline(*this, state.timeline));
  VkCommandPoolCreateInfo pool{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.queueFamilyIndex = queue_family_;
  LAHAR_VK(fn.vkCreateCommandPool(handle_, &pool, nullptr, &state.pool), "vkCreateCommandPool");
  const uint32_t bits = physical.queue_families[queue_family_].timestampValidBits;
  state.timestamp_mask = bits >= 64 ? UINT64_MAX : (uint64_t{1} << bits) - 1;

  std::vector<uint32_t> families{queue_family_};
  if (state.transfer_queue != VK_NULL_HANDLE) families.push_back(state.transfer_family);
  LAHAR_ASSIGN(state.allocator, Allocator::create({instance_->handle_, physical.handle, handle_, &instance_->state_->fn,
                                                   caps_.memory_budget, std::move(families)}));
  LAHAR_ASSIGN(kernels_, KernelCache::create(*this, options));
  return {};
}

Device::~Device() {
  if (handle_ == VK_NULL_HANDLE) return;
  // Of a device that is shared, only what was submitted here is waited for: its queues are the application's to lock.
  if (!state_->borrowed) fn_.vkDeviceWaitIdle(handle_);  // a lost device answers at once
  else if (state_->timeline != VK_NULL_HANDLE) (void)wait_idle();
  kernels_.reset();
  while (!state_->retired.empty()) {
    const std::function<void()> destroy = std::move(state_->retired.front().destroy);
    state_->retired.pop_front();
    destroy();
  }
  state_->allocator.reset();
  if (state_->pool != VK_NULL_HANDLE) fn_.vkDestroyCommandPool(handle_, state_->pool, nullptr);
  if (state_->timeline != VK_NULL_HANDLE) fn_.vkDestroySemaphore(handle_, state_->timeline, nullptr);
  if (!state_->borrowed) fn_.vkDestroyDevice(handle_, nullptr);
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
  buffer.lent_ = allocation->lent;
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
  return {use.used - use.lent, use.lent, use.budget};
}

Result<uint64_t> Device::submit(std::span<const CommandList* const> lists, std::span<const TimelineWait> waits) {
  if (state_->lost) return Error{ErrorCode::kDeviceLost, caps_.info.name + " was lost"};
  std::vector<VkCommandBufferSubmitInfo> buffers;
  for (const CommandList* list : lists) {
    VkCommandBufferSubmitInfo& info = buffers.emplace_back();
    info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO;
    info.commandBuffer = list->handle();
  }
  std::vector<VkSemaphoreSubmitInfo> waited;
  for (const TimelineWait& wait : waits) {
    VkSemaphoreSubmitInfo& info = waited.emplace_back();
    info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO;
    info.semaphore = wait.semaphore;
    info.value = wait.value;
    info.stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT;
  }
  VkSemaphoreSubmitInfo signal{VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO};
  signal.semaphore = state_->timeline;
  signal.stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT;
  VkSubmitInfo2 info{VK_STRUCTURE_TYPE_SUBMIT_INFO_2};
  info.waitSemaphoreInfoCount = static_cast<uint32_t>(waited.size());
  info.pWaitSemaphoreInfos = waited.data();
  info.commandBufferInfoCount = static_cast<uint32_t>(buffers.size());
  info.pCommandBufferInfos = buffers.data();
  info.signalSemaphoreInfoCount = 1;
  info.pSignalSemaphoreInfos = &signal;

  uint64_t value = 0;
  {
    const std::lock_guard lock(state_->queue_mutex);
    value = state_->submitted + 1;
    signal.value = value;
    if (state_->lock_queue) state_->lock_queue();
    const VkResult result = fn_.vkQueueSubmit2(state_->queue, 1, &info, VK_NULL_HANDLE);
    if (state_->unlock_queue) state_->unlock_queue();
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

Result<uint64_t> Device::completed() const { return state_->reached(*this, state_->timeline); }

Status Device::State::create_timeline(const Device& device, VkSemaphore& out) {
  VkSemaphoreTypeCreateInfo type{VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  const VkSemaphoreCreateInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, &type, 0};
  LAHAR_VK(device.fn().vkCreateSemaphore(device.handle(), &info, nullptr, &out), "vkCreateSemaphore");
  return {};
}

Result<uint64_t> Device::State::reached(const Device& device, VkSemaphore of) {
  uint64_t value = 0;
  const VkResult result = device.fn().vkGetSemaphoreCounterValue(device.handle(), of, &value);
  if (result == VK_ERROR_DEVICE_LOST) lost = true;
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
