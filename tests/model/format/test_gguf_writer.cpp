#include "format/gguf_writer.h"
#include "format_test.h"

namespace lahar {
namespace {

// All bytes that the writer hands out
Result<std::string> written(const GgufWriter& writer) {
  std::string out;
  const Status status = writer.write([&](std::span<const std::byte> bytes) -> Status {
    out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  });
  if (!status.ok()) return status.error();
  return out;
}

void refused(const GgufWriter& writer, ErrorCode code, std::string_view part) {
  const auto result = written(writer);
  ASSERT_FALSE(result.ok()) << "expected: " << part;
  EXPECT_EQ(result.error().code, code);
  test::expect_message(result.error(), "", part);
}

TEST(GgufWriter, WhatIsWrittenIsRead) {
  GgufWriter writer;
  writer.set_alignment(64);
  writer.add("general.architecture", "llama");
  writer.add("u32", uint32_t{7});
  writer.add("u64", uint64_t{1} << 40);
  writer.add("i32", int32_t{-7});
  writer.add("f32", 0.25f);
  writer.add("bool", true);
  const std::vector<std::string> strings = {"a", "", "bc"};
  const std::vector<int32_t> integers = {1, -2};
  const std::vector<float> floats = {0.5f};
  writer.add("strings", std::span(strings));
  writer.add("integers", std::span(integers));
  writer.add("floats", std::span(floats));
  const double pi = 3.14159;
  writer.add_raw("f64", GgufType::kF64, std::as_bytes(std::span(&pi, 1)));
  writer.add_tensor("streamed", DType::kQ8_0, {3, 64}, [](const GgufWriter::Sink& sink) -> Status {
    for (int i = 0; i < 6; ++i) {
      const std::vector<std::byte> block(34, static_cast<std::byte>(i));
      LAHAR_TRY(sink(block));
    }
    return {};
  });
  const float values[] = {1, 2, 3};
  writer.add_tensor("copied", DType::kF32, {3}, std::as_bytes(std::span(values)));

  const auto bytes = written(writer);
  ASSERT_TRUE(bytes.ok()) << bytes.error().message;
  EXPECT_EQ(*writer.file_size(), bytes->size());
  const auto file = GgufFile::from_memory(test::as_bytes(*bytes), "written");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->version(), 3u);
  const GgufMetadata& m = file->metadata();
  EXPECT_EQ(m.entries().size(), 11u);
  EXPECT_EQ(m.unsigned_integer("general.alignment"), 64u);
  EXPECT_EQ(m.string("general.architecture"), "llama");
  EXPECT_EQ(m.unsigned_integer("u32"), 7u);
  EXPECT_EQ(m.unsigned_integer("u64"), uint64_t{1} << 40);
  EXPECT_EQ(m.integer("i32"), -7);
  EXPECT_EQ(m.number("f32"), 0.25);
  EXPECT_EQ(m.number("f64"), pi);
  EXPECT_EQ(m.boolean("bool"), true);
  EXPECT_EQ(m.array("strings")->strings, (std::vector<std::string_view>{"a", "", "bc"}));
  EXPECT_EQ(m.array("integers")->integer(1), -2);
  EXPECT_EQ(m.array("floats")->number(0), 0.5);

  const TensorView* streamed = file->find_tensor("streamed");
  ASSERT_NE(streamed, nullptr);
  EXPECT_EQ(streamed->shape, (Shape{3, 64}));
  EXPECT_EQ(streamed->dtype, DType::kQ8_0);
  for (size_t i = 0; i < streamed->data.size(); ++i) EXPECT_EQ(streamed->data[i], static_cast<std::byte>(i / 34));
  const TensorView* copied = file->find_tensor("copied");
  ASSERT_NE(copied, nullptr);
  EXPECT_EQ(std::memcmp(copied->data.data(), values, sizeof(values)), 0);
  EXPECT_EQ((copied->data.data() - streamed->data.data()) % 64, 0);
}

TEST(GgufWriter, EveryTypeOfTheFormatComesBack) {
  GgufWriter writer;
  int count = 0;
  for (int i = 0; i < static_cast<int>(DType::kCount); ++i) {
    const auto type = static_cast<DType>(i);
    const bool missing = type == DType::kU8 || type == DType::kU16 || type == DType::kU32 || type == DType::kU64 ||
                         type == DType::kBool || type == DType::kF8E5M2 || type == DType::kI4;
    const std::vector<std::byte> block(traits(type).block_bytes);
    if (missing) {
      GgufWriter other;
      other.add_tensor("t", type, {traits(type).block_values}, block);
      refused(other, ErrorCode::kUnsupported, "tensor 't': GGUF has no element type");
      continue;
    }
    writer.add_tensor(std::string(to_string(type)), type, {traits(type).block_values}, block);
    ++count;
  }
  const auto bytes = written(writer);
  ASSERT_TRUE(bytes.ok()) << bytes.error().message;
  const auto file = GgufFile::from_memory(test::as_bytes(*bytes), "written");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->tensors().size(), static_cast<size_t>(count));
  for (const TensorView& tensor : file->tensors()) EXPECT_EQ(tensor.name, to_string(tensor.dtype));
}

TEST(GgufWriter, MistakesAreNamed) {
  const std::vector<std::byte> four(4);
  {
    GgufWriter writer;
    writer.add("a", 1.0f);
    writer.add("b", 1.0f);
    writer.add("a", true);
    refused(writer, ErrorCode::kInvalidArgument, "key 'a' is given twice");
  }
  {
    GgufWriter writer;
    writer.add_tensor("t", DType::kF32, {1}, four);
    writer.add_tensor("t", DType::kF32, {1}, four);
    refused(writer, ErrorCode::kInvalidArgument, "tensor 't' is given twice");
  }
  for (const Shape& shape : {Shape{}, Shape{1, 1, 1, 1, 1}, Shape{0}, Shape{uint64_t{1} << 40, uint64_t{1} << 40}}) {
    GgufWriter writer;
    writer.add_tensor("t", DType::kF32, shape, four);
    refused(writer, ErrorCode::kInvalidArgument, "tensor 't': shape");
  }
  {
    GgufWriter writer;
    writer.add_tensor("t", DType::kQ4_K, {2, 128}, four);
    refused(writer, ErrorCode::kInvalidArgument, "a row of 128 values is not a multiple of Q4_K's block of 256");
  }
  for (const uint64_t extent : {uint64_t{2}, uint64_t{16}}) {  // fewer bytes than are due
    GgufWriter writer;
    writer.add_tensor("t", DType::kF32, {extent}, four);
    refused(writer, ErrorCode::kInvalidArgument, "bytes expected, 4 were produced");
  }
  {
    GgufWriter writer;
    writer.add_tensor("t", DType::kI8, {3}, four);  // more of them
    refused(writer, ErrorCode::kInvalidArgument, "3 bytes expected, 4 were produced");
  }
}

class GgufWriterFile : public test::FolderTest {
 protected:
  size_t files() const {
    const auto all = std::filesystem::directory_iterator(folder_);
    return static_cast<size_t>(std::distance(begin(all), end(all)));
  }
};

TEST_F(GgufWriterFile, WritesWholeFilesOnly) {
  const std::vector<std::byte> four(4);
  GgufWriter good;
  good.add_tensor("t", DType::kF32, {1}, four);
  ASSERT_TRUE(good.write_file(folder_ / "m.gguf").ok());
  EXPECT_EQ(std::filesystem::file_size(folder_ / "m.gguf"), *good.file_size());
  EXPECT_TRUE(GgufFile::open(folder_ / "m.gguf").ok());

  GgufWriter bad;
  bad.add_tensor("t", DType::kF32, {2}, four);
  EXPECT_FALSE(bad.write_file(folder_ / "m.gguf").ok());
  EXPECT_EQ(std::filesystem::file_size(folder_ / "m.gguf"), *good.file_size());
  EXPECT_EQ(files(), 1u);

  const Status cancelled = good.write_file(folder_ / "other.gguf", [](uint64_t) { return false; });
  ASSERT_FALSE(cancelled.ok());
  EXPECT_EQ(cancelled.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(files(), 1u);

  const Status nowhere = good.write_file(folder_ / "missing" / "m.gguf");
  ASSERT_FALSE(nowhere.ok());
  EXPECT_EQ(nowhere.error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace lahar
