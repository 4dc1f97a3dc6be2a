// Both forms of importance matrices.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "format/gguf_writer.h"
#include "quantize/importance.h"

namespace lahar {
namespace {

template <typename T>
void put(std::vector<std::byte>& out, T value) {
  for (const std::byte b : std::bit_cast<std::array<std::byte, sizeof(T)>>(value)) out.push_back(b);
}

void put_entry(std::vector<std::byte>& out, const std::string& name, int32_t calls, const std::vector<float>& values) {
  put(out, static_cast<int32_t>(name.size()));
  for (const char c : name) put(out, c);
  put(out, calls);
  put(out, static_cast<int32_t>(values.size()));
  for (const float v : values) put(out, v);
}

std::vector<std::byte> legacy(const std::vector<float>& values) {
  std::vector<std::byte> out;
  put(out, int32_t{2});
  put_entry(out, "a.weight", 7, values);
  put_entry(out, "b.weight", 1, {1, 1});
  return out;
}

std::vector<std::byte> gguf(const Shape& shape, const std::vector<float>& values) {
  GgufWriter writer;
  writer.add("general.type", "imatrix");
  const std::vector<float> counts(shape.rank() == 2 ? shape[0] : 1, 3.0f);
  writer.add_tensor("a.weight.in_sum2", DType::kF32, shape, std::as_bytes(std::span(values)));
  writer.add_tensor("a.weight.counts", DType::kF32, {counts.size(), 1}, std::as_bytes(std::span(counts)));
  std::vector<std::byte> out;
  EXPECT_TRUE(writer
                  .write([&](std::span<const std::byte> bytes) -> Status {
                    out.insert(out.end(), bytes.begin(), bytes.end());
                    return {};
                  })
                  .ok());
  return out;
}

TEST(Importance, WeightsHaveAMeanOfOne) {
  for (const auto& bytes : {legacy({1, 3, 0, 8}), gguf({1, 4}, {1, 3, 0, 8})}) {
    const auto matrix = ImportanceMatrix::from_bytes(bytes, "m");
    ASSERT_TRUE(matrix.ok()) << matrix.error().message;
    EXPECT_TRUE(matrix->has("a.weight"));
    EXPECT_FALSE(matrix->has("c.weight"));
    const auto weights = matrix->weights("a.weight", 1, 4);
    ASSERT_TRUE(weights.ok());
    EXPECT_FLOAT_EQ((*weights)[0], 1 / 3.0f);
    EXPECT_FLOAT_EQ((*weights)[3], 8 / 3.0f);
    EXPECT_GT((*weights)[2], 0);
    EXPECT_TRUE(matrix->weights("c.weight", 1, 4)->empty());
    EXPECT_FALSE(matrix->weights("a.weight", 1, 5).ok());
  }
}

TEST(Importance, EachExpertHasItsOwn) {
  const auto matrix = ImportanceMatrix::from_bytes(gguf({2, 2}, {1, 3, 0, 0}), "m");
  ASSERT_TRUE(matrix.ok()) << matrix.error().message;
  EXPECT_EQ(*matrix->weights("a.weight", 2, 2), (std::vector<float>{0.5f, 1.5f, 1, 1}));
  const auto one = ImportanceMatrix::from_bytes(legacy({1, 3}), "m");
  EXPECT_EQ(*one->weights("a.weight", 2, 2), (std::vector<float>{0.5f, 1.5f, 0.5f, 1.5f}));
}

TEST(Importance, EveryTruncationIsAnError) {
  for (const auto& whole : {legacy({1, 2, 3}), gguf({1, 3}, {1, 2, 3})}) {
    const bool is_gguf = whole[0] == std::byte{'G'};
    // A GGUF ends with padding.
    for (size_t size = 0; size < whole.size() - (is_gguf ? 64 : 0); ++size) {
      const std::vector<std::byte> part(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
      EXPECT_FALSE(ImportanceMatrix::from_bytes(part, "m").ok()) << size;
    }
  }
}

TEST(Importance, LiesAreErrors) {
  for (size_t at = 0; at < legacy({1, 2}).size(); at += 4) {
    for (const int32_t lie : {-1, INT32_MAX, INT32_MIN, 1 << 20}) {
      auto bytes = legacy({1, 2});
      std::memcpy(bytes.data() + at, &lie, sizeof lie);
      (void)ImportanceMatrix::from_bytes(bytes, "m").ok();  // no crash; the values themselves may be anything
    }
  }
  for (const float bad : {-1.0f, NAN, INFINITY}) {
    EXPECT_FALSE(ImportanceMatrix::from_bytes(legacy({1, bad}), "m").ok());
    EXPECT_FALSE(ImportanceMatrix::from_bytes(gguf({1, 2}, {1, bad}), "m").ok());
  }
  std::vector<std::byte> twice;
  put(twice, int32_t{2});
  put_entry(twice, "a", 1, {1});
  put_entry(twice, "a", 1, {1});
  EXPECT_FALSE(ImportanceMatrix::from_bytes(twice, "m").ok());
}

}  // namespace
}  // namespace lahar
