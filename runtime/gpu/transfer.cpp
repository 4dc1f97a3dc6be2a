#include "gpu/transfer.h"

#include <algorithm>
#include <cstring>

#include "gpu/commands.h"
#include "gpu/device.h"

namespace lahar::gpu {
namespace {

constexpr uint64_t kPiece = 32ull << 20;  // bytes of a temporary at most

Status copy_and_wait(Device& device, BufferRange source, BufferRange destination) {
  Recorder recorder(device);
  recorder.copy("transfer", source, destination);
  LAHAR_ASSIGN(const CommandList list, recorder.finish());
  const CommandList* lists[] = {&list};
  LAHAR_ASSIGN(const uint64_t value, device.submit(lists));
  LAHAR_TRY(device.wait(value));
  return {};
}

}  // namespace

Status upload(Device& device, std::span<const std::byte> bytes, BufferRange destination) {
  if (!destination || bytes.size() > destination.size)
    return Error{ErrorCode::kInvalidArgument,
                 "upload: " + std::to_string(bytes.size()) + " bytes into a range of " + std::to_string(destination.size)};
  if (bytes.empty()) return {};
  if (destination.buffer->mapped() != nullptr) {
    LAHAR_TRY(device.wait_idle());  // what runs may still read the old bytes
    std::memcpy(destination.buffer->mapped() + destination.offset, bytes.data(), bytes.size());
    return {};
  }
  LAHAR_ASSIGN(const Buffer staging,
               device.create_buffer(std::min<uint64_t>(bytes.size(), kPiece), Memory::kUpload, "upload"));
  for (uint64_t at = 0; at < bytes.size(); at += staging.size()) {
    const uint64_t n = std::min<uint64_t>(staging.size(), bytes.size() - at);
    std::memcpy(staging.mapped(), bytes.data() + at, n);
    LAHAR_TRY(copy_and_wait(device, {staging, 0, n}, destination.part(at, n)));
  }
  return {};
}

Status download(Device& device, BufferRange source, std::span<std::byte> bytes) {
  if (!source || bytes.size() > source.size)
    return Error{ErrorCode::kInvalidArgument,
                 "download: " + std::to_string(bytes.size()) + " bytes from a range of " + std::to_string(source.size)};
  if (bytes.empty()) return {};
  if (source.buffer->mapped() != nullptr) {
    LAHAR_TRY(device.wait_idle());
    std::memcpy(bytes.data(), source.buffer->mapped() + source.offset, bytes.size());
    return {};
  }
  LAHAR_ASSIGN(const Buffer staging,
               device.create_buffer(std::min<uint64_t>(bytes.size(), kPiece), Memory::kReadback, "download"));
  for (uint64_t at = 0; at < bytes.size(); at += staging.size()) {
    const uint64_t n = std::min<uint64_t>(staging.size(), bytes.size() - at);
    LAHAR_TRY(copy_and_wait(device, source.part(at, n), {staging, 0, n}));
    std::memcpy(bytes.data() + at, staging.mapped(), n);
  }
  return {};
}

}  // namespace lahar::gpu
