#include "ops/catalogue.h"
#include "ops/moe_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;

gpu::KernelDesc describe(const gpu::Caps& caps) {
  return {.shader = gpu::ShaderId::moe_route, .constants = {caps.subgroup_size, 1, 1}, .subgroup_size = caps.subgroup_size};
}

Status check(const MoeRouteParams& p, const gpu::Caps& caps) {
  const auto refuse = [&](const std::string& what) { return invalid(p.label, what); };
  if (p.experts == 0 || p.experts > kMaxExperts || p.chosen == 0 || p.chosen > std::min(p.experts, kMaxChosen))
    return refuse(std::to_string(p.chosen) + " of " + std::to_string(p.experts) + " experts");
  if (p.groups == 0 || p.experts % p.groups != 0 || p.groups_chosen == 0 || p.groups_chosen > p.groups ||
      p.experts / p.groups * p.groups_chosen < p.chosen)
    return refuse(std::to_string(p.groups_chosen) + " of " + std::to_string(p.groups) + " groups of experts");
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[0]));
  LAHAR_TRY(check_rows(p.label, "logits", p.logits, p.step.bucket, p.experts));
  if (p.selection_bias) LAHAR_TRY(check_vector(p.label, "selection bias", p.selection_bias, p.experts));
  if (p.expert_scale) LAHAR_TRY(check_vector(p.label, "experts' scales", p.expert_scale, p.experts));
  if (p.uses && p.uses.size < uint64_t{p.experts} * 4) return refuse("the uses need a count for each expert");
  for (const gpu::BufferRange& r : {p.routes.ids, p.routes.weights})
    LAHAR_TRY(check_vector(p.label, "routes", r, uint64_t{p.step.bucket} * p.chosen));
  return {};
}

}  // namespace

uint64_t moe_route_bytes(uint32_t bucket, uint32_t chosen) { return (uint64_t{bucket} * chosen * 4 + 15) / 16 * 16; }

Status moe_route(gpu::Recorder& recorder, const MoeRouteParams& p) {
  using namespace params;
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check(p, caps));
  const uint32_t bucket = p.step.bucket;
  const MoeRoutePush push{.logits = p.logits.range.address(),
                          .bias = p.selection_bias.address(),
                          .expert_scale = p.expert_scale.address(),
                          .ids = p.routes.ids.address(),
                          .weights = p.routes.weights.address(),
                          .uses = p.uses.address(),
                          .step = p.step.state.address(),
                          .experts = p.experts,
                          .chosen = p.chosen,
                          .groups = p.groups,
                          .groups_chosen = p.groups_chosen,
                          .logits_stride = p.logits.stride,
                          .bucket = bucket,
                          .score = static_cast<uint32_t>(p.score),
                          .flags = (p.selection_bias ? kRouteBias : 0) | (p.normalize ? kRouteNormalize : 0) |
                                   (p.expert_scale ? kRouteExpertScale : 0) | (p.uses ? kRouteUses : 0) |
                                   (p.group_score == GroupScore::kSumOfTwo ? kRouteSumOfTwo : 0),
                          .scale = p.scale,
                          .reserved = 0};
  const gpu::BufferRange uses = p.uses ? p.uses.part(0, uint64_t{p.experts} * 4) : gpu::BufferRange{};
  const uint64_t bytes = uint64_t{bucket} * p.chosen * 4;
  recorder.dispatch(
      {.label = p.label,
       .kernel = recorder.device().kernels().get(describe(caps)),
       .push = gpu::push_bytes(push),
       .groups = {bucket, 1, 1},
       .reads = Ranges{rows_of(p.logits, bucket, p.experts), p.selection_bias, p.expert_scale, uses, p.step.state},
       .writes = Ranges{p.routes.ids.part(0, bytes), p.routes.weights.part(0, bytes), uses}});
  return {};
}

void detail::list_moe_route_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  out.push_back(describe(caps));
}

}  // namespace lahar::ops
