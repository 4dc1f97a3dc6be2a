#include "ops/attention.h"

#include "ops/catalogue.h"
#include "ops/kv_helpers.h"
#include "params_attention.h"

namespace lahar::ops {
namespace {

using namespace detail;

// How often the context is split for one row of a decode step: enough workgroups for a wide GPU at a long context, each
// with some hundred keys. On a CPU the KV heads alone keep the cores busy, and one dispatch less is worth more.
uint32_t split_count(const gpu::Caps& caps, uint32_t bucket, uint32_t max_context) {
  if (bucket > kDecodeRows) return 1;
  if (caps.is_cpu()) return max_context <= 8192 ? 1 : 4;
  return std::clamp(ceil_div(max_context, 256), 1u, bucket == 1 ? 32u : 16u);
}

struct DecodeForm {
  uint32_t group, head_dim, splits;
  KvType type;
  bool softcap;
};

// Lanes of a team: close to eight dims a lane, without idle lanes where the head allows it.
uint32_t team_size(const gpu::Caps& caps, uint32_t subgroup, uint32_t quads) {
  const uint32_t widest = std::min(subgroup, power_of_two_at_least(quads));
  if (caps.is_cpu()) return widest;  // one team a subgroup, so that addresses of pages are the same for all its lanes
  const uint32_t ideal = std::min(subgroup, power_of_two_at_least(ceil_div(quads, 2)));
  for (uint32_t team = ideal; team * 4 >= ideal && team > 1; team /= 2)
    if (quads % team == 0) return team;
  return ideal;
}

gpu::KernelDesc describe_decode(const gpu::Caps& caps, const DecodeForm& f) {
  const uint32_t quads = f.head_dim / 4;
  const uint32_t size = narrow_subgroup(caps);
  const uint32_t team = team_size(caps, size, quads);
  const uint32_t lane_quads = ceil_div(quads, team);
  // Registers: a query and its accumulator take 8 floats a quad.
  const uint32_t most = std::clamp((caps.is_cpu() ? 16 : few_registers(caps) ? 4 : 8) / lane_quads, 1u, 4u);
  const uint32_t queries = ceil_div(f.group, ceil_div(f.group, most));
  const uint32_t subgroups = subgroups_of(caps, size, 128, 128);
  return {.shader = gpu::ShaderId::attention_decode,
          .constants = {subgroups * size,
                        1,
                        1,
                        {subgroups, size, team, lane_quads, f.head_dim, f.group, queries, f.splits,
                         static_cast<uint32_t>(f.type), f.softcap ? 1u : 0u}},
          .subgroup_size = size};
}

gpu::KernelDesc describe_merge(const gpu::Caps& caps, uint32_t head_dim, uint32_t splits) {
  const uint32_t lanes = subgroups_for(caps, head_dim / 4) * caps.subgroup_size;
  return {.shader = gpu::ShaderId::attention_merge,
          .constants = {lanes, 1, 1, {head_dim, splits}},
          .subgroup_size = caps.subgroup_size};
}

struct PrefillForm {
  uint32_t group, head_dim;
  KvType type;
  bool softcap;
};

// A lane for each query item on a CPU, tiles in shared memory elsewhere. A tile's items are lanes * ITEMS, or 32.
gpu::KernelDesc describe_prefill(const gpu::Caps& caps, const PrefillForm& f) {
  const uint32_t type = static_cast<uint32_t>(f.type), softcap = f.softcap ? 1 : 0;
  if (caps.is_cpu()) {
    // The loops are unrolled over dims, items and keys: more of them is hardly faster and far slower to compile.
    const uint32_t items = f.head_dim <= 128 ? 2 : 1, keys = 2;
    return {.shader = gpu::ShaderId::attention_prefill_lanes,
            .constants = {caps.subgroup_size, 1, 1, {f.head_dim, f.group, items, keys, type, softcap}},
            .subgroup_size = caps.subgroup_size};
  }
  // The kernel has no subgroup operations: the driver chooses their size.
  return {.shader = gpu::ShaderId::attention_prefill_tile,
          .constants = {128, 1, 1, {f.head_dim, f.group, ceil_div(f.head_dim, 64), type, softcap}}};
}

uint32_t tile_items(const gpu::KernelDesc& desc) {
  const auto constants = desc.constants.values();
  return desc.shader == gpu::ShaderId::attention_prefill_lanes ? constants[0] * constants[5] : 32;
}

Status check(const AttentionParams& p, const gpu::Caps& caps) {
  const uint32_t rows = p.step.bucket, width = p.heads * p.kv.head_dim;
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[2]));
  LAHAR_TRY(check_kv(p.label, p.kv, p.heads));
  LAHAR_TRY(check_rows(p.label, "q", p.q, rows, width));
  LAHAR_TRY(check_rows(p.label, "out", p.out, rows, width));
  if (overlaps(rows_of(p.q, rows, width), rows_of(p.out, rows, width))) return invalid(p.label, "out overlaps q");
  if (!(p.softcap >= 0)) return invalid(p.label, "a negative soft cap");
  return {};
}

Status record_decode(gpu::Recorder& recorder, const AttentionParams& p, const params::AttentionPush& push) {
  gpu::Device& device = recorder.device();
  const gpu::Caps& caps = device.caps();
  const uint32_t rows = p.step.bucket, width = p.heads * p.kv.head_dim, group = p.heads / p.kv.kv_heads;
  const uint32_t splits = split_count(caps, rows, p.max_context);
  const gpu::KernelDesc desc = describe_decode(
      caps, {.group = group, .head_dim = p.kv.head_dim, .splits = splits, .type = p.kv.type, .softcap = p.softcap > 0});
  const uint32_t queries = desc.constants.values()[9];
  const gpu::BufferRange out = rows_of(p.out, rows, width);
  gpu::BufferRange partials;
  if (splits > 1) {
    const uint64_t bytes = attention_scratch_bytes(caps, rows, p.heads, p.kv.head_dim, p.max_context);
    if (!p.scratch || p.scratch.size < bytes || p.scratch.address() % 16 != 0)
      return invalid(p.label, "scratch needs " + std::to_string(bytes) + " bytes on a base of 16");
    partials = p.scratch.part(0, bytes);
  }
  Ranges reads{rows_of(p.q, rows, width), p.step.state, p.kv.segment_table, p.kv.page_table};
  for (const gpu::BufferRange& segment : p.kv.segments) reads.add(segment);
  recorder.dispatch({.label = p.label,
                     .kernel = device.kernels().get(desc),
                     .push = gpu::push_bytes(push),
                     .groups = {p.kv.kv_heads * ceil_div(group, queries), splits, rows},
                     .reads = reads,
                     .writes = Ranges{splits > 1 ? partials : out}});
  if (splits == 1) return {};
  const std::string merge_label = std::string(p.label) + " merge";
  recorder.dispatch({.label = merge_label,
                     .kernel = device.kernels().get(describe_merge(caps, p.kv.head_dim, splits)),
                     .push = gpu::push_bytes(push),
                     .groups = {p.heads, rows, 1},
                     .reads = Ranges{partials, p.step.state},
                     .writes = Ranges{out}});
  return {};
}

Status record_prefill(gpu::Recorder& recorder, const AttentionParams& p, const params::AttentionPush& push) {
  gpu::Device& device = recorder.device();
  const gpu::Caps& caps = device.caps();
  const uint32_t rows = p.step.bucket, width = p.heads * p.kv.head_dim, group = p.heads / p.kv.kv_heads;
  const gpu::KernelDesc desc =
      describe_prefill(caps, {.group = group, .head_dim = p.kv.head_dim, .type = p.kv.type, .softcap = p.softcap > 0});
  // Every run may leave its last tile part empty.
  const uint64_t tiles = uint64_t{rows} * group / tile_items(desc) + std::min(rows, params::kMaxRuns);
  if (tiles > caps.max_workgroup_count[0] || p.kv.kv_heads > caps.max_workgroup_count[1])
    return invalid(p.label, "a bucket of " + std::to_string(rows) + " rows has too many tiles");
  Ranges reads{rows_of(p.q, rows, width), p.step.state, p.kv.segment_table, p.kv.page_table};
  for (const gpu::BufferRange& segment : p.kv.segments) reads.add(segment);
  recorder.dispatch({.label = p.label,
                     .kernel = device.kernels().get(desc),
                     .push = gpu::push_bytes(push),
                     .groups = {static_cast<uint32_t>(tiles), p.kv.kv_heads, 1},
                     .reads = reads,
                     .writes = Ranges{rows_of(p.out, rows, width)}});
  return {};
}

}  // namespace

uint64_t attention_scratch_bytes(const gpu::Caps& caps, uint32_t bucket, uint32_t heads, uint32_t head_dim,
                                 uint32_t max_context) {
  const uint64_t splits = split_count(caps, bucket, max_context);
  if (splits == 1) return 16;
  return splits * bucket * heads * (params::kPartialHeader + head_dim) * sizeof(float);
}

Status attention(gpu::Recorder& recorder, const AttentionParams& p) {
  LAHAR_TRY(check(p, recorder.device().caps()));
  const params::AttentionPush push{.q = p.q.range.address(),
                                   .y = p.out.range.address(),
                                   .scratch = p.scratch.address(),
                                   .step = p.step.state.address(),
                                   .kv = p.kv.address,
                                   .q_stride = p.q.stride,
                                   .y_stride = p.out.stride,
                                   .window = p.window,
                                   .scale = p.scale,
                                   .softcap = p.softcap,
                                   .reserved = 0};
  return p.step.bucket <= kDecodeRows ? record_decode(recorder, p, push) : record_prefill(recorder, p, push);
}

void list_attention_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  const auto add = [&](uint32_t dim, KvType type, uint32_t group, bool softcap, uint32_t splits) {
    out.push_back(
        describe_decode(caps, {.group = group, .head_dim = dim, .splits = splits, .type = type, .softcap = softcap}));
    out.push_back(describe_prefill(caps, {.group = group, .head_dim = dim, .type = type, .softcap = softcap}));
  };
  for (const uint32_t dim : {32u, 64u, 80u, 96u, 128u, 256u}) {
    for (const uint32_t group : {1u, 3u, 4u, 8u}) add(dim, KvType::kF16, group, false, 16);
    add(dim, KvType::kF32, 4, false, 16);
    out.push_back(describe_merge(caps, dim, 16));
  }
  add(128, KvType::kF16, 4, false, 1);
  add(256, KvType::kF16, 2, true, 16);
}

}  // namespace lahar::ops
