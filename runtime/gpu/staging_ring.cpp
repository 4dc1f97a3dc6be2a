#include <algorithm>
#include <deque>

#include "gpu/commands.h"
#include "gpu/device.h"
#include "gpu/transfer.h"

namespace lahar::gpu {
namespace {

constexpr uint64_t kMostBytes = 256ull << 20;

}  // namespace

struct StagingRing::State {
  Device* device = nullptr;
  Buffer memory;
  uint64_t part_bytes = 0;
  uint32_t parts = 0, next = 0;
  struct InFlight {
    uint64_t value, bytes;
  };
  std::deque<InFlight> in_flight;  // oldest first; part (next - size + i) mod parts
  uint64_t used = 0, peak = 0;     // bytes

  // Waits until at most `most` parts are with the GPU.
  Status drain(size_t most) {
    while (in_flight.size() > most) {
      LAHAR_TRY(device->wait(in_flight.front().value));
      used -= in_flight.front().bytes;
      in_flight.pop_front();
    }
    return {};
  }
};

StagingRing::StagingRing(StagingRing&&) noexcept = default;
StagingRing& StagingRing::operator=(StagingRing&&) noexcept = default;
StagingRing::~StagingRing() = default;  // the memory retires, so the GPU may still be reading it

Result<StagingRing> StagingRing::create(Device& device, uint64_t capacity, uint32_t parts) {
  if (capacity > kMostBytes)
    return Error{ErrorCode::kLimit,
                 "a staging ring of " + std::to_string(capacity) + " bytes; at most " + std::to_string(kMostBytes)};
  if (parts == 0 || capacity / parts < 16)
    return Error{ErrorCode::kInvalidArgument,
                 "a staging ring of " + std::to_string(capacity) + " bytes in " + std::to_string(parts) + " parts"};
  StagingRing ring;
  ring.state_ = std::make_unique<State>();
  State& state = *ring.state_;
  state.device = &device;
  state.parts = parts;
  state.part_bytes = capacity / parts / 16 * 16;
  LAHAR_ASSIGN(state.memory, device.create_buffer(state.part_bytes * parts, Memory::kUpload, "staging ring"));
  return ring;
}

Status StagingRing::write(BufferRange destination, uint64_t granularity,
                          const std::function<Status(uint64_t offset, std::span<std::byte> out)>& fill) {
  State& state = *state_;
  if (granularity == 0 || granularity > state.part_bytes)
    return Error{ErrorCode::kLimit, "staging pieces of " + std::to_string(granularity) + " bytes; a part has " +
                                        std::to_string(state.part_bytes)};
  const uint64_t piece = state.part_bytes / granularity * granularity;
  for (uint64_t at = 0; at < destination.size; at += piece) {
    const uint64_t n = std::min(piece, destination.size - at);
    LAHAR_TRY(state.drain(state.parts - 1));
    const uint64_t begin = state.next * state.part_bytes;
    LAHAR_TRY(fill(at, {state.memory.mapped() + begin, n}));
    Recorder recorder(*state.device);
    recorder.copy("staging", {state.memory, begin, n}, destination.part(at, n));
    LAHAR_ASSIGN(const CommandList list, recorder.finish());
    const CommandList* lists[] = {&list};
    LAHAR_ASSIGN(const uint64_t value, state.device->submit(lists));
    state.in_flight.push_back({value, n});
    state.used += n;
    state.peak = std::max(state.peak, state.used);
    state.next = (state.next + 1) % state.parts;
  }
  return {};
}

Status StagingRing::flush() { return state_->drain(0); }

uint64_t StagingRing::peak_bytes() const { return state_->peak; }

}  // namespace lahar::gpu
