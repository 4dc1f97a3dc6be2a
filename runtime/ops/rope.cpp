#include "ops/rope.h"

#include "ops/attention_paths.h"
#include "ops/catalogue.h"
#include "params_rope.h"

namespace lahar::ops {
namespace {

using namespace detail;

struct Form {
  uint32_t heads, kv_heads, head_dim, rope_dims;
  RopePairing pairing;
  QkNorm qk_norm;
  uint32_t norm_flags;
  KvType type;
};

gpu::KernelDesc describe(const gpu::Caps& caps, const Form& f) {
  const uint32_t size = narrow_subgroup(caps);
  const uint32_t team = std::min(power_of_two_at_least(ceil_div(f.head_dim, 8)), size);
  const uint32_t units = f.heads + 2 * f.kv_heads;
  const uint32_t subgroups = subgroups_of(caps, size, units * team, f.qk_norm == QkNorm::kFull ? 256 : 128);
  return {.shader = gpu::ShaderId::rope_kv,
          .constants = {subgroups * size,
                        1,
                        1,
                        {subgroups, team, f.heads, f.kv_heads, f.head_dim, f.rope_dims, static_cast<uint32_t>(f.pairing),
                         static_cast<uint32_t>(f.qk_norm), static_cast<uint32_t>(f.type), f.norm_flags}},
          .subgroup_size = size};
}

uint32_t norm_flags(const RopeKvParams& p) {
  using namespace params;
  uint32_t flags =
      (p.value_norm ? kValueNorm : 0) | (p.query_alone ? kQueryAlone : 0) | (p.temperature != 0 ? kTemperature : 0);
  if (p.clamp > 0) flags |= p.clamp_normed && p.qk_norm != QkNorm::kNone ? kClampNormed : kClampQkv;
  if (p.qk_norm == QkNorm::kNone) return flags;
  if (p.qk_norm_kind == NormKind::kLayer) flags |= kQkNormLayer;
  if (p.qk_norm_bias) flags |= kQkNormBias;
  if (p.qk_norm_after_rope) flags |= kQkNormAfterRope;
  if (!p.q_norm) flags |= kQkNormNoWeight;
  return flags;
}

}  // namespace

uint32_t detail::qkv_width(const RopeKvParams& p) {
  const uint32_t q_end = p.q_offset + p.heads * p.kv.head_dim, kv_width = p.kv.kv_heads * p.kv.head_dim;
  return p.query_alone ? q_end : std::max({q_end, p.k_offset + kv_width, p.v_offset + kv_width});
}

Status detail::check_rope(const RopeKvParams& p, const gpu::Caps& caps) {
  const uint32_t rows = p.step.bucket, dim = p.kv.head_dim;
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[1]));
  LAHAR_TRY(check_kv(p.label, p.kv, p.heads));
  const uint32_t q_width = p.heads * dim, kv_width = p.kv.kv_heads * dim;
  if (p.q_offset % 4 != 0 || p.k_offset % 4 != 0 || p.v_offset % 4 != 0)
    return invalid(p.label, "offsets of q, k, v must be multiples of 4 floats");
  const uint32_t row_end = qkv_width(p);
  LAHAR_TRY(check_rows(p.label, "qkv", p.qkv, rows, row_end));
  LAHAR_TRY(check_rows(p.label, "q", p.q, rows, q_width));
  if (overlaps(rows_of(p.qkv, rows, row_end), rows_of(p.q, rows, q_width))) return invalid(p.label, "q overlaps qkv");
  if (p.pairing != RopePairing::kNone) {
    if (p.rope_dims % 2 != 0 || p.rope_dims > dim)
      return invalid(p.label, "rope_dims of " + std::to_string(p.rope_dims) + " with a head_dim of " + std::to_string(dim));
    LAHAR_TRY(check_vector(p.label, "inverse_frequencies", p.inverse_frequencies, p.rope_dims / 2));
  }
  if (p.qk_norm == QkNorm::kNone) return {};
  if (p.kv.shares_values()) return invalid(p.label, "pages whose keys hold the values too");
  if (p.temperature != 0 && !(p.temperature_floor > 0)) return invalid(p.label, "a temperature needs a floor above 0");
  if (p.qk_norm_after_rope && (p.qk_norm_kind != NormKind::kRms || (p.pairing != RopePairing::kNone && p.magnitude != 1)))
    return invalid(p.label, "a q/k norm after a rotation that changes what it measures");
  if (p.qk_norm_after_rope && p.clamp > 0 && p.clamp_normed) return invalid(p.label, "a clamp after a q/k norm after RoPE");
  if (p.qk_norm_bias && !p.q_norm) return invalid(p.label, "a q/k norm with a bias alone");
  if (!p.query_alone && static_cast<bool>(p.q_norm) != static_cast<bool>(p.k_norm))
    return invalid(p.label, "weights for one of q and k alone");
  if (p.q_norm) {
    const bool shared = p.qk_norm == QkNorm::kPerHead;
    const uint32_t times = p.qk_norm_bias ? 2 : 1;
    LAHAR_TRY(check_vector(p.label, "q_norm", p.q_norm, times * (shared ? dim : q_width)));
    if (!p.query_alone) LAHAR_TRY(check_vector(p.label, "k_norm", p.k_norm, times * (shared ? dim : kv_width)));
  }
  return {};
}

Status rope_kv(gpu::Recorder& recorder, const RopeKvParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check_rope(p, caps));
  const uint32_t rows = p.step.bucket, dim = p.kv.head_dim;
  const uint32_t row_end = qkv_width(p);
  const bool rotates = p.pairing != RopePairing::kNone && p.rope_dims > 0;
  const gpu::KernelDesc desc = describe(caps, {.heads = p.heads,
                                               .kv_heads = p.kv.kv_heads,
                                               .head_dim = dim,
                                               .rope_dims = rotates ? p.rope_dims : 0,
                                               .pairing = rotates ? p.pairing : RopePairing::kNone,
                                               .qk_norm = p.qk_norm,
                                               .norm_flags = norm_flags(p),
                                               .type = p.kv.type});
  const uint32_t teams = desc.constants.values()[0] / desc.constants.values()[4];
  const uint32_t whole_row = ceil_div(p.heads + 2 * p.kv.kv_heads, teams);
  // On a CPU a few groups that loop are enough. With the full norm every group sums the whole row, so there is one.
  const uint32_t groups = p.qk_norm == QkNorm::kFull ? 1
                          : caps.is_cpu()            ? std::min(whole_row, ceil_div(4, rows))
                                                     : whole_row;
  const params::RopeKvPush push{.qkv = p.qkv.range.address(),
                                .q = p.q.range.address(),
                                .frequencies = p.inverse_frequencies.address(),
                                .q_norm = p.q_norm.address(),
                                .k_norm = p.k_norm.address(),
                                .step = p.step.state.address(),
                                .kv = p.kv.address,
                                .q_offset = p.q_offset,
                                .k_offset = p.k_offset,
                                .v_offset = p.v_offset,
                                .qkv_stride = p.qkv.stride,
                                .q_stride = p.q.stride,
                                .eps = p.qk_norm_eps,
                                .magnitude = p.magnitude,
                                .clamp_at = p.clamp,
                                .temperature = p.temperature,
                                .temperature_floor = p.temperature_floor};
  Ranges reads{rows_of(p.qkv, rows, row_end), p.step.state, p.kv.segment_table, p.kv.page_table};
  if (rotates) reads.add(p.inverse_frequencies);
  if (p.qk_norm != QkNorm::kNone) reads.add(p.q_norm), reads.add(p.k_norm);
  Ranges writes{rows_of(p.q, rows, p.heads * dim)};
  if (!p.query_alone)
    for (const gpu::BufferRange& segment : p.kv.segments) writes.add(segment);
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(desc),
                     .push = gpu::push_bytes(push),
                     .groups = {groups, rows, 1},
                     .reads = reads,
                     .writes = writes});
  return {};
}

void list_rope_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  const auto add = [&](uint32_t dim, RopePairing pairing, QkNorm qk_norm, KvType type, uint32_t flags = 0) {
    out.push_back(describe(caps, {.heads = 16,
                                  .kv_heads = 4,
                                  .head_dim = dim,
                                  .rope_dims = pairing == RopePairing::kNone ? 0 : dim,
                                  .pairing = pairing,
                                  .qk_norm = qk_norm,
                                  .norm_flags = flags,
                                  .type = type}));
  };
  for (const uint32_t dim : {64u, 80u, 128u, 256u})
    for (const RopePairing pairing : {RopePairing::kNone, RopePairing::kHalves, RopePairing::kInterleaved})
      add(dim, pairing, QkNorm::kNone, KvType::kF16);
  for (const QkNorm qk_norm : {QkNorm::kNone, QkNorm::kPerHead, QkNorm::kFull})
    for (const KvType type : {KvType::kF16, KvType::kF32}) add(128, RopePairing::kHalves, qk_norm, type);
  add(128, RopePairing::kHalves, QkNorm::kEachHead, KvType::kF16, params::kQkNormLayer);
  add(128, RopePairing::kHalves, QkNorm::kPerHead, KvType::kF16, params::kQkNormAfterRope);
  add(256, RopePairing::kHalves, QkNorm::kPerHead, KvType::kF16, params::kValueNorm);
}

}  // namespace lahar::ops
