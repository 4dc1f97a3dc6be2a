// Inside of ops: checks of recurrent state and what kernels are told of it.
#pragma once

#include "ops/op_helpers.h"
#include "ops/state.h"
#include "params_state.h"

namespace lahar::ops::detail {

// An op uses `bytes` from `offset` on in the layer's part of a slot.
inline Status check_state(std::string_view label, const StateRef& state, uint64_t offset, uint64_t bytes) {
  if (!state.range || state.slots == 0) return invalid(label, "there are no state slots");
  if (state.address() % 16 != 0 || state.slot_bytes % 16 != 0 || offset % 16 != 0)
    return invalid(label, "states and their parts must be multiples of 16 bytes");
  if (state.layer_offset + offset + bytes > state.slot_bytes || state.range.size < state.slots * state.slot_bytes)
    return invalid(label, "a state of " + std::to_string(bytes) + " bytes at " +
                              std::to_string(state.layer_offset + offset) + " does not fit its slot of " +
                              std::to_string(state.slot_bytes));
  return {};
}

inline params::StateAddress state_address(const StateRef& state, uint64_t offset) {
  return {.base = state.address() + offset, .slot_bytes = state.slot_bytes, .slots = state.slots, .reserved = 0};
}

}  // namespace lahar::ops::detail
