#include "engine/state_storage.h"

#include <algorithm>

#include "blocks/block_kinds.h"
#include "gpu/commands.h"
#include "gpu/transfer.h"

namespace lahar {
namespace {

uint64_t largest_buffer(const gpu::Caps& caps) { return std::min(caps.max_allocation, caps.max_buffer); }

}  // namespace

StateLayout StateLayout::make(const ModelSpec& spec) {
  StateLayout layout;
  for (const LayerSpec& layer : spec.layers) {
    const LayerStateBytes bytes = state_bytes(spec, layer);
    layout.mixer_offsets.push_back(layout.slot_bytes);
    layout.ffn_offsets.push_back(layout.slot_bytes + bytes.mixer);
    layout.slot_bytes += bytes.mixer + bytes.ffn;
  }
  return layout;
}

uint32_t StateStorage::most_slots(const gpu::Caps& caps, const StateLayout& layout) {
  if (layout.slot_bytes == 0) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>(largest_buffer(caps) / layout.slot_bytes, UINT32_MAX));
}

Result<std::unique_ptr<StateStorage>> StateStorage::create(gpu::Device& device, StateLayout layout, uint32_t slots) {
  auto storage = std::unique_ptr<StateStorage>(new StateStorage(device));
  storage->layout_ = std::move(layout);
  if (storage->layout_.slot_bytes == 0 || slots == 0) return storage;
  if (slots > most_slots(device.caps(), storage->layout_))
    return Error{ErrorCode::kLimit, std::to_string(slots) + " recurrent states of " +
                                        std::to_string(storage->layout_.slot_bytes) +
                                        " bytes are more than the device allocates at once (" +
                                        std::to_string(largest_buffer(device.caps())) + ")"};
  storage->slots_ = slots;
  LAHAR_ASSIGN(storage->memory_, device.create_buffer(storage->bytes(), gpu::Memory::kDevice, "recurrent states"));
  gpu::Recorder recorder(device);
  recorder.fill("clear the recurrent states", storage->memory_, 0);
  LAHAR_ASSIGN(const gpu::CommandList list, recorder.finish());
  const gpu::CommandList* lists[] = {&list};
  LAHAR_TRY(device.submit(lists));
  LAHAR_TRY(device.wait_idle());
  return storage;
}

ops::StateRef StateStorage::ref(uint64_t offset) const {
  if (slots_ == 0) return {};
  return {.range = memory_, .slot_bytes = layout_.slot_bytes, .layer_offset = offset, .slots = slots_};
}

Status StateStorage::check(uint32_t slot, uint64_t bytes) const {
  if (slot < slots_ && bytes == layout_.slot_bytes) return {};
  return Error{ErrorCode::kInvalidArgument, "state slot " + std::to_string(slot) + " of " + std::to_string(slots_) + ": " +
                                                std::to_string(bytes) + " bytes, expected " +
                                                std::to_string(layout_.slot_bytes)};
}

Status StateStorage::read(uint32_t slot, std::span<std::byte> bytes) const {
  LAHAR_TRY(check(slot, bytes.size()));
  return gpu::download(device_, this->slot(slot), bytes);
}

Status StateStorage::write(uint32_t slot, std::span<const std::byte> bytes) {
  LAHAR_TRY(check(slot, bytes.size()));
  return gpu::upload(device_, bytes, this->slot(slot));
}

}  // namespace lahar
