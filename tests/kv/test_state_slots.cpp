#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "kv/state_slots.h"

namespace lahar::kv {
namespace {

using Held = std::vector<uint32_t>;

TEST(StateSlots, ASequenceBeginsWithoutAStateAndThenReadsWhatItWrote) {
  StateSlots slots(3, 2);
  const auto first = slots.advance(40);
  EXPECT_FALSE(first.read);
  const auto second = slots.advance(1);
  EXPECT_EQ(second.read, first.write);
  EXPECT_NE(second.write, first.write);
  EXPECT_EQ(slots.held(), (Held{40, 41}));
}

TEST(StateSlots, TwoSlotsTakeTurns) {
  StateSlots slots(2, 2);
  StateId last = slots.advance(5).write;
  for (int i = 0; i < 6; ++i) {
    const auto step = slots.advance(1);
    EXPECT_EQ(step.read, last);
    EXPECT_NE(step.write, last);
    last = step.write;
  }
  EXPECT_EQ(slots.held(), (Held{10, 11}));
}

TEST(StateSlots, TheNewestStatesCanBeTakenBackTo) {
  StateSlots slots(3, 3);
  for (int i = 0; i < 20; ++i) slots.advance(1);
  EXPECT_EQ(slots.held(), (Held{18, 19, 20}));
  EXPECT_EQ(slots.longest(19), 19u);
  slots.rewind(19);
  EXPECT_EQ(slots.position(), 19u);
  EXPECT_TRUE(slots.advance(1).read);
  EXPECT_EQ(slots.longest(17), 0u);
  slots.rewind(0);
  EXPECT_FALSE(slots.advance(1).read);
}

TEST(StateSlots, CheckpointsStayAndTheOthersGo) {
  StateSlots slots(5, 2);
  for (int i = 0; i < 3; ++i) {
    slots.advance(512);
    slots.keep(slots.position());
  }
  for (int i = 0; i < 50; ++i) slots.advance(1);
  EXPECT_EQ(slots.held(), (Held{512, 1024, 1536, 1585, 1586}));
  EXPECT_EQ(slots.longest(1500), 1024u);
  slots.keep(7);  // not held: nothing happens
  slots.rewind(1024);
  EXPECT_EQ(slots.held(), (Held{512, 1024}));
}

TEST(StateSlots, CheckpointsThinOutWithTheirDistance) {
  StateSlots slots(8, 2);
  for (int i = 0; i < 64; ++i) {
    slots.advance(512);
    slots.keep(slots.position());
  }
  const Held held = slots.held();
  ASSERT_EQ(held.size(), 8u);
  EXPECT_EQ(held.back(), 64u * 512);
  EXPECT_EQ(held[6], 63u * 512);
  // Wherever a new prompt parts ways, little more is computed again than what is given up anyway.
  for (uint32_t tokens = 512; tokens < 64 * 512; tokens += 512)
    EXPECT_LE(tokens - slots.longest(tokens), 3 * (64 * 512 - tokens) / 2 + 512) << "parted at " << tokens;
}

TEST(StateSlots, WhatIsForgottenIsNotGoneBackTo) {
  StateSlots slots(4, 2);
  for (int i = 0; i < 3; ++i) {
    slots.advance(100);
    slots.keep(slots.position());
  }
  slots.forget(200);
  EXPECT_EQ(slots.held(), (Held{300}));
  EXPECT_EQ(slots.position(), 300u);
  EXPECT_EQ(slots.longest(299), 0u);
  // There is room for others again.
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(slots.advance(10).read);
  EXPECT_EQ(slots.held(), (Held{300, 310, 320, 330}));
}

// What a device would hold: each slot's last writer must be whom the bookkeeping says.
TEST(StateSlots, EverySlotHoldsWhatIsSaidOfIt) {
  std::mt19937 random(7);
  for (const uint32_t count : {2u, 3u, 6u}) {
    StateSlots slots(count, count == 6 ? 3 : 2);
    std::map<StateId, uint32_t> device;
    for (int i = 0; i < 2000; ++i) {
      if (random() % 9 == 0)
        slots.rewind(slots.longest(slots.position() - std::min(slots.position(), static_cast<uint32_t>(random() % 700))));
      if (random() % 20 == 0 && slots.position() > 0) slots.forget(static_cast<uint32_t>(random() % slots.position()));
      const uint32_t before = slots.position();
      const uint32_t rows = 1 + static_cast<uint32_t>(random() % (random() % 3 == 0 ? 300 : 1));
      const auto step = slots.advance(rows);
      EXPECT_EQ(step.read.has_value(), before > 0);
      if (step.read) {
        EXPECT_NE(*step.read, step.write);
        EXPECT_EQ(device.at(*step.read), before);
      }
      device[step.write] = before + rows;
      if (random() % 3 == 0) slots.keep(slots.position());
      EXPECT_LE(slots.held().size(), count);
    }
  }
}

}  // namespace
}  // namespace lahar::kv
