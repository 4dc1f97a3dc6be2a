#include <cmath>
#include <limits>

#include "format/gguf.h"
#include "format_test.h"

namespace lahar {
namespace {

using test::ByteBuilder;
using test::ExactCopy;
using test::expect_message;

constexpr std::string_view kName = "test.gguf";

ByteBuilder header(uint64_t tensors, uint64_t entries, uint32_t version = 3) {
  ByteBuilder b;
  b.bytes = "GGUF";
  return b.put(version).length(tensors).length(entries);
}

// A key with each type, arrays of numbers, strings and arrays, and three tensors.
ByteBuilder small_file(uint32_t version = 3) {
  ByteBuilder b = header(3, 17, version);
  b.string("u8").type(0).put<uint8_t>(200);
  b.string("i8").type(1).put<int8_t>(-100);
  b.string("u16").type(2).put<uint16_t>(60000);
  b.string("i16").type(3).put<int16_t>(-30000);
  b.string("u32").type(4).put<uint32_t>(4'000'000'000);
  b.string("i32").type(5).put<int32_t>(-2'000'000'000);
  b.string("f32").type(6).put<float>(1.5f);
  b.string("bool").type(7).put<uint8_t>(1);
  b.string("string").type(8).string("some text");
  b.string("numbers").type(9).type(5).length(3).put<int32_t>(7).put<int32_t>(-8).put<int32_t>(9);
  b.string("u64").type(10).put<uint64_t>(UINT64_MAX);
  b.string("i64").type(11).put<int64_t>(INT64_MIN);
  b.string("f64").type(12).put<double>(-2.25);
  b.string("strings").type(9).type(8).length(3).string("a").string("").string("ccc");
  b.string("nested").type(9).type(9).length(2);
  b.type(4).length(2).put<uint32_t>(1).put<uint32_t>(2);
  b.type(8).length(1).string("x");
  b.string("general.architecture").type(8).string("llama");
  b.string("floats").type(9).type(6).length(2).put<float>(0.5f).put<float>(-1.0f);
  b.string("matrix").type(2).length(64).length(3).type(2).length(0);                     // Q4_0, 108 bytes
  b.string("vector").type(1).length(5).type(0).length(128);                              // F32, 20 bytes
  b.string("cube").type(4).length(2).length(3).length(1).length(2).type(1).length(160);  // F16, 24 bytes
  b.pad(32);
  for (int i = 0; i < 184; ++i) b.bytes += static_cast<char>(i);
  return b;
}

Result<GgufFile> parse(const ExactCopy& copy) { return GgufFile::from_memory(copy.bytes(), std::string(kName)); }

// The message with which `bytes` are refused
std::string refusal(const std::string& bytes, std::string_view part = {}) {
  const ExactCopy copy(bytes);
  const auto file = parse(copy);
  EXPECT_FALSE(file.ok()) << "expected: " << part;
  if (file.ok()) return {};
  expect_message(file.error(), kName, part);
  return file.error().message;
}

TEST(Gguf, ReadsEveryType) {
  for (const uint32_t version : {2u, 3u}) {
    const ExactCopy copy(small_file(version).bytes);
    const auto file = parse(copy);
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->version(), version);
    EXPECT_EQ(file->name(), kName);
    const GgufMetadata& m = file->metadata();
    EXPECT_EQ(m.entries().size(), 17u);
    EXPECT_EQ(m.entries()[0].key, "u8");
    EXPECT_EQ(m.entries()[0].type, GgufType::kU8);
    EXPECT_EQ(m.unsigned_integer("u8"), 200u);
    EXPECT_EQ(m.integer("i8"), -100);
    EXPECT_EQ(m.unsigned_integer("u16"), 60000u);
    EXPECT_EQ(m.integer("i16"), -30000);
    EXPECT_EQ(m.unsigned_integer("u32"), 4'000'000'000u);
    EXPECT_EQ(m.integer("i32"), -2'000'000'000);
    EXPECT_EQ(m.number("f32"), 1.5);
    EXPECT_EQ(m.boolean("bool"), true);
    EXPECT_EQ(m.string("string"), "some text");
    EXPECT_EQ(m.unsigned_integer("u64"), UINT64_MAX);
    EXPECT_EQ(m.integer("i64"), INT64_MIN);
    EXPECT_EQ(m.number("f64"), -2.25);
    const GgufArray* numbers = m.array("numbers");
    ASSERT_NE(numbers, nullptr);
    EXPECT_EQ(numbers->count, 3u);
    EXPECT_EQ(numbers->integer(1), -8);
    EXPECT_EQ(numbers->number(2), 9.0);
    const GgufArray* strings = m.array("strings");
    ASSERT_NE(strings, nullptr);
    EXPECT_EQ(strings->strings, (std::vector<std::string_view>{"a", "", "ccc"}));
    EXPECT_FALSE(strings->is_numeric());
    ASSERT_NE(m.array("nested"), nullptr);
    EXPECT_EQ(m.array("nested")->count, 0u);
  }
}

TEST(Gguf, GettersRefuseOtherTypes) {
  const ExactCopy copy(small_file().bytes);
  const auto file = parse(copy);
  ASSERT_TRUE(file.ok());
  const GgufMetadata& m = file->metadata();
  EXPECT_EQ(m.unsigned_integer("i8"), std::nullopt);  // negative
  EXPECT_EQ(m.integer("u64"), std::nullopt);          // too large
  EXPECT_EQ(m.unsigned_integer("f32"), std::nullopt);
  EXPECT_EQ(m.unsigned_integer("string"), std::nullopt);
  EXPECT_EQ(m.unsigned_integer("missing"), std::nullopt);
  EXPECT_EQ(m.number("i8"), -100.0);
  EXPECT_EQ(m.number("bool"), std::nullopt);
  EXPECT_EQ(m.boolean("u8"), std::nullopt);
  EXPECT_EQ(m.string("u8"), std::nullopt);
  EXPECT_EQ(m.array("u8"), nullptr);
  EXPECT_EQ(m.find("missing"), nullptr);
  EXPECT_EQ(m.per_layer("u8", 5), 200u);
  EXPECT_EQ(m.per_layer("numbers", 0), 7u);
  EXPECT_EQ(m.per_layer("numbers", 1), std::nullopt);  // negative
  EXPECT_EQ(m.per_layer("numbers", 3), std::nullopt);  // beyond the end
  EXPECT_EQ(m.per_layer("floats", 0), std::nullopt);
  EXPECT_EQ(m.per_layer("strings", 0), std::nullopt);
}

TEST(Gguf, ArrayNumbersOfEveryType) {
  ByteBuilder b;
  b.put<double>(1e300).put<double>(-1e300).put<double>(std::numeric_limits<double>::quiet_NaN()).put<double>(2.75);
  GgufArray array{.element = GgufType::kF64, .count = 4, .bytes = test::as_bytes(b.bytes), .strings = {}};
  EXPECT_EQ(array.integer(0), INT64_MAX);
  EXPECT_EQ(array.integer(1), INT64_MIN);
  EXPECT_EQ(array.integer(2), 0);
  EXPECT_EQ(array.integer(3), 2);
  EXPECT_EQ(array.number(0), 1e300);

  const std::string ones(8, '\xff');
  for (const auto& [type, expected] : std::vector<std::pair<GgufType, int64_t>>{{GgufType::kU8, 255},
                                                                                {GgufType::kI8, -1},
                                                                                {GgufType::kU16, 65535},
                                                                                {GgufType::kI16, -1},
                                                                                {GgufType::kU32, 4294967295},
                                                                                {GgufType::kI32, -1},
                                                                                {GgufType::kU64, INT64_MAX},
                                                                                {GgufType::kI64, -1},
                                                                                {GgufType::kBool, 1}}) {
    array = {.element = type, .count = 1, .bytes = test::as_bytes(ones), .strings = {}};
    EXPECT_EQ(array.integer(0), expected) << to_string(type);
    EXPECT_TRUE(array.is_numeric());
  }
}

TEST(Gguf, TensorsLieWhereTheFileSays) {
  const ByteBuilder b = small_file();
  const ExactCopy copy(b.bytes);
  const auto file = parse(copy);
  ASSERT_TRUE(file.ok()) << file.error().message;
  ASSERT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->tensors()[0].name, "matrix");
  const TensorView* matrix = file->find_tensor("matrix");
  ASSERT_NE(matrix, nullptr);
  EXPECT_EQ(matrix->dtype, DType::kQ4_0);
  EXPECT_EQ(matrix->shape, (Shape{3, 64}));
  EXPECT_EQ(matrix->data.size(), 108u);
  EXPECT_EQ(matrix->data[7], std::byte{7});
  const TensorView* cube = file->find_tensor("cube");
  ASSERT_NE(cube, nullptr);
  EXPECT_EQ(cube->shape, (Shape{2, 1, 3, 2}));
  EXPECT_EQ(cube->data.size(), 24u);
  EXPECT_EQ(cube->data[0], std::byte{160});
  EXPECT_EQ(file->find_tensor("cub"), nullptr);
  EXPECT_EQ(file->find_tensor(""), nullptr);
}

TEST(Gguf, VocabularyAloneAndEmptyFile) {
  ByteBuilder b = header(0, 1);
  b.string("tokenizer.ggml.tokens").type(9).type(8).length(1).string("a");
  const ExactCopy copy(b.bytes);
  const auto file = parse(copy);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_TRUE(file->tensors().empty());
  const ExactCopy nothing(header(0, 0).bytes);
  EXPECT_TRUE(parse(nothing).ok());
}

TEST(Gguf, EveryTruncationIsAnError) {
  const std::string whole = small_file().bytes;
  ASSERT_TRUE(parse(ExactCopy(whole)).ok());
  for (size_t n = 0; n < whole.size(); ++n) refusal(whole.substr(0, n));
}

TEST(Gguf, EveryLengthMayLie) {
  const ByteBuilder b = small_file();
  ASSERT_GT(b.lengths.size(), 30u);
  for (const size_t at : b.lengths) {
    const auto truth = test::peek<uint64_t>(b.bytes, at);
    for (const uint64_t lie :
         {uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 7, uint64_t{1} << 62, uint64_t{1} << 61, uint64_t{1} << 32,
          uint64_t{1} << 40, uint64_t{b.bytes.size()}, truth + 1, truth - 1, truth + 32}) {
      std::string bytes = b.bytes;
      test::patch(bytes, at, lie);
      const ExactCopy copy(bytes);
      const auto file = parse(copy);
      if (!file.ok()) expect_message(file.error(), kName);
      // Every length is at most the size of the file, so a larger one cannot be taken for true.
      if (lie > b.bytes.size()) { EXPECT_FALSE(file.ok()) << "length at " << at << " set to " << lie; }
    }
  }
}

TEST(Gguf, EveryTypeMayLie) {
  const ByteBuilder b = small_file();
  for (const size_t at : b.types) {
    for (uint32_t lie = 0; lie < 64; ++lie) {
      std::string bytes = b.bytes;
      test::patch(bytes, at, lie);
      const auto file = parse(ExactCopy(bytes));
      if (!file.ok()) expect_message(file.error(), kName);
    }
    for (const uint32_t lie : {41u, 255u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
      std::string bytes = b.bytes;
      test::patch(bytes, at, lie);
      EXPECT_FALSE(parse(ExactCopy(bytes)).ok()) << "type at " << at << " set to " << lie;
    }
  }
}

TEST(Gguf, AnyByteMayChange) {
  const std::string whole = small_file().bytes;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int change : {0x01, 0x80, 0xff}) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ change);
      const auto file = parse(ExactCopy(bytes));
      if (!file.ok()) expect_message(file.error(), kName);
    }
  }
}

TEST(Gguf, OtherFilesAndVersionsAreNamed) {
  refusal("", "not a GGUF file");
  refusal("GGU", "not a GGUF file");
  refusal("{\"a\": 1}\n and more", "not a GGUF file (it starts with '{\"a\"')");
  refusal("GGUF", "the version");
  refusal(header(0, 0, 1).bytes, "GGUF version 1, only 2 and 3");
  refusal(header(0, 0, 4).bytes, "GGUF version 4, only 2 and 3");
  refusal(header(0, 0, 0).bytes, "GGUF version 0");
  ByteBuilder big;
  big.bytes = "GGUF";
  big.put<uint32_t>(0x03000000).put<uint64_t>(0).put<uint64_t>(0);
  refusal(big.bytes, "big-endian");
}

TEST(Gguf, RepeatedNamesAreRefused) {
  ByteBuilder keys = header(0, 3);
  keys.string("b").type(0).put<uint8_t>(1).string("a").type(0).put<uint8_t>(1).string("b").type(7).put<uint8_t>(1);
  refusal(keys.bytes, "key 'b' is there twice");

  ByteBuilder tensors = header(2, 0);
  tensors.string("t").type(1).length(8).type(0).length(0);
  tensors.string("t").type(1).length(8).type(0).length(32).pad(32);
  refusal(tensors.bytes + std::string(64, 'x'), "tensor 't' is there twice");
}

TEST(Gguf, BadEntriesAreNamed) {
  refusal(header(0, 1).string("").type(4).put<uint32_t>(1).put<uint64_t>(0).bytes, "a key of 0 bytes");
  refusal(header(0, 1).string("k").type(13).put<uint64_t>(1).bytes, "key 'k': unknown value type 13 at offset 33");
  refusal(header(0, 1).string("k").type(7).put<uint8_t>(2).bytes, "key 'k': a boolean that is 2");
  refusal(header(0, 1).string("k").type(4).put<uint8_t>(2).bytes, "key 'k': the file ends within a value");
  refusal(header(0, 1).string("k").type(8).length(9).put<uint64_t>(2).bytes, "key 'k': the file ends within a string");
  refusal(header(0, 1).string("k").type(9).type(5).length(3).put<uint64_t>(2).bytes,
          "key 'k': an array of 3 elements cannot fit");
  ByteBuilder deep = header(0, 1).string("k").type(9);
  for (int i = 0; i < 100'000; ++i) deep.type(9).length(1);
  refusal(deep.bytes, "nested too deep");
  refusal(header(0, UINT64_MAX).bytes, "18446744073709551615 metadata entries cannot fit");
  refusal(header(UINT64_MAX, 0).bytes, "18446744073709551615 tensors cannot fit");
}

TEST(Gguf, AlignmentMustMakeSense) {
  const auto file = [](auto&& value) {
    ByteBuilder b = header(1, 1);
    b.string("general.alignment");
    value(b);
    b.string("t").type(1).length(2).type(0).length(0);
    return b;
  };
  const auto u32 = [&](uint32_t alignment) { return file([=](ByteBuilder& b) { b.type(4).put(alignment); }); };
  for (const uint32_t alignment : {0u, 1u, 4u, 7u, 48u, 0x80000000u})
    refusal(u32(alignment).bytes + std::string(64, 'x'),
            "key 'general.alignment': a power of two from 8 to 1048576 expected");
  refusal(file([](ByteBuilder& b) { b.type(8).string("32"); }).bytes + std::string(64, 'x'), "found string");
  for (const uint32_t alignment : {8u, 32u, 64u, 4096u}) {
    const ExactCopy copy(u32(alignment).pad(alignment).bytes + "12345678");
    const auto parsed = parse(copy);
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    EXPECT_EQ(static_cast<size_t>(parsed->tensors()[0].data.data() - copy.bytes().data()) % alignment, 0u);
  }
}

TEST(Gguf, BadTensorsAreNamed) {
  const auto tensor = [](std::vector<uint64_t> extents, uint32_t type, uint64_t offset) {
    ByteBuilder b = header(1, 0);
    b.string("t").type(static_cast<uint32_t>(extents.size()));
    for (const uint64_t extent : extents) b.length(extent);
    return b.type(type).length(offset).pad(32).bytes + std::string(128, 'x');
  };
  ASSERT_TRUE(parse(ExactCopy(tensor({4, 8}, 0, 0))).ok());
  ASSERT_TRUE(parse(ExactCopy(tensor({}, 0, 0))).ok());  // a scalar
  refusal(tensor({1, 1, 1, 1, 1}, 0, 0), "tensor 't': rank 5, at most 4 expected");
  refusal(tensor({4, 0}, 0, 0), "tensor 't': an extent of 0");
  refusal(tensor({4, 8}, 4, 0), "tensor 't': unknown tensor type 4");
  refusal(tensor({4, 8}, 40, 0), "tensor 't': unknown tensor type 40");
  refusal(tensor({33}, 2, 0), "tensor 't': a row of 33 values is not a multiple of Q4_0's block of 32");
  refusal(tensor({16, 2}, 2, 0), "a row of 16 values");
  refusal(tensor({4, 8}, 0, 8), "tensor 't': data is not aligned to 32 bytes at offset 8");
  refusal(tensor({4, 8}, 0, 32), "tensor 't': data of 128 bytes goes beyond the end");
  refusal(tensor({33}, 0, 0), "tensor 't': data of 132 bytes goes beyond the end");
  refusal(tensor({4, 8}, 0, uint64_t{1} << 63), "goes beyond the end");
  refusal(tensor({4, 8}, 0, UINT64_MAX - 31), "goes beyond the end");
  refusal(tensor({uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0), "more than 2^64 values");
  refusal(tensor({uint64_t{1} << 62}, 0, 0), "more than 2^64 bytes");
  refusal(header(1, 0).string("").type(1).length(1).type(0).length(0).pad(32).put(1.0f).bytes, "a tensor's name of 0 bytes");
}

TEST(Gguf, SharedBytesAreRefused) {
  ByteBuilder b = header(2, 0);
  b.string("a").type(1).length(16).type(0).length(32);
  b.string("b").type(1).length(9).type(0).length(0).pad(32);
  refusal(b.bytes + std::string(96, 'x'), "tensors 'b' and 'a' share bytes");
}

TEST(Gguf, NamesInMessagesAreEscaped) {
  const std::string message = refusal(header(0, 1).string("a\nb\x80").type(13).put<uint64_t>(1).bytes);
  EXPECT_NE(message.find("'a\\x0ab\\x80'"), std::string::npos) << message;
  refusal(header(0, 1).string(std::string(60'000, 'k')).type(13).put<uint64_t>(1).bytes, "kkk...'");
  refusal(header(0, 1).string(std::string(70'000, 'k')).type(4).put<uint64_t>(1).bytes, "a key of 70000 bytes");
}

class GgufSplit : public test::FolderTest {
 protected:
  // Part `number` of `count`, with one tensor, named as it should be
  static ByteBuilder part(uint32_t number, uint32_t count, std::string_view tensor, int64_t total = -1) {
    ByteBuilder b = header(1, total >= 0 ? 4 : 3);
    b.string("split.count").type(2).put<uint16_t>(static_cast<uint16_t>(count));
    b.string("split.no").type(2).put<uint16_t>(static_cast<uint16_t>(number));
    b.string("name").type(4).put<uint32_t>(number);
    if (total >= 0) b.string("split.tensors.count").type(5).put<int32_t>(static_cast<int32_t>(total));
    b.string(tensor).type(1).length(2).type(0).length(0).pad(32);
    b.put<float>(static_cast<float>(number)).put<float>(0);
    return b;
  }
  std::filesystem::path path(int number, int count) const {
    return folder_ / ("m-0000" + std::to_string(number) + "-of-0000" + std::to_string(count) + ".gguf");
  }
  void write(int number, int count, const ByteBuilder& b) const { test::write_file(path(number, count), b.bytes); }
  void refused(const std::filesystem::path& file, std::string_view part) const {
    const auto result = GgufFile::open(file);
    ASSERT_FALSE(result.ok()) << part;
    EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message << "\nexpected: " << part;
    EXPECT_EQ(result.error().message.find('\n'), std::string::npos);
  }
};

TEST_F(GgufSplit, ReadsAllParts) {
  write(1, 3, part(0, 3, "a", 3));
  write(2, 3, part(1, 3, "b"));
  write(3, 3, part(2, 3, "c"));
  const auto file = GgufFile::open(path(1, 3));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->files().size(), 3u);
  EXPECT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->metadata().unsigned_integer("name"), 0u);  // of the first part
  for (int i = 0; i < 3; ++i) {
    const TensorView* tensor = file->find_tensor(std::string(1, static_cast<char>('a' + i)));
    ASSERT_NE(tensor, nullptr);
    float value = -1;
    std::memcpy(&value, tensor->data.data(), sizeof(value));
    EXPECT_EQ(value, static_cast<float>(i));
  }
  refused(path(2, 3), "part 2 of 3, open the first part instead");
}

TEST_F(GgufSplit, MissingPart) {
  write(1, 3, part(0, 3, "a", 3));
  write(3, 3, part(2, 3, "c"));
  refused(path(1, 3), "part 2 of 3: " + path(2, 3).string());
  EXPECT_EQ(GgufFile::open(path(1, 3)).error().code, ErrorCode::kNotFound);
}

TEST_F(GgufSplit, WrongCountsAndNumbers) {
  write(1, 2, part(0, 2, "a", 3));
  write(2, 2, part(1, 2, "b"));
  refused(path(1, 2), "the 2 parts have 2 tensors");
  write(1, 2, part(0, 2, "a"));  // says nothing of the total
  EXPECT_TRUE(GgufFile::open(path(1, 2)).ok());
  write(2, 2, part(1, 3, "b"));
  refused(path(1, 2), "part 2 of 2 expected, the file says 2 of 3");
  write(2, 2, part(0, 2, "b"));
  refused(path(1, 2), "part 2 of 2 expected, the file says 1 of 2");
  write(2, 2, part(2, 2, "b"));
  refused(path(1, 2), "key 'split.no': an integer below split.count (2) expected, found 2");
  write(2, 2, part(1, 2, "a"));
  refused(path(1, 2), "tensor 'a' is there twice");
  write(1, 2, part(0, 3, "a"));
  refused(path(1, 2), "the first of 3 parts, its name must end with");
  write(1, 2, part(0, 65535, "a"));
  refused(path(1, 2), "the first of 65535 parts");
}

TEST_F(GgufSplit, PartsAreRefusedInMemory) {
  refusal(part(0, 2, "a").bytes, "part 1 of 2, parts are read from files only");
  ASSERT_TRUE(parse(ExactCopy(part(0, 1, "a").bytes)).ok());
  ASSERT_TRUE(parse(ExactCopy(part(0, 0, "a").bytes)).ok());
}

}  // namespace
}  // namespace lahar
