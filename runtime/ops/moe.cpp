#include "ops/moe.h"

#include "ops/catalogue.h"
#include "ops/moe_paths.h"
#include "quant/layout.h"

namespace lahar::ops {
namespace detail {

MoeScratch moe_scratch(const ExpertsRef& e, uint32_t chosen, uint32_t bucket, const gpu::BufferRange& scratch) {
  const uint64_t pairs = uint64_t{bucket} * chosen;
  MoeScratch s;
  const auto take = [&](uint64_t bytes) {
    const uint64_t at = s.bytes;
    s.bytes += (bytes + 255) / 256 * 256;
    return scratch && s.bytes <= scratch.size ? scratch.part(at, bytes) : gpu::BufferRange{};
  };
  const auto stride = [](uint32_t width) { return (width + 3) / 4 * 4; };
  const uint32_t h = stride(e.width()), wide = stride(e.width() * (e.gated ? 2 : 1)), out = stride(e.hidden());
  s.h = {take(pairs * h * 4), h};
  const gpu::BufferRange rows = take(pairs * std::max(wide, out) * 4);
  s.wide = {rows, wide}, s.out = {rows, out};
  s.converted = take(
      std::max(matmul_scratch_bytes(e.hidden(), bucket), matmul_scratch_bytes(e.width(), static_cast<uint32_t>(pairs))));
  s.pairs = take(sizeof(params::StepState) + pairs * sizeof(params::Row));
  s.counts = take(uint64_t{e.experts} * 4);
  s.sorted = take(pairs * 4);
  // A tile has a pair at least.
  const uint64_t tiles = params::kMoeTilesHeader + (pairs + std::min<uint64_t>(pairs, e.experts)) * sizeof(params::MoeTile);
  s.up_tiles = take(tiles), s.down_tiles = take(tiles);
  return s;
}

namespace {

uint32_t weighted_flag(const MoeParams& p) { return p.weighted_input ? params::kMoeWeighted : 0; }

}  // namespace

uint32_t moe_up_flags(const MoeParams& p) {
  return weighted_flag(p) | (p.experts->gated ? params::kMoeGated : 0) |
         (has_bias(p.experts->gate_up) ? params::kMoeBias : 0) | (p.clamp > 0 ? params::kMoeClamp : 0);
}

uint32_t moe_down_flags(const MoeParams& p) {
  return params::kMoeDown | weighted_flag(p) | (has_bias(p.experts->down) ? params::kMoeBias : 0) |
         (p.residual.range ? params::kMoeResidual : 0);
}

Ranges expert_reads(const MoeParams& p) {
  const uint64_t bytes = uint64_t{moe_pairs(p)} * 4;
  Ranges reads{p.experts->table, p.routes.ids.part(0, bytes), p.routes.weights.part(0, bytes), p.step.state};
  for (const gpu::BufferRange& slab : p.experts->slabs) reads.add(slab);
  return reads;
}

void record_moe(gpu::Recorder& recorder, const MoeParams& p, bool down, const gpu::KernelDesc& kernel,
                std::span<const std::byte> push, gpu::GroupCount groups) {
  const MoeScratch s = moe_scratch(*p.experts, p.chosen, p.step.bucket, p.scratch);
  const uint32_t bucket = p.step.bucket, hidden = p.experts->hidden(), width = p.experts->width();
  Ranges reads = expert_reads(p);
  reads.add(down ? rows_of(s.h, moe_pairs(p), width) : rows_of(p.x, bucket, hidden));
  if (down && p.residual.range) reads.add(rows_of(p.residual, bucket, hidden));
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(kernel),
                     .push = push,
                     .groups = groups,
                     .reads = reads,
                     .writes = Ranges{down ? rows_of(p.y, bucket, hidden) : rows_of(s.h, moe_pairs(p), width)}});
}

}  // namespace detail

namespace {

using namespace detail;

Status check_expert_matrix(std::string_view label, const char* name, const ExpertMatrix& m, uint32_t rows, uint32_t cols) {
  const std::string what = std::string("the experts' ") + name;
  if (m.rows != rows || m.cols != cols)
    return invalid(label, what + " are " + std::to_string(m.rows) + " x " + std::to_string(m.cols) + ", expected " +
                              std::to_string(rows) + " x " + std::to_string(cols));
  auto shape = quant::layout(m.format, m.rows, m.cols, m.group);
  if (!shape.ok()) return annotate(shape.error(), label);
  for (uint32_t i = 0; i < shape->planes; ++i)
    if (m.planes[i] % 16 != 0 || m.planes[i] + shape->plane_bytes[i] > (uint64_t{1} << 32))
      return invalid(label, what + "' plane " + std::to_string(i) + " begins at " + std::to_string(m.planes[i]));
  if (has_bias(m) && (m.bias % 4 != 0 || m.bias + uint64_t{rows} * 4 > (uint64_t{1} << 32)))
    return invalid(label, what + "' bias begins at " + std::to_string(m.bias));
  return {};
}

Status check_experts(std::string_view label, const ExpertsRef& e) {
  if (e.experts == 0 || e.experts > kMaxExperts) return invalid(label, std::to_string(e.experts) + " experts");
  if (!e.table || e.table.size < uint64_t{e.experts} * 8 || e.table.address() % 8 != 0)
    return invalid(label, "the table of experts is missing or too small");
  const uint32_t width = e.width(), hidden = e.hidden();
  LAHAR_TRY(check_expert_matrix(label, "down projections", e.down, hidden, width));
  if (!moe_mixed(e)) return check_expert_matrix(label, "gates", e.gate_up, e.gated ? 2 * width : width, hidden);
  if (!e.gated || has_bias(e.gate_up) != has_bias(e.up)) return invalid(label, "gate and up do not belong together");
  LAHAR_TRY(check_expert_matrix(label, "gates", e.gate_up, width, hidden));
  return check_expert_matrix(label, "up projections", e.up, width, hidden);
}

Status check_moe(const MoeParams& p, const gpu::Caps& caps) {
  if (p.experts == nullptr) return invalid(p.label, "the experts are missing");
  const ExpertsRef& e = *p.experts;
  LAHAR_TRY(check_experts(p.label, e));
  if (p.chosen == 0 || p.chosen > std::min(e.experts, kMaxChosen))
    return invalid(p.label, std::to_string(p.chosen) + " of " + std::to_string(e.experts) + " experts");
  LAHAR_TRY(check_step(p.label, p.step, std::min(caps.max_workgroup_count[1], 65535u) / p.chosen));
  const uint32_t bucket = p.step.bucket, hidden = e.hidden();
  for (const gpu::BufferRange& r : {p.routes.ids, p.routes.weights})
    LAHAR_TRY(check_vector(p.label, "routes", r, moe_pairs(p)));
  LAHAR_TRY(check_rows(p.label, "x", p.x, bucket, hidden));
  LAHAR_TRY(check_rows(p.label, "y", p.y, bucket, hidden));
  const gpu::BufferRange x = rows_of(p.x, bucket, hidden), y = rows_of(p.y, bucket, hidden);
  if (overlaps(x, y)) return invalid(p.label, "y overlaps x");
  if (p.residual.range) {
    LAHAR_TRY(check_rows(p.label, "residual", p.residual, bucket, hidden));
    if (!same_rows(p.residual, p.y) && overlaps(rows_of(p.residual, bucket, hidden), y))
      return invalid(p.label, "y overlaps the residual in other rows");
  }
  if (p.clamp > 0 && !e.gated) return invalid(p.label, "an activation with a clamp needs a gate");
  const uint64_t bytes = moe_scratch_bytes(e, p.chosen, bucket);
  if (!p.scratch || p.scratch.size < bytes || p.scratch.address() % 16 != 0)
    return invalid(p.label, "scratch needs " + std::to_string(bytes) + " bytes, has " + std::to_string(p.scratch.size));
  const gpu::BufferRange scratch = p.scratch.part(0, bytes);
  if (overlaps(scratch, x) || overlaps(scratch, y) || overlaps(scratch, p.residual.range) ||
      overlaps(scratch, p.routes.ids) || overlaps(scratch, p.routes.weights))
    return invalid(p.label, "scratch overlaps what the op reads or writes");
  return {};
}

const MoePathOps& ops_of(MoePath path) {
  switch (path) {
    case MoePath::kDecode: return kMoeDecodeOps;
    case MoePath::kLoop: return kMoeLoopOps;
    case MoePath::kGrouped: break;
  }
  return kMoeGroupedOps;
}

gpu::KernelDesc describe_shared_gate(const gpu::Caps& caps, uint32_t width) {
  return {.shader = gpu::ShaderId::moe_shared_gate,
          .constants = {subgroups_for(caps, width) * caps.subgroup_size, 1, 1},
          .subgroup_size = caps.subgroup_size};
}

}  // namespace

std::string to_string(const MoeForm& form) {
  constexpr std::string_view kPaths[] = {"decode", "loop", "grouped"};
  return std::string(kPaths[static_cast<size_t>(form.path)]) + ": " + to_string(form.up) + "; " + to_string(form.down);
}

std::string moe_case(const MoeParams& p) {
  const ExpertsRef& e = *p.experts;
  const auto matrix = [](const ExpertMatrix& m) {
    return std::string(quant::to_string(m.format)) + " " + std::to_string(m.rows) + "x" + std::to_string(m.cols) +
           (m.group > 0 ? " group " + std::to_string(m.group) : "");
  };
  std::string text = "experts " + matrix(e.gate_up);
  if (moe_mixed(e)) text += " and " + matrix(e.up);
  text += (e.gated ? ", gated, " : ", ") + matrix(e.down) + ", " + std::to_string(p.chosen) + " of " +
          std::to_string(e.experts) + ", bucket " + std::to_string(p.step.bucket);
  if (p.precision == Precision::kF32) text += ", f32";
  return text;
}

std::vector<MoeForm> moe_forms(const gpu::Caps& caps, const MoeParams& p) {
  std::vector<MoeForm> forms;
  for (const MoePath path : {MoePath::kLoop, MoePath::kDecode, MoePath::kGrouped}) {
    std::vector<MoeForm> listed;
    ops_of(path).list(caps, p, listed);
    for (const MoeForm& f : listed)
      if (ops_of(path).can(caps, p, f) && std::find(forms.begin(), forms.end(), f) == forms.end()) forms.push_back(f);
  }
  return forms;
}

Status moe_with(gpu::Recorder& recorder, const MoeParams& p, const MoeForm& form) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check_moe(p, caps));
  if (!ops_of(form.path).can(caps, p, form))
    return invalid(p.label, "no kernels \"" + to_string(form) + "\" for these experts");
  return ops_of(form.path).record(recorder, p, form);
}

namespace {

// What was measured to be fastest, else the first that is not in quarantine; with all of them in it, a result that may be
// wrong is better than none.
const MoeForm& form_for(const MoeParams& p, const std::vector<MoeForm>& forms) {
  if (p.tuning == nullptr) return forms.front();
  const std::string* chosen = p.tuning->chosen(moe_case(p));
  const MoeForm* best = nullptr;
  for (const MoeForm& form : forms) {
    const std::string text = to_string(form);
    if (chosen != nullptr && text == *chosen) return form;
    if (best == nullptr && p.tuning->quarantined(text) == nullptr) best = &form;
  }
  return best == nullptr ? forms.front() : *best;
}

}  // namespace

Status moe(gpu::Recorder& recorder, const MoeParams& p) {
  LAHAR_TRY(check_moe(p, recorder.device().caps()));  // before the choice of a form, which trusts the params
  const std::vector<MoeForm> forms = moe_forms(recorder.device().caps(), p);
  if (forms.empty()) return invalid(p.label, "no kernels for these experts");
  return moe_with(recorder, p, form_for(p, forms));
}

uint64_t moe_scratch_bytes(const ExpertsRef& experts, uint32_t chosen, uint32_t bucket) {
  return moe_scratch(experts, chosen, bucket, {}).bytes;
}

Status moe_shared_gate(gpu::Recorder& recorder, const MoeSharedGateParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  const uint32_t bucket = p.step.bucket;
  if (p.hidden == 0 || p.width == 0) return invalid(p.label, "rows of no width");
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[0]));
  LAHAR_TRY(check_rows(p.label, "x", p.x, bucket, p.hidden));
  LAHAR_TRY(check_rows(p.label, "h", p.h, bucket, p.width));
  LAHAR_TRY(check_vector(p.label, "gate", p.gate, p.hidden));
  const gpu::BufferRange x = rows_of(p.x, bucket, p.hidden), h = rows_of(p.h, bucket, p.width);
  if (overlaps(x, h)) return invalid(p.label, "h overlaps x");
  const params::MoeSharedGatePush push{.x = p.x.range.address(),
                                       .gate = p.gate.address(),
                                       .h = p.h.range.address(),
                                       .step = p.step.state.address(),
                                       .cols = p.hidden,
                                       .width = p.width,
                                       .x_stride = p.x.stride,
                                       .h_stride = p.h.stride};
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(describe_shared_gate(caps, p.hidden)),
                     .push = gpu::push_bytes(push),
                     .groups = {bucket, 1, 1},
                     .reads = Ranges{x, h, p.gate.part(0, uint64_t{p.hidden} * 4), p.step.state},
                     .writes = Ranges{h}});
  return {};
}

void list_moe_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  list_moe_route_kernels(caps, out);
  list_moe_decode_kernels(caps, out);
  list_moe_loop_kernels(caps, out);
  list_moe_grouped_kernels(caps, out);
  out.push_back(describe_shared_gate(caps, 2048));
}

}  // namespace lahar::ops
