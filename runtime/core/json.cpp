#include "core/json.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <optional>

#include "core/quote.h"

namespace lahar {
namespace {

using nlohmann::json;

// What glibc's allocator takes for `bytes`.
constexpr uint64_t heap_bytes(uint64_t bytes) { return std::max<uint64_t>(32, (bytes + 8 + 15) / 16 * 16); }

constexpr uint64_t kArrayBytes = heap_bytes(sizeof(json::array_t));
constexpr uint64_t kObjectBytes = heap_bytes(sizeof(json::object_t));
constexpr uint64_t kMemberBytes = heap_bytes(4 * sizeof(void*) + sizeof(json::object_t::value_type));  // a node of std::map
constexpr uint64_t kStringBytes = heap_bytes(sizeof(json::string_t));

// nlohmann::json takes itself apart with a list of everything inside, which doubles as it grows.
constexpr uint64_t kReleaseBytes = 3 * sizeof(json);

uint64_t text_bytes(const std::string& text) { return text.size() < 16 ? 0 : heap_bytes(text.capacity() + 1); }

// Builds a json from the parser's events, and stops it when a limit is reached.
class Builder final : public nlohmann::json_sax<json> {
 public:
  Builder(std::string_view where, const JsonLimits& limits, uint64_t budget)
      : where_(where), limits_(limits), budget_(budget) {}

  bool null() override { return place(json(nullptr)) != nullptr; }
  bool boolean(bool value) override { return place(json(value)) != nullptr; }
  bool number_integer(number_integer_t value) override { return place(json(value)) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return place(json(value)) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override { return place(json(value)) != nullptr; }
  bool string(string_t& value) override {
    return charge(kStringBytes + text_bytes(value)) && place(json(std::move(value))) != nullptr;
  }
  bool binary(binary_t&) override { return false; }  // not in JSON text

  bool start_object(size_t) override { return charge(kObjectBytes) && open(json::object()); }
  bool start_array(size_t) override { return charge(kArrayBytes) && open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    auto* members = open_.back()->get_ptr<json::object_t*>();
    if (!charge(kMemberBytes + kReleaseBytes + text_bytes(name))) return false;
    const auto [at, inserted] = members->emplace(std::move(name), nullptr);
    if (!inserted && limits_.refuse_repeated_keys)
      return fail({ErrorCode::kFormat, where_ + ": key " + quote(at->first) + " is there twice"});
    member_ = &at->second;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& exception) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: TEXT"
    std::string_view text = exception.what();
    if (const size_t at = text.find("] "); at != text.npos) text.remove_prefix(at + 2);
    std::string reason = quote(text, 160);
    return fail({ErrorCode::kFormat, where_ + ": not valid JSON: " + reason.substr(1, reason.size() - 2) + " at offset " +
                                         std::to_string(position)});
  }

  Result<json> take(bool parsed) {
    if (error_) return std::move(*error_);
    if (!parsed) return Error{ErrorCode::kFormat, where_ + ": not valid JSON"};
    return std::move(root_);
  }

 private:
  bool fail(Error error) {
    error_ = std::move(error);
    return false;
  }

  bool charge(uint64_t bytes, uint64_t passing = 0) {
    used_ += bytes;
    if (used_ + passing <= budget_) return true;
    return fail(
        {ErrorCode::kLimit, where_ + ": this JSON would take more than " + std::to_string(budget_) + " bytes of memory"});
  }

  // Where the next value belongs; null when a limit is reached.
  json* place(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_object()) {
      *member_ = std::move(value);
      return member_;
    }
    if (!charge(kReleaseBytes)) return nullptr;
    auto* items = open_.back()->get_ptr<json::array_t*>();
    if (items->size() == items->capacity()) {
      // While it grows, the old elements lie beside the new ones.
      const uint64_t before = items->capacity() * sizeof(json);
      const uint64_t after = std::max<uint64_t>(2 * before, sizeof(json));
      if (!charge(after - before, before)) return nullptr;
    }
    items->push_back(std::move(value));
    return &items->back();
  }

  bool open(json container) {
    if (open_.size() == limits_.max_depth)
      return fail({ErrorCode::kLimit, where_ + ": nested deeper than " + std::to_string(limits_.max_depth) + " levels"});
    json* at = place(std::move(container));
    if (at == nullptr) return false;
    // Stays valid: a container does not grow while one inside it is open.
    open_.push_back(at);
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string where_;
  const JsonLimits limits_;
  const uint64_t budget_;
  uint64_t used_ = 0;
  json root_;
  std::vector<json*> open_;
  json* member_ = nullptr;  // the value of the last key
  std::optional<Error> error_;
};

std::string_view type_name(const json& value) {
  switch (value.type()) {
    case json::value_t::null: return "null";
    case json::value_t::object: return "an object";
    case json::value_t::array: return "an array";
    case json::value_t::string: return "a string";
    case json::value_t::boolean: return "a boolean";
    case json::value_t::number_integer:
    case json::value_t::number_unsigned: return "an integer";
    case json::value_t::number_float: return "a number";
    default: return "something else";
  }
}

std::optional<int64_t> whole(const json& value) {
  if (const auto* u = value.get_ptr<const json::number_unsigned_t*>())
    return *u <= INT64_MAX ? std::optional<int64_t>(static_cast<int64_t>(*u)) : std::nullopt;
  if (const auto* i = value.get_ptr<const json::number_integer_t*>()) return *i;
  if (const auto* f = value.get_ptr<const json::number_float_t*>();
      f != nullptr && std::trunc(*f) == *f && std::abs(*f) < 0x1p53)
    return static_cast<int64_t>(*f);
  return std::nullopt;
}

std::optional<double> finite(const json& value) {
  if (!value.is_number()) return std::nullopt;
  const double number = value.get<double>();
  return std::isfinite(number) ? std::optional<double>(number) : std::nullopt;
}

std::string range_text(std::string_view what, const std::string& least, const std::string& most) {
  return std::string(what) + " from " + least + " to " + most;
}

std::string integer_text(int64_t least, int64_t most) {
  if (most != JsonReader::kMaxInteger) return range_text("an integer", std::to_string(least), std::to_string(most));
  return "an integer of at least " + std::to_string(least);
}

std::string number_text(double least, double most) {
  if (least == -JsonReader::kMaxNumber && most == JsonReader::kMaxNumber) return "a number";
  if (most == JsonReader::kMaxNumber) return "a number of at least " + json(least).dump();
  return range_text("a number", json(least).dump(), json(most).dump());
}

}  // namespace

Result<json> parse_json(std::string_view text, std::string_view where, const JsonLimits& limits) {
  uint64_t budget = 0;
  if (__builtin_mul_overflow(limits.memory_per_byte, text.size(), &budget) ||
      __builtin_add_overflow(limits.memory_base, budget, &budget))
    budget = UINT64_MAX / 4;
  try {
    Builder builder(where, limits, budget);
    const bool parsed = json::sax_parse(text.begin(), text.end(), &builder);
    return builder.take(parsed);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOutOfMemory, std::string(where) + ": not enough memory for this JSON"};
  } catch (const std::exception& e) {
    return Error{ErrorCode::kFormat, std::string(where) + ": not valid JSON: " + quote(e.what(), 160)};
  }
}

JsonReader::JsonReader(const json& object, std::string where) : object_(&object), where_(std::move(where)) {}

const json* JsonReader::find(std::string_view key) const {
  const auto* members = object_->get_ptr<const json::object_t*>();
  if (members == nullptr) return nullptr;
  const auto at = members->find(std::string(key));
  return at == members->end() || at->second.is_null() ? nullptr : &at->second;
}

Error JsonReader::mismatch(std::string_view key, std::string_view expected, const json& found) const {
  std::string text(type_name(found));
  if (found.is_number()) text = found.dump();
  if (const auto* s = found.get_ptr<const json::string_t*>()) text = quote(*s, 40);
  return {ErrorCode::kFormat, where_ + ": key " + quote(key) + ": expected " + std::string(expected) + ", found " + text};
}

Error JsonReader::missing(std::string_view key, std::string_view expected) const {
  return {ErrorCode::kFormat, where_ + ": key " + quote(key) + " is missing, expected " + std::string(expected)};
}

Result<int64_t> JsonReader::integer(std::string_view key, int64_t least, int64_t most) const {
  const json* value = find(key);
  if (value == nullptr) return missing(key, integer_text(least, most));
  const auto number = whole(*value);
  if (!number || *number < least || *number > most) return mismatch(key, integer_text(least, most), *value);
  return *number;
}

Result<int64_t> JsonReader::integer_or(std::string_view key, int64_t fallback, int64_t least, int64_t most) const {
  if (!has(key)) return fallback;
  return integer(key, least, most);
}

Result<double> JsonReader::number(std::string_view key, double least, double most) const {
  const json* value = find(key);
  if (value == nullptr) return missing(key, number_text(least, most));
  const auto number = finite(*value);
  if (!number || *number < least || *number > most) return mismatch(key, number_text(least, most), *value);
  return *number;
}

Result<double> JsonReader::number_or(std::string_view key, double fallback, double least, double most) const {
  if (!has(key)) return fallback;
  return number(key, least, most);
}

Result<bool> JsonReader::boolean(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return missing(key, "a boolean");
  const auto* boolean = value->get_ptr<const json::boolean_t*>();
  if (boolean == nullptr) return mismatch(key, "a boolean", *value);
  return *boolean;
}

Result<bool> JsonReader::boolean_or(std::string_view key, bool fallback) const {
  if (!has(key)) return fallback;
  return boolean(key);
}

Result<std::string> JsonReader::string(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return missing(key, "a string");
  const auto* text = value->get_ptr<const json::string_t*>();
  if (text == nullptr) return mismatch(key, "a string", *value);
  return *text;
}

Result<std::string> JsonReader::string_or(std::string_view key, std::string fallback) const {
  if (!has(key)) return fallback;
  return string(key);
}

template <typename T, typename F>
Result<std::vector<T>> JsonReader::list(std::string_view key, std::string_view expected, const F& read) const {
  std::vector<T> out;
  const json* value = find(key);
  if (value == nullptr) return out;
  const std::string whole_text = "an array, each element " + std::string(expected);
  const auto* items = value->get_ptr<const json::array_t*>();
  if (items == nullptr) return mismatch(key, whole_text, *value);
  out.reserve(items->size());
  for (const json& item : *items) {
    std::optional<T> element = read(item);
    if (!element) return mismatch(key, whole_text, item);
    out.push_back(std::move(*element));
  }
  return out;
}

Result<std::vector<int64_t>> JsonReader::integers(std::string_view key, int64_t least, int64_t most) const {
  return list<int64_t>(key, integer_text(least, most), [&](const json& item) {
    const auto number = whole(item);
    return number && *number >= least && *number <= most ? number : std::nullopt;
  });
}

Result<std::vector<double>> JsonReader::numbers(std::string_view key, double least, double most) const {
  return list<double>(key, number_text(least, most), [&](const json& item) {
    const auto number = finite(item);
    return number && *number >= least && *number <= most ? number : std::nullopt;
  });
}

Result<std::vector<std::string>> JsonReader::strings(std::string_view key) const {
  return list<std::string>(key, "a string", [](const json& item) {
    const auto* text = item.get_ptr<const json::string_t*>();
    return text != nullptr ? std::optional<std::string>(*text) : std::nullopt;
  });
}

Result<JsonReader> JsonReader::object(std::string_view key) const {
  static const json kEmpty = json::object();
  const json* value = find(key);
  if (value == nullptr) return JsonReader(kEmpty, where_);
  if (!value->is_object()) return mismatch(key, "an object", *value);
  return JsonReader(*value, where_ + ": " + std::string(key));
}

}  // namespace lahar
