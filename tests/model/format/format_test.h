// What the tests of the file formats share.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "byte_builder.h"
#include "core/result.h"

namespace lahar::test {

// An error fit to be shown: one line that starts with the name of the file.
inline void expect_message(const Error& error, std::string_view name, std::string_view part = {}) {
  EXPECT_TRUE(std::string_view(error.message).starts_with(name)) << error.message;
  EXPECT_EQ(error.message.find('\n'), std::string::npos) << error.message;
  EXPECT_LT(error.message.size(), 600u) << error.message;
  EXPECT_NE(error.message.find(part), std::string::npos) << error.message << "\nexpected: " << part;
}

// With a folder of its own, removed with it.
class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ =
        std::filesystem::path(testing::TempDir()) / (std::string("lahar_") + info->test_suite_name() + "_" + info->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
};

}  // namespace lahar::test
