#include "ops/attention_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;

constexpr uint32_t kTileItems = 32, kTileInvocations = 128;  // of prefill_tile.comp

gpu::KernelDesc describe_lanes(const AttentionParams& p, const AttentionForm& f) {
  return {.shader = gpu::ShaderId::attention_prefill_lanes,
          .constants = {f.subgroup, 1, 1, {p.kv.head_dim, group_of(p), f.items, f.keys, type_of(p), capped(p)}},
          .subgroup_size = f.subgroup};
}

// The kernel has no subgroup operations: the driver chooses their size.
gpu::KernelDesc describe_tile(const AttentionParams& p, const AttentionForm&) {
  return {.shader = gpu::ShaderId::attention_prefill_tile,
          .constants = {
              kTileInvocations, 1, 1, {p.kv.head_dim, group_of(p), ceil_div(p.kv.head_dim, 64), type_of(p), capped(p)}}};
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
  return f == AttentionForm{.path = AttentionPath::kTile} && caps.max_workgroup_invocations >= kTileInvocations &&
         fits_grid(caps, p, kTileItems);
}

void list_tile(const gpu::Caps&, const AttentionParams&, std::vector<AttentionForm>& out) {
  out.push_back({.path = AttentionPath::kTile});
}

Status record_tile(gpu::Recorder& recorder, const AttentionParams& p, const AttentionForm& f) {
  return record_tiles(recorder, p, describe_tile(p, f), kTileItems);
}

}  // namespace

const AttentionPathOps detail::kLanesOps{can_lanes, list_lanes, record_lanes};
const AttentionPathOps detail::kTileOps{can_tile, list_tile, record_tile};

void detail::list_prefill_kernels(const gpu::Caps& caps, const AttentionParams& p, std::vector<gpu::KernelDesc>& out) {
  std::vector<AttentionForm> forms;
  list_lanes(caps, p, forms);
  if (can_lanes(caps, p, forms.front())) out.push_back(describe_lanes(p, forms.front()));
  else out.push_back(describe_tile(p, {}));
}

}  // namespace lahar::ops
