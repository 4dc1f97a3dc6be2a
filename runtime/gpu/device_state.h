// What is inside a Device, for the files of this layer.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "gpu/device.h"
#include "gpu/instance_state.h"
#include "gpu/memory.h"

namespace lahar::gpu {

struct Device::State {
  const InstanceState* instance = nullptr;
  VkQueue queue = VK_NULL_HANDLE;
  VkQueue transfer_queue = VK_NULL_HANDLE;  // for CopyQueue; null where there is none of its own
  uint32_t transfer_family = 0;
  VkSemaphore timeline = VK_NULL_HANDLE;
  std::unique_ptr<Allocator> allocator;
  uint64_t timestamp_mask = 0;

  // Recording and freeing command buffers of the pool takes its lock.
  std::mutex pool_mutex;
  VkCommandPool pool = VK_NULL_HANDLE;

  bool borrowed = false;                           // the VkDevice and the queue are an application's
  std::function<void()> lock_queue, unlock_queue;  // around every use of the queue; may be empty
  std::mutex queue_mutex;                          // around vkQueueSubmit2 and what counts submissions
  std::atomic<uint64_t> submitted{0};
  std::atomic<bool> lost{false};

  struct Retired {
    uint64_t value;  // may go when the timeline has reached it
    std::function<void()> destroy;
  };
  std::mutex retired_mutex;
  std::deque<Retired> retired;  // in the order of their values

  std::string cache_path;  // of the pipeline cache; empty: none

  // A timeline semaphore at 0.
  static Status create_timeline(const Device& device, VkSemaphore& out);
  // What a timeline has come to.
  Result<uint64_t> reached(const Device& device, VkSemaphore of);
};

}  // namespace lahar::gpu
