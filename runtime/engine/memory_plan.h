// "Would it fit?", answered before anything is loaded.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"
#include "gpu/device.h"

namespace lahar {

struct MemoryPlan {
  uint64_t weights = 0;       // bytes on the device
  uint64_t expert_cache = 0;  // bytes for copies of experts that stay in the host's memory
  uint64_t kv_pool = 0;       // bytes, for `context` tokens a slot
  uint64_t states = 0;        // bytes of recurrent states, in `state_slots` slots
  uint64_t scratch = 0;       // bytes of activations, step inputs and results
  uint64_t available = 0;     // bytes that the device can still give (or the cap)
  uint32_t context = 0;       // tokens a slot; smaller than asked for where that makes it fit
  uint32_t asked_context = 0;
  uint32_t state_slots = 0;
  uint64_t host_weights = 0, host_available = 0;  // bytes of weights in the host's memory, and what it has for them

  uint64_t total() const { return weights + expert_cache + kv_pool + states + scratch; }
  bool fits() const { return total() <= available && host_weights <= host_available; }
  // "needs 1.2 GiB (weights 1.0, KV cache 0.1 for 4096 tokens, scratch 0.1); 7.5 GiB are free"
  std::string describe() const;
};

struct MemoryRequest {
  uint64_t weights = 0;           // bytes still to be allocated for weights
  uint64_t expert_cache = 0;      // bytes
  uint64_t page_bytes = 0;        // of a KV page
  uint64_t state_bytes = 0;       // of a slot for recurrent states; 0: the model has none
  uint32_t least_states = 0;      // state slots that there must be
  uint32_t most_states = 0;       // those beyond the least are for checkpoints, as far as there is room
  uint64_t scratch = 0;           // bytes
  uint32_t context = 0;           // tokens wanted a slot
  bool context_is_fixed = false;  // the user asked for exactly this context: it is not shortened
  uint32_t slots = 1;
  uint64_t available = 0;  // bytes
};

// Shortens the context (by halves, down to 512 tokens) where that makes the rest fit and is allowed. Checkpoints of
// recurrent states take at most a quarter of what is left then.
MemoryPlan plan_memory(const MemoryRequest& request);

// Bytes that can still be allocated in device memory, at most `cap` in all (0: no cap).
uint64_t available_memory(const gpu::Device& device, uint64_t cap);

// "1.5 GiB", "320 MiB", "17 KiB"
std::string format_bytes(uint64_t bytes);

}  // namespace lahar
