#include "ops/attention_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;

// The code has no loops: products for each workgroup and lane, and keys, at most.
constexpr uint32_t kMostProducts = 2048, kMostKeys = 64;
constexpr uint32_t kMostItems = 4;
constexpr uint64_t kMostParts = 8192;  // of all rows: more would take longer to merge than to compute

// Workgroups for one row and KV head. A window or a chunk may begin anywhere in its first part.
uint32_t part_count(const AttentionParams& p, uint32_t keys) {
  const uint32_t parts = ceil_div(visible_keys(p), keys);
  const bool begins_anywhere = (p.window != 0 && visible_keys(p) >= p.window) || (p.chunk != 0 && p.chunk % keys != 0);
  return begins_anywhere ? parts + 1 : parts;
}

uint32_t products(const AttentionParams& p, const AttentionForm& f) {
  return f.items * f.keys * ceil_div(p.kv.head_dim, f.subgroup);
}

gpu::KernelDesc describe(const AttentionParams& p, const AttentionForm& f) {
  return {.shader = gpu::ShaderId::attention_decode_line,
          .constants = {f.subgroup,
                        1,
                        1,
                        {f.subgroup, p.kv.head_dim, group_of(p), f.items, f.keys, p.kv.segments.size() > 1 ? 0u : 1u,
                         f.splits > 1 ? 1u : 0u, type_of(p), scores_of(p), p.kv.value_dim()}},
          .subgroup_size = f.subgroup};
}

bool can(const gpu::Caps& caps, const AttentionParams& p, const AttentionForm& f) {
  const gpu::ShaderInfo shader = gpu::shader_info(gpu::ShaderId::attention_decode_line);
  return caps.is_cpu() && caps.has(shader.required_features) && f.subgroup == caps.subgroup_size && f.subgroup >= 4 &&
         f.subgroup <= params::kPageTokens && p.step.bucket <= kDecodeRows && f.items >= 1 && f.items <= kMostItems &&
         f.keys >= params::kPageTokens && f.keys <= kMostKeys && f.keys % params::kPageTokens == 0 && f.subgroups == 0 &&
         f.team == 0 && products(p, f) <= 2 * kMostProducts && f.splits == part_count(p, f.keys) &&
         uint64_t{f.splits} * p.step.bucket <= kMostParts && p.kv.address.n_pages < 1u << 24;
}

void list(const gpu::Caps& caps, const AttentionParams& p, std::vector<AttentionForm>& out) {
  const uint32_t group = group_of(p);
  AttentionForm form{.path = AttentionPath::kLine,
                     .subgroup = caps.subgroup_size,
                     .items = ceil_div(group, ceil_div(group, kMostItems)),
                     .keys = kMostKeys};
  while (form.keys > params::kPageTokens && products(p, form) > kMostProducts) form.keys /= 2;
  while (form.items > 1 && products(p, form) > kMostProducts) form.items = ceil_div(form.items, 2);
  form.splits = part_count(p, form.keys);
  out.push_back(form);
}

Status record(gpu::Recorder& recorder, const AttentionParams& p, const AttentionForm& f) {
  const params::AttentionLinePush push{attention_push(p, f.splits), {0, 1, 2, 3}};
  return record_parts(recorder, p, f, describe(p, f), gpu::push_bytes(push),
                      {f.splits, p.kv.kv_heads * ceil_div(group_of(p), f.items), p.step.bucket}, attention_reads(p));
}

}  // namespace

const AttentionPathOps detail::kDecodeLineOps{can, list, record};

uint64_t detail::line_parts(const gpu::Caps& caps, uint32_t bucket, uint32_t max_context) {
  if (!caps.is_cpu()) return 0;
  return std::min(kMostParts, uint64_t{bucket} * (ceil_div(max_context, params::kPageTokens) + 1));
}

void detail::list_line_kernels(const gpu::Caps& caps, const AttentionParams& p, std::vector<gpu::KernelDesc>& out) {
  std::vector<AttentionForm> forms;
  list(caps, p, forms);
  if (can(caps, p, forms.front())) out.push_back(describe(p, forms.front()));
}

}  // namespace lahar::ops
