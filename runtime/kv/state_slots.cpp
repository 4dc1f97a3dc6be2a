#include "kv/state_slots.h"

#include <algorithm>
#include <cassert>

namespace lahar::kv {

StateSlots::StateSlots(uint32_t slots, uint32_t recent) : recent_(recent), free_(slots) {
  assert(recent >= 2 && slots >= recent);
  for (uint32_t i = 0; i < slots; ++i) free_[i] = slots - 1 - i;  // slot 0 goes out first
}

uint32_t StateSlots::longest(uint32_t tokens) const {
  uint32_t best = 0;
  for (const State& s : states_)
    if (s.tokens <= tokens) best = s.tokens;
  return best;
}

void StateSlots::rewind(uint32_t tokens) {
  while (!states_.empty() && states_.back().tokens > tokens) {
    free_.push_back(states_.back().id);
    states_.pop_back();
  }
  assert(tokens == 0 || (!states_.empty() && states_.back().tokens == tokens));
  position_ = tokens;
}

// Whatever is no checkpoint goes first, the oldest of it. Among checkpoints the one goes without which the way back to an
// earlier state grows least, measured by how far back it lies: they thin out with their distance.
size_t StateSlots::victim() const {
  const size_t candidates = states_.size() - (recent_ - 1);
  for (size_t i = 0; i < candidates; ++i)
    if (!states_[i].checkpoint) return i;
  const auto gap = [&](size_t i) -> uint64_t { return states_[i + 1].tokens - (i == 0 ? 0 : states_[i - 1].tokens); };
  const auto distance = [&](size_t i) -> uint64_t { return position_ - states_[i].tokens; };
  size_t best = 0;
  for (size_t i = 1; i < candidates; ++i)
    if (gap(i) * distance(best) < gap(best) * distance(i)) best = i;
  return best;
}

StateSlots::Step StateSlots::advance(uint32_t rows) {
  assert(rows > 0);
  if (free_.empty()) {
    const auto out = states_.begin() + static_cast<std::ptrdiff_t>(victim());
    free_.push_back(out->id);
    states_.erase(out);
  }
  Step step;
  if (!states_.empty() && states_.back().tokens == position_) step.read = states_.back().id;
  step.write = free_.back();
  free_.pop_back();
  position_ += rows;
  states_.push_back({position_, step.write, false});
  return step;
}

void StateSlots::keep(uint32_t tokens) {
  for (State& s : states_)
    if (s.tokens == tokens) s.checkpoint = true;
}

void StateSlots::forget(uint32_t tokens) {
  assert(tokens < position_);
  std::erase_if(states_, [&](const State& s) {
    if (s.tokens <= tokens) free_.push_back(s.id);
    return s.tokens <= tokens;
  });
}

std::vector<uint32_t> StateSlots::held() const {
  std::vector<uint32_t> tokens;
  for (const State& s : states_) tokens.push_back(s.tokens);
  return tokens;
}

}  // namespace lahar::kv
