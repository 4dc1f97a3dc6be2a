// place_barriers() by itself: no device.
#include <gtest/gtest.h>

#include "gpu/commands.h"

namespace lahar::gpu {
namespace {

struct Case {
  std::vector<BufferRange> reads, writes;
};

// Which of the nodes get a barrier, as "0110".
std::string barriers(const std::vector<Case>& cases) {
  std::vector<Node> nodes;
  for (const Case& c : cases) {
    Node& node = nodes.emplace_back();
    node.reads = c.reads;
    node.writes = c.writes;
    node.barrier_before = true;  // must be overwritten
  }
  place_barriers(nodes);
  std::string out;
  for (const Node& node : nodes) out += node.barrier_before ? '1' : '0';
  return out;
}

class Hazards : public ::testing::Test {
 protected:
  BufferRange a(uint64_t offset = 0, uint64_t size = 100) const { return {a_, offset, size}; }
  BufferRange b(uint64_t offset = 0, uint64_t size = 100) const { return {b_, offset, size}; }
  BufferRange c(uint64_t offset = 0, uint64_t size = 100) const { return {c_, offset, size}; }
  Buffer a_, b_, c_;
};

TEST_F(Hazards, IndependentNodesNeedNone) {
  EXPECT_EQ(barriers({}), "");
  EXPECT_EQ(barriers({{{a()}, {b()}}}), "0");
  EXPECT_EQ(barriers({{{a()}, {b()}}, {{a()}, {c()}}}), "00");
}

TEST_F(Hazards, ReadAfterWrite) { EXPECT_EQ(barriers({{{a()}, {b()}}, {{b()}, {c()}}}), "01"); }
TEST_F(Hazards, WriteAfterRead) { EXPECT_EQ(barriers({{{a()}, {b()}}, {{c()}, {a()}}}), "01"); }
TEST_F(Hazards, WriteAfterWrite) { EXPECT_EQ(barriers({{{a()}, {b()}}, {{a()}, {b()}}}), "01"); }

TEST_F(Hazards, OnlyBytesThatOverlapCount) {
  EXPECT_EQ(barriers({{{}, {a(0, 50)}}, {{a(50, 50)}, {b()}}}), "00");
  EXPECT_EQ(barriers({{{}, {a(0, 51)}}, {{a(50, 50)}, {b()}}}), "01");
  EXPECT_EQ(barriers({{{}, {a(50, 50)}}, {{a(0, 50)}, {b()}}}), "00");
  EXPECT_EQ(barriers({{{}, {a(10, 5)}}, {{a(0, 100)}, {b()}}}), "01");
  EXPECT_EQ(barriers({{{}, {a(10, 0)}}, {{a(0, 100)}, {b()}}}), "00");
}

TEST_F(Hazards, ABarrierCoversAllBeforeIt) {
  // The second barrier of three would be needless: the first has ordered both writes.
  EXPECT_EQ(barriers({{{}, {a()}}, {{}, {b()}}, {{a()}, {c(0, 10)}}, {{b()}, {c(10, 10)}}}), "0010");
  // But what came after it counts anew.
  EXPECT_EQ(barriers({{{}, {a()}}, {{a()}, {b()}}, {{b()}, {c()}}}), "011");
}

TEST_F(Hazards, ReadsSinceTheBarrierAreRemembered) {
  EXPECT_EQ(barriers({{{a()}, {}}, {{b()}, {}}, {{}, {a()}}, {{}, {b()}}}), "0010");
}

TEST_F(Hazards, EmptyRangesAreIgnored) {
  EXPECT_EQ(barriers({{{BufferRange()}, {BufferRange()}}, {{BufferRange()}, {a()}}}), "00");
}

TEST_F(Hazards, IndirectCountsCopiesAndFills) {
  std::vector<Node> nodes(4);
  nodes[0].kind = Node::Kind::kFill;
  nodes[0].destination = a();
  nodes[1].indirect = a(0, 12);  // reads what the fill has written
  nodes[1].writes = {b()};
  nodes[2].kind = Node::Kind::kCopy;
  nodes[2].source = b();
  nodes[2].destination = c();
  nodes[3].kind = Node::Kind::kFill;
  nodes[3].destination = b();  // after it was read
  place_barriers(nodes);
  EXPECT_FALSE(nodes[0].barrier_before);
  EXPECT_TRUE(nodes[1].barrier_before);
  EXPECT_TRUE(nodes[2].barrier_before);
  EXPECT_TRUE(nodes[3].barrier_before);
}

}  // namespace
}  // namespace lahar::gpu
