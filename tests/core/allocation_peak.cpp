#include "allocation_peak.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

std::atomic<uint64_t> in_use{0};
std::atomic<uint64_t> most{0};

// The size lies in front of what the caller gets, padded so that alignment holds.
constexpr size_t kHeader = alignof(std::max_align_t);

void* take(size_t size) {
  auto* block = static_cast<std::byte*>(std::malloc(size + kHeader));
  if (block == nullptr) return nullptr;
  *reinterpret_cast<size_t*>(block) = size;
  const uint64_t now = in_use += size + kHeader;
  uint64_t seen = most.load();
  while (now > seen && !most.compare_exchange_weak(seen, now)) {}
  return block + kHeader;
}

void give(void* pointer) {
  if (pointer == nullptr) return;
  std::byte* block = static_cast<std::byte*>(pointer) - kHeader;
  in_use -= *reinterpret_cast<size_t*>(block) + kHeader;
  std::free(block);
}

}  // namespace

void* operator new(size_t size) {
  if (void* pointer = take(size)) return pointer;
  throw std::bad_alloc();
}
void* operator new[](size_t size) { return operator new(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return take(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return take(size); }
void operator delete(void* pointer) noexcept { give(pointer); }
void operator delete[](void* pointer) noexcept { give(pointer); }
void operator delete(void* pointer, size_t) noexcept { give(pointer); }
void operator delete[](void* pointer, size_t) noexcept { give(pointer); }
void operator delete(void* pointer, const std::nothrow_t&) noexcept { give(pointer); }
void operator delete[](void* pointer, const std::nothrow_t&) noexcept { give(pointer); }

namespace lahar::test {

uint64_t bytes_in_use() { return in_use; }
uint64_t peak_bytes() { return most; }
void reset_peak() { most = in_use.load(); }

}  // namespace lahar::test
