#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "core/platform.h"
#include "temporary_folder.h"

namespace lahar::platform {
namespace {

class PlatformTest : public testing::Test {
 protected:
  static std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  }
  static std::string text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  const test::TemporaryFolder own_folder_;
  const std::filesystem::path& folder_ = own_folder_.path();
};

TEST_F(PlatformTest, MappedFileHoldsTheBytes) {
  std::ofstream(folder_ / "a") << "some bytes";
  auto file = MappedFile::open(folder_ / "a");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(text(file->bytes()), "some bytes");

  const std::byte* data = file->bytes().data();
  MappedFile moved = std::move(*file);
  EXPECT_EQ(moved.bytes().data(), data);
  EXPECT_TRUE(file->bytes().empty());
}

TEST_F(PlatformTest, MappedFileErrors) {
  const auto missing = MappedFile::open(folder_ / "missing");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  const auto folder = MappedFile::open(folder_);
  ASSERT_FALSE(folder.ok());
  EXPECT_EQ(folder.error().code, ErrorCode::kIo);
}

TEST_F(PlatformTest, EmptyFileIsAnEmptySpan) {
  std::ofstream(folder_ / "empty").flush();
  const auto file = MappedFile::open(folder_ / "empty");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_TRUE(file->bytes().empty());
}

TEST_F(PlatformTest, ReleasedPagesReadTheSameAgain) {
  const std::string content(100'000, 'x');
  std::ofstream(folder_ / "big") << content;
  const auto file = MappedFile::open(folder_ / "big");
  ASSERT_TRUE(file.ok());
  file->release(file->bytes().subspan(5000, 60'000));
  file->release(file->bytes().first(10));
  file->release({});
  EXPECT_EQ(text(file->bytes()), content);
}

TEST_F(PlatformTest, AtomicWriteReplacesAndLeavesNothingBeside) {
  const auto path = folder_ / "new" / "folder" / "file";
  ASSERT_TRUE(write_file_atomically(path, bytes("first")).ok());
  const auto before = MappedFile::open(path);
  ASSERT_TRUE(before.ok());
  ASSERT_TRUE(write_file_atomically(path, bytes("second, longer")).ok());
  const auto after = MappedFile::open(path);
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(text(before->bytes()), "first");  // who has the old file open keeps it
  EXPECT_EQ(text(after->bytes()), "second, longer");
  const auto files = std::filesystem::directory_iterator(path.parent_path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

TEST_F(PlatformTest, FailedAtomicWriteChangesNothing) {
  std::filesystem::create_directories(folder_ / "taken" / "inside");
  const Status status = write_file_atomically(folder_ / "taken", bytes("text"));  // a folder that is not empty
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(std::filesystem::is_directory(folder_ / "taken" / "inside"));
  const auto files = std::filesystem::directory_iterator(folder_);
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

}  // namespace
}  // namespace lahar::platform
