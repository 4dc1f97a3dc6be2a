#include <cmath>

#include "ops/matmul_variants.h"
#include "tune/cases.h"

namespace lahar::tune {
namespace {

// What the candidates share.
struct MatmulCase {
  std::shared_ptr<const SampleMatrix> matrix;
  SampleRows x;
  gpu::Buffer y, glu_scratch, x_scratch;
  TimedStep step;
  ops::MatmulParams params;
};

// fp32 sums of 10^4 products are off by a few 10^-6. fp16 operands have 11 bits; int8 ones are a 254th of the largest of 32,
// which is 0.5 % of their deviation.
double tolerance_of(const ops::MatmulForm& form, std::string_view path) {
  if (path.find("int8") != path.npos) return 5e-4;
  if (path.find("coop") != path.npos) return form.half_sums != 0 ? 1e-3 : 1e-5;
  return 1e-9;
}

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

// Rows of x and of W repeat, and with them the products.
Expected expect(const SampleMatrix& w, const SampleRows& x, ops::Activation glu, uint32_t bucket) {
  const uint32_t unique = std::min(w.shape().rows, SampleMatrix::kPeriod);
  Expected e;
  e.period = std::min(bucket, SampleRows::kPeriod);
  e.width = glu == ops::Activation::kNone ? w.shape().rows : w.shape().rows / 2;
  e.values.resize(size_t{e.period} * e.width);
  std::vector<double> products(unique);
  for (uint32_t t = 0; t < e.period; ++t) {
    for (uint32_t r = 0; r < unique; ++r) products[r] = dot(w.row(r), x.row(t));
    for (uint32_t r = 0; r < e.width; ++r) {
      double v = products[r % unique];
      // Every gated model that is tuned may have another activation; their cost and their rounding are alike.
      if (glu != ops::Activation::kNone) v = v / (1 + std::exp(-v)) * products[(e.width + r) % unique];
      e.values[size_t{t} * e.width + r] = v;
    }
  }
  return e;
}

Result<std::shared_ptr<MatmulCase>> make_shared_part(gpu::Device& device, std::shared_ptr<const SampleMatrix> matrix,
                                                     const MatmulShape& shape, uint32_t bucket) {
  const uint32_t rows = shape.matrix.rows, cols = shape.matrix.cols, stride = (rows + 3) / 4 * 4;
  const auto make = [&](uint64_t bytes, const char* name) {
    return device.create_buffer(bytes, gpu::Memory::kDevice, name);
  };
  LAHAR_ASSIGN(SampleRows x, SampleRows::create(device, bucket, cols));
  auto shared = std::make_shared<MatmulCase>(MatmulCase{std::move(matrix), std::move(x), {}, {}, {}, {}, {}});
  LAHAR_ASSIGN(shared->y, make(uint64_t{bucket} * stride * 4, "sample y"));
  if (shape.glu != ops::Activation::kNone) {
    LAHAR_ASSIGN(shared->glu_scratch, make(uint64_t{bucket} * stride * 4, "sample scratch"));
  }
  LAHAR_ASSIGN(shared->x_scratch, make(ops::matmul_scratch_bytes(cols, bucket), "sample converted rows"));
  LAHAR_ASSIGN(shared->step, TimedStep::create(device, bucket));
  ops::MatmulParams& p = shared->params;
  p.w = &shared->matrix->copy(0);
  p.x = {shared->x.buffer(), shared->x.stride()};
  p.y = {shared->y, stride};
  if (shape.glu != ops::Activation::kNone) p.glu = ops::Activation::kSilu, p.glu_scratch = {shared->glu_scratch, stride};
  p.x_scratch = shared->x_scratch;
  p.step = shared->step.ref();
  p.logit_rows = shape.gathered;
  p.precision = shape.precision;
  p.label = "matmul";
  return shared;
}

}  // namespace

Result<Case> make_matmul_case(gpu::Device& device, std::shared_ptr<const SampleMatrix> matrix, const MatmulShape& shape,
                              uint32_t bucket) {
  if (shape.gathered && bucket > params::kMaxRuns)
    return Error{ErrorCode::kInvalidArgument,
                 std::to_string(bucket) + " rows of logits: at most " + std::to_string(params::kMaxRuns) + " are gathered"};
  LAHAR_ASSIGN(const auto shared, make_shared_part(device, std::move(matrix), shape, bucket));
  const SampleMatrix& w = *shared->matrix;
  const ops::MatmulParams& p = shared->params;
  Case c;
  c.name = ops::matmul_case(p);
  c.label = c.name;
  c.copies = w.copies();
  c.bytes = static_cast<double>(w.copy_bytes());
  c.flops = 2.0 * shape.matrix.rows * shape.matrix.cols * bucket;
  c.y = p.y.range, c.rows = bucket, c.stride = p.y.stride;
  c.expected = expect(w, shared->x, shape.glu, bucket);
  c.held = {shared};
  std::vector<ops::MatmulForm> forms = ops::matmul_forms(device.caps(), p);
  const ops::MatmulForm usual = ops::default_form(device.caps(), p);
  std::stable_partition(forms.begin(), forms.end(), [&](const ops::MatmulForm& f) { return f == usual; });
  for (const ops::MatmulForm& form : forms) {
    const std::string text = to_string(form), path = text.substr(0, text.find(' '));
    c.candidates.push_back({.form = text,
                            .path = path,
                            .tolerance = tolerance_of(form, path),
                            .record = [shared = shared.get(), form](gpu::Recorder& recorder, uint32_t copy) {
                              ops::MatmulParams params = shared->params;
                              params.w = &shared->matrix->copy(copy);
                              return ops::matmul_with(recorder, params, form);
                            }});
  }
  return c;
}

}  // namespace lahar::tune
