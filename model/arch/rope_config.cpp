#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "arch/common.h"

namespace lahar::arch {

using nlohmann::json;

namespace {

constexpr double kMaxFactor = 1e9;

// A list of pairs numbers in (0, 1e9] under `key`.
std::vector<float> read_factors(Config& c, const json& object, std::string_view key, size_t pairs) {
  std::vector<float> factors;
  auto list = object.find(key);
  const bool fits = list != object.end() && list->is_array() && list->size() == pairs;
  if (fits) {
    for (const json& entry : *list)
      if (entry.is_number() && entry.get<double>() > 0 && entry.get<double>() <= kMaxFactor)
        factors.push_back(entry.get<float>());
  }
  if (factors.size() != pairs) {
    c.fail(ErrorCode::kFormat, "RoPE: " + std::string(key) + ": expected " + std::to_string(pairs) + " positive numbers");
    factors.assign(pairs, 1.0f);
  }
  return factors;
}

// The object with the parameters of RoPE, in the new form (rope_parameters, maybe one object a layer type) or the old one.
const json& rope_object(Config& c, std::string_view layer_type) {
  static const json none = json::object();
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    auto found = c.json().find(key);
    if (found == c.json().end() || !found->is_object() || found->empty()) continue;
    if (!layer_type.empty()) {
      auto nested = found->find(layer_type);
      if (nested != found->end() && nested->is_object()) return *nested;
      // Old form: the scaling is for the layers of full attention alone.
      if (layer_type == "sliding_attention") return none;
    }
    auto full = found->find("full_attention"), sliding = found->find("sliding_attention");
    if (!layer_type.empty() || full == found->end() || !full->is_object()) return *found;
    if (sliding != found->end() && *sliding != *full)
      c.fail(ErrorCode::kUnsupported, "config.json: a RoPE for each type of layer is not supported for this architecture");
    return *full;
  }
  return none;
}

std::string scaling_name(Config& c, const json& rope, std::string_view fallback) {
  for (const char* key : {"rope_type", "type"}) {
    auto found = rope.find(key);
    if (found == rope.end() || found->is_null()) continue;
    if (found->is_string()) return found->get<std::string>();
    c.fail(ErrorCode::kFormat, std::string("config.json: RoPE: ") + key + ": expected a string");
    break;
  }
  return std::string(fallback);
}

void read_hf_scaling(Config& c, const RopeOptions& options, const json& rope, RopeSpec& spec) {
  const std::string where = "config.json: RoPE";
  RopeConfig& r = spec.config;
  std::string name = scaling_name(c, rope, options.default_type);
  // Early Phi-3 files call LongRoPE so.
  if (name == "su" || (name == "yarn" && rope.contains("short_factor"))) name = "longrope";
  if (name == "default") return;
  if (name == "proportional") {  // as many frequencies as the whole head has, but only the first of them turn
    r.turning = c.number_in(rope, where, "partial_rotary_factor", 0, 1, options.default_part);
    r.factor = c.number_in(rope, where, "factor", 1e-6, kMaxFactor, 1);
    if (r.factor != 1) r.scaling = RopeScaling::kLinear;
    return;
  }
  const double alpha = c.number_in(rope, where, "alpha", 0, kMaxFactor, 0);
  if (name == "dynamic" && alpha > 0) {  // Hunyuan: the base grows once and for all
    if (spec.dims > 2) r.base *= std::pow(alpha, static_cast<double>(spec.dims) / (spec.dims - 2));
    return;
  }
  if (name == "linear") r.scaling = RopeScaling::kLinear;
  if (name == "dynamic") r.scaling = RopeScaling::kDynamicNtk;
  if (name == "yarn") r.scaling = RopeScaling::kYarn;
  if (name == "llama3") r.scaling = RopeScaling::kLlama3;
  if (name == "longrope") r.scaling = RopeScaling::kLongRope;
  if (r.scaling == RopeScaling::kNone) {
    c.fail(ErrorCode::kUnsupported,
           where + ": type '" + name.substr(0, 40) +
               "' is not supported; default, proportional, linear, dynamic, yarn, llama3 and longrope are");
    return;
  }
  r.trained_context = c.count({"max_position_embeddings", ""}, 1, UINT32_MAX, 2048);
  auto original =
      static_cast<uint32_t>(c.number_in(rope, where, "original_max_position_embeddings", 1, UINT32_MAX, r.trained_context));
  if (options.original_context != 0) original = options.original_context;
  r.original_context = c.count({"original_max_position_embeddings", ""}, 1, UINT32_MAX, original);
  const bool derived = r.scaling == RopeScaling::kYarn || r.scaling == RopeScaling::kLongRope;
  const double ratio = static_cast<double>(r.trained_context) / r.original_context;
  if (!derived && !rope.contains("factor")) c.fail(ErrorCode::kFormat, where + ": factor: missing");
  r.factor = c.number_in(rope, where, "factor", 1e-6, kMaxFactor, derived ? ratio : 1);
  if (derived) r.attention_factor = c.number_in(rope, where, "attention_factor", 0, kMaxFactor, 0);
  if (r.scaling == RopeScaling::kYarn) {
    r.beta_fast = c.number_in(rope, where, "beta_fast", 0, kMaxFactor, 0);
    r.beta_slow = c.number_in(rope, where, "beta_slow", 0, kMaxFactor, 0);
    if (r.beta_fast == 0) r.beta_fast = 32;
    if (r.beta_slow == 0) r.beta_slow = 1;
    r.mscale = c.number_in(rope, where, "mscale", 0, kMaxFactor, 0);
    r.mscale_all_dim = c.number_in(rope, where, "mscale_all_dim", 0, kMaxFactor, 0);
    auto truncate = rope.find("truncate");
    if (truncate != rope.end() && truncate->is_boolean()) r.truncate = truncate->get<bool>();
  }
  if (r.scaling == RopeScaling::kLlama3) {
    r.low_frequency_factor = c.number_in(rope, where, "low_freq_factor", 1e-6, kMaxFactor, 1);
    r.high_frequency_factor = c.number_in(rope, where, "high_freq_factor", 1e-6, kMaxFactor, 4);
  }
  if (r.scaling == RopeScaling::kLongRope) {
    r.short_factors = read_factors(c, rope, "short_factor", spec.dims / 2);
    r.long_factors = read_factors(c, rope, "long_factor", spec.dims / 2);
  }
}

void read_hf(Config& c, const RopeOptions& options, uint32_t head_dim, RopeSpec& spec) {
  const json& rope = rope_object(c, options.layer_type);
  double base = options.default_base;
  if (options.layer_type == "sliding_attention") {
    base = c.number({"rope_local_base_freq", ""}, 1e-3, 1e30, base);
  } else {
    base = c.number({options.base_key, ""}, 1e-3, 1e30, base);
  }
  spec.config.base = c.number_in(rope, "config.json: RoPE", "rope_theta", 1e-3, 1e30, base);
  spec.dims = head_dim;
  if (options.partial) {
    // Classes that know the key beside rope_parameters write its default there, whatever the object says.
    const double beside = c.number({options.part_key, ""}, 0, 1, options.default_part);
    const double part = c.number_in(rope, "config.json: RoPE", "partial_rotary_factor", 0, 1, beside);
    spec.dims = static_cast<uint32_t>(head_dim * part);
  }
  if (!options.plain) read_hf_scaling(c, options, rope, spec);
}

// rope_freqs.weight and the like: F32 [dims/2].
std::vector<float> factor_tensor(Config& c, const char* name, uint32_t pairs) {
  const TensorView* tensor = c.source().find_tensor(name);
  if (tensor == nullptr) return {};
  std::vector<float> factors(pairs);
  if (tensor->dtype != DType::kF32 || tensor->shape != Shape{pairs}) {
    c.fail(ErrorCode::kFormat, "tensor '" + std::string(name) + "': expected F32 " + Shape{pairs}.to_string() + ", found " +
                                   std::string(to_string(tensor->dtype)) + " " + tensor->shape.to_string());
    return {};
  }
  std::memcpy(factors.data(), tensor->data.data(), factors.size() * sizeof(float));
  return factors;
}

void read_gguf_scaling(Config& c, RopeSpec& spec) {
  RopeConfig& r = spec.config;
  const std::string type = c.text({"", "rope.scaling.type"}, "linear");
  double factor = c.number({"", "rope.scaling.factor"}, 1e-6, kMaxFactor, 1);
  if (factor == 1) factor = c.number({"", "rope.scale_linear"}, 1e-6, kMaxFactor, 1);
  const double attention = c.number({"", "rope.scaling.attn_factor"}, 1e-6, kMaxFactor, 1);
  r.original_context = c.count({"", "rope.scaling.original_context_length"}, 1, UINT32_MAX,
                               c.count({"", "context_length"}, 1, UINT32_MAX, 2048));
  r.attention_factor = attention;
  if (type == "longrope" || c.has_tensor("rope_factors_long.weight")) {
    r.scaling = RopeScaling::kLongRope;
    r.short_factors = factor_tensor(c, "rope_factors_short.weight", spec.dims / 2);
    r.long_factors = factor_tensor(c, "rope_factors_long.weight", spec.dims / 2);
  } else {
    r.short_factors = factor_tensor(c, "rope_freqs.weight", spec.dims / 2);
    r.long_factors = r.short_factors;
  }
  if (type == "yarn") {
    r.scaling = RopeScaling::kYarn;
    r.factor = factor;
    r.beta_fast = c.number({"", "rope.scaling.yarn_beta_fast"}, 1e-6, kMaxFactor, 32);
    r.beta_slow = c.number({"", "rope.scaling.yarn_beta_slow"}, 1e-6, kMaxFactor, 1);
    // The key scales what YaRN derives from its factor; it does not replace it.
    r.attention_factor = attention * yarn_magnitude(factor);
  } else if (type == "linear" && factor != 1) {
    r.scaling = RopeScaling::kLinear;
    r.factor = factor;
  } else if (type != "linear" && type != "none" && type != "longrope") {
    c.fail(ErrorCode::kUnsupported, c.spelled({"", "rope.scaling.type"}) + ": '" + type.substr(0, 40) +
                                        "' is not supported; none, linear, yarn and longrope are");
  }
}

}  // namespace

int32_t add_rope(Config& c, ModelSpec& spec, const RopeOptions& options) {
  if (spec.layers.empty() || spec.layers[0].attention.head_dim == 0) return -1;
  const uint32_t head_dim = options.head_dim != 0 ? options.head_dim : spec.layers[0].attention.head_dim;
  RopeSpec rope;
  if (options.interleaved) rope.pairing = ops::RopePairing::kInterleaved;
  if (c.gguf()) {
    if (options.gguf_interleaved) rope.pairing = ops::RopePairing::kInterleaved;
    rope.config.base = c.number(options.gguf_base, 1e-3, 1e30, options.default_base);
    rope.dims = c.count(options.gguf_dims, 1, kMaxHeadDim, head_dim);
    if (!options.plain) read_gguf_scaling(c, rope);
  } else {
    read_hf(c, options, head_dim, rope);
  }
  rope.config.trained_context = std::max(rope.config.trained_context, 1u);
  // Without a scaling the context length is the trained one, but where the file says better.
  if (rope.config.original_context == 0)
    rope.config.original_context = c.count({"original_max_position_embeddings", "rope.scaling.original_context_length"}, 1,
                                           UINT32_MAX, std::max(spec.context_length, 1u));
  if (rope.dims == 0 || rope.dims % 2 != 0 || rope.dims > head_dim)
    c.fail(ErrorCode::kFormat, "RoPE: expected an even number of at most " + std::to_string(head_dim) +
                                   " dims to rotate, found " + std::to_string(rope.dims));
  for (const LayerSpec& layer : spec.layers) {
    if (options.head_dim == 0 && layer.attention.head_dim != head_dim && layer.attention.head_dim != 0)
      c.fail(ErrorCode::kUnsupported, "layers with different head dims are not supported");
  }
  spec.ropes.push_back(std::move(rope));
  return static_cast<int32_t>(spec.ropes.size()) - 1;
}

}  // namespace lahar::arch
