#include "ops/rotate_keys.h"

#include "ops/catalogue.h"
#include "ops/kv_helpers.h"
#include "params_rotate_keys.h"

namespace lahar::ops {
namespace {

using namespace detail;

gpu::KernelDesc describe(const gpu::Caps& caps, const RotateKeysParams& p) {
  const uint32_t size = narrow_subgroup(caps);
  const uint32_t team = std::min(power_of_two_at_least(ceil_div(p.kv.head_dim, 8)), size);
  return {.shader = gpu::ShaderId::rotate_keys,
          .constants = {size,
                        1,
                        1,
                        {team, p.kv.head_dim, p.kv.value_dim(), p.first_dim, p.rope_dims, static_cast<uint32_t>(p.pairing),
                         static_cast<uint32_t>(p.kv.type)}},
          .subgroup_size = size};
}

}  // namespace

Status rotate_keys(gpu::Recorder& recorder, const RotateKeysParams& p) {
  LAHAR_TRY(check_kv(p.label, p.kv, p.kv.kv_heads));
  const params::KvAddress& a = p.kv.address;
  for (const gpu::BufferRange& page : {p.source, p.target})
    if (!page || page.size < a.page_bytes || page.address() % 16 != 0) return invalid(p.label, "pages that are none");
  if (overlaps(p.source, p.target)) return invalid(p.label, "a page that becomes itself");
  if (p.pairing == RopePairing::kNone || p.rope_dims % 2 != 0 || p.rope_dims == 0 ||
      p.first_dim + p.rope_dims > p.kv.head_dim)
    return invalid(p.label, "dims [" + std::to_string(p.first_dim) + ", " + std::to_string(p.first_dim + p.rope_dims) +
                                ") of " + std::to_string(p.kv.head_dim) + " to rotate");
  LAHAR_TRY(check_vector(p.label, "inverse_frequencies", p.inverse_frequencies, p.rope_dims / 2));
  const params::RotateKeysPush push{.source = p.source.address(),
                                    .target = p.target.address(),
                                    .frequencies = p.inverse_frequencies.address(),
                                    .layer_offset = a.layer_offset,
                                    .value_offset = a.value_offset,
                                    .delta = p.delta,
                                    .reserved = 0};
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(describe(recorder.device().caps(), p)),
                     .push = gpu::push_bytes(push),
                     .groups = {p.kv.kv_heads, params::kPageTokens, 1},
                     .reads = Ranges{p.source, p.inverse_frequencies},
                     .writes = Ranges{p.target}});
  return {};
}

void list_rotate_keys_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (const KvType type : {KvType::kF16, KvType::kI8}) {
    RotateKeysParams p{.pairing = RopePairing::kHalves, .rope_dims = 128};
    p.kv.head_dim = 128, p.kv.type = type;
    out.push_back(describe(caps, p));
  }
}

}  // namespace lahar::ops
