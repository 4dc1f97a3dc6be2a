// The recurrent states of sequences in device memory: slots, each with the state of every layer that has one. Which slot is
// whose is kv::StateSlots' business.
// Thread rule: immutable after create() but for write().
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/result.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "ops/state.h"
#include "spec.h"

namespace lahar {

// Byte offsets inside a slot: [layer][mixer | ffn].
struct StateLayout {
  std::vector<uint64_t> mixer_offsets, ffn_offsets;  // by layer
  uint64_t slot_bytes = 0;                           // 0: the model has no recurrent layer

  static StateLayout make(const ModelSpec& spec);
};

class StateStorage {
 public:
  // `slots` states of zeros; none where layout.slot_bytes or slots is 0. Errors: kOutOfMemory, kLimit (more than the device
  // allocates at once).
  static Result<std::unique_ptr<StateStorage>> create(gpu::Device& device, StateLayout layout, uint32_t slots);
  // How many slots create() can take at most.
  static uint32_t most_slots(const gpu::Caps& caps, const StateLayout& layout);

  uint32_t slots() const { return slots_; }
  const StateLayout& layout() const { return layout_; }
  uint64_t slot_bytes() const { return layout_.slot_bytes; }
  uint64_t bytes() const { return layout_.slot_bytes * slots_; }
  gpu::BufferRange slot(uint32_t index) const { return {memory_, index * layout_.slot_bytes, layout_.slot_bytes}; }
  // For the blocks of one layer; empty where there are no slots.
  ops::StateRef mixer(uint32_t layer) const { return ref(layout_.mixer_offsets[layer]); }
  ops::StateRef ffn(uint32_t layer) const { return ref(layout_.ffn_offsets[layer]); }

  // One slot's state from and to the host, slot_bytes() each: what saving and restoring a sequence needs beside its pages.
  // Steps that touch the slot must have finished. Blocking. Errors: kInvalidArgument, kDeviceLost.
  Status read(uint32_t slot, std::span<std::byte> bytes) const;
  Status write(uint32_t slot, std::span<const std::byte> bytes);

 private:
  explicit StateStorage(gpu::Device& device) : device_(device) {}
  ops::StateRef ref(uint64_t offset) const;
  Status check(uint32_t slot, uint64_t bytes) const;

  gpu::Device& device_;
  StateLayout layout_;
  uint32_t slots_ = 0;
  gpu::Buffer memory_;
};

}  // namespace lahar
