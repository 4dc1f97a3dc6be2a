// Device memory with an address.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "core/result.h"
#include "gpu/vulkan.h"

namespace lahar::gpu {

class Device;

enum class Memory {
  kDevice,    // fast for the GPU; not mapped
  kHost,      // the host's, which the GPU reads in place, over the bus where there is one; not mapped
  kUpload,    // the host writes, the GPU reads; mapped, coherent
  kReadback,  // the GPU writes, the host reads; mapped, cached, coherent
};

// Move-only. Retires with the device: destroying it while the GPU still uses it is safe.
class Buffer {
 public:
  Buffer() = default;  // empty: no memory, address 0
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  explicit operator bool() const { return handle_ != VK_NULL_HANDLE; }
  VkBuffer handle() const { return handle_; }
  uint64_t size() const { return size_; }        // bytes
  uint64_t address() const { return address_; }  // for shaders
  std::byte* mapped() const { return mapped_; }  // null for Memory::kDevice and kHost
  template <typename T>
  std::span<T> mapped_as() const {
    return {reinterpret_cast<T*>(mapped_), static_cast<size_t>(size_ / sizeof(T))};
  }

 private:
  friend class Device;
  void release();
  std::shared_ptr<Device> device_;
  VkBuffer handle_ = VK_NULL_HANDLE;
  void* allocation_ = nullptr;  // the allocator's
  uint64_t lent_ = 0;           // Allocation::lent
  uint64_t size_ = 0, address_ = 0;
  std::byte* mapped_ = nullptr;
};

// A part of a buffer; does not own it. What an op declares as read or written.
struct BufferRange {
  const Buffer* buffer = nullptr;
  uint64_t offset = 0;  // bytes
  uint64_t size = 0;    // bytes

  BufferRange() = default;
  BufferRange(const Buffer& whole) : buffer(&whole), size(whole.size()) {}
  BufferRange(const Buffer& b, uint64_t offset_bytes, uint64_t size_bytes)
      : buffer(&b), offset(offset_bytes), size(size_bytes) {}

  explicit operator bool() const { return buffer != nullptr; }
  uint64_t address() const { return buffer == nullptr ? 0 : buffer->address() + offset; }
  BufferRange part(uint64_t at, uint64_t bytes) const { return {*buffer, offset + at, bytes}; }
};

}  // namespace lahar::gpu
