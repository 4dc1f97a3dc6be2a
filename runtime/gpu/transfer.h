// Moves bytes between the host and device memory.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "core/result.h"
#include "gpu/buffer.h"

namespace lahar::gpu {

class Device;

// Blocking one-off transfers, for tests, small tables and results. Device-memory buffers go through a temporary.
Status upload(Device& device, std::span<const std::byte> bytes, BufferRange destination);
Status download(Device& device, BufferRange source, std::span<std::byte> bytes);

// A bounded ring of staging memory for loading weights: while the GPU copies one part, the host fills the next.
class StagingRing {
 public:
  // capacity: bytes, at most 256 MB, split into `parts` equal pieces.
  static Result<StagingRing> create(Device& device, uint64_t capacity = 64ull << 20, uint32_t parts = 4);
  StagingRing(StagingRing&&) noexcept;
  StagingRing& operator=(StagingRing&&) noexcept;
  ~StagingRing();

  // Fills destination with what `fill(offset, out)` writes for consecutive pieces of it (offset in bytes from the start of
  // the destination; pieces are multiples of `granularity` bytes but for the last). Returns when all is handed to the GPU,
  // not when it is done.
  Status write(BufferRange destination, uint64_t granularity,
               const std::function<Status(uint64_t offset, std::span<std::byte> out)>& fill);
  Status flush();               // waits until everything has arrived
  uint64_t peak_bytes() const;  // of staging memory ever in use at a time

 private:
  StagingRing() = default;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lahar::gpu
