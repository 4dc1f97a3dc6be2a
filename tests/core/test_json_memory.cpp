// The memory that a JSON text takes is bounded by its size, whatever is in it.
#include <gtest/gtest.h>

#include <functional>

#include "allocation_peak.h"
#include "core/json.h"

namespace lahar {
namespace {

// Peak bytes of parsing and releasing, beyond the text.
uint64_t peak_of(const std::string& text, const JsonLimits& limits, bool* parsed) {
  test::reset_peak();
  const uint64_t before = test::bytes_in_use();
  {
    const auto value = parse_json(text, "text", limits);
    *parsed = value.ok();
    if (!value.ok()) { EXPECT_EQ(value.error().code, ErrorCode::kLimit) << value.error().message; }
  }
  EXPECT_EQ(test::bytes_in_use(), before);
  return test::peak_bytes() - before;
}

std::string repeated(std::string_view item, size_t count, std::string open, std::string_view close) {
  for (size_t i = 0; i < count; ++i) (open += item) += ',';
  open.back() = ' ';
  return open.append(close);
}

std::string numbered_object(size_t count) {
  std::string text = "{";
  for (size_t i = 0; i < count; ++i) text.append("\"").append(std::to_string(i)).append("\":0,");
  text.back() = '}';
  return text;
}

TEST(JsonMemory, StaysBelowTheBudget) {
  const size_t n = 100'000;
  std::string nested = "[";
  for (size_t i = 0; i < n; ++i) nested += "[[]],";
  nested.back() = ']';
  const std::string texts[] = {
      repeated("[]", n, "[", "]"),       repeated("{}", n, "[", "]"),  repeated("1", n, "[", "]"),
      repeated("\"\"", n, "[", "]"),     numbered_object(n),           nested,
      repeated("{\"\":0}", n, "[", "]"), repeated("1", n, "[[", "]]"), repeated("\"0123456789abcdef\"", n, "[", "]"),
  };
  for (const std::string& text : texts) {
    const std::string start = text.substr(0, 20);
    bool parsed = false;
    // With a generous budget the text is read, and takes less than was counted.
    const uint64_t whole = peak_of(text, {.memory_per_byte = 200}, &parsed);
    EXPECT_TRUE(parsed) << start;
    // With any budget, the peak stays below it (and a little for the parser itself).
    for (const uint64_t per_byte : {1, 4, 10, 18}) {
      const uint64_t peak = peak_of(text, {.memory_per_byte = per_byte, .memory_base = 0}, &parsed);
      EXPECT_LE(peak, per_byte * text.size() + 4096) << start;
      if (parsed) { EXPECT_EQ(peak, whole) << start; }
    }
  }
}

TEST(JsonMemory, OneLongString) {
  const std::string text = std::string("\"").append(1'000'000, 'x') + "\"";
  bool parsed = false;
  EXPECT_LE(peak_of(text, {}, &parsed), 18 * text.size());
  EXPECT_TRUE(parsed);
}

}  // namespace
}  // namespace lahar
