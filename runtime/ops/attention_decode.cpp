#include "ops/attention_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;

constexpr uint32_t kSplitKeys = 128;      // the fewest that are worth a workgroup
constexpr uint32_t kDecodeGroups = 1024;  // workgroups that fill any device
constexpr uint32_t kMaxSplits = 128;      // of a GPU
// Above so many quads of dims a head is a latent that many query heads share: what counts is how often it is read.
constexpr uint32_t kWideQuads = 64;

// The more lanes share out the registers of a subgroup, the fewer one of them has.
uint32_t narrowest(const gpu::Caps& caps) { return few_registers(caps) ? caps.min_subgroup_size : caps.subgroup_size; }

// Lanes of a team: close to eight dims a lane, without idle lanes where the head allows it.
uint32_t team_size(const gpu::Caps& caps, uint32_t subgroup, uint32_t quads) {
  const uint32_t widest = std::min(subgroup, power_of_two_at_least(quads));
  if (caps.is_cpu()) return widest;  // one team a subgroup, so that addresses of pages are the same for all its lanes
  if (quads > kWideQuads) return widest;
  const uint32_t ideal = std::min(subgroup, power_of_two_at_least(ceil_div(quads, 2)));
  for (uint32_t team = ideal; team * 4 >= ideal && team > 1; team /= 2)
    if (quads % team == 0) return team;
  return ideal;
}

// Items that a team computes together: as even shares of a row's as registers allow. An item and its sums take 8 floats a
// quad of dims, and a dozen more.
uint32_t item_count(const gpu::Caps& caps, const AttentionParams& p, uint32_t lane_quads, uint32_t most) {
  const bool small = small_registers(caps);
  const bool wide = p.kv.head_dim / 4 > kWideQuads && !caps.is_cpu() && !few_registers(caps) && !small;
  const uint32_t room = (caps.is_cpu() ? 16 : small ? 8 : few_registers(caps) ? 4 : wide ? 20 : 8) / lane_quads;
  if (small) most = std::min(most, p.alibi > 0 ? 2u : 3u);
  const uint32_t group = group_of(p), limit = std::clamp(room, 1u, most);
  if (p.step.bucket == 1 || group >= limit) return ceil_div(group, ceil_div(group, limit));
  // Rows of one run follow each other and read the same keys.
  return std::min(limit / group, p.step.bucket) * group;
}

uint32_t tile_count(const AttentionParams& p, uint32_t items) {
  return p.step.bucket * ceil_div(group_of(p), std::min(items, group_of(p)));
}

// Enough workgroups for a wide GPU at a long context, each with a hundred keys or more. On a CPU the KV heads alone keep the
// cores busy, and one dispatch less is worth more.
uint32_t split_count(const gpu::Caps& caps, const AttentionParams& p, uint32_t items, uint32_t keys_each) {
  const uint32_t keys = visible_keys(p);
  if (caps.is_cpu()) return keys <= 8192 ? 1 : 4;
  const uint32_t others = std::max(1u, p.kv.kv_heads * tile_count(p, items));
  return std::clamp(std::min(ceil_div(keys, keys_each), kDecodeGroups / others), 1u, most_splits(caps, p.step.bucket, keys));
}

AttentionForm make_form(const gpu::Caps& caps, const AttentionParams& p, uint32_t subgroup, uint32_t most_items,
                        uint32_t keys_each) {
  const uint32_t quads = p.kv.head_dim / 4, team = team_size(caps, subgroup, quads);
  const uint32_t items = item_count(caps, p, ceil_div(quads, team), most_items);
  return {.path = AttentionPath::kDecode,
          .subgroup = subgroup,
          .subgroups = subgroups_of(caps, subgroup, 128, 128),
          .team = team,
          .items = items,
          .keys = small_registers(caps) ? (items * ceil_div(quads, team) > 6 ? 1u : 2u) : 0u,
          .splits = split_count(caps, p, items, keys_each)};
}

gpu::KernelDesc describe(const AttentionParams& p, const AttentionForm& f) {
  const uint32_t quads = p.kv.head_dim / 4;
  return {.shader = gpu::ShaderId::attention_decode,
          .constants = {f.subgroups * f.subgroup,
                        1,
                        1,
                        {f.subgroups, f.subgroup, f.team, ceil_div(quads, f.team), p.kv.head_dim, group_of(p), f.items,
                         f.splits > 1 ? 1u : 0u, type_of(p), scores_of(p), p.kv.value_dim(), f.keys == 0 ? 4 : f.keys}},
          .subgroup_size = f.subgroup};
}

gpu::KernelDesc describe_merge(const gpu::Caps& caps, const AttentionParams& p) {
  const uint32_t dim = p.kv.value_dim(), lanes = subgroups_for(caps, dim / 4) * caps.subgroup_size;
  return {.shader = gpu::ShaderId::attention_merge,
          .constants = {lanes, 1, 1, {dim, scores_of(p)}},
          .subgroup_size = caps.subgroup_size};
}

bool can(const gpu::Caps& caps, const AttentionParams& p, const AttentionForm& f) {
  const uint32_t quads = p.kv.head_dim / 4;
  return p.step.bucket <= kDecodeRows && can_subgroup(caps, f.subgroup) && f.subgroups >= 1 && f.subgroups <= 16 &&
         f.subgroups * f.subgroup <= caps.max_workgroup_invocations && f.team >= 1 && f.team <= f.subgroup &&
         (f.team & (f.team - 1)) == 0 && f.items >= 1 && f.items * ceil_div(quads, f.team) <= 32 && f.splits >= 1 &&
         f.splits <= most_splits(caps, p.step.bucket, visible_keys(p)) && f.keys <= 2 &&
         f.subgroups * (params::kPartialHeader + p.kv.value_dim()) * sizeof(float) <= caps.max_shared_memory;
}

void list(const gpu::Caps& caps, const AttentionParams& p, std::vector<AttentionForm>& out) {
  if (p.step.bucket > kDecodeRows) return;
  const uint32_t most = p.step.bucket > 1 ? 8 : 4;
  out.push_back(make_form(caps, p, narrowest(caps), most, kSplitKeys));
  if (caps.is_cpu()) return;
  for (const uint32_t keys : {64u, 256u, 512u}) out.push_back(make_form(caps, p, narrowest(caps), most, keys));
  out.push_back(make_form(caps, p, narrowest(caps), 2, kSplitKeys));
  if (caps.subgroup_size_control)
    for (uint32_t size = std::max(8u, caps.min_subgroup_size); size <= std::min(64u, caps.max_subgroup_size); size *= 2)
      out.push_back(make_form(caps, p, size, most, kSplitKeys));
}

Status record(gpu::Recorder& recorder, const AttentionParams& p, const AttentionForm& f) {
  const params::AttentionPush push = attention_push(p, f.splits);
  return record_parts(recorder, p, f, describe(p, f), gpu::push_bytes(push),
                      {p.kv.kv_heads, f.splits, tile_count(p, f.items)}, attention_reads(p));
}

}  // namespace

const AttentionPathOps detail::kDecodeOps{can, list, record};

bool detail::small_registers(const gpu::Caps& caps) {
  const std::string& name = caps.info.name;
  return (few_registers(caps) && caps.min_subgroup_size < 16) || name.starts_with("Apple ") ||
         name.find("Adreno (TM) 6") != std::string::npos;
}

Status detail::record_parts(gpu::Recorder& recorder, const AttentionParams& p, const AttentionForm& f,
                            const gpu::KernelDesc& kernel, std::span<const std::byte> push, gpu::GroupCount groups,
                            const Ranges& reads, const Ranges& also_writes) {
  gpu::Device& device = recorder.device();
  const gpu::BufferRange out = attention_out(p);
  gpu::BufferRange partials;
  if (f.splits > 1) {
    const uint64_t bytes =
        uint64_t{f.splits} * p.step.bucket * p.heads * (params::kPartialHeader + p.kv.value_dim()) * sizeof(float);
    if (!p.scratch || p.scratch.size < bytes || p.scratch.address() % 16 != 0)
      return invalid(p.label, "scratch needs " + std::to_string(bytes) + " bytes on a base of 16");
    partials = p.scratch.part(0, bytes);
  }
  Ranges writes = also_writes;
  writes.add(f.splits > 1 ? partials : out);
  recorder.dispatch({.label = p.label,
                     .kernel = device.kernels().get(kernel),
                     .push = push,
                     .groups = groups,
                     .reads = reads,
                     .writes = writes});
  if (f.splits == 1) return {};
  const params::AttentionPush merge = attention_push(p, f.splits);
  const std::string merge_label = std::string(p.label) + " merge";
  recorder.dispatch({.label = merge_label,
                     .kernel = device.kernels().get(describe_merge(device.caps(), p)),
                     .push = gpu::push_bytes(merge),
                     .groups = {p.heads, p.step.bucket, 1},
                     .reads = Ranges{partials, p.step.state, sinks_of(p)},
                     .writes = Ranges{out}});
  return {};
}

uint32_t detail::most_splits(const gpu::Caps& caps, uint32_t bucket, uint32_t max_context) {
  if (caps.is_cpu()) return 4;
  return std::clamp(ceil_div(max_context, 64), 1u, std::max(8u, kMaxSplits / bucket));
}

void detail::list_decode_kernels(const gpu::Caps& caps, const AttentionParams& p, std::vector<gpu::KernelDesc>& out) {
  out.push_back(describe(p, make_form(caps, p, narrowest(caps), p.step.bucket > 1 ? 8 : 4, kSplitKeys)));
  out.push_back(describe_merge(caps, p));
}

}  // namespace lahar::ops
