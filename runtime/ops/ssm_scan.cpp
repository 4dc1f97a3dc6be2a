#include "ops/ssm_scan.h"

#include "ops/catalogue.h"
#include "ops/state_helpers.h"
#include "params_ssm.h"

namespace lahar::ops {
namespace {

using namespace detail;

constexpr uint32_t kMaxState = 1024;
constexpr uint32_t kDecodeRows = 16;  // steps of so many rows read each B and C few times: more dims at once bring nothing

struct Form {
  uint32_t heads, head_dim, groups, state, flags, rows;
};

// How the state rows of a head are dealt out: `team` lanes have `units` rows, `quads` quads of each in a lane.
struct Tile {
  uint32_t team, quads, units;
};
Tile tile_of(const gpu::Caps& caps, const Form& f) {
  const uint32_t row_quads = ceil_div(f.state, 4);
  const uint32_t team =
      std::min({power_of_two_at_least(ceil_div(row_quads, 4)), power_of_two_at_least(row_quads), narrow_subgroup(caps)});
  const uint32_t quads = ceil_div(row_quads, team);
  uint32_t units = f.rows <= kDecodeRows ? 1 : 4;
  while (units > 1 && (units > f.head_dim || units * quads > 16)) units /= 2;
  return {team, quads, units};
}

gpu::KernelDesc describe(const gpu::Caps& caps, const Form& f) {
  const Tile tile = tile_of(caps, f);
  const uint32_t size = narrow_subgroup(caps);
  const uint32_t lanes = f.heads * ceil_div(f.head_dim, tile.units) * tile.team;
  return {.shader = gpu::ShaderId::ssm_scan,
          .constants = {subgroups_of(caps, size, lanes, 128) * size,
                        1,
                        1,
                        {tile.team, tile.quads, tile.units, f.heads, f.head_dim, f.groups, f.state, f.flags}},
          .subgroup_size = size};
}

Status check_columns(std::string_view label, const char* name, const Columns& c, uint32_t rows, uint32_t width) {
  if (c.first > (1u << 28)) return invalid(label, std::string(name) + " begins too far behind");
  return check_rows(label, name, c.rows, rows, c.first + width);
}

Status check(const SsmScanParams& p) {
  const uint32_t rows = p.step.bucket;
  const uint64_t width = uint64_t{p.heads} * p.head_dim;
  if (width == 0 || width > (1u << 24))
    return invalid(p.label, std::to_string(p.heads) + " heads of " + std::to_string(p.head_dim) + " dims");
  if (p.state == 0 || p.state > kMaxState)
    return invalid(p.label,
                   "a state of " + std::to_string(p.state) + "; up to " + std::to_string(kMaxState) + " are possible");
  if (p.groups == 0 || p.heads % p.groups != 0)
    return invalid(p.label, std::to_string(p.heads) + " heads in " + std::to_string(p.groups) + " groups");
  const auto channels = static_cast<uint32_t>(width);
  LAHAR_TRY(check_step(p.label, p.step, UINT32_MAX));
  LAHAR_TRY(check_columns(p.label, "x", p.x, rows, channels));
  LAHAR_TRY(check_columns(p.label, "B", p.b, rows, p.groups * p.state));
  LAHAR_TRY(check_columns(p.label, "C", p.c, rows, p.groups * p.state));
  LAHAR_TRY(check_columns(p.label, "dt", p.dt, rows, p.heads));
  LAHAR_TRY(check_rows(p.label, "y", p.y, rows, channels));
  if (!same_rows(p.b.rows, p.c.rows)) return invalid(p.label, "B and C must be columns of the same rows");
  LAHAR_TRY(check_vector(p.label, "A", p.a, uint64_t{p.heads} * (p.a_per_state ? p.state : 1)));
  if (p.d) LAHAR_TRY(check_vector(p.label, "D", p.d, p.heads));
  if (p.dt_bias) LAHAR_TRY(check_vector(p.label, "the bias of dt", p.dt_bias, p.heads));
  for (const Columns* other : {&p.x, &p.b, &p.dt})
    if (overlaps(other->rows.range, rows_of(p.y, rows, channels)))
      return invalid(p.label, "y must be apart from what is read");
  if (ssm_state_bytes(p.heads, p.head_dim, p.state) > UINT32_MAX) return invalid(p.label, "a state of more than 4 GiB");
  return check_state(p.label, p.slots, p.state_offset, ssm_state_bytes(p.heads, p.head_dim, p.state));
}

gpu::BufferRange range_of(const Columns& c, uint32_t rows, uint32_t width) {
  return c.rows.range.part(uint64_t{c.first} * sizeof(float), row_bytes(c.rows, rows, width));
}

}  // namespace

uint64_t ssm_state_bytes(uint32_t heads, uint32_t head_dim, uint32_t state) {
  return uint64_t{heads} * head_dim * ceil_div(state, 4) * 4 * sizeof(float);
}

Status ssm_scan(gpu::Recorder& recorder, const SsmScanParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check(p));
  const uint32_t rows = p.step.bucket, width = p.heads * p.head_dim;
  const bool aligned = p.b.first % 4 == 0 && p.c.first % 4 == 0 && p.state % 4 == 0;
  const Form form{.heads = p.heads,
                  .head_dim = p.head_dim,
                  .groups = p.groups,
                  .state = p.state,
                  .flags = (p.a_per_state ? params::kSsmPerState : 0) | (p.d ? params::kSsmSkip : 0) |
                           (p.dt_bias ? params::kSsmBias : 0) | (aligned ? params::kSsmAligned : 0),
                  .rows = rows};
  const gpu::KernelDesc desc = describe(caps, form);
  const Tile tile = tile_of(caps, form);
  const auto x = range_of(p.x, rows, width), dt = range_of(p.dt, rows, p.heads);
  const auto b = range_of(p.b, rows, p.groups * p.state), c = range_of(p.c, rows, p.groups * p.state);
  const params::SsmScanPush push{.x = x.address(),
                                 .y = p.y.range.address(),
                                 .b = b.address(),
                                 .c = c.address(),
                                 .dt = dt.address(),
                                 .a = p.a.address(),
                                 .d = p.d.address(),
                                 .dt_bias = p.dt_bias.address(),
                                 .step = p.step.state.address(),
                                 .state = state_address(p.slots, p.state_offset),
                                 .x_stride = p.x.rows.stride,
                                 .y_stride = p.y.stride,
                                 .bc_stride = p.b.rows.stride,
                                 .dt_stride = p.dt.rows.stride,
                                 .dt_min = p.dt_min,
                                 .dt_max = p.dt_max,
                                 .dt_scale = p.dt_scale,
                                 .reserved = 0};
  const uint32_t blocks = p.heads * ceil_div(p.head_dim, tile.units);
  const uint32_t in_group = desc.constants.values()[0] / tile.team;
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(desc),
                     .push = gpu::push_bytes(push),
                     .groups = {ceil_div(blocks, in_group), std::min(rows, p.step.max_runs), 1},
                     .reads = Ranges{x, b, c, dt, p.a, p.d, p.dt_bias, p.slots.range, p.step.state},
                     .writes = Ranges{rows_of(p.y, rows, width), p.slots.range}});
  return {};
}

void list_ssm_scan_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  for (const uint32_t rows : {1u, 512u}) {
    out.push_back(describe(caps, {64, 64, 1, 128, kSsmSkip | kSsmAligned | kSsmBias, rows}));
    out.push_back(describe(caps, {128, 64, 8, 256, kSsmSkip | kSsmAligned | kSsmBias, rows}));
    out.push_back(describe(caps, {4096, 1, 1, 16, kSsmSkip | kSsmAligned | kSsmBias | kSsmPerState, rows}));
  }
}

}  // namespace lahar::ops
