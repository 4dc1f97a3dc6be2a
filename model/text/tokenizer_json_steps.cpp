#include "text/tokenizer_json_steps.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "text/tokenizer_parts.h"
#include "text/utf8.h"

namespace lahar {
namespace {

using nlohmann::json;

Error format_error(std::string_view message) {
  return Error{ErrorCode::kFormat, std::string("tokenizer.json: ").append(message)};
}

Error unsupported(std::string_view kind, std::string_view type) {
  std::string message = "tokenizer.json: the ";
  message.append(kind).append(" '").append(utf8::printable(type)).append("' is not supported");
  return Error{ErrorCode::kUnsupported, std::move(message)};
}

// Calls read(step, steps) for a single step, or for each of a "Sequence" (which lists them under `list`).
Status for_each_step(const json& step, const char* list, JsonSteps& steps, Status (*read)(const json&, JsonSteps&)) {
  LAHAR_ASSIGN(const std::string type, string_member(step, "type"));
  if (type != "Sequence") return read(step, steps);
  const json* all = member(step, list);
  if (!all || !all->is_array()) return format_error("a Sequence without its list '" + std::string(list) + "'");
  for (const json& one : *all) LAHAR_TRY(for_each_step(one, list, steps, read));  // the reader bounds the depth
  return {};
}

// {"String": "..."} or {"Regex": "..."}.
struct Pattern {
  bool is_regex = false;
  std::string text;
};
Result<Pattern> read_pattern(const json& step) {
  const json* pattern = member(step, "pattern");
  if (pattern && pattern->is_object()) {
    for (const bool is_regex : {false, true})
      if (const json* text = member(*pattern, is_regex ? "Regex" : "String"); text && text->is_string())
        return Pattern{is_regex, text->get<std::string>()};
  }
  return format_error("a pattern is neither {\"String\": ...} nor {\"Regex\": ...}");
}

Status read_normalizer(const json& step, JsonSteps& steps) {
  LAHAR_ASSIGN(const std::string type, string_member(step, "type"));
  if (type == "NFC") {
    steps.normalizers.emplace_back(Normalizer::Unicode::kComposed);
  } else if (type == "NFD") {
    steps.normalizers.emplace_back(Normalizer::Unicode::kDecomposed);
  } else if (type == "Prepend") {
    LAHAR_ASSIGN(std::string text, string_member(step, "prepend"));
    steps.normalizers.emplace_back(Normalizer::Prepend{std::move(text)});
  } else if (type == "Replace") {
    LAHAR_ASSIGN(Pattern pattern, read_pattern(step));
    LAHAR_ASSIGN(std::string with, string_member(step, "content"));
    std::optional<Regex> regex;
    if (pattern.is_regex) {
      LAHAR_ASSIGN(regex, Regex::compile(pattern.text));
    } else if (pattern.text.empty()) {
      return format_error("a Replace of an empty text");
    }
    steps.normalizers.emplace_back(Normalizer::Replace{std::move(regex), std::move(pattern.text), std::move(with)});
  } else if (type == "ByteLevel") {
    steps.byte_level = true;
    steps.pre_tokenizers.emplace_back(PreTokenizer::ByteAlphabet{});
  } else {
    return unsupported("normalizer", type);
  }
  return {};
}

Result<PreTokenizer::Behavior> read_behavior(const json& step, std::string fallback) {
  using Behavior = PreTokenizer::Behavior;
  LAHAR_ASSIGN(const std::string name, string_member(step, "behavior", std::move(fallback)));
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "Contiguous") return Behavior::kContiguous;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  return format_error("an unknown behavior of a split: '" + utf8::printable(name) + "'");
}

Status add_split(JsonSteps& steps, std::string_view pattern, PreTokenizer::Behavior behavior, bool invert = false) {
  LAHAR_ASSIGN(Regex regex, Regex::compile(pattern));
  steps.pre_tokenizers.emplace_back(PreTokenizer::Split{std::move(regex), behavior, invert});
  return {};
}

Status read_split(const json& step, JsonSteps& steps) {
  LAHAR_ASSIGN(Pattern pattern, read_pattern(step));
  LAHAR_ASSIGN(const PreTokenizer::Behavior behavior, read_behavior(step, "Isolated"));
  LAHAR_ASSIGN(const bool invert, bool_member(step, "invert", false));
  // The same places, without trying each space of a long run.
  if (pattern.is_regex && pattern.text == "\\s+$") pattern.text = "(?<!\\s)\\s+$";
  LAHAR_ASSIGN(Regex regex, pattern.is_regex ? Regex::compile(pattern.text) : Regex::literal(pattern.text));
  steps.pre_tokenizers.emplace_back(PreTokenizer::Split{std::move(regex), behavior, invert});
  return {};
}

// What a Metaspace, as pre-tokenizer or as decoder, says about spaces in front; older files have add_prefix_space alone.
Result<PreTokenizer::Metaspace> read_metaspace(const json& step) {
  using Prepend = PreTokenizer::Metaspace::Prepend;
  PreTokenizer::Metaspace metaspace;
  LAHAR_ASSIGN(metaspace.replacement, string_member(step, "replacement", std::string(kMetaspace)));
  if (metaspace.replacement.empty()) return format_error("a Metaspace with an empty replacement");
  LAHAR_ASSIGN(const bool prefix, bool_member(step, "add_prefix_space", true));
  LAHAR_ASSIGN(const std::string scheme, string_member(step, "prepend_scheme", prefix ? "always" : "never"));
  LAHAR_ASSIGN(metaspace.split, bool_member(step, "split", true));
  if (scheme == "always") metaspace.prepend = Prepend::kAlways;
  else if (scheme == "first") metaspace.prepend = Prepend::kFirst;
  else if (scheme == "never") metaspace.prepend = Prepend::kNever;
  else return format_error("an unknown prepend_scheme: '" + utf8::printable(scheme) + "'");
  return metaspace;
}

Status read_pre_tokenizer(const json& step, JsonSteps& steps) {
  using Behavior = PreTokenizer::Behavior;
  LAHAR_ASSIGN(const std::string type, string_member(step, "type"));
  if (type == "ByteLevel") {
    LAHAR_ASSIGN(const bool prefix, bool_member(step, "add_prefix_space", true));
    LAHAR_ASSIGN(const bool regex, bool_member(step, "use_regex", true));
    if (prefix) steps.pre_tokenizers.emplace_back(PreTokenizer::PrefixSpace{});
    if (regex) LAHAR_TRY(add_split(steps, kGpt2Pattern, Behavior::kIsolated));
    steps.pre_tokenizers.emplace_back(PreTokenizer::ByteAlphabet{});
    steps.byte_level = true;
    return {};
  }
  if (type == "Split") return read_split(step, steps);
  if (type == "Digits") {
    LAHAR_ASSIGN(const bool individual, bool_member(step, "individual_digits", false));
    return add_split(steps, individual ? R"(\p{N})" : R"(\p{N}+)", Behavior::kIsolated);
  }
  if (type == "Punctuation") {
    LAHAR_ASSIGN(const Behavior behavior, read_behavior(step, "Isolated"));
    return add_split(steps, R"([\p{P}$+<=>^`|~])", behavior);
  }
  if (type == "WhitespaceSplit") return add_split(steps, R"(\s+)", Behavior::kRemoved);
  if (type == "Whitespace") return add_split(steps, R"(\w+|[^\w\s]+)", Behavior::kRemoved, true);
  if (type == "Metaspace") {
    LAHAR_ASSIGN(PreTokenizer::Metaspace metaspace, read_metaspace(step));
    steps.pre_tokenizers.emplace_back(std::move(metaspace));
    return {};
  }
  return unsupported("pre-tokenizer", type);
}

Status read_decoder(const json& step, JsonSteps& steps) {
  LAHAR_ASSIGN(const std::string type, string_member(step, "type"));
  if (type == "ByteLevel") {
    steps.byte_level = true;
  } else if (type == "Metaspace") {
    LAHAR_ASSIGN(const PreTokenizer::Metaspace metaspace, read_metaspace(step));
    steps.metaspace = true;
    steps.strips_first_space = metaspace.prepend != PreTokenizer::Metaspace::Prepend::kNever;
  } else if (type == "Replace") {
    LAHAR_ASSIGN(const Pattern pattern, read_pattern(step));
    LAHAR_ASSIGN(const std::string with, string_member(step, "content"));
    if (pattern.text != kMetaspace || with != " ") return unsupported("decoder of another text than U+2581", type);
    steps.metaspace = true;
  } else if (type == "Strip") {
    LAHAR_ASSIGN(const std::string content, string_member(step, "content"));
    const json* start = member(step, "start");
    if (content == " " && start && integer_of(*start).value_or(0) > 0) steps.strips_first_space = true;
  } else if (type != "ByteFallback" && type != "Fuse") {
    return unsupported("decoder", type);
  }
  return {};
}

}  // namespace

std::optional<int64_t> integer_of(const json& value) {
  if (value.is_number_unsigned()) return static_cast<int64_t>(std::min<uint64_t>(value.get<uint64_t>(), INT64_MAX));
  return value.is_number_integer() ? std::optional(value.get<int64_t>()) : std::nullopt;
}

const json* member(const json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(std::string(key));
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

Result<bool> bool_member(const json& object, std::string_view key, bool fallback) {
  const json* value = member(object, key);
  if (!value) return fallback;
  if (!value->is_boolean()) return format_error(std::string(key).append(" is not true or false"));
  return value->get<bool>();
}

Result<std::string> string_member(const json& object, std::string_view key) {
  const json* value = member(object, key);
  if (!value || !value->is_string()) return format_error(std::string(key).append(" is not there, or is not a string"));
  return value->get<std::string>();
}

Result<std::string> string_member(const json& object, std::string_view key, std::string fallback) {
  if (!member(object, key)) return fallback;
  return string_member(object, key);
}

Result<JsonSteps> read_json_steps(const json& tokenizer) {
  JsonSteps steps;
  if (const json* step = member(tokenizer, "normalizer"))
    LAHAR_TRY(for_each_step(*step, "normalizers", steps, read_normalizer));
  if (const json* step = member(tokenizer, "pre_tokenizer"))
    LAHAR_TRY(for_each_step(*step, "pretokenizers", steps, read_pre_tokenizer));
  // At the end, the spelling would only be undone again.
  while (!steps.pre_tokenizers.empty() && std::holds_alternative<PreTokenizer::ByteAlphabet>(steps.pre_tokenizers.back()))
    steps.pre_tokenizers.pop_back();
  if (const json* step = member(tokenizer, "decoder")) LAHAR_TRY(for_each_step(*step, "decoders", steps, read_decoder));
  return steps;
}

}  // namespace lahar
