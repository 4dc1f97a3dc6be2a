// Which experts have a copy in device memory, and whose place a newcomer takes: the one used the longest ago. Numbers alone,
// of experts whose slabs are of one size.
// Thread rule: one thread at a time.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <vector>

namespace lahar {

class ExpertLru {
 public:
  ExpertLru(uint32_t experts, uint32_t slots);

  uint32_t slots() const { return static_cast<uint32_t>(slots_.size()); }
  // Where the expert's copy is; none: it has none, or it is not there yet.
  std::optional<uint32_t> slot_of(uint32_t expert) const;
  // The expert was used in this step. Steps are numbered upwards from 1 and come in their order.
  void touch(uint32_t expert, uint64_t step);

  struct Claim {
    uint32_t slot = 0;
    std::optional<uint32_t> evicted;  // that has no copy any more
  };
  // A slot for an expert without a copy, which nobody else gets from now on; none where all copies are on their way or were
  // used in this step or later.
  std::optional<Claim> claim(uint32_t expert, uint64_t step);
  // The copy of an expert with a claim has arrived.
  void settle(uint32_t expert);

 private:
  struct Slot {
    uint32_t expert = 0;
    uint64_t used = 0;  // the last step
    bool settled = false;
    std::list<uint32_t>::iterator place;  // in order_, where settled
  };
  std::vector<Slot> slots_;
  std::vector<std::optional<uint32_t>> of_expert_;  // slots, claimed ones too
  std::vector<uint32_t> free_;                      // the next one last
  std::list<uint32_t> order_;                       // settled slots, the one used the longest ago first
};

}  // namespace lahar
