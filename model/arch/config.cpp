#include "arch/config.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace lahar::arch {

using Json = nlohmann::json;

namespace {

const Json& empty_object() {
  static const Json object = Json::object();
  return object;
}

std::string shown(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

}  // namespace

Config::Config(const ModelSource& source) : source_(source), json_(&empty_object()) {
  if (source.gguf() != nullptr) {
    prefix_ = std::string(source.architecture()) + ".";
    return;
  }
  const Json& root = source.hf()->config();
  auto text = root.find("text_config");
  json_ = text != root.end() && text->is_object() ? &*text : &root;
}

std::string Config::full_key(Key key) const {
  // "general.", "tokenizer." keys have no architecture in front.
  if (key.gguf.starts_with("general.") || key.gguf.starts_with("tokenizer.")) return std::string(key.gguf);
  return prefix_ + std::string(key.gguf);
}

std::string Config::spelled(Key key) const { return gguf() ? full_key(key) : "config.json: " + std::string(key.hf); }

void Config::fail(ErrorCode code, std::string message) {
  if (status_.ok()) status_ = Error{code, source_.name() + ": " + std::move(message)};
}

void Config::fail_key(Key key, std::string_view what) { fail(ErrorCode::kFormat, spelled(key) + ": " + std::string(what)); }

const Json* Config::find(Key key) const {
  if (key.hf.empty()) return nullptr;
  auto found = json_->find(key.hf);
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

bool Config::has(Key key) const {
  if (gguf()) return !key.gguf.empty() && source_.gguf()->metadata().find(full_key(key)) != nullptr;
  return find(key) != nullptr;
}

bool Config::is_null(Key key) const {
  if (gguf() || key.hf.empty()) return false;
  auto found = json_->find(key.hf);
  return found != json_->end() && found->is_null();
}

uint32_t Config::count(Key key, uint32_t least, uint32_t most) { return checked_count(key, 0, least, most, {}); }

uint32_t Config::count(Key key, uint32_t least, uint32_t most, uint32_t fallback) {
  return checked_count(key, 0, least, most, fallback);
}

uint32_t Config::layer_count(Key key, uint32_t layer, uint32_t least, uint32_t most) {
  return checked_count(key, layer, least, most, {});
}

uint32_t Config::layer_count(Key key, uint32_t layer, uint32_t least, uint32_t most, uint32_t fallback) {
  return checked_count(key, layer, least, most, fallback);
}

uint32_t Config::checked_count(Key key, uint32_t layer, uint32_t least, uint32_t most, std::optional<uint32_t> fallback) {
  if (!has(key)) {
    if (!fallback) fail_key(key, "missing");
    return fallback.value_or(least);
  }
  std::optional<uint64_t> value;
  if (gguf()) {
    value = source_.gguf()->metadata().per_layer(full_key(key), layer);
  } else {
    const Json& found = *find(key);
    const Json& entry = found.is_array() && layer < found.size() ? found[layer] : found;
    if (entry.is_number_unsigned()) value = entry.get<uint64_t>();
    if (entry.is_number_float()) {
      const double real = entry.get<double>();
      if (real >= 0 && real <= 9e15 && real == std::floor(real)) value = static_cast<uint64_t>(real);
    }
  }
  if (!value) {
    fail_key(key, "expected a whole number that is not negative");
    return least;
  }
  if (gguf() && *value == 0 && least > 0 && fallback) return *fallback;
  if (*value < least || *value > most) {
    fail_key(key, "expected " + std::to_string(least) + " to " + std::to_string(most) + ", found " + std::to_string(*value));
    return least;
  }
  return static_cast<uint32_t>(*value);
}

double Config::number(Key key, double least, double most) { return checked_number(key, least, most, {}); }

double Config::number(Key key, double least, double most, double fallback) {
  return checked_number(key, least, most, fallback);
}

double Config::checked_number(Key key, double least, double most, std::optional<double> fallback) {
  if (!has(key)) {
    if (!fallback) fail_key(key, "missing");
    return fallback.value_or(least);
  }
  if (!gguf()) return number_in(*json_, "config.json", key.hf, least, most, least);
  const auto value = source_.gguf()->metadata().number(full_key(key));
  if (!value) {
    fail_key(key, "expected a number");
    return least;
  }
  if (*value == 0 && least > 0 && fallback) return *fallback;
  if (!(*value >= least && *value <= most)) {
    fail_key(key, "expected " + shown(least) + " to " + shown(most) + ", found " + shown(*value));
    return least;
  }
  return *value;
}

double Config::number_in(const Json& object, std::string_view name, std::string_view key, double least, double most,
                         double fallback) {
  auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  const std::string where = std::string(name) + ": " + std::string(key);
  if (!found->is_number()) {
    fail(ErrorCode::kFormat, where + ": expected a number");
    return fallback;
  }
  const double value = found->get<double>();
  if (!(value >= least && value <= most)) {
    fail(ErrorCode::kFormat, where + ": expected " + shown(least) + " to " + shown(most) + ", found " + shown(value));
    return fallback;
  }
  return value;
}

bool Config::flag(Key key, bool fallback) {
  if (!has(key)) return fallback;
  if (gguf()) {
    if (auto value = source_.gguf()->metadata().boolean(full_key(key))) return *value;
  } else if (find(key)->is_boolean()) {
    return find(key)->get<bool>();
  }
  fail_key(key, "expected true or false");
  return fallback;
}

std::string Config::text(Key key, std::string_view fallback) {
  if (!has(key)) return std::string(fallback);
  if (gguf()) {
    if (auto value = source_.gguf()->metadata().string(full_key(key))) return std::string(*value);
  } else if (find(key)->is_string()) {
    return find(key)->get<std::string>();
  }
  fail_key(key, "expected a string");
  return std::string(fallback);
}

bool Config::sliding_layer(uint32_t layer, bool fallback) {
  const Key key{"layer_types", ""};
  const Json* list = find(key);
  if (list == nullptr) return fallback;
  if (!list->is_array() || layer >= list->size() || !(*list)[layer].is_string()) {
    fail_key(key, "expected a list with one string a layer");
    return fallback;
  }
  const auto& type = (*list)[layer].get_ref<const std::string&>();
  if (type == "sliding_attention") return true;
  if (type != "full_attention") {
    fail(ErrorCode::kUnsupported,
         spelled(key) + ": '" + type.substr(0, 40) + "' is not supported; full_attention and sliding_attention are");
  }
  return false;
}

ops::Activation Config::activation(Key key, std::string_view fallback) {
  const std::string name = text(key, fallback);
  if (name == "silu" || name == "swish") return ops::Activation::kSilu;
  if (name == "gelu" || name == "gelu_python") return ops::Activation::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast" || name == "gelu_accurate" ||
      name == "gelu_python_tanh")
    return ops::Activation::kGeluTanh;
  if (name == "relu") return ops::Activation::kRelu;
  if (name == "relu2") return ops::Activation::kReluSquared;
  fail(ErrorCode::kUnsupported, spelled(key) + ": activation '" + name.substr(0, 40) +
                                    "' is not supported; silu, gelu, gelu_new, gelu_pytorch_tanh, relu and relu2 are");
  return ops::Activation::kSilu;
}

}  // namespace lahar::arch
