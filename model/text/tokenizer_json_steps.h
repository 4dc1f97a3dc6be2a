// The normalizers, pre-tokenizers and decoders of a tokenizer.json, as the steps that run them.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "text/pretokenize.h"

namespace lahar {

struct JsonSteps {
  std::vector<Normalizer::Step> normalizers;
  std::vector<PreTokenizer::Step> pre_tokenizers;
  bool byte_level = false;          // the vocabulary is spelled in the byte alphabet
  bool metaspace = false;           // U+2581 stands for a space when ids become text
  bool strips_first_space = false;  // the decoder takes the first space away
};

// `tokenizer`: the whole file's tree. Errors: kFormat for a wrong type, kUnsupported (by name) for a step that is not built
// here.
Result<JsonSteps> read_json_steps(const nlohmann::json& tokenizer);

// The value of an integer, at most 2^63 - 1; nullopt for any other value.
std::optional<int64_t> integer_of(const nlohmann::json& value);

// Members of an object. member: null where there is none, or JSON's null. The others: errors of kFormat where the type is
// another.
const nlohmann::json* member(const nlohmann::json& object, std::string_view key);
Result<bool> bool_member(const nlohmann::json& object, std::string_view key, bool fallback);
Result<std::string> string_member(const nlohmann::json& object, std::string_view key);  // also where it is missing
Result<std::string> string_member(const nlohmann::json& object, std::string_view key, std::string fallback);

}  // namespace lahar
