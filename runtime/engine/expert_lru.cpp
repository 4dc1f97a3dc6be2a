#include "engine/expert_lru.h"

namespace lahar {

ExpertLru::ExpertLru(uint32_t experts, uint32_t slots) : slots_(slots), of_expert_(experts) {
  for (uint32_t slot = slots; slot > 0; --slot) free_.push_back(slot - 1);
}

std::optional<uint32_t> ExpertLru::slot_of(uint32_t expert) const {
  const std::optional<uint32_t> slot = of_expert_[expert];
  return slot && slots_[*slot].settled ? slot : std::nullopt;
}

void ExpertLru::touch(uint32_t expert, uint64_t step) {
  if (!of_expert_[expert]) return;
  Slot& slot = slots_[*of_expert_[expert]];
  slot.used = step;
  if (slot.settled) order_.splice(order_.end(), order_, slot.place);
}

std::optional<ExpertLru::Claim> ExpertLru::claim(uint32_t expert, uint64_t step) {
  if (of_expert_[expert]) return std::nullopt;
  Claim claim;
  if (!free_.empty()) {
    claim.slot = free_.back();
    free_.pop_back();
  } else {
    if (order_.empty() || slots_[order_.front()].used >= step) return std::nullopt;
    claim.slot = order_.front();
    order_.pop_front();
    claim.evicted = slots_[claim.slot].expert;
    of_expert_[*claim.evicted].reset();
  }
  slots_[claim.slot] = {.expert = expert, .used = step, .settled = false, .place = order_.end()};
  of_expert_[expert] = claim.slot;
  return claim;
}

void ExpertLru::settle(uint32_t expert) {
  if (!of_expert_[expert]) return;
  Slot& slot = slots_[*of_expert_[expert]];
  if (slot.settled) return;
  slot.settled = true;
  slot.place = order_.insert(order_.end(), *of_expert_[expert]);
}

}  // namespace lahar
