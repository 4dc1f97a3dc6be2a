// Where the optional test data lies: $LAHAR_TEST_DATA, else ../shared beside the source tree.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace lahar::test {

inline std::filesystem::path source_folder() { return LAHAR_SOURCE_DIR; }

inline std::filesystem::path data_folder() {
  if (const char* folder = std::getenv("LAHAR_TEST_DATA")) return folder;
  return source_folder() / ".." / "shared";
}

// A path as a parameter of a test is named: letters, digits and underscores alone.
inline std::string test_name(std::string path) {
  std::replace_if(
      path.begin(), path.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return path;
}

}  // namespace lahar::test

// Skips the test, saying what it lacks, where `relative` is not in the test data.
#define LAHAR_NEED_DATA(variable, relative)                                       \
  const std::filesystem::path variable = lahar::test::data_folder() / (relative); \
  if (!std::filesystem::exists(variable)) GTEST_SKIP() << "needs test data: " << variable
