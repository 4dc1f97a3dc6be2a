#include "gpu/buffer.h"

#include <utility>

#include "gpu/device.h"
#include "gpu/device_state.h"

namespace lahar::gpu {

Buffer::Buffer(Buffer&& other) noexcept
    : device_(std::move(other.device_)),
      handle_(std::exchange(other.handle_, VK_NULL_HANDLE)),
      allocation_(std::exchange(other.allocation_, nullptr)),
      lent_(std::exchange(other.lent_, 0)),
      size_(std::exchange(other.size_, 0)),
      address_(std::exchange(other.address_, 0)),
      mapped_(std::exchange(other.mapped_, nullptr)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  release();
  device_ = std::move(other.device_);
  handle_ = std::exchange(other.handle_, VK_NULL_HANDLE);
  allocation_ = std::exchange(other.allocation_, nullptr);
  lent_ = std::exchange(other.lent_, 0);
  size_ = std::exchange(other.size_, 0);
  address_ = std::exchange(other.address_, 0);
  mapped_ = std::exchange(other.mapped_, nullptr);
  return *this;
}

Buffer::~Buffer() { release(); }

void Buffer::release() {
  if (handle_ == VK_NULL_HANDLE) return;
  Allocator* allocator = device_->state_->allocator.get();
  const Allocation gone{handle_, allocation_, nullptr, lent_};
  device_->retire([allocator, gone] { allocator->free(gone); });
  handle_ = VK_NULL_HANDLE;
  device_.reset();
}

}  // namespace lahar::gpu
