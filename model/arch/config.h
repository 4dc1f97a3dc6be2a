// The configuration of a model, read the same way from GGUF metadata and from config.json. Getters never fail: the first
// thing that is wrong is remembered with its key, the caller goes on with a harmless value, and status() tells at the end.
// So an architecture reads like a table.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "format/model_source.h"
#include "spec.h"

namespace lahar::arch {

// The name of a value in either form. gguf: without the "{architecture}." in front. Empty: that form has no such key.
struct Key {
  std::string_view hf, gguf;
};

// Bounds of what is believed. Anything above is damage or an attack, not a model.
constexpr uint32_t kMaxHidden = 1u << 20;
constexpr uint32_t kMaxHeads = 1u << 14;
constexpr uint32_t kMaxHeadDim = 1u << 13;
constexpr uint32_t kMaxWidth = 1u << 22;
constexpr uint32_t kMaxVocabulary = 1u << 24;
constexpr uint32_t kMaxContext = 1u << 24;  // positions stay exact in fp32

class Config {
 public:
  explicit Config(const ModelSource& source);

  bool gguf() const { return source_.gguf() != nullptr; }
  const ModelSource& source() const { return source_; }
  // config.json, or its text_config where the text model is nested; an empty object for GGUF.
  const nlohmann::json& json() const { return *json_; }

  // There and not null.
  bool has(Key key) const;
  // config.json has the key, and null for it.
  bool is_null(Key key) const;
  // A whole number in [least, most]; required where there is no fallback. GGUF: 0 is "not set" where it is below `least`.
  uint32_t count(Key key, uint32_t least, uint32_t most);
  uint32_t count(Key key, uint32_t least, uint32_t most, uint32_t fallback);
  // As count, where there may be an array with one value a layer.
  uint32_t layer_count(Key key, uint32_t layer, uint32_t least, uint32_t most);
  uint32_t layer_count(Key key, uint32_t layer, uint32_t least, uint32_t most, uint32_t fallback);
  // Finite and in [least, most]; as count.
  double number(Key key, double least, double most, double fallback);
  double number(Key key, double least, double most);
  bool flag(Key key, bool fallback);
  std::string text(Key key, std::string_view fallback);

  // Numbers inside a JSON object (rope_parameters); `name` is for messages.
  double number_in(const nlohmann::json& object, std::string_view name, std::string_view key, double least, double most,
                   double fallback);

  // The value of layer_types[layer]; fallback where the list is missing. Errors: a type other than the two named.
  bool sliding_layer(uint32_t layer, bool fallback);
  ops::Activation activation(Key key, std::string_view fallback);
  bool has_tensor(const std::string& name) const { return source_.find_tensor(name) != nullptr; }

  void fail(ErrorCode code, std::string message);
  void fail_key(Key key, std::string_view what);  // "config.json: key: what"
  const Status& status() const { return status_; }
  // How messages call the key.
  std::string spelled(Key key) const;

 private:
  std::string full_key(Key key) const;
  uint32_t checked_count(Key key, uint32_t layer, uint32_t least, uint32_t most, std::optional<uint32_t> fallback);
  double checked_number(Key key, double least, double most, std::optional<double> fallback);
  const nlohmann::json* find(Key key) const;

  const ModelSource& source_;
  const nlohmann::json* json_;
  std::string prefix_;  // "{architecture}."
  Status status_;
};

}  // namespace lahar::arch
