#include "ops/moe_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

// Rows of a form's tiles.
uint32_t tile_of(const MatmulForm& f) { return f.path == MatmulPath::kLoop ? f.x_rows : f.tile_n; }

// The products of one matrix of the experts as matmul's params. `rows` must outlive them.
MatmulParams product(const MoeParams& p, const quant::Matrix& w, const MoeScratch& s, bool down, const ExpertRows& rows) {
  MatmulParams m;
  m.w = &w;
  m.x = down ? s.h : p.x;
  m.y = down ? s.out : s.wide;
  m.step = down ? StepRef{.state = s.pairs, .bucket = moe_pairs(p)} : p.step;
  m.precision = p.precision;
  m.x_scratch = s.converted;
  m.tuning = p.tuning;
  m.label = p.label;
  m.grouped = &rows;
  return m;
}

ExpertRows rows_for(const MoeParams& p, const MoeScratch& s, const ExpertMatrix& m, bool down) {
  return {.table = p.experts->table,
          .slabs = p.experts->slabs,
          .experts = p.experts->experts,
          .planes = m.planes,
          .pairs = moe_pairs(p),
          .pairs_a_row = down ? 1 : p.chosen,
          .sorted = s.sorted,
          .tiles = down ? s.down_tiles : s.up_tiles};
}

// Whether the path's kernels take rows that are grouped by expert.
bool takes_groups(MatmulPath path) {
  using enum MatmulPath;
  return path == kLoop || path == kGemm || path == kCoop || path == kGemmInt8 || path == kCoopInt8;
}

bool can_product(const gpu::Caps& caps, const MoeParams& p, const ExpertMatrix& m, bool down, const MatmulForm& f) {
  if (!takes_groups(f.path)) return false;
  if (moe_mixed(*p.experts) && !down && f.path != MatmulPath::kGemm) return false;  // both matrices take the same tiles
  const MoeScratch s = moe_scratch(*p.experts, p.chosen, p.step.bucket, p.scratch);
  const quant::Matrix w = shape_of(m);
  const ExpertRows rows = rows_for(p, s, m, down);
  return tile_of(f) > 0 && matmul_path_ops(f.path).can(caps, product(p, w, s, down, rows), f);
}

std::vector<MatmulForm> product_forms(const gpu::Caps& caps, const MoeParams& p, const ExpertMatrix& m, bool down) {
  const MoeScratch s = moe_scratch(*p.experts, p.chosen, p.step.bucket, p.scratch);
  const quant::Matrix w = shape_of(m);
  const ExpertRows rows = rows_for(p, s, m, down);
  MatmulParams listed = product(p, w, s, down, rows);
  // What an expert gets of the rows, if they are spread evenly.
  listed.step.bucket = std::max(1u, ceil_div(moe_pairs(p), p.experts->experts));
  std::vector<MatmulForm> found, forms;
  for (const MatmulPath path : preferred_matmul_paths(caps, m.format))
    if (takes_groups(path)) matmul_path_ops(path).list(caps, listed, found);
  for (const MatmulForm& f : found)
    if (can_product(caps, p, m, down, f) && std::find(forms.begin(), forms.end(), f) == forms.end()) forms.push_back(f);
  return forms;
}

bool can(const gpu::Caps& caps, const MoeParams& p, const MoeForm& form) {
  return can_product(caps, p, p.experts->gate_up, false, form.up) && can_product(caps, p, p.experts->down, true, form.down);
}

void list(const gpu::Caps& caps, const MoeParams& p, std::vector<MoeForm>& out) {
  const std::vector<MatmulForm> ups = product_forms(caps, p, p.experts->gate_up, false);
  const std::vector<MatmulForm> downs = product_forms(caps, p, p.experts->down, true);
  for (const MatmulForm& up : ups) {
    const auto same_path = std::find_if(downs.begin(), downs.end(), [&](const MatmulForm& f) { return f.path == up.path; });
    if (!downs.empty()) out.push_back({MoePath::kGrouped, up, same_path == downs.end() ? downs.front() : *same_path});
  }
}

gpu::KernelDesc describe_sort(const gpu::Caps& caps, uint32_t pass) {
  const uint32_t lanes = subgroups_for(caps, 128) * caps.subgroup_size;
  return {.shader = ShaderId::moe_sort, .constants = {lanes, 1, 1, {pass}}, .subgroup_size = caps.subgroup_size};
}
gpu::KernelDesc describe_rows(const gpu::Caps& caps, ShaderId shader, uint32_t flags, Activation activation,
                              uint32_t width) {
  const uint32_t lanes = subgroups_for(caps, width) * caps.subgroup_size;
  gpu::SpecConstants constants(lanes, 1, 1, {flags});
  if (shader == ShaderId::moe_activate) constants.push(static_cast<uint32_t>(activation));
  return {.shader = shader, .constants = constants, .subgroup_size = caps.subgroup_size};
}

// Of a kernel of rows: as many as an invocation for each float, a few alone on a CPU.
gpu::GroupCount row_groups(const gpu::Caps& caps, const gpu::KernelDesc& desc, uint32_t width, uint32_t rows) {
  const uint32_t groups = ceil_div(width, desc.constants.values()[0]);
  return {caps.is_cpu() ? std::min(groups, ceil_div(8, rows)) : groups, rows, 1};
}

void record_sort(gpu::Recorder& recorder, const MoeParams& p, const MoeScratch& s, const MoeForm& form) {
  gpu::Device& device = recorder.device();
  const params::MoeSortPush push{.ids = p.routes.ids.address(),
                                 .step = p.step.state.address(),
                                 .counts = s.counts.address(),
                                 .sorted = s.sorted.address(),
                                 .tiles0 = s.up_tiles.address(),
                                 .tiles1 = s.down_tiles.address(),
                                 .pairs = s.pairs.address(),
                                 .tile0 = tile_of(form.up),
                                 .tile1 = tile_of(form.down),
                                 .groups0 = 1,
                                 .groups1 = 1,
                                 .bucket = p.step.bucket,
                                 .chosen = p.chosen,
                                 .experts = p.experts->experts,
                                 .reserved = 0};
  const gpu::BufferRange ids = p.routes.ids.part(0, uint64_t{moe_pairs(p)} * 4);
  recorder.dispatch({.label = "count rows of experts",
                     .kernel = device.kernels().get(describe_sort(device.caps(), 0)),
                     .push = gpu::push_bytes(push),
                     .groups = {p.experts->experts, 1, 1},
                     .reads = Ranges{ids, p.step.state},
                     .writes = Ranges{s.counts, s.pairs.part(0, 16)}});
  recorder.dispatch({.label = "sort rows by expert",
                     .kernel = device.kernels().get(describe_sort(device.caps(), 1)),
                     .push = gpu::push_bytes(push),
                     .groups = {p.experts->experts, 1, 1},
                     .reads = Ranges{ids, p.step.state, s.counts},
                     .writes = Ranges{s.sorted, s.up_tiles, s.down_tiles}});
}

void record_activate(gpu::Recorder& recorder, const MoeParams& p, const MoeScratch& s) {
  const gpu::Caps& caps = recorder.device().caps();
  const ExpertsRef& e = *p.experts;
  const uint32_t width = e.width(), pairs = moe_pairs(p);
  const gpu::KernelDesc desc = describe_rows(caps, ShaderId::moe_activate, moe_up_flags(p), p.activation, width);
  const bool bias = has_bias(e.gate_up);
  const uint64_t up_bias = moe_mixed(e) ? e.up.bias : e.gate_up.bias + uint64_t{width} * 4;
  const params::MoeActivatePush push{.x = s.wide.range.address(),
                                     .y = s.h.range.address(),
                                     .table = e.table.address(),
                                     .ids = p.routes.ids.address(),
                                     .weights = p.routes.weights.address(),
                                     .step = p.step.state.address(),
                                     .bias = bias ? static_cast<uint32_t>(e.gate_up.bias) : 0,
                                     .up_bias = bias && e.gated ? static_cast<uint32_t>(up_bias) : 0,
                                     .width = width,
                                     .x_stride = s.wide.stride,
                                     .y_stride = s.h.stride,
                                     .bucket = p.step.bucket,
                                     .chosen = p.chosen,
                                     .experts = e.experts,
                                     .factor = p.clamp,
                                     .alpha = p.alpha};
  Ranges reads = expert_reads(p);
  reads.add(rows_of(s.wide, pairs, e.gated ? 2 * width : width));
  recorder.dispatch({.label = "activation of experts",
                     .kernel = recorder.device().kernels().get(desc),
                     .push = gpu::push_bytes(push),
                     .groups = row_groups(caps, desc, width, pairs),
                     .reads = reads,
                     .writes = Ranges{rows_of(s.h, pairs, width)}});
}

void record_combine(gpu::Recorder& recorder, const MoeParams& p, const MoeScratch& s) {
  const gpu::Caps& caps = recorder.device().caps();
  const ExpertsRef& e = *p.experts;
  const uint32_t hidden = e.hidden(), bucket = p.step.bucket;
  const gpu::KernelDesc desc = describe_rows(caps, ShaderId::moe_combine, moe_down_flags(p), Activation::kNone, hidden);
  const params::MoeCombinePush push{.x = s.out.range.address(),
                                    .y = p.y.range.address(),
                                    .residual = p.residual.range.address(),
                                    .table = e.table.address(),
                                    .ids = p.routes.ids.address(),
                                    .weights = p.routes.weights.address(),
                                    .step = p.step.state.address(),
                                    .bias = has_bias(e.down) ? static_cast<uint32_t>(e.down.bias) : 0,
                                    .width = hidden,
                                    .x_stride = s.out.stride,
                                    .y_stride = p.y.stride,
                                    .residual_stride = p.residual.stride,
                                    .bucket = bucket,
                                    .chosen = p.chosen,
                                    .experts = e.experts,
                                    .factor = p.residual_scale,
                                    .reserved = 0};
  Ranges reads = expert_reads(p);
  reads.add(rows_of(s.out, moe_pairs(p), hidden));
  if (p.residual.range) reads.add(rows_of(p.residual, bucket, hidden));
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(desc),
                     .push = gpu::push_bytes(push),
                     .groups = row_groups(caps, desc, hidden, bucket),
                     .reads = reads,
                     .writes = Ranges{rows_of(p.y, bucket, hidden)}});
}

// One product, into columns `column`... of its rows.
Status record_product(gpu::Recorder& recorder, const MoeParams& p, const MoeScratch& s, const ExpertMatrix& m, bool down,
                      uint32_t column, const MatmulForm& form) {
  const quant::Matrix w = shape_of(m);
  const ExpertRows rows = rows_for(p, s, m, down);
  MatmulParams params = product(p, w, s, down, rows);
  const uint64_t offset = uint64_t{column} * sizeof(float);
  params.y.range = params.y.range.part(offset, params.y.range.size - offset);
  LAHAR_ASSIGN(const quant::Layout shape, quant::layout(w.format, w.rows, w.cols, w.group));
  return matmul_path_ops(form.path).record(recorder, params, shape, form);
}

Status record(gpu::Recorder& recorder, const MoeParams& p, const MoeForm& form) {
  const MoeScratch s = moe_scratch(*p.experts, p.chosen, p.step.bucket, p.scratch);
  record_sort(recorder, p, s, form);
  LAHAR_TRY(record_product(recorder, p, s, p.experts->gate_up, false, 0, form.up));
  if (moe_mixed(*p.experts)) LAHAR_TRY(record_product(recorder, p, s, p.experts->up, false, p.experts->width(), form.up));
  record_activate(recorder, p, s);
  LAHAR_TRY(record_product(recorder, p, s, p.experts->down, true, 0, form.down));
  record_combine(recorder, p, s);
  return {};
}

}  // namespace

const MoePathOps detail::kMoeGroupedOps{can, list, record};

void detail::list_moe_grouped_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  for (const uint32_t pass : {0u, 1u}) out.push_back(describe_sort(caps, pass));
  for (const uint32_t flags : {kMoeGated, kMoeGated | kMoeBias | kMoeClamp})
    out.push_back(describe_rows(caps, ShaderId::moe_activate, flags, Activation::kSilu, 1024));
  for (const uint32_t flags : {kMoeDown, kMoeDown | kMoeResidual | kMoeBias})
    out.push_back(describe_rows(caps, ShaderId::moe_combine, flags, Activation::kNone, 2048));
}

}  // namespace lahar::ops
