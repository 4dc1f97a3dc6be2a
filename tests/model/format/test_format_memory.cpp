// What a file takes when it is loaded is bounded by its size, whatever is in it: below 20 times the file and 64 MB.
#include <gtest/gtest.h>

#include "byte_builder.h"
#include "core/allocation_peak.h"
#include "format/gguf.h"
#include "format/safetensors.h"

namespace lahar {
namespace {

using test::ByteBuilder;

constexpr uint64_t kFactor = 20;

// Bytes allocated at most while `load` runs
template <typename F>
uint64_t peak_of(const F& load) {
  test::reset_peak();
  const uint64_t before = test::bytes_in_use();
  load();
  return test::peak_bytes() - before;
}

ByteBuilder header(uint64_t tensors, uint64_t entries) {
  ByteBuilder b;
  b.bytes = "GGUF";
  b.put<uint32_t>(3).put(tensors).put(entries);
  return b;
}

void put_string(ByteBuilder& b, std::string_view text) {
  b.put<uint64_t>(text.size());
  b.bytes += text;
}

void expect_gguf_within(const ByteBuilder& b, bool loads) {
  const auto bytes = test::as_bytes(b.bytes);
  const uint64_t peak = peak_of([&] {
    const auto file = GgufFile::from_memory(bytes, "file");
    EXPECT_EQ(file.ok(), loads) << (file.ok() ? "" : file.error().message);
  });
  EXPECT_LT(peak, kFactor * bytes.size() + 4096);
}

// The shortest distinct names, of letters
std::string name_of(uint64_t i) {
  std::string name;
  do {
    name += static_cast<char>('a' + i % 26);
    i /= 26;
  } while (i != 0);
  return name;
}

TEST(FormatMemory, ManySmallEntries) {
  constexpr uint64_t n = 100'000;
  ByteBuilder b = header(0, n);
  for (uint64_t i = 0; i < n; ++i) {
    put_string(b, name_of(i) + "!");
    b.put<uint32_t>(0).put<uint8_t>(1);
  }
  expect_gguf_within(b, true);
}

TEST(FormatMemory, ManyEmptyStrings) {
  constexpr uint64_t n = 1'000'000;
  ByteBuilder b = header(0, 1);
  put_string(b, "k");
  b.put<uint32_t>(9).put<uint32_t>(8).put(n);
  b.bytes.resize(b.bytes.size() + 8 * n);
  expect_gguf_within(b, true);
}

TEST(FormatMemory, ManySmallTensors) {
  constexpr uint64_t n = 50'000;
  ByteBuilder b = header(n, 0);
  for (uint64_t i = 0; i < n; ++i) {
    put_string(b, name_of(i) + "!");
    b.put<uint32_t>(0).put<uint32_t>(24).put(32 * i);  // one byte each
  }
  b.pad(32);
  expect_gguf_within(b, false);  // the data is missing
  b.bytes.resize(b.bytes.size() + 32 * n);
  expect_gguf_within(b, true);
}

TEST(FormatMemory, CountsThatLie) {
  for (const uint64_t count :
       {uint64_t{1} << 63, uint64_t{1} << 32, uint64_t{1'000'000}, uint64_t{40'000}, uint64_t{30'000}}) {
    ByteBuilder b = header(count, 0);
    b.bytes.resize(1'000'000, '\x7f');
    expect_gguf_within(b, false);
    b = header(0, count);
    b.bytes.resize(1'000'000, '\x7f');
    expect_gguf_within(b, false);
    b = header(0, 1);
    put_string(b, "k");
    b.put<uint32_t>(9).put<uint32_t>(8).put(count);
    b.bytes.resize(1'000'000, '\x7f');
    expect_gguf_within(b, false);
  }
}

void expect_safetensors_within(const std::string& header_text, size_t data_bytes) {
  ByteBuilder b;
  b.put<uint64_t>(header_text.size());
  b.bytes += header_text;
  b.bytes.resize(b.bytes.size() + data_bytes);
  const auto bytes = test::as_bytes(b.bytes);
  const uint64_t peak = peak_of([&] { (void)read_safetensors(bytes, "file").ok(); });
  EXPECT_LT(peak, kFactor * bytes.size() + (64u << 20));
}

TEST(FormatMemory, SafetensorsHeaders) {
  constexpr size_t n = 200'000;
  std::string tensors = "{";
  for (size_t i = 0; i < n; ++i)
    tensors += "\"" + name_of(i) + R"(":{"dtype":"I8","shape":[],"data_offsets":[)" + std::to_string(i) + "," +
               std::to_string(i + 1) + "]},";
  tensors.back() = '}';
  expect_safetensors_within(tensors, n);
  std::string arrays = "{\"t\":[";
  for (size_t i = 0; i < 10 * n; ++i) arrays += "[],";
  arrays += "[]]}";
  expect_safetensors_within(arrays, 0);
}

}  // namespace
}  // namespace lahar
