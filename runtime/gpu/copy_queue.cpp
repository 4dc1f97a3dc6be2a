#include "gpu/copy_queue.h"

#include "gpu/device_state.h"
#include "gpu/error.h"

namespace lahar::gpu {

Result<std::unique_ptr<CopyQueue>> CopyQueue::create(std::shared_ptr<Device> device) {
  std::unique_ptr<CopyQueue> queue(new CopyQueue(std::move(device)));
  if (queue->device_->state_->transfer_queue != VK_NULL_HANDLE) LAHAR_TRY(queue->prepare());
  return queue;
}

Status CopyQueue::prepare() {
  const VolkDeviceTable& fn = device_->fn();
  VkCommandPoolCreateInfo pool{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = device_->state_->transfer_family;
  LAHAR_VK(fn.vkCreateCommandPool(device_->handle(), &pool, nullptr, &pool_), "vkCreateCommandPool");
  VkCommandBufferAllocateInfo commands{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
  commands.commandPool = pool_;
  commands.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  commands.commandBufferCount = 1;
  LAHAR_VK(fn.vkAllocateCommandBuffers(device_->handle(), &commands, &commands_), "vkAllocateCommandBuffers");
  return Device::State::create_timeline(*device_, timeline_);
}

CopyQueue::~CopyQueue() {
  const VolkDeviceTable& fn = device_->fn();
  if (timeline_ != VK_NULL_HANDLE) {
    VkSemaphoreWaitInfo wait{VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO};
    wait.semaphoreCount = 1;
    wait.pSemaphores = &timeline_;
    wait.pValues = &started_;
    fn.vkWaitSemaphores(device_->handle(), &wait, UINT64_MAX);  // a lost device answers at once
    fn.vkDestroySemaphore(device_->handle(), timeline_, nullptr);
  } else if (started_ > done_) {
    (void)device_->wait(started_);
  }
  if (pool_ != VK_NULL_HANDLE) fn.vkDestroyCommandPool(device_->handle(), pool_, nullptr);
}

Status CopyQueue::start(std::span<const Copy> copies) {
  LAHAR_ASSIGN(const bool under_way, busy());
  if (under_way) return Error{ErrorCode::kInvalidArgument, "a batch of copies is still under way"};
  for (const Copy& copy : copies)
    if (copy.from.size != copy.to.size)
      return Error{ErrorCode::kInvalidArgument,
                   "a copy of " + std::to_string(copy.from.size) + " bytes to " + std::to_string(copy.to.size) + " bytes"};
  if (copies.empty()) return {};
  if (!beside_kernels()) return start_between(copies);
  LAHAR_TRY(record(copies));
  VkCommandBufferSubmitInfo commands{VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO};
  commands.commandBuffer = commands_;
  VkSemaphoreSubmitInfo signal{VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO};
  signal.semaphore = timeline_;
  signal.value = started_ + 1;
  signal.stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT;
  VkSubmitInfo2 info{VK_STRUCTURE_TYPE_SUBMIT_INFO_2};
  info.commandBufferInfoCount = 1;
  info.pCommandBufferInfos = &commands;
  info.signalSemaphoreInfoCount = 1;
  info.pSignalSemaphoreInfos = &signal;
  Device::State& state = *device_->state_;
  const std::lock_guard lock(state.queue_mutex);
  const VkResult result = device_->fn().vkQueueSubmit2(state.transfer_queue, 1, &info, VK_NULL_HANDLE);
  if (result == VK_ERROR_DEVICE_LOST) state.lost = true;
  LAHAR_VK(result, "vkQueueSubmit2");
  ++started_;
  return {};
}

Status CopyQueue::record(std::span<const Copy> copies) {
  const VolkDeviceTable& fn = device_->fn();
  VkCommandBufferBeginInfo begin{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  LAHAR_VK(fn.vkBeginCommandBuffer(commands_, &begin), "vkBeginCommandBuffer");
  for (const Copy& copy : copies) {
    const VkBufferCopy region{copy.from.offset, copy.to.offset, copy.from.size};
    fn.vkCmdCopyBuffer(commands_, copy.from.buffer->handle(), copy.to.buffer->handle(), 1, &region);
  }
  LAHAR_VK(fn.vkEndCommandBuffer(commands_), "vkEndCommandBuffer");
  return {};
}

Status CopyQueue::start_between(std::span<const Copy> copies) {
  Recorder recorder(*device_);
  for (const Copy& copy : copies) recorder.copy("copy behind", copy.from, copy.to);
  LAHAR_ASSIGN(list_, recorder.finish());
  const CommandList* lists[] = {&*list_};
  LAHAR_ASSIGN(started_, device_->submit(lists));
  return {};
}

Result<bool> CopyQueue::busy() {
  if (done_ >= started_) return false;
  LAHAR_ASSIGN(done_, beside_kernels() ? device_->state_->reached(*device_, timeline_) : device_->completed());
  return done_ < started_;
}

std::optional<TimelineWait> CopyQueue::finished() const {
  if (!beside_kernels() || done_ == 0) return std::nullopt;
  return TimelineWait{timeline_, done_};
}

}  // namespace lahar::gpu
