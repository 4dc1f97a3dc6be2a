#include "ops/matmul.h"

#include "ops/catalogue.h"
#include "ops/matmul_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;

bool can_line(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& f) {
  // Other cuts of the columns are for matmul_line() alone.
  const LineShape shape = line_shape(caps, p);
  return shape.rows > 0 && f.rows > 0 && f.rows <= 8 && (p.glu == Activation::kNone || f.rows % 2 == 0) &&
         f.x_rows == shape.x_rows && f.split == shape.chunks;
}

void list_line(const gpu::Caps& caps, const MatmulParams& p, std::vector<MatmulForm>& out) {
  const LineShape shape = line_shape(caps, p);
  if (shape.rows == 0) return;
  for (const uint32_t rows : {shape.rows, 8u, 4u})
    if (rows == shape.rows || rows < shape.rows || shape.x_rows == 1)
      out.push_back({.path = MatmulPath::kLine, .rows = rows, .x_rows = shape.x_rows, .split = shape.chunks});
}

Status record_line(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout&, const MatmulForm& f) {
  return matmul_line(recorder, p, {f.rows, f.x_rows, f.split});
}

constexpr MatmulPathOps kLineOps{can_line, list_line, record_line};

const MatmulPathOps& ops_of(MatmulPath path) {
  switch (path) {
    case MatmulPath::kGemv: return kGemvOps;
    case MatmulPath::kCoop: return kCoopOps;
    case MatmulPath::kGemvInt8: return kGemvInt8Ops;
    case MatmulPath::kGemmInt8: return kGemmInt8Ops;
    case MatmulPath::kLine: return kLineOps;
    case MatmulPath::kLoop: return kLoopOps;
    case MatmulPath::kCoopInt8: return kCoopInt8Ops;
    case MatmulPath::kCoop2: return kCoop2Ops;
    case MatmulPath::kGemm:
    case MatmulPath::kCount: break;
  }
  return kGemmOps;
}

// Forms of one path that can run.
std::vector<MatmulForm> forms_of(const gpu::Caps& caps, const MatmulParams& p, MatmulPath path) {
  std::vector<MatmulForm> listed, forms;
  ops_of(path).list(caps, p, listed);
  for (const MatmulForm& f : listed)
    if (can_matmul(caps, p, f) && std::find(forms.begin(), forms.end(), f) == forms.end()) forms.push_back(f);
  return forms;
}

// What was measured to be fastest, else the default.
MatmulForm form_for(const gpu::Caps& caps, const MatmulParams& p) {
  const std::string* chosen = p.tuning == nullptr ? nullptr : p.tuning->chosen(matmul_case(p));
  const std::optional<MatmulForm> form = chosen == nullptr ? std::nullopt : parse_matmul_form(*chosen);
  return form && can_matmul(caps, p, *form) ? *form : default_form(caps, p);
}

}  // namespace

const MatmulPathOps& detail::matmul_path_ops(MatmulPath path) { return ops_of(path); }

std::vector<MatmulPath> detail::preferred_matmul_paths(const gpu::Caps& caps, quant::WeightFormat format) {
  using enum MatmulPath;
  // F32 weights were kept as such for their precision; a CPU driver's matrices are slow. kCoop2 comes last: no hardware has
  // run it yet, so that it is for those who measure.
  if (caps.is_cpu() || format == quant::WeightFormat::kF32)
    return {kLoop, kLine, kGemv, kGemm, kCoop, kGemvInt8, kGemmInt8, kCoopInt8, kCoop2};
  // An instruction that adds up four products of int8 outruns fp32 tiles where there are no matrices.
  if (caps.int8_dot_accelerated) return {kLoop, kLine, kGemv, kCoop, kGemmInt8, kGemm, kGemvInt8, kCoopInt8, kCoop2};
  return {kLoop, kLine, kGemv, kCoop, kGemm, kGemvInt8, kGemmInt8, kCoopInt8, kCoop2};
}

bool can_matmul(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& form) {
  if ((p.x_norm != nullptr || p.y_norm != nullptr) && form.path != MatmulPath::kGemv && form.path != MatmulPath::kGemvInt8 &&
      form.path != MatmulPath::kLoop)
    return false;
  if (p.y_norm != nullptr && form.path != MatmulPath::kLoop && norm_sums(p, form) > params::kSquareParts) return false;
  return form.path < MatmulPath::kCount && ops_of(form.path).can(caps, p, form);
}

std::vector<MatmulForm> matmul_forms(const gpu::Caps& caps, const MatmulParams& p) {
  std::vector<MatmulForm> all;
  for (const MatmulPath path : preferred_matmul_paths(caps, p.w->format)) {
    const std::vector<MatmulForm> forms = forms_of(caps, p, path);
    all.insert(all.end(), forms.begin(), forms.end());
  }
  return all;
}

MatmulForm default_form(const gpu::Caps& caps, const MatmulParams& p) {
  std::optional<MatmulForm> first;
  for (const MatmulPath path : preferred_matmul_paths(caps, p.w->format))
    for (const MatmulForm& form : forms_of(caps, p, path)) {
      if (p.tuning == nullptr || p.tuning->quarantined(to_string(form)) == nullptr) return form;
      if (!first) first = form;
    }
  // With everything in quarantine, a result that may be wrong is better than none.
  return first.value_or(MatmulForm{.path = MatmulPath::kCount});
}

Status matmul_with(gpu::Recorder& recorder, const MatmulParams& p, const MatmulForm& form) {
  quant::Layout shape;
  LAHAR_TRY(check_matmul(p, shape));
  if (!can_matmul(recorder.device().caps(), p, form))
    return invalid(p.label, "no kernel \"" + to_string(form) + "\" for " + matmul_case(p));
  return ops_of(form.path).record(recorder, p, shape, form);
}

bool can_fold_norm(const gpu::Caps& caps, const MatmulParams& p) {
  MatmulParams plain = p;
  plain.x_norm = plain.y_norm = nullptr;
  const MatmulForm best = form_for(caps, plain);
  if (can_matmul(caps, p, best)) return true;
  // Another form of the same path costs less than a norm of its own, another path may not.
  const MatmulForm other = form_for(caps, p);
  return other.path == best.path && can_matmul(caps, p, other);
}

uint64_t norm_fold_squares_bytes(uint32_t bucket) { return 16 + uint64_t{bucket} * params::kSquareParts * sizeof(float); }

Status matmul(gpu::Recorder& recorder, const MatmulParams& p) {
  quant::Layout shape;
  LAHAR_TRY(check_matmul(p, shape));  // before the choice of a form, which trusts the params
  return matmul_with(recorder, p, form_for(recorder.device().caps(), p));
}

void list_matmul_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  list_gemv_kernels(caps, out);
  list_tile_kernels(caps, out);
  list_coop_kernels(caps, out);
  list_int8_kernels(caps, out);
  list_coop_int8_kernels(caps, out);
  list_coop2_kernels(caps, out);
  list_x_rows_kernels(caps, out);
  list_line_kernels(caps, out);
  list_loop_kernels(caps, out);
}

}  // namespace lahar::ops
