// JSON from files that nobody vouches for: parsing under limits, and typed access with checks. Nothing here throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace lahar {

// Memory is what the value takes at most while it is built, used and released; the text itself is not counted.
struct JsonLimits {
  size_t max_depth = 128;
  uint64_t memory_per_byte = 18;      // of text
  uint64_t memory_base = 32u << 20;   // bytes that any text may take
  bool refuse_repeated_keys = false;  // otherwise the last one counts
};

// `where` names the text in messages. Errors: kFormat (not JSON, invalid UTF-8, a number out of range), kLimit.
Result<nlohmann::json> parse_json(std::string_view text, std::string_view where, const JsonLimits& limits = {});

// Typed reading of an object. A key with a null counts as missing. Every getter is an Error (kFormat), naming the place and
// the key, where the value has another type or is out of range; where it is missing, those without a fallback are one too.
// Owns nothing: the json must outlive it.
class JsonReader {
 public:
  static constexpr int64_t kMaxInteger = std::numeric_limits<int64_t>::max();
  static constexpr double kMaxNumber = std::numeric_limits<double>::max();

  // `where` names the object in messages ("config.json"). A json that is no object is read as an empty one.
  JsonReader(const nlohmann::json& object, std::string where);

  const nlohmann::json* find(std::string_view key) const;  // null where missing
  bool has(std::string_view key) const { return find(key) != nullptr; }
  const std::string& where() const { return where_; }

  // A whole number (also as 4.0), least <= value <= most.
  Result<int64_t> integer(std::string_view key, int64_t least = 0, int64_t most = kMaxInteger) const;
  Result<int64_t> integer_or(std::string_view key, int64_t fallback, int64_t least = 0, int64_t most = kMaxInteger) const;
  // Finite, least <= value <= most.
  Result<double> number(std::string_view key, double least = -kMaxNumber, double most = kMaxNumber) const;
  Result<double> number_or(std::string_view key, double fallback, double least = -kMaxNumber,
                           double most = kMaxNumber) const;
  Result<bool> boolean(std::string_view key) const;
  Result<bool> boolean_or(std::string_view key, bool fallback) const;
  Result<std::string> string(std::string_view key) const;
  Result<std::string> string_or(std::string_view key, std::string fallback) const;
  // Arrays of one type; empty where missing.
  Result<std::vector<int64_t>> integers(std::string_view key, int64_t least = 0, int64_t most = kMaxInteger) const;
  Result<std::vector<double>> numbers(std::string_view key, double least = -kMaxNumber, double most = kMaxNumber) const;
  Result<std::vector<std::string>> strings(std::string_view key) const;
  // A reader of the object inside; an empty one where missing.
  Result<JsonReader> object(std::string_view key) const;

 private:
  Error mismatch(std::string_view key, std::string_view expected, const nlohmann::json& found) const;
  Error missing(std::string_view key, std::string_view expected) const;
  template <typename T, typename F>
  Result<std::vector<T>> list(std::string_view key, std::string_view expected, const F& read) const;

  const nlohmann::json* object_;
  std::string where_;
};

}  // namespace lahar
