// JSON as Python's json.dumps writes it.
#include <algorithm>
#include <cmath>

#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace lahar::jinja {

namespace {

constexpr uint32_t kMaxJsonDepth = 200;

class JsonWriter {
 public:
  JsonWriter(Interp& in, const JsonOptions& options) : in_(in), options_(options) {}
  Status add(const Value& value);
  std::string out;

 private:
  void newline() {
    if (!options_.indent) return;
    out += '\n';
    for (uint32_t i = 0; i < level_; ++i) out += options_.indent->bytes();
  }
  void string(std::string_view text);
  Status key(const Value& value, std::string& text) const;
  Status object(const DictObj& dict);
  Status array(const std::vector<Value>& items);

  Interp& in_;
  const JsonOptions& options_;
  uint32_t level_ = 0;
};

std::string json_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return float_repr(value);
}

void JsonWriter::string(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  const auto escape = [&](char32_t unit) {
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += kHex[unit >> shift & 15];
  };
  out += '"';
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = decode(text, i);
    constexpr std::string_view kFrom = "\"\\\n\r\t\f\b", kTo = "\"\\nrtfb";
    const size_t simple = c.value < 0x80 ? kFrom.find(static_cast<char>(c.value)) : std::string_view::npos;
    if (simple != std::string_view::npos) {
      out += '\\';
      out += kTo[simple];
    } else if (c.value < 0x20 || (options_.ensure_ascii && c.value >= 0x7F && c.value < 0x10000)) {
      escape(c.value);
    } else if (options_.ensure_ascii && c.value >= 0x10000) {
      escape(0xD800 + ((c.value - 0x10000) >> 10));
      escape(0xDC00 + ((c.value - 0x10000) & 0x3FF));
    } else {
      out += text.substr(i, c.size);
    }
    i += c.size;
  }
  out += '"';
}

Status JsonWriter::key(const Value& value, std::string& text) const {
  switch (value.kind()) {
    case Kind::kString: text = value.str(); return {};
    case Kind::kBool: text = value.as_bool() ? "true" : "false"; return {};
    case Kind::kNone: text = "null"; return {};
    case Kind::kInt: text = std::to_string(value.as_int()); return {};
    case Kind::kBigInt: text = value.str(); return {};
    case Kind::kFloat: text = json_float(value.as_double()); return {};
    default: return type_error("keys must be str, int, float, bool or None, not " + type_name(value));
  }
}

Status JsonWriter::object(const DictObj& dict) {
  if (dict.entries.empty()) {
    out += "{}";
    return {};
  }
  std::vector<const std::pair<Value, Value>*> entries;
  for (const auto& entry : dict.entries) entries.push_back(&entry);
  if (options_.sort_keys) {
    LAHAR_TRY(in_.charge(entries.size() * 16));
    Status failed;
    std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
      auto order = compare(a->first, b->first, "<");
      if (!order.ok() && failed.ok()) failed = order.error();
      return order.ok() && *order < 0;
    });
    LAHAR_TRY(failed);
  }
  out += '{';
  ++level_;
  bool first = true;
  for (const auto* entry : entries) {
    if (!first) out += options_.item_separator;
    first = false;
    newline();
    std::string name;
    LAHAR_TRY(key(entry->first, name));
    string(name);
    out += options_.key_separator;
    LAHAR_TRY(add(entry->second));
  }
  --level_;
  newline();
  out += '}';
  return {};
}

Status JsonWriter::array(const std::vector<Value>& items) {
  if (items.empty()) {
    out += "[]";
    return {};
  }
  out += '[';
  ++level_;
  bool first = true;
  for (const Value& item : items) {
    if (!first) out += options_.item_separator;
    first = false;
    newline();
    LAHAR_TRY(add(item));
  }
  --level_;
  newline();
  out += ']';
  return {};
}

Status JsonWriter::add(const Value& value) {
  LAHAR_TRY(in_.charge(1 + value.depth() * (options_.indent ? options_.indent->size() : 0) / 16));
  LAHAR_TRY(in_.check_size(out.size()));
  if (level_ > kMaxJsonDepth) return limit_error("the template prints a value nested too deep");
  switch (value.kind()) {
    case Kind::kNone: out += "null"; return {};
    case Kind::kBool: out += value.as_bool() ? "true" : "false"; return {};
    case Kind::kInt: out += std::to_string(value.as_int()); return {};
    case Kind::kBigInt: out += value.str(); return {};
    case Kind::kFloat: out += json_float(value.as_double()); return {};
    case Kind::kString:
      LAHAR_TRY(in_.charge_bytes(value.text().size()));
      string(value.str());
      return {};
    case Kind::kDict: return object(value.dict());
    case Kind::kSeq: {
      const SeqKind kind = value.seq().kind;
      if (kind == SeqKind::kList || kind == SeqKind::kTuple || kind == SeqKind::kGroup) return array(value.items());
      break;
    }
    default: break;
  }
  return type_error("Object of type " + type_name(value) + " is not JSON serializable");
}

}  // namespace

Result<Text> to_json(Interp& in, const Value& value, const JsonOptions& options) {
  if (options.indent) LAHAR_TRY(in.check_size(uint64_t{options.indent->size()} * (value.depth() + 1)));
  JsonWriter writer(in, options);
  LAHAR_TRY(writer.add(value));
  LAHAR_TRY(in.check_size(writer.out.size()));
  const bool trusted = all_trusted(value) && (!options.indent || options.indent->all_trusted());
  return Text(std::move(writer.out), trusted);
}

}  // namespace lahar::jinja
