// What single bits of a block mean, by the definition of each format; and the blocks of random weights.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "format/synth_blocks.h"
#include "quant/formats.h"
#include "quant/replane.h"

namespace lahar::quant {
namespace {

// A block of one type whose bytes are set by hand.
struct Block {
  DType type;
  std::vector<std::byte> bytes;

  explicit Block(DType t) : type(t), bytes(lahar::traits(t).block_bytes) {}
  Block& set(size_t at, std::initializer_list<int> values) {
    for (const int v : values) bytes[at++] = static_cast<std::byte>(v);
    return *this;
  }
  Block& half(size_t at, float v) {
    const uint16_t h = float_to_half(v);
    return set(at, {h & 255, h >> 8});
  }
  std::vector<float> values() const {
    std::vector<float> out(lahar::traits(type).block_values);
    EXPECT_TRUE(to_floats(type, bytes, out).ok());
    return out;
  }
};

TEST(BlockValues, Q5_0) {
  Block b(DType::kQ5_0);
  b.half(0, 0.5f).set(2, {0x02, 0, 0x01, 0x80}).set(6, {0x21, 0x43}).set(21, {0xf0});
  const auto v = b.values();
  EXPECT_EQ(v[0], 0.5f * (1 - 16));
  EXPECT_EQ(v[1], 0.5f * (3 + 16 - 16));  // bit 1 of the fifth bits
  EXPECT_EQ(v[2], 0.5f * (0 - 16));
  EXPECT_EQ(v[16], 0.5f * (2 + 16 - 16));  // bit 16
  EXPECT_EQ(v[17], 0.5f * (4 - 16));
  EXPECT_EQ(v[31], 0.5f * (15 + 16 - 16));  // bit 31
}

TEST(BlockValues, Q5_1) {
  Block b(DType::kQ5_1);
  b.half(0, 0.5f).half(2, -3).set(4, {0x01}).set(8, {0x7c});
  const auto v = b.values();
  EXPECT_EQ(v[0], 0.5f * (12 + 16) - 3);
  EXPECT_EQ(v[16], 0.5f * 7 - 3);
  EXPECT_EQ(v[31], -3);
}

TEST(BlockValues, Q2_K) {
  Block b(DType::kQ2_K);
  b.half(80, 2)
      .half(82, 0.5f)
      .set(0, {0x31})
      .set(3, {0x0f})
      .set(8 + 7, {0xf2})
      .set(16, {3})
      .set(16 + 17, {1 << 2})
      .set(16 + 32 + 31, {2 << 6});
  const auto v = b.values();
  EXPECT_EQ(v[0], 2 * 1 * 3 - 0.5f * 3);  // sub-block 0
  EXPECT_EQ(v[1], -0.5f * 3);
  EXPECT_EQ(v[32 + 17], 2 * 15 * 1);                   // sub-block 3: the second pair of bits
  EXPECT_EQ(v[128 + 96 + 31], 2 * 2 * 2 - 0.5f * 15);  // sub-block 15: the fourth pair of the second half
}

TEST(BlockValues, Q3_K) {
  Block b(DType::kQ3_K);
  b.half(108, 1);
  for (size_t i = 96; i < 104; ++i) b.set(i, {0x11});         // low bits of all scales: 1
  for (size_t i = 104; i < 108; ++i) b.set(i, {0b10101010});  // high bits: 2, so that all are 33
  b.set(32, {3}).set(0, {0x01}).set(32 + 32 + 5, {1 << 4}).set(5, {1 << 6});
  auto v = b.values();
  EXPECT_EQ(v[0], (33 - 32) * (3 + 4 - 4));
  EXPECT_EQ(v[1], -4);
  EXPECT_EQ(v[128 + 64 + 5], 1 + 4 - 4);             // pair 2 of the second half: bit 4 + 2 of the third bits
  b.set(96 + 1, {0x5f}).set(104 + 1, {0b00110100});  // sub-blocks 1, 9: low 15, 5; 1, 5, 9, 13: high 0, 1, 3, 0
  v = b.values();
  EXPECT_EQ(v[16], (15 - 32) * -4);
  EXPECT_EQ(v[128 + 16], (5 + 48 - 32) * -4);
}

TEST(BlockValues, Q5_K) {
  Block b(DType::kQ5_K);
  // Scale and minimum of sub-block 1, then of sub-block 6, whose upper bits lie above those of 2.
  b.half(0, 1).half(2, 1).set(4 + 1, {5}).set(4 + 5, {2}).set(4 + 10, {0x3a}).set(4 + 2, {1 << 6}).set(4 + 6, {2 << 6});
  b.set(48, {0x90}).set(16, {1 << 1}).set(48 + 96 + 31, {0x0c}).set(16 + 31, {1 << 6});
  const auto v = b.values();
  EXPECT_EQ(v[32], 5 * (9 + 16) - 2);
  EXPECT_EQ(v[33], -2);
  EXPECT_EQ(v[192 + 31], (10 + 16) * (12 + 16) - (3 + 32));
}

TEST(BlockValues, IQ4_NL) {
  Block b(DType::kIQ4_NL);
  b.half(0, 2).set(2, {0xf0, 0x87});
  const auto v = b.values();
  EXPECT_EQ(v[0], 2 * -127);
  EXPECT_EQ(v[16], 2 * 113);
  EXPECT_EQ(v[1], 2 * -10);
  EXPECT_EQ(v[17], 2 * 1);
}

TEST(BlockValues, IQ4_XS) {
  Block b(DType::kIQ4_XS);
  b.half(0, 0.5f)
      .set(2, {0x80, 0x40})
      .set(4, {0, 0x90, 0, 0x20});  // sub-blocks 3 and 7: high bits 2 and 1, low bits 9 and 2
  b.set(8 + 48, {0x0f}).set(8 + 112 + 15, {0xc0});
  const auto v = b.values();
  EXPECT_EQ(v[96], 0.5f * (32 + 9 - 32) * 113);
  EXPECT_EQ(v[96 + 16], 0.5f * 9 * -127);
  EXPECT_EQ(v[224 + 31], 0.5f * (16 + 2 - 32) * 53);
  EXPECT_EQ(v[0], 0.5f * -32 * -127);
}

TEST(BlockValues, IQ3_S) {
  Block b(DType::kIQ3_S);
  // Entry 1 is 3 1 1 1, entry 5 is 1 3 1 1, the last 1 1 15 15.
  b.half(0, 0.25f)
      .set(2, {1})
      .set(2 + 8 * 5 + 7, {0xff})
      .set(66 + 5, {1 << 7})
      .set(74, {0x03})
      .set(74 + 23, {0x80})
      .set(106 + 2, {0x70});
  b.set(2 + 8, {5});
  const auto v = b.values();
  EXPECT_EQ(v[0], -0.25f * 3);
  EXPECT_EQ(v[1], -0.25f);
  EXPECT_EQ(v[2], 0.25f);
  EXPECT_EQ(v[33], 0.25f * 3);
  EXPECT_EQ(v[160 + 28], 0.25f * 15 * 1);  // scale of sub-block 5: 1 + 2 * 7
  EXPECT_EQ(v[160 + 30], 0.25f * 15 * 15);
  EXPECT_EQ(v[160 + 31], -0.25f * 15 * 15);
}

TEST(BlockValues, MXFP4) {
  Block b(DType::kMXFP4);
  b.set(0, {128}).set(1, {0x71, 0xf9, 0x08});
  const auto v = b.values();
  EXPECT_EQ(v[0], 2 * 0.5f);
  EXPECT_EQ(v[16], 2 * 6.0f);
  EXPECT_EQ(v[1], 2 * -0.5f);
  EXPECT_EQ(v[17], 2 * -6.0f);
  EXPECT_EQ(v[2], 0);
  const float expected[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (uint32_t n = 0; n < 8; ++n) EXPECT_EQ(e2m1_to_float(n), expected[n]);
  EXPECT_EQ(e8m0_to_float(0), std::ldexp(1.0f, -127));
  EXPECT_EQ(e8m0_to_float(254), std::ldexp(1.0f, 127));
  EXPECT_TRUE(std::isnan(e8m0_to_float(255)));
}

TEST(BlockValues, TQ1_0) {
  // Every five digits, as the smallest byte whose fraction of 256 is not below theirs of 243.
  for (int code = 0; code < 243; ++code) {
    Block b(DType::kTQ1_0);
    const int byte = (code * 256 + 242) / 243;
    b.half(52, 2).set(3, {byte}).set(32 + 9, {byte});
    const auto v = b.values();
    for (int n = 0, rest = code, power = 81; n < 5; ++n, rest %= power, power /= 3) {
      EXPECT_EQ(v[32 * n + 3], 2.0f * static_cast<float>(rest / power - 1)) << code;
      EXPECT_EQ(v[160 + 16 * n + 9], 2.0f * static_cast<float>(rest / power - 1)) << code;
    }
  }
  Block tail(DType::kTQ1_0);
  tail.half(52, 1).set(48 + 2, {(2 * 27 + 1 * 9) * 256 / 81 + 1});  // 2 1 0 0
  const auto v = tail.values();
  EXPECT_EQ(v[240 + 2], 1);
  EXPECT_EQ(v[240 + 4 + 2], 0);
  EXPECT_EQ(v[240 + 8 + 2], -1);
}

TEST(BlockValues, TQ2_0) {
  Block b(DType::kTQ2_0);
  b.half(64, 3).set(0, {0b10010010}).set(63, {0b01000000});
  const auto v = b.values();
  EXPECT_EQ(v[0], 3);
  EXPECT_EQ(v[32], -3);
  EXPECT_EQ(v[64], 0);
  EXPECT_EQ(v[96], 3);
  EXPECT_EQ(v[255], 0);
}

TEST(BlockValues, I4KeepsScalesOfSixteenBits) {
  for (uint32_t h = 0; h < 0x7c00; h += 7) {
    const float scale = half_to_float(static_cast<uint16_t>(h));
    EXPECT_EQ(I4::apply(13, I4::pack_scale(scale, 5)), scale * 8);
    EXPECT_EQ(I4::apply(0, I4::pack_scale(-scale, 255)), scale * 255);
  }
  const float third = 1.0f / 3;
  EXPECT_NEAR(I4::apply(1, I4::pack_scale(third, 0)), third, third * 0x1p-16);
}

// Blocks of random weights are well-behaved whatever the type.
TEST(SynthBlocks, HaveTheDeviationThatIsAskedFor) {
  for (size_t i = 0; i < static_cast<size_t>(WeightFormat::kCount); ++i) {
    const FormatTraits& t = traits(static_cast<WeightFormat>(i));
    if (t.grouped) continue;
    SCOPED_TRACE(t.name);
    ASSERT_TRUE(lahar::detail::can_fill(t.file));
    for (const float deviation : {0.02f, 0.013f}) {
      std::vector<float> values(1 << 17);
      std::vector<std::byte> bytes(*byte_size(t.file, values.size()));
      lahar::detail::fill_random(t.file, 5, 0, 0, deviation, bytes);
      ASSERT_TRUE(to_floats(t.file, bytes, values).ok());
      double sum = 0, squares = 0;
      for (const float v : values) sum += v, squares += double{v} * v;
      const double n = static_cast<double>(values.size());
      EXPECT_LT(std::abs(sum / n), 0.1 * deviation);
      EXPECT_NEAR(std::sqrt(squares / n) / deviation, 1, 0.03);
      std::vector<std::byte> part(bytes.size() / 2);
      lahar::detail::fill_random(t.file, 5, values.size() / 2, 0, deviation, part);
      EXPECT_EQ(std::memcmp(part.data(), bytes.data() + part.size(), part.size()), 0);
    }
  }
}

}  // namespace
}  // namespace lahar::quant
