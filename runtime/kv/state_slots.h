// Which state slots hold a sequence's recurrent state, and of after how many of its tokens each is. Plain bookkeeping: no
// Vulkan, no memory of its own. Steps run in order on the device, so that a slot may be given to the very next step after
// the last one that reads it.
// Thread rule: one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace lahar::kv {

using StateId = uint32_t;

class StateSlots {
 public:
  // slots >= recent >= 2. The newest `recent` states are never dropped to make room: those that steps under way can still be
  // taken back to.
  StateSlots(uint32_t slots, uint32_t recent);

  // The most tokens, at most `tokens`, after which the state is held; 0 where it is of none.
  uint32_t longest(uint32_t tokens) const;
  // The sequence goes on after `tokens`, which longest() gave: all states of more tokens are dropped.
  void rewind(uint32_t tokens);

  struct Step {
    std::optional<StateId> read;  // none: the sequence begins
    StateId write = 0;            // never `read`
  };
  // The sequence goes on by `rows` > 0 tokens. The state of after them will be in `write`.
  Step advance(uint32_t rows);
  // Makes the state of after `tokens` a checkpoint: it stays while others can make room. Does nothing where it is not held.
  void keep(uint32_t tokens);

  // The sequence cannot be taken back to `tokens` < position() or fewer any more: states of so few are dropped.
  void forget(uint32_t tokens);

  struct State {
    uint32_t tokens = 0;
    StateId id = 0;
    bool checkpoint = false;
  };
  uint32_t position() const { return position_; }
  // Those that are held, in ascending order of tokens.
  std::span<const State> states() const { return states_; }
  // Of after how many tokens states are held, in ascending order.
  std::vector<uint32_t> held() const;

 private:
  size_t victim() const;

  uint32_t recent_;
  uint32_t position_ = 0;
  std::vector<State> states_;  // by tokens, ascending; the last one is of position_, or there is none
  std::vector<StateId> free_;  // the next one to hand out is at the back
};

}  // namespace lahar::kv
