// Inside of ops: checks of shapes and the pieces that every op's recording needs.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>

#include "ops/common.h"

namespace lahar::ops::detail {

constexpr uint32_t kNodeRanges = 8;

inline Error invalid(std::string_view label, const std::string& what) {
  return {ErrorCode::kInvalidArgument, (label.empty() ? std::string("op") : std::string(label)) + ": " + what};
}

// The bytes of `rows` rows of `width` floats.
inline uint64_t row_bytes(const Activations& a, uint32_t rows, uint32_t width) {
  return rows == 0 ? 0 : (uint64_t{rows - 1} * a.stride + width) * sizeof(float);
}
inline gpu::BufferRange rows_of(const Activations& a, uint32_t rows, uint32_t width) {
  return a.range.part(0, row_bytes(a, rows, width));
}

inline Status check_rows(std::string_view label, const char* name, const Activations& a, uint32_t rows, uint32_t width) {
  const std::string what = name;
  if (!a.range) return invalid(label, what + " is missing");
  if (a.range.address() % 16 != 0 || a.stride % 4 != 0)
    return invalid(label, what + " needs a base of 16 bytes and a stride of 4 floats");
  if (a.stride < width && rows > 1)
    return invalid(label,
                   what + " has rows of " + std::to_string(width) + " floats, a stride of " + std::to_string(a.stride));
  if (a.range.size < row_bytes(a, rows, width))
    return invalid(
        label, what + " needs " + std::to_string(row_bytes(a, rows, width)) + " bytes, has " + std::to_string(a.range.size));
  // Kernels address a row's start with a 32-bit multiple.
  if (a.stride > (1u << 30)) return invalid(label, what + "'s stride of " + std::to_string(a.stride) + " is too large");
  return {};
}

inline Status check_vector(std::string_view label, const char* name, const gpu::BufferRange& range, uint64_t floats) {
  if (!range) return invalid(label, std::string(name) + " is missing");
  if (range.address() % 16 != 0 || range.size < floats * sizeof(float))
    return invalid(label, std::string(name) + " needs " + std::to_string(floats) + " floats on a base of 16 bytes, has " +
                              std::to_string(range.size) + " bytes");
  return {};
}

inline Status check_step(std::string_view label, const StepRef& step, uint32_t max_groups) {
  if (step.bucket == 0 || step.bucket > max_groups)
    return invalid(label, "a bucket of " + std::to_string(step.bucket) + " rows");
  if (!step.state || step.state.size < sizeof(params::StepState) + uint64_t{step.bucket} * sizeof(params::Row))
    return invalid(label, "the step's state is missing or too small");
  return {};
}

inline bool overlaps(const gpu::BufferRange& a, const gpu::BufferRange& b) {
  return a && b && a.address() < b.address() + b.size && b.address() < a.address() + a.size;
}
// True where both name the same rows, so that a kernel may read and write them in place.
inline bool same_rows(const Activations& a, const Activations& b) {
  return a.range.address() == b.range.address() && a.stride == b.stride;
}

// How many full subgroups a workgroup of about `lanes` invocations has. One on a CPU, where lanes are vector elements and
// barriers between subgroups cost far more than they bring.
inline uint32_t subgroups_of(const gpu::Caps& caps, uint32_t size, uint32_t lanes, uint32_t most) {
  if (caps.is_cpu()) return 1;
  // 16 subgroups are within maxComputeWorkgroupSubgroups everywhere.
  const uint32_t limit = std::clamp(std::min(most, caps.max_workgroup_invocations) / size, 1u, 16u);
  return std::clamp(ceil_div(lanes, size), 1u, limit);
}

inline uint32_t subgroups_for(const gpu::Caps& caps, uint32_t lanes, uint32_t most = 256) {
  return subgroups_of(caps, caps.subgroup_size, lanes, most);
}

// Workgroups over a row of `width` floats, 16 bytes an invocation. On a CPU a few groups that loop are enough: each costs
// more than the 32 bytes that it would compute.
inline uint32_t row_groups(const gpu::Caps& caps, const gpu::KernelDesc& desc, uint32_t width, uint32_t rows) {
  const uint32_t whole_row = ceil_div(ceil_div(width, 4), desc.constants.values()[0]);
  return std::min(caps.is_cpu() ? std::min(whole_row, ceil_div(8, rows)) : whole_row, caps.max_workgroup_count[0]);
}
// The same for kernels that take a head a workgroup, or several one after the other.
inline uint32_t head_groups(const gpu::Caps& caps, uint32_t heads, uint32_t rows) {
  return std::min(caps.is_cpu() ? std::min(heads, ceil_div(8, rows)) : heads, caps.max_workgroup_count[0]);
}

// Where registers are shared out among the lanes of a subgroup whose size can be chosen from 16 or less on (Intel), wide
// subgroups make kernels with much state spill.
inline bool few_registers(const gpu::Caps& caps) {
  return caps.subgroup_size_control && caps.min_subgroup_size <= 16 && caps.min_subgroup_size < caps.max_subgroup_size;
}
// The subgroup size for such kernels.
inline uint32_t narrow_subgroup(const gpu::Caps& caps) {
  return few_registers(caps) ? std::min(16u, caps.subgroup_size) : caps.subgroup_size;
}

// True where workgroups may be made of full subgroups of this size.
inline bool can_subgroup(const gpu::Caps& caps, uint32_t size) {
  if (!caps.subgroup_size_control) return size == caps.subgroup_size;
  return size >= caps.min_subgroup_size && size <= caps.max_subgroup_size && (size & (size - 1)) == 0;
}

inline uint32_t bits_of(float v) { return __builtin_bit_cast(uint32_t, v); }

inline uint32_t power_of_two_at_least(uint32_t v) {
  uint32_t p = 1;
  while (p < v) p *= 2;
  return p;
}

// Ranges of a dispatch, the empty ones left out.
class Ranges {
 public:
  Ranges(std::initializer_list<gpu::BufferRange> ranges) {
    for (const gpu::BufferRange& r : ranges) add(r);
  }
  void add(const gpu::BufferRange& r) {
    if (r) ranges_.push_back(r);
  }
  operator std::span<const gpu::BufferRange>() const { return ranges_; }

 private:
  std::vector<gpu::BufferRange> ranges_;
};

}  // namespace lahar::ops::detail
