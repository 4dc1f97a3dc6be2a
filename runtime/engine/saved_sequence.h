// A sequence outside its engine: the bytes that Engine::save_sequence writes and Engine::restore_sequence takes, which may
// come from anywhere.
//
//   SavedHeader | the model in words | tokens, int32 each | a SavedState each | pages | states | checksum, uint64
//
// A page and a state are as they lie on the device. All in the host's byte order, nothing aligned.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "engine/kv_storage.h"
#include "engine/state_storage.h"
#include "spec.h"

namespace lahar {

// What engines must have in common for one to go on with what another has saved. The context and the device need not be.
struct SequenceShape {
  std::string model;         // in words
  uint64_t details = 0;      // hash of the geometry of each layer's keys, values and state, and of RoPE's tables
  uint64_t page_bytes = 0;   // 0: no layer has keys
  uint64_t state_bytes = 0;  // 0: no layer has a recurrent state
  uint32_t vocabulary = 0;   // tokens are below it

  static SequenceShape make(const ModelSpec& spec, const KvPageLayout& kv, const StateLayout& states);
};

struct SavedHeader {
  char magic[8];
  uint32_t version;
  uint32_t model_bytes;  // of the text
  uint64_t details;      // SequenceShape's
  uint32_t tokens, states;
};

// The recurrent state of after so many tokens.
struct SavedState {
  uint32_t tokens = 0;
  uint32_t checkpoint = 0;  // 1: as kv::StateSlots::keep
};

struct SavedSequence {
  std::vector<int32_t> tokens;
  std::vector<SavedState> states;          // in ascending order, all of 1 to tokens.size() tokens
  std::span<const std::byte> pages;        // [pages, page_bytes], of what was read
  std::span<const std::byte> state_bytes;  // [states, state_bytes], of what was read
};

uint64_t saved_bytes(const SequenceShape& shape, uint32_t tokens, uint32_t states);

// Writes all but the pages and the states, which are then written to where the result says; seal() comes last.
// out.size() is saved_bytes().
struct SavedRoom {
  std::span<std::byte> pages, states;
};
SavedRoom begin_saved(const SequenceShape& shape, std::span<const int32_t> tokens, std::span<const SavedState> states,
                      std::span<std::byte> out);
// Writes the checksum at the end of a whole saved sequence.
void seal_saved(std::span<std::byte> whole);

// Errors: kFormat (damaged, truncated, or no saved sequence), kUnsupported (another version's), kInvalidArgument (of another
// model, or with another type of KV cache).
Result<SavedSequence> read_saved(const SequenceShape& shape, std::span<const std::byte> bytes);

}  // namespace lahar
