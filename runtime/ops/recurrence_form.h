// How a state matrix is shared out among invocations (shaders/linear_attention/recurrence.glsl).
#pragma once

#include "ops/op_helpers.h"

namespace lahar::ops::detail {

struct RecurrenceForm {
  uint32_t lanes, parts, rows, groups, chunk, subgroups;
  uint32_t workgroups(uint32_t value_dim) const { return ceil_div(value_dim, rows * groups); }
};

// arrays: vectors of key_dim floats that are staged for each token.
inline RecurrenceForm recurrence_form(const gpu::Caps& caps, uint32_t key_dim, uint32_t value_dim, uint32_t arrays) {
  constexpr uint32_t kSharedBytes = 12 << 10;  // every device has 16 KB
  const uint32_t key4 = key_dim / 4, size = narrow_subgroup(caps);
  RecurrenceForm f{};
  f.lanes = std::min({power_of_two_at_least(key4), size, 8u});
  f.parts = ceil_div(key4, f.lanes);
  // 32 registers of state an invocation, as long as the key dim allows it; 16 where there are few.
  f.rows = std::clamp((few_registers(caps) ? 4 : 8) / f.parts, 1u, 4u);
  f.rows = std::min(f.rows, power_of_two_at_least(value_dim));
  const uint32_t in_subgroup = size / f.lanes;
  f.subgroups = subgroups_of(caps, size, ceil_div(value_dim, f.rows) * f.lanes, 128);
  f.groups = f.subgroups * in_subgroup;
  const uint32_t token = arrays * f.lanes * f.parts * 16 + 16 + f.rows * f.groups * 4;
  f.chunk = std::clamp(kSharedBytes / token, 1u, 16u);
  return f;
}

inline gpu::KernelDesc describe_recurrence(const gpu::Caps& caps, gpu::ShaderId shader, const RecurrenceForm& f,
                                           uint32_t key_dim) {
  const uint32_t size = narrow_subgroup(caps);
  return {.shader = shader,
          .constants = {f.subgroups * size, 1, 1, {key_dim / 4, f.lanes, f.parts, f.rows, f.groups, f.chunk, f.subgroups}},
          .subgroup_size = size};
}

inline Status check_recurrence(std::string_view label, uint32_t heads, uint32_t key_dim, uint32_t value_dim) {
  const bool fits = key_dim > 0 && key_dim % 4 == 0 && key_dim <= 256 && value_dim > 0 && value_dim % 4 == 0 &&
                    value_dim <= 4096 && heads > 0 && heads <= 65535;
  if (fits) return {};
  return invalid(label, "states of " + std::to_string(heads) + " heads, " + std::to_string(value_dim) + " x " +
                            std::to_string(key_dim) + "; dims are multiples of 4, the key's at most 256");
}

}  // namespace lahar::ops::detail
