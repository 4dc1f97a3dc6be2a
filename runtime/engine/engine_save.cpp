// Engine: the sequence that the cache holds goes out as bytes, and comes back.
#include "engine/engine.h"
#include "engine/saved_sequence.h"

namespace lahar {

SequenceShape Engine::shape() const { return SequenceShape::make(spec(), kv_->layout(), recurrent_->layout()); }

std::vector<kv::StateSlots::State> Engine::states_to_save() const {
  std::vector<kv::StateSlots::State> states;
  if (!trail_) return states;
  const uint32_t newest = trail_->longest(static_cast<uint32_t>(cached_.size()));
  for (const kv::StateSlots::State& state : trail_->states())
    if (state.tokens == newest || (state.checkpoint && state.tokens < newest)) states.push_back(state);
  return states;
}

Result<uint64_t> Engine::sequence_bytes() const {
  if (streaming_ && streaming_->offset() > 0 && !cached_.empty())
    return Error{ErrorCode::kUnsupported, "the first tokens of the sequence have left the streaming cache of " +
                                              std::to_string(plan_.context) + " tokens: it can no longer be saved"};
  return saved_bytes(shape(), static_cast<uint32_t>(cached_.size()), static_cast<uint32_t>(states_to_save().size()));
}

Status Engine::save_sequence(std::span<std::byte> out) const {
  LAHAR_ASSIGN(const uint64_t bytes, sequence_bytes());
  if (out.size() != bytes)
    return Error{ErrorCode::kInvalidArgument, "the saved sequence has " + std::to_string(bytes) +
                                                  " bytes, there is room for " + std::to_string(out.size())};
  const std::vector<kv::StateSlots::State> states = states_to_save();
  std::vector<SavedState> listed;
  for (const kv::StateSlots::State& state : states) listed.push_back({state.tokens, state.checkpoint ? 1u : 0u});
  const SavedRoom room = begin_saved(shape(), cached_, listed, out);
  LAHAR_TRY(kv_->read(table_->pages().first(pages_of(static_cast<uint32_t>(cached_.size()))), room.pages));
  for (size_t i = 0; i < states.size(); ++i)
    LAHAR_TRY(recurrent_->read(states[i].id, room.states.subspan(i * recurrent_->slot_bytes(), recurrent_->slot_bytes())));
  seal_saved(out);
  return {};
}

Status Engine::restore_sequence(std::span<const std::byte> bytes) {
  LAHAR_ASSIGN(SavedSequence saved, read_saved(shape(), bytes));
  const auto tokens = static_cast<uint32_t>(saved.tokens.size());
  if (tokens > plan_.context)
    return Error{ErrorCode::kLimit, "the saved sequence has " + std::to_string(tokens) +
                                        " tokens, more than the context of " + std::to_string(plan_.context)};
  forget();
  begin(0, {});
  if (!has_room(tokens)) return Error{ErrorCode::kInternal, "the KV pool has too few pages for the saved sequence"};
  LAHAR_TRY(kv_->write(table_->pages().first(pages_of(tokens)), saved.pages));
  const uint64_t state_bytes = recurrent_->slot_bytes();
  for (size_t i = 0; i < saved.states.size(); ++i) {
    // Where there are fewer slots than states, the trail lets go of earlier ones.
    const SavedState& state = saved.states[i];
    const kv::StateSlots::Step step = trail_->advance(state.tokens - trail_->position());
    LAHAR_TRY(recurrent_->write(step.write, saved.state_bytes.subspan(i * state_bytes, state_bytes)));
    if (state.checkpoint != 0) checkpoint(state.tokens);
  }
  position_ = tokens;
  cached_ = std::move(saved.tokens);
  return {};
}

}  // namespace lahar
