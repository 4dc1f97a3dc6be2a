#include <gtest/gtest.h>

#include "core/dtype.h"
#include "core/shape.h"

namespace lahar {
namespace {

TEST(DType, SizesAreThoseOfTheFormats) {
  EXPECT_EQ(byte_size(DType::kF32, 3), 12u);
  EXPECT_EQ(byte_size(DType::kBF16, 3), 6u);
  EXPECT_EQ(byte_size(DType::kQ4_0, 64), 36u);    // 2 + 16 a block
  EXPECT_EQ(byte_size(DType::kQ4_1, 32), 20u);    // 2 + 2 + 16
  EXPECT_EQ(byte_size(DType::kQ8_0, 32), 34u);    // 2 + 32
  EXPECT_EQ(byte_size(DType::kQ4_K, 256), 144u);  // 2 + 2 + 12 + 128
  EXPECT_EQ(byte_size(DType::kQ6_K, 512), 420u);  // 128 + 64 + 16 + 2
  EXPECT_EQ(byte_size(DType::kF32, 0), 0u);
}

TEST(DType, PartialBlocksAndOverflowHaveNoSize) {
  EXPECT_EQ(byte_size(DType::kQ4_0, 31), std::nullopt);
  EXPECT_EQ(byte_size(DType::kQ4_K, 32), std::nullopt);
  EXPECT_EQ(byte_size(DType::kF32, uint64_t{1} << 62), std::nullopt);
  EXPECT_EQ(byte_size(DType::kF16, (uint64_t{1} << 63) - 1), UINT64_MAX - 1);
}

TEST(DType, NamesLeadBack) {
  for (int i = 0; i < static_cast<int>(DType::kCount); ++i) {
    const auto type = static_cast<DType>(i);
    EXPECT_EQ(dtype_from_name(to_string(type)), type) << to_string(type);
    EXPECT_GT(traits(type).block_values, 0u);
    EXPECT_GT(traits(type).block_bytes, 0u);
  }
  EXPECT_EQ(dtype_from_name("f32"), std::nullopt);
  EXPECT_EQ(dtype_from_name(""), std::nullopt);
}

TEST(Shape, ElementsAndOverflow) {
  EXPECT_EQ(Shape().elements(), 1u);
  EXPECT_EQ(Shape().back(), 1u);
  EXPECT_EQ((Shape{3, 5, 7}).elements(), 105u);
  EXPECT_EQ((Shape{3, 5, 7}).back(), 7u);
  EXPECT_EQ((Shape{uint64_t{1} << 32, uint64_t{1} << 32}).elements(), std::nullopt);
  EXPECT_EQ((Shape{uint64_t{1} << 32, (uint64_t{1} << 32) - 1}).elements(), uint64_t{0xffffffff} << 32);
  EXPECT_EQ((Shape{3, 5}).to_string(), "[3, 5]");
}

TEST(Shape, RankIsBounded) {
  Shape shape;
  for (size_t i = 0; i < Shape::kMaxRank; ++i) EXPECT_TRUE(shape.push_back(2));
  EXPECT_FALSE(shape.push_back(2));
  EXPECT_EQ(shape.rank(), Shape::kMaxRank);
  EXPECT_FALSE(shape == (Shape{2, 2}));
  EXPECT_TRUE((Shape{2, 3}) == (Shape{2, 3}));
}

}  // namespace
}  // namespace lahar
