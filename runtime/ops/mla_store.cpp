#include "ops/mla_store.h"

#include "ops/catalogue.h"
#include "ops/kv_helpers.h"
#include "params_mla.h"

namespace lahar::ops {
namespace {

using namespace detail;

struct Form {
  uint32_t heads, latent, rope;
  RopePairing pairing;
  KvType type;
};

gpu::KernelDesc describe(const gpu::Caps& caps, const Form& f) {
  const uint32_t size = narrow_subgroup(caps);
  const uint32_t team = std::min(power_of_two_at_least(ceil_div(f.latent + f.rope, 8)), size);
  const uint32_t subgroups = subgroups_of(caps, size, (1 + f.heads) * team, 128);
  return {.shader = gpu::ShaderId::mla_store,
          .constants = {subgroups * size,
                        1,
                        1,
                        {team, f.heads, f.latent, f.rope, static_cast<uint32_t>(f.pairing), static_cast<uint32_t>(f.type)}},
          .subgroup_size = size};
}

Status check(const MlaStoreParams& p, const gpu::Caps& caps) {
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[1]));
  LAHAR_TRY(check_kv(p.label, p.kv, p.heads));
  if (p.kv.kv_heads != 1 || !p.kv.shares_values())
    return invalid(p.label, "pages of another layout than one latent a token");
  const uint32_t rope = p.kv.head_dim - p.kv.shared_dim;
  if (rope % 4 != 0 || p.nope % 4 != 0 || p.pairing == RopePairing::kNone)
    return invalid(p.label, "heads of " + std::to_string(p.nope) + " and " + std::to_string(rope) + " dims");
  const uint32_t rows = p.step.bucket, query_width = p.heads * (p.nope + rope), q_width = p.heads * p.kv.head_dim;
  LAHAR_TRY(check_rows(p.label, "queries", p.queries, rows, query_width));
  LAHAR_TRY(check_rows(p.label, "latents", p.latents, rows, p.kv.head_dim));
  LAHAR_TRY(check_rows(p.label, "q", p.q, rows, q_width));
  for (const gpu::BufferRange& other : {rows_of(p.queries, rows, query_width), rows_of(p.latents, rows, p.kv.head_dim)})
    if (overlaps(rows_of(p.q, rows, q_width), other)) return invalid(p.label, "q overlaps what it is made from");
  LAHAR_TRY(check_vector(p.label, "norm", p.norm, p.kv.shared_dim));
  return check_vector(p.label, "inverse_frequencies", p.inverse_frequencies, rope / 2);
}

}  // namespace

Status mla_store(gpu::Recorder& recorder, const MlaStoreParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check(p, caps));
  const uint32_t rows = p.step.bucket, rope = p.kv.head_dim - p.kv.shared_dim;
  const gpu::KernelDesc desc = describe(caps, {p.heads, p.kv.shared_dim, rope, p.pairing, p.kv.type});
  const params::MlaStorePush push{.queries = p.queries.range.address(),
                                  .latents = p.latents.range.address(),
                                  .q = p.q.range.address(),
                                  .norm = p.norm.address(),
                                  .frequencies = p.inverse_frequencies.address(),
                                  .step = p.step.state.address(),
                                  .kv = p.kv.address,
                                  .queries_stride = p.queries.stride,
                                  .latents_stride = p.latents.stride,
                                  .q_stride = p.q.stride,
                                  .nope = p.nope,
                                  .eps = p.eps,
                                  .magnitude = p.magnitude};
  Ranges writes{rows_of(p.q, rows, p.heads * p.kv.head_dim)};
  for (const gpu::BufferRange& segment : p.kv.segments) writes.add(segment);
  const uint32_t teams = desc.constants.values()[0] / desc.constants.values()[3];
  const uint32_t whole_row = ceil_div(1 + p.heads, teams);
  recorder.dispatch(
      {.label = p.label,
       .kernel = recorder.device().kernels().get(desc),
       .push = gpu::push_bytes(push),
       .groups = {caps.is_cpu() ? std::min(whole_row, ceil_div(4, rows)) : whole_row, rows, 1},
       .reads = Ranges{rows_of(p.queries, rows, p.heads * (p.nope + rope)), rows_of(p.latents, rows, p.kv.head_dim),
                       p.norm.part(0, uint64_t{p.kv.shared_dim} * 4), p.inverse_frequencies.part(0, uint64_t{rope} * 2),
                       p.step.state, p.kv.segment_table, p.kv.page_table},
       .writes = writes});
  return {};
}

void list_mla_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (const KvType type : {KvType::kF16, KvType::kF32, KvType::kI8, KvType::kI4})
    out.push_back(describe(caps, {128, 512, 64, RopePairing::kInterleaved, type}));
  out.push_back(describe(caps, {16, 512, 64, RopePairing::kHalves, KvType::kF16}));
}

}  // namespace lahar::ops
