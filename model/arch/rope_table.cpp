// Formulas: transformers' modeling_rope_utils; YaRN: arXiv 2309.00071; LongRoPE: arXiv 2402.13753.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "spec.h"

namespace lahar {

std::string_view to_string(RopeScaling scaling) {
  switch (scaling) {
    case RopeScaling::kNone: return "none";
    case RopeScaling::kLinear: return "linear";
    case RopeScaling::kDynamicNtk: return "dynamic";
    case RopeScaling::kYarn: return "yarn";
    case RopeScaling::kLlama3: return "llama3";
    case RopeScaling::kLongRope: return "longrope";
  }
  return "?";
}

double yarn_magnitude(double factor, double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1; }

namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

// The pair of dims that turns `rotations` times within the original context.
double yarn_dim(double rotations, double dims, double base, double context) {
  return dims * std::log(context / (rotations * kTwoPi)) / (2 * std::log(base));
}

// Blends interpolated (divided by factor) and original frequencies: fast dims keep theirs, slow ones are interpolated.
void apply_yarn(const RopeConfig& c, double dims, std::vector<double>& table) {
  double low = yarn_dim(c.beta_fast, dims, c.base, c.original_context);
  double high = yarn_dim(c.beta_slow, dims, c.base, c.original_context);
  if (c.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dims - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < table.size(); ++i) {
    const double interpolated = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    table[i] = table[i] / c.factor * interpolated + table[i] * (1 - interpolated);
  }
}

void apply_llama3(const RopeConfig& c, std::vector<double>& table) {
  const double slow = c.original_context / c.low_frequency_factor, fast = c.original_context / c.high_frequency_factor;
  for (double& frequency : table) {
    const double wavelength = kTwoPi / frequency;
    if (wavelength > slow) {
      frequency /= c.factor;
    } else if (wavelength >= fast && fast < slow) {  // equal bounds leave nothing to blend
      const double smooth =
          (c.original_context / wavelength - c.low_frequency_factor) / (c.high_frequency_factor - c.low_frequency_factor);
      frequency = (1 - smooth) * frequency / c.factor + smooth * frequency;
    }
  }
}

double derived_magnitude(const RopeConfig& c) {
  if (c.attention_factor != 0) return c.attention_factor;
  if (c.scaling == RopeScaling::kYarn) {
    if (c.mscale != 0 && c.mscale_all_dim != 0)
      return yarn_magnitude(c.factor, c.mscale) / yarn_magnitude(c.factor, c.mscale_all_dim);
    return yarn_magnitude(c.factor);
  }
  if (c.scaling == RopeScaling::kLongRope && c.factor > 1)
    return std::sqrt(1 + std::log(c.factor) / std::log(static_cast<double>(c.original_context)));
  return 1;
}

}  // namespace

Status compute_rope_table(RopeSpec& rope, uint32_t context) {
  const RopeConfig& c = rope.config;
  const double dims = rope.dims;
  const size_t pairs = rope.dims / 2;

  double base = c.base;
  if (c.scaling == RopeScaling::kDynamicNtk && dims > 2) {
    const double length = std::max(context, c.trained_context);
    base *= std::pow(c.factor * length / c.trained_context - (c.factor - 1), dims / (dims - 2));
  }
  std::vector<double> table(pairs);
  for (size_t i = 0; i < pairs; ++i) table[i] = std::pow(base, -2.0 * static_cast<double>(i) / dims);

  const bool far = c.scaling == RopeScaling::kLongRope && context > c.original_context;
  const std::vector<float>& factors = far ? c.long_factors : c.short_factors;
  if (!factors.empty() && factors.size() != pairs) {
    return Error{ErrorCode::kFormat,
                 "RoPE: expected " + std::to_string(pairs) + " frequency factors, found " + std::to_string(factors.size())};
  }
  if (c.scaling == RopeScaling::kLinear)
    for (double& frequency : table) frequency /= c.factor;
  if (c.scaling == RopeScaling::kYarn) apply_yarn(c, dims, table);
  if (c.scaling == RopeScaling::kLlama3) apply_llama3(c, table);
  for (size_t i = 0; i < factors.size(); ++i) table[i] /= factors[i];
  const auto turning = static_cast<size_t>(c.turning * static_cast<double>(pairs));
  std::fill(table.begin() + static_cast<std::ptrdiff_t>(std::min(turning, pairs)), table.end(), 0.0);

  rope.magnitude = static_cast<float>(derived_magnitude(c));
  rope.inverse_frequencies.assign(table.begin(), table.end());
  bool finite = std::isfinite(rope.magnitude);
  for (float frequency : rope.inverse_frequencies) finite = finite && std::isfinite(frequency);
  if (!finite) return Error{ErrorCode::kFormat, "RoPE: the scaling's numbers make no finite frequencies"};
  return {};
}

bool ModelSpec::rope_depends_on_context() const {
  return std::any_of(ropes.begin(), ropes.end(), [](const RopeSpec& rope) {
    return rope.config.scaling == RopeScaling::kDynamicNtk || rope.config.scaling == RopeScaling::kLongRope;
  });
}

Status set_context(ModelSpec& spec, uint32_t tokens) {
  spec.opened_context = tokens == 0 ? spec.context_length : tokens;
  for (RopeSpec& rope : spec.ropes) LAHAR_TRY(compute_rope_table(rope, spec.opened_context));
  return {};
}

}  // namespace lahar
