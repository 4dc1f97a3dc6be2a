#include "rope_choice.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "arch/config.h"

namespace lahar {
namespace {

constexpr double kMostFactor = 1e6;

std::string shown(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

Error invalid(const std::string& what) { return {ErrorCode::kInvalidArgument, "RoPE scaling: " + what}; }

bool has_latent_attention(const ModelSpec& spec) {
  return std::any_of(spec.layers.begin(), spec.layers.end(), [](const LayerSpec& l) { return l.mixer == Mixer::kMla; });
}

// The longest distance, in tokens, over which a layer with this RoPE sees keys.
uint32_t reach(const ModelSpec& spec, size_t rope, uint32_t context) {
  uint32_t longest = 0;
  for (const LayerSpec& layer : spec.layers) {
    const AttentionSpec& a = layer.attention;
    if (a.rope != static_cast<int32_t>(rope)) continue;
    uint32_t distance = context;
    if (a.window > 0) distance = std::min(distance, a.window);
    if (a.chunk > 0) distance = std::min(distance, a.chunk);
    longest = std::max(longest, distance);
  }
  return longest;
}

// What is chosen is for the layers that see everything, where there are such.
std::vector<RopeConfig*> chosen_ropes(ModelSpec& spec) {
  std::vector<RopeConfig*> wide, all;
  for (size_t i = 0; i < spec.ropes.size(); ++i) {
    all.push_back(&spec.ropes[i].config);
    if (reach(spec, i, UINT32_MAX) == UINT32_MAX) wide.push_back(all.back());
  }
  return wide.empty() ? all : wide;
}

void scale(RopeConfig& c, RopeScaling scaling, double factor) {
  if (scaling == RopeScaling::kYarn) {
    // What the file says of the magnitude is for the factor that the file has.
    const double own = c.scaling == RopeScaling::kYarn ? c.factor : 1;
    if (c.attention_factor != 0) c.attention_factor *= yarn_magnitude(factor) / yarn_magnitude(own);
  } else if (c.scaling == RopeScaling::kYarn) {
    c.attention_factor = 0;
  }
  c.scaling = scaling;
  c.factor = factor;
}

Status check(const ModelSpec& spec, const RopeChoice& choice) {
  const std::optional<RopeScaling> s = choice.scaling;
  if (s && *s != RopeScaling::kNone && *s != RopeScaling::kLinear && *s != RopeScaling::kYarn)
    return invalid("'" + std::string(to_string(*s)) + "' cannot be chosen; none, linear and yarn can");
  if (choice.factor != 0 && !(choice.factor >= 1 && choice.factor <= kMostFactor))
    return invalid("expected a factor of 1 to " + shown(kMostFactor) + ", found " + shown(choice.factor));
  if (s == RopeScaling::kNone && (choice.factor != 0 || choice.original_context != 0))
    return invalid("none takes neither a factor nor an original context");
  if (choice.automatic() && choice.original_context == 0) return {};
  const auto unsupported = [](const std::string& what) {
    return Error{ErrorCode::kUnsupported, "RoPE scaling cannot be chosen for models " + what};
  };
  if (spec.ropes.empty()) return unsupported("without RoPE");
  if (has_latent_attention(spec)) return unsupported("with latent attention, whose scores are scaled with it");
  for (const RopeSpec& rope : spec.ropes)
    if (rope.config.scaling == RopeScaling::kLongRope)
      return unsupported("with factors of their own for each frequency (longrope)");
  return {};
}

Status choose(ModelSpec& spec, const RopeChoice& choice, uint32_t context) {
  for (RopeConfig* c : chosen_ropes(spec)) {
    const bool keeps = c->scaling == RopeScaling::kLinear || c->scaling == RopeScaling::kYarn;
    const RopeScaling scaling = choice.scaling.value_or(keeps ? c->scaling : RopeScaling::kLinear);
    double factor = choice.factor;
    if (factor == 0 && scaling != RopeScaling::kNone)
      factor = static_cast<double>(context == 0 ? spec.context_length : context) / c->original_context;
    // A context that is no longer than the trained one leaves RoPE as it is, to the bit.
    if (factor <= 1) scale(*c, RopeScaling::kNone, 1);
    else scale(*c, scaling, factor);
    if (choice.factor != 0) {
      const double reached = std::min(choice.factor * c->original_context, static_cast<double>(arch::kMaxContext));
      spec.context_length = std::max(spec.context_length, static_cast<uint32_t>(reached));
    }
  }
  return {};
}

void stretch(ModelSpec& spec, uint32_t cache, const Log& log) {
  const auto warn = [&](const std::string& what) {
    log.warning("the streaming cache holds " + std::to_string(cache) + " tokens, the model was made for " +
                std::to_string(spec.context_length) + ", and its RoPE cannot be stretched (" + what +
                "): choose a shorter window");
  };
  if (has_latent_attention(spec)) {
    if (cache > spec.context_length) warn("latent attention");
    return;
  }
  for (size_t i = 0; i < spec.ropes.size(); ++i) {
    RopeConfig& c = spec.ropes[i].config;
    const uint32_t distance = reach(spec, i, cache);
    const bool yarn = c.scaling == RopeScaling::kYarn;
    if (!yarn && c.scaling != RopeScaling::kNone) {
      // Dynamic NTK follows the context by itself.
      if (distance > spec.context_length && c.scaling != RopeScaling::kDynamicNtk)
        warn("scaling '" + std::string(to_string(c.scaling)) + "'");
      continue;
    }
    const double needed = static_cast<double>(distance) / c.original_context;
    if (needed <= (yarn ? c.factor : 1)) continue;
    log.info("RoPE is stretched by YaRN, factor " + shown(needed) + (yarn ? " instead of " + shown(c.factor) : "") +
             ": the streaming cache holds " + std::to_string(distance) + " tokens, the model was trained on " +
             std::to_string(c.original_context));
    scale(c, RopeScaling::kYarn, needed);
  }
}

}  // namespace

Status choose_rope(ModelSpec& spec, const RopeChoice& choice, uint32_t context, bool streaming, const Log& log) {
  LAHAR_TRY(check(spec, choice));
  if (choice.original_context != 0) {
    for (RopeConfig* c : chosen_ropes(spec)) {
      const bool yarn = c->scaling == RopeScaling::kYarn || (c->scaling == RopeScaling::kNone && streaming);
      if (choice.automatic() && !yarn)
        return invalid(
            "an original context is of use to yarn and linear, and neither was chosen nor is the model's own yarn");
      c->original_context = choice.original_context;
    }
  }
  if (!choice.automatic()) return choose(spec, choice, context);
  if (streaming) stretch(spec, context, log);
  return {};
}

}  // namespace lahar
