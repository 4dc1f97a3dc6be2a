#include "ops/attention_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;

constexpr uint32_t kTileItems = 32, kTileInvocations = 128;  // of prefill_tile.comp

gpu::KernelDesc describe_lanes(const AttentionParams& p, const AttentionForm& f) {
  return {.shader = gpu::ShaderId::attention_prefill_lanes,
          .constants = {f.subgroup,
                        1,
                        1,
                        {p.kv.head_dim, group_of(p), f.items, f.keys, type_of(p), scores_of(p), p.kv.value_dim()}},
          .subgroup_size = f.subgroup};
}

// The kernel has no subgroup operations: the driver chooses their size, but where wide ones have too few registers for the
// sums of 16 * DIMS64 floats.
gpu::KernelDesc describe_tile(const gpu::Caps& caps, const AttentionParams& p, const AttentionForm& f) {
  return {.shader = gpu::ShaderId::attention_prefill_tile,
          .constants = {kTileInvocations,
                        1,
                        1,
                        {p.kv.head_dim, group_of(p), ceil_div(p.kv.value_dim(), 64), type_of(p), scores_of(p),
                         p.kv.value_dim(), f.keys == 0 ? 4 : f.keys}},
          .subgroup_size = few_registers(caps) ? caps.min_subgroup_size : 0};
}

// Every run may leave its last tile part empty.
uint64_t tile_count(const AttentionParams& p, uint32_t items) {
  return uint64_t{p.step.bucket} * group_of(p) / items + std::min(p.step.bucket, params::kMaxRuns);
}

bool fits_grid(const gpu::Caps& caps, const AttentionParams& p, uint32_t items) {
  return tile_count(p, items) <= caps.max_workgroup_count[0] && p.kv.kv_heads <= caps.max_workgroup_count[1];
}

Status record_tiles(gpu::Recorder& recorder, const AttentionParams& p, const gpu::KernelDesc& desc, uint32_t items) {
  const params::AttentionPush push = attention_push(p, 1);
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(desc),
                     .push = gpu::push_bytes(push),
                     .groups = {static_cast<uint32_t>(tile_count(p, items)), p.kv.kv_heads, 1},
                     .reads = attention_reads(p),
                     .writes = Ranges{attention_out(p)}});
  return {};
}

// ---- a lane for each item

bool can_lanes(const gpu::Caps& caps, const AttentionParams& p, const AttentionForm& f) {
  return caps.is_cpu() && f.subgroup == caps.subgroup_size && f.items >= 1 && f.items <= 4 && f.keys >= 1 &&
         params::kPageTokens % f.keys == 0 && f.keys <= 8 && fits_grid(caps, p, f.subgroup * f.items);
}

// The loops are unrolled over dims, items and keys: more of them is hardly faster and far slower to compile.
void list_lanes(const gpu::Caps& caps, const AttentionParams& p, std::vector<AttentionForm>& out) {
  const uint32_t items = p.kv.head_dim <= 128 ? 2 : 1;
  for (const uint32_t n : {items, 1u})
    out.push_back({.path = AttentionPath::kLanes, .subgroup = caps.subgroup_size, .items = n, .keys = 2});
}

Status record_lanes(gpu::Recorder& recorder, const AttentionParams& p, const AttentionForm& f) {
  return record_tiles(recorder, p, describe_lanes(p, f), f.subgroup * f.items);
}

// ---- fp32 tiles

bool can_tile(const gpu::Caps& caps, const AttentionParams& p, const AttentionForm& f) {
  return f == AttentionForm{.path = AttentionPath::kTile, .keys = f.keys} && f.keys <= 1 &&
         caps.max_workgroup_invocations >= kTileInvocations && fits_grid(caps, p, kTileItems);
}

void list_tile(const gpu::Caps& caps, const AttentionParams& p, std::vector<AttentionForm>& out) {
  const bool one = (few_registers(caps) || small_registers(caps)) && p.kv.value_dim() > 64;
  out.push_back({.path = AttentionPath::kTile, .keys = one ? 1u : 0u});
}

Status record_tile(gpu::Recorder& recorder, const AttentionParams& p, const AttentionForm& f) {
  return record_tiles(recorder, p, describe_tile(recorder.device().caps(), p, f), kTileItems);
}

// ---- tiles on cooperative matrices

constexpr uint32_t kCoopKeys = 32, kCoopChunk = 64;  // of prefill_coop.comp

// Subgroups of a workgroup: its lanes share out the sums, and those of narrow ones have few registers for them.
uint32_t coop_subgroups(uint32_t subgroup, uint32_t head_dim) {
  const uint32_t lanes = subgroup < 16 && head_dim > kCoopChunk ? 256 : 128;
  return std::max(4u, lanes / subgroup);
}

// The device's shape that the kernel's tiles are made of; the largest. All zero without one.
gpu::CooperativeMatrixShape coop_shape(const gpu::Caps& caps) {
  gpu::CooperativeMatrixShape best;
  for (const gpu::CooperativeMatrixShape& s : caps.cooperative_matrix_shapes)
    if (s.m > 0 && 16 % s.m == 0 && s.n % 4 == 0 && 16 % s.n == 0 && s.k % 4 == 0 && kCoopKeys % s.k == 0 &&
        s.m * s.n * s.k > best.m * best.n * best.k)
      best = s;
  return best;
}

uint32_t coop_shared_bytes(uint32_t head_dim, uint32_t items) {
  const uint32_t chunk4 = kCoopChunk / 4, keys4 = kCoopKeys / 4;
  const uint32_t an_item = (ceil_div(head_dim, kCoopChunk) * chunk4 + 2) * 8 + (keys4 + 2) * 8 + (chunk4 + 1) * 16 + 72;
  return items * an_item + kCoopKeys * (chunk4 + 2) * 8;
}

gpu::KernelDesc describe_coop(const AttentionParams& p, const AttentionForm& f) {
  return {.shader = gpu::ShaderId::attention_prefill_coop,
          .constants = {f.subgroups * f.subgroup,
                        1,
                        1,
                        {p.kv.head_dim, group_of(p), f.items, f.subgroups, f.subgroup, f.m, f.n, f.k, type_of(p),
                         scores_of(p), p.kv.value_dim()}},
          .subgroup_size = f.subgroup};
}

bool can_coop(const gpu::Caps& caps, const AttentionParams& p, const AttentionForm& f) {
  const gpu::ShaderInfo shader = gpu::shader_info(gpu::ShaderId::attention_prefill_coop);
  const gpu::CooperativeMatrixShape s = coop_shape(caps);
  return p.precision == Precision::kDefault && p.kv.type != KvType::kF32 && p.kv.head_dim % 16 == 0 &&
         !shader.spirv.empty() && caps.has(shader.required_features) && s.m > 0 && f.m == s.m && f.n == s.n && f.k == s.k &&
         f.keys == 0 && f.team == 0 && f.splits == 0 && can_subgroup(caps, f.subgroup) && f.subgroups >= 1 &&
         // 16 subgroups are within maxComputeWorkgroupSubgroups everywhere, 32 where they are narrow.
         f.subgroups <= (f.subgroup < 32 ? 32u : 16u) && f.subgroups * f.subgroup <= caps.max_workgroup_invocations &&
         f.items >= 16 && f.items <= 64 && f.items % 16 == 0 &&
         coop_shared_bytes(p.kv.head_dim, f.items) <= caps.max_shared_memory && fits_grid(caps, p, f.items);
}

void list_coop(const gpu::Caps& caps, const AttentionParams& p, std::vector<AttentionForm>& out) {
  const gpu::CooperativeMatrixShape s = coop_shape(caps);
  // Where a driver offers subgroups of 8 or 16 to 32, its matrices are those of the narrowest.
  const uint32_t subgroup =
      few_registers(caps) && caps.max_subgroup_size >= 32 ? caps.min_subgroup_size : caps.subgroup_size;
  const uint32_t items = p.kv.head_dim <= (subgroup < 16 ? 64 : 128) ? 32 : 16;
  if (caps.is_cpu()) {
    out.push_back({.path = AttentionPath::kCoop,
                   .subgroup = subgroup,
                   .subgroups = 4,
                   .items = 16,  // what such a driver compiles in sensible time
                   .m = s.m,
                   .n = s.n,
                   .k = s.k});
    return;
  }
  const uint32_t most = coop_subgroups(subgroup, p.kv.head_dim);
  for (const uint32_t n : {items, 64u, 16u})
    for (const uint32_t subgroups : {most, most == 4 ? 8u : 4u})
      if (n == items || subgroups == most)
        out.push_back({.path = AttentionPath::kCoop,
                       .subgroup = subgroup,
                       .subgroups = subgroups,
                       .items = n,
                       .m = s.m,
                       .n = s.n,
                       .k = s.k});
}

Status record_coop(gpu::Recorder& recorder, const AttentionParams& p, const AttentionForm& f) {
  return record_tiles(recorder, p, describe_coop(p, f), f.items);
}

}  // namespace

const AttentionPathOps detail::kMatrixTileOps{can_coop, list_coop, record_coop};
const AttentionPathOps detail::kLanesOps{can_lanes, list_lanes, record_lanes};
const AttentionPathOps detail::kTileOps{can_tile, list_tile, record_tile};

void detail::list_prefill_kernels(const gpu::Caps& caps, const AttentionParams& p, std::vector<gpu::KernelDesc>& out) {
  std::vector<AttentionForm> lanes, tile, coop;
  list_lanes(caps, p, lanes), list_tile(caps, p, tile), list_coop(caps, p, coop);
  out.push_back(can_lanes(caps, p, lanes.front()) ? describe_lanes(p, lanes.front()) : describe_tile(caps, p, tile.front()));
  if (can_coop(caps, p, coop.front())) out.push_back(describe_coop(p, coop.front()));
}

}  // namespace lahar::ops
