// What the tests of the file formats share.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "byte_builder.h"
#include "core/result.h"
#include "temporary_folder.h"

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
  const TemporaryFolder own_folder_;
  const std::filesystem::path& folder_ = own_folder_.path();
};

}  // namespace lahar::test
