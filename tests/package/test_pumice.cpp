// The embedded model is the file of the source tree, byte for byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <vector>

#include "lahar/pumice.h"

TEST(Pumice, EmbeddedBytesAreTheFile) {
  std::ifstream file(LAHAR_SOURCE_DIR "/model/default/pumice-q8_0.gguf", std::ios::binary);
  ASSERT_TRUE(file.is_open());
  const std::vector<char> expected{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::span<const std::byte> embedded = lahar::pumice_gguf();
  ASSERT_EQ(embedded.size(), expected.size());
  const char* bytes = reinterpret_cast<const char*>(embedded.data());
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), bytes));
}

TEST(Pumice, TheCFunctionGivesTheSameBytes) {
  size_t size = 0;
  EXPECT_EQ(lahar_pumice_data(&size), lahar::pumice_gguf().data());
  EXPECT_EQ(size, lahar::pumice_gguf().size());
  EXPECT_EQ(lahar_pumice_data(nullptr), lahar::pumice_gguf().data());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(lahar_pumice_data(nullptr)) % 64, 0u);
}
