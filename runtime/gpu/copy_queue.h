// Copies that go on while kernels run: on a queue that does nothing else where the device has one, else in between its
// submissions.
// Thread rule: one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "core/result.h"
#include "gpu/buffer.h"
#include "gpu/commands.h"
#include "gpu/device.h"

namespace lahar::gpu {

class CopyQueue {
 public:
  struct Copy {
    BufferRange from, to;  // of the same size
  };

  static Result<std::unique_ptr<CopyQueue>> create(std::shared_ptr<Device> device);
  ~CopyQueue();  // waits for what is under way
  CopyQueue(const CopyQueue&) = delete;
  CopyQueue& operator=(const CopyQueue&) = delete;

  // Starts a batch; none may be under way. Nothing that the device still runs may write `from` or touch `to`. Errors:
  // kInvalidArgument (a batch is under way, sizes that differ), kOutOfMemory, kDeviceLost.
  Status start(std::span<const Copy> copies);
  // Whether the batch is still under way. Does not block. Errors: kDeviceLost.
  Result<bool> busy();
  // What a submission has to wait for that reads bytes which busy() said are there, so that it sees them: it has come
  // already. Nothing where submissions follow each other anyway.
  std::optional<TimelineWait> finished() const;
  // Whether copies have a queue of their own.
  bool beside_kernels() const { return pool_ != VK_NULL_HANDLE; }

 private:
  explicit CopyQueue(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  Status prepare();
  Status record(std::span<const Copy> copies);
  Status start_between(std::span<const Copy> copies);

  std::shared_ptr<Device> device_;
  uint64_t started_ = 0, done_ = 0;  // of its own timeline, or of the device's
  // Of a queue of its own.
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkCommandBuffer commands_ = VK_NULL_HANDLE;
  VkSemaphore timeline_ = VK_NULL_HANDLE;
  // Without one.
  std::optional<CommandList> list_;
};

}  // namespace lahar::gpu
