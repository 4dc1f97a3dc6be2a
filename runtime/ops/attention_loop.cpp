#include "ops/attention_paths.h"
#include "ops/loop_helpers.h"
#include "ops/rope.h"

namespace lahar::ops {
namespace {

using namespace detail;

constexpr uint32_t kMostItems = 4;
constexpr uint32_t kMostProducts = 8192;  // of a page, a workgroup and a lane: the code is a page's
constexpr uint32_t kMostSplits = 16;
// Keys of a workgroup that take as long as the dispatch that merges parts.
constexpr uint32_t kMergeKeys = 3000;

uint32_t head_groups_of(const AttentionParams& p, uint32_t items) { return p.kv.kv_heads * ceil_div(group_of(p), items); }

// The context is split where equal shares of the workgroups leave some threads idle for longer than a merge takes.
uint32_t split_count(const AttentionParams& p, uint32_t items) {
  const uint32_t threads = cpu_threads(), groups = head_groups_of(p, items) * p.step.bucket;
  const uint32_t keys = visible_keys(p);
  const uint64_t idle = uint64_t{keys} * (ceil_div(groups, threads) * threads - groups) / threads;
  return idle < kMergeKeys ? 1 : std::min(kMostSplits, ceil_div(4 * threads, groups) + 1);
}

uint32_t norm_kind(const RopeKvParams& rope) { return static_cast<uint32_t>(rope.qk_norm); }

gpu::KernelDesc describe(const AttentionParams& p, const AttentionForm& f) {
  gpu::KernelDesc desc{
      .shader = gpu::ShaderId::attention_decode_loop,
      .constants = {f.subgroup,
                    1,
                    1,
                    {f.subgroup, p.kv.head_dim, p.kv.value_dim(), group_of(p), f.items, f.splits > 1 ? 1u : 0u, type_of(p),
                     scores_of(p), p.chunk, p.rope == nullptr ? p.q.stride : 0, p.out.stride}},
      .subgroup_size = f.subgroup};
  if (const RopeKvParams* rope = p.rope) {
    const bool turns = rope->pairing != RopePairing::kNone && rope->rope_dims > 0;
    for (const uint32_t v : {1u, turns ? rope->rope_dims : 0u, turns ? static_cast<uint32_t>(rope->pairing) : 0u,
                             norm_kind(*rope), rope->q_norm ? 1u : 0u})
      desc.constants.push(v);
  }
  return desc;
}

bool can(const gpu::Caps& caps, const AttentionParams& p, const AttentionForm& f) {
  const gpu::ShaderInfo shader = gpu::shader_info(gpu::ShaderId::attention_decode_loop);
  return caps.uniform_loops && caps.has(shader.required_features) && f.subgroup == caps.subgroup_size && f.subgroup >= 4 &&
         f.subgroup <= params::kPageTokens && p.step.bucket <= kDecodeRows && f.items >= 1 && f.items <= kMostItems &&
         f.subgroups == 0 && f.team == 0 && f.keys == 0 && f.splits >= 1 && f.splits <= kMostSplits &&
         f.items * params::kPageTokens * ceil_div(p.kv.head_dim + p.kv.value_dim(), f.subgroup) <= kMostProducts;
}

void list(const gpu::Caps& caps, const AttentionParams& p, std::vector<AttentionForm>& out) {
  const uint32_t group = group_of(p), items = ceil_div(group, ceil_div(group, kMostItems));
  AttentionForm form{.path = AttentionPath::kLoop, .subgroup = caps.subgroup_size, .items = items};
  form.splits = split_count(p, items);
  out.push_back(form);
  if (form.splits > 1) form.splits = 1, out.push_back(form);
  if (items > 1) form.items = 1, form.splits = split_count(p, 1), out.push_back(form);
}

Status record(gpu::Recorder& recorder, const AttentionParams& p, const AttentionForm& f) {
  params::AttentionLoopPush push{};
  push.q = p.q.range.address(), push.y = p.out.range.address(), push.scratch = p.scratch.address();
  push.sinks = p.sinks.address(), push.step = p.step.state.address(), push.kv = p.kv.address;
  push.window = p.window, push.scale = p.scale, push.softcap = p.softcap;
  push.alibi = alibi_decline(p);
  Ranges reads = attention_reads(p), also_writes{};
  if (const RopeKvParams* rope = p.rope) {
    push.q = rope->qkv.range.address();
    push.frequencies = rope->inverse_frequencies.address();
    push.q_norm = rope->q_norm.address(), push.k_norm = rope->k_norm.address();
    push.magnitude = rope->magnitude, push.eps = rope->qk_norm_eps;
    reads.add(rope->inverse_frequencies), reads.add(rope->q_norm), reads.add(rope->k_norm);
    for (const gpu::BufferRange& segment : p.kv.segments) also_writes.add(segment);
  }
  return record_parts(recorder, p, f, describe(p, f), gpu::push_bytes(push),
                      {f.splits, head_groups_of(p, f.items), p.step.bucket}, reads, also_writes);
}

}  // namespace

const AttentionPathOps detail::kDecodeLoopOps{can, list, record};

bool detail::folds_rope(const gpu::Caps& caps, const AttentionParams& p, const AttentionForm& f) {
  // With several rows, one's keys could be another's to see.
  if (f.path != AttentionPath::kLoop || p.rope == nullptr || p.step.bucket != 1) return false;
  const RopeKvParams& r = *p.rope;
  const bool stored_plainly = p.kv.type == KvType::kF16 || p.kv.type == KvType::kBF16 || p.kv.type == KvType::kF32;
  const bool side_by_side =
      r.q_offset == 0 && r.k_offset == p.heads * p.kv.head_dim && r.v_offset == r.k_offset + p.kv.kv_heads * p.kv.head_dim;
  const bool plain_norm = r.qk_norm == QkNorm::kNone || (r.qk_norm != QkNorm::kFull && r.qk_norm_kind == NormKind::kRms &&
                                                         !r.qk_norm_bias && !r.qk_norm_after_rope);
  const bool whole_vectors = r.pairing != RopePairing::kHalves || r.rope_dims % (2 * caps.subgroup_size) == 0;
  return stored_plainly && side_by_side && plain_norm && whole_vectors && !p.kv.shares_values() && !r.query_alone &&
         !r.value_norm && r.clamp == 0 && r.temperature == 0;
}

void detail::list_loop_kernels(const gpu::Caps& caps, const AttentionParams& p, std::vector<gpu::KernelDesc>& out) {
  std::vector<AttentionForm> forms;
  list(caps, p, forms);
  if (can(caps, p, forms.front())) out.push_back(describe(p, forms.front()));
}

}  // namespace lahar::ops
