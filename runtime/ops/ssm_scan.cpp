#include "ops/ssm_scan.h"

#include "ops/catalogue.h"
#include "ops/state_helpers.h"
#include "params_ssm.h"

namespace lahar::ops {
namespace {

using namespace detail;

constexpr uint32_t kMaxState = 1024;
// Steps of so many rows read each B and C few times: more dims at once bring nothing, but on a CPU, where each workgroup
// costs.
constexpr uint32_t kDecodeRows = 16;

// Runs are split in steps of at least so many rows, whose scratch is for so many runs.
constexpr uint32_t kSplitRows = 2 * params::kSsmChunk;
constexpr uint32_t kSplitRuns = 4;

uint32_t most_chunks(uint32_t rows, uint32_t runs) { return ceil_div(rows, params::kSsmChunk) + runs - 1; }

struct Form {
  uint32_t heads, head_dim, groups, state, flags, rows;
  uint32_t mode = params::kSsmWhole;
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
  uint32_t units = f.rows <= kDecodeRows && !caps.is_cpu() ? 1 : 4;
  const uint32_t most = few_registers(caps) ? 4 : 16;
  while (units > 1 && (units > f.head_dim || units * quads > most)) units /= 2;
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
                        {tile.team, tile.quads, tile.units, f.heads, f.head_dim, f.groups, f.state, f.flags, f.mode}},
          .subgroup_size = size};
}

gpu::KernelDesc describe_carry(const gpu::Caps& caps, const Form& f) {
  const uint32_t lanes = subgroups_for(caps, 128, 128) * caps.subgroup_size;
  return {.shader = gpu::ShaderId::ssm_chunks,
          .constants = {lanes, 1, 1, {f.heads, f.head_dim, f.state, f.flags & params::kSsmPerState}},
          .subgroup_size = caps.subgroup_size};
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

// The three dispatches of a scan in chunks, or the one of whole runs.
class Scan {
 public:
  Scan(gpu::Recorder& recorder, const SsmScanParams& p) : recorder_(recorder), p_(p) {
    const bool aligned = p.b.first % 4 == 0 && p.c.first % 4 == 0 && p.state % 4 == 0;
    form_ = {.heads = p.heads,
             .head_dim = p.head_dim,
             .groups = p.groups,
             .state = p.state,
             .flags = (p.a_per_state ? params::kSsmPerState : 0) | (p.d ? params::kSsmSkip : 0) |
                      (p.dt_bias ? params::kSsmBias : 0) | (aligned ? params::kSsmAligned : 0),
             .rows = p.step.bucket};
    const uint32_t rows = p.step.bucket, width = p.heads * p.head_dim;
    x_ = range_of(p.x, rows, width), dt_ = range_of(p.dt, rows, p.heads);
    b_ = range_of(p.b, rows, p.groups * p.state), c_ = range_of(p.c, rows, p.groups * p.state);
    y_ = rows_of(p.y, rows, width);
  }

  void whole() const {
    const params::StateAddress slots = state_address(p_.slots, p_.state_offset);
    dispatch(params::kSsmWhole, std::min(p_.step.bucket, p_.step.max_runs), p_.y.range.address(), slots,
             Ranges{x_, b_, c_, dt_, p_.a, p_.d, p_.dt_bias, p_.slots.range, p_.step.state}, Ranges{y_, p_.slots.range});
  }

  void in_chunks(uint32_t chunks) const {
    const uint64_t end_bytes = ssm_state_bytes(p_.heads, p_.head_dim, p_.state);
    const gpu::BufferRange ends = p_.scratch.part(0, chunks * end_bytes);
    const gpu::BufferRange times = p_.scratch.part(ends.size, uint64_t{chunks} * p_.heads * sizeof(float));
    const params::StateAddress slots{ends.address(), end_bytes, chunks, 0};
    dispatch(params::kSsmEnds, chunks, times.address(), slots, Ranges{x_, b_, dt_, p_.a, p_.dt_bias, p_.step.state},
             Ranges{ends, times});
    carry(chunks, ends, times);
    dispatch(params::kSsmRows, chunks, p_.y.range.address(), slots,
             Ranges{x_, b_, c_, dt_, p_.a, p_.d, p_.dt_bias, ends, p_.step.state}, Ranges{y_});
  }

 private:
  void dispatch(uint32_t mode, uint32_t parts, uint64_t y, const params::StateAddress& state, const Ranges& reads,
                const Ranges& writes) const {
    Form form = form_;
    form.mode = mode;
    if (mode == params::kSsmEnds) form.flags &= ~params::kSsmSkip;
    const gpu::Caps& caps = recorder_.device().caps();
    const gpu::KernelDesc desc = describe(caps, form);
    const Tile tile = tile_of(caps, form);
    const params::SsmScanPush push{.x = x_.address(),
                                   .y = y,
                                   .b = b_.address(),
                                   .c = c_.address(),
                                   .dt = dt_.address(),
                                   .a = p_.a.address(),
                                   .d = p_.d.address(),
                                   .dt_bias = p_.dt_bias.address(),
                                   .step = p_.step.state.address(),
                                   .state = state,
                                   .x_stride = p_.x.rows.stride,
                                   .y_stride = p_.y.stride,
                                   .bc_stride = p_.b.rows.stride,
                                   .dt_stride = p_.dt.rows.stride,
                                   .dt_min = p_.dt_min,
                                   .dt_max = p_.dt_max,
                                   .dt_scale = p_.dt_scale,
                                   .reserved = 0};
    const uint32_t blocks = p_.heads * ceil_div(p_.head_dim, tile.units);
    const uint32_t in_group = desc.constants.values()[0] / tile.team;
    recorder_.dispatch({.label = p_.label,
                        .kernel = recorder_.device().kernels().get(desc),
                        .push = gpu::push_bytes(push),
                        .groups = {ceil_div(blocks, in_group), parts, 1},
                        .reads = reads,
                        .writes = writes});
  }

  // From what each chunk leaves to the state in front of each, and to the runs' slots.
  void carry(uint32_t chunks, const gpu::BufferRange& ends, const gpu::BufferRange& times) const {
    const gpu::KernelDesc desc = describe_carry(recorder_.device().caps(), form_);
    const params::SsmChunksPush push{.a = p_.a.address(),
                                     .times = times.address(),
                                     .ends = ends.address(),
                                     .end_bytes = ends.size / chunks,
                                     .step = p_.step.state.address(),
                                     .state = state_address(p_.slots, p_.state_offset),
                                     .chunks = chunks,
                                     .reserved = 0};
    const uint32_t quads = p_.heads * p_.head_dim * ceil_div(p_.state, 4);
    recorder_.dispatch({.label = p_.label,
                        .kernel = recorder_.device().kernels().get(desc),
                        .push = gpu::push_bytes(push),
                        .groups = {ceil_div(quads, desc.constants.values()[0]), p_.step.max_runs, 1},
                        .reads = Ranges{p_.a, ends, times, p_.slots.range, p_.step.state},
                        .writes = Ranges{ends, p_.slots.range}});
  }

  gpu::Recorder& recorder_;
  const SsmScanParams& p_;
  Form form_{};
  gpu::BufferRange x_, dt_, b_, c_, y_;
};

}  // namespace

uint64_t ssm_state_bytes(uint32_t heads, uint32_t head_dim, uint32_t state) {
  return uint64_t{heads} * head_dim * ceil_div(state, 4) * 4 * sizeof(float);
}

uint64_t ssm_scan_scratch_bytes(const gpu::Caps& caps, uint32_t rows, uint32_t heads, uint32_t head_dim, uint32_t state) {
  if (caps.is_cpu() || rows < kSplitRows) return 0;
  return most_chunks(rows, kSplitRuns) * (ssm_state_bytes(heads, head_dim, state) + uint64_t{heads} * sizeof(float));
}

Status ssm_scan(gpu::Recorder& recorder, const SsmScanParams& p) {
  LAHAR_TRY(check(p));
  const uint32_t rows = p.step.bucket, chunks = most_chunks(rows, p.step.max_runs);
  const uint64_t bytes = chunks * (ssm_state_bytes(p.heads, p.head_dim, p.state) + uint64_t{p.heads} * sizeof(float));
  const Scan scan(recorder, p);
  if (rows >= kSplitRows && p.scratch && p.scratch.address() % 16 == 0 && p.scratch.size >= bytes) scan.in_chunks(chunks);
  else scan.whole();
  return {};
}

void list_ssm_scan_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  const uint32_t flags = kSsmSkip | kSsmAligned | kSsmBias;
  const Form forms[] = {{64, 64, 1, 128, flags, 1}, {128, 64, 8, 256, flags, 1}, {4096, 1, 1, 16, flags | kSsmPerState, 1}};
  for (Form form : forms) {
    out.push_back(describe(caps, form));
    out.push_back(describe_carry(caps, form));
    form.rows = 512;
    for (const uint32_t mode : {kSsmWhole, kSsmEnds, kSsmRows}) {
      form.mode = mode;
      out.push_back(describe(caps, form));
    }
  }
}

}  // namespace lahar::ops
