// norm against float64: both kinds, every combination of weight, bias, residual and gather, tails, strides, in place.
#include "ops/norm.h"
#include "ops/ops_test.h"

namespace lahar::test {
namespace {

using ops::NormKind;

struct Case {
  NormKind kind = NormKind::kRms;
  uint32_t width = 576, bucket = 3, used = 3;
  bool weight = true, bias = false, residual = false, gather = false, in_place = false;
  float spread = 1, offset = 0;  // of the input
};

class Rig {
 public:
  Rig(gpu::Device& device, const Case& c) : case_(c), device_(device), step_(c.bucket, c.used) {
    const uint32_t stride = (c.width + 3) / 4 * 4 + 8;
    x_rows_ = c.gather ? 11 : c.bucket;
    x_ = random_floats(size_t{x_rows_} * c.width, 1, c.offset - c.spread, c.offset + c.spread);
    residual_ = random_floats(size_t{c.bucket} * c.width, 2);
    weight_ = random_floats(c.width, 3), bias_ = random_floats(c.width, 4);
    if (c.gather) {
      step_.state.n_rows = x_rows_;
      step_.state.n_logits = c.used;
      for (uint32_t i = 0; i < c.used; ++i) step_.state.logit_rows[i] = (7 * i + 3) % x_rows_;
    }
    step_ref_ = step_.upload(device);
    x_buffer_ = to_device(device, padded_rows(x_, x_rows_, c.width, stride), "x");
    residual_buffer_ = to_device(device, padded_rows(residual_, c.bucket, c.width, stride + 4), "residual");
    weight_buffer_ = to_device(device, weight_, "weight"), bias_buffer_ = to_device(device, bias_, "bias");
    y_ = make_output(device, uint64_t{c.bucket} * stride * 4);
    params_ = {.kind = c.kind,
               .x = {x_buffer_, stride},
               .y = c.in_place ? ops::Activations{x_buffer_, stride} : ops::Activations{y_.range(), stride},
               .width = c.width,
               .residual_scale = 0.75f,
               .residual_factor = 1.25f,
               .eps = 1e-5f,
               .step = step_ref_,
               .logit_rows = c.gather,
               .label = "norm"};
    if (c.weight) params_.weight = weight_buffer_;
    if (c.bias) params_.bias = bias_buffer_;
    if (c.residual) params_.residual = {residual_buffer_, stride + 4};
  }

  Status record(gpu::Recorder& recorder) const { return ops::norm(recorder, params_); }

  void check() {
    std::vector<Bounded> expected;
    for (uint32_t t = 0; t < case_.used; ++t) {
      const float* x = &x_[size_t{case_.gather ? step_.state.logit_rows[t] : t} * case_.width];
      double mean = 0, squares = 0;
      if (case_.kind == NormKind::kLayer)
        for (uint32_t i = 0; i < case_.width; ++i) mean += double{x[i]} / case_.width;
      for (uint32_t i = 0; i < case_.width; ++i) squares += (x[i] - mean) * (x[i] - mean) / case_.width;
      const double scale = 1 / std::sqrt(squares + double{1e-5f});
      for (uint32_t i = 0; i < case_.width; ++i) {
        const double w = case_.weight ? weight_[i] : 1, b = case_.bias ? bias_[i] : 0;
        const double r = case_.residual ? residual_[size_t{t} * case_.width + i] : 0;
        const double n = (x[i] - mean) * scale * w + b;
        const double magnitude = (std::abs(x[i]) + std::abs(mean)) * scale * std::abs(w) + std::abs(b) + std::abs(r);
        expected.push_back({case_.residual ? 1.25 * r + 0.75 * n : n, magnitude});
      }
    }
    const bool in_place = case_.in_place;
    std::vector<float> y = from_device<float>(device_, in_place ? gpu::BufferRange(x_buffer_) : y_.range());
    expect_guards(device_, y_);
    expect_close(y, params_.y.stride, expected, case_.used, in_place ? case_.used : case_.bucket, case_.width, 32);
  }

  std::vector<const gpu::Buffer*> buffers() const {
    return {&x_buffer_, &residual_buffer_, &weight_buffer_, &bias_buffer_, &y_.buffer, &step_.buffer};
  }

 private:
  Case case_;
  gpu::Device& device_;
  HostStep step_;
  ops::StepRef step_ref_;
  uint32_t x_rows_ = 0;
  std::vector<float> x_, residual_, weight_, bias_;
  gpu::Buffer x_buffer_, residual_buffer_, weight_buffer_, bias_buffer_;
  Output y_;
  ops::NormParams params_;
};

using NormTest = GpuTest;

void run_case(gpu::Device& device, const Case& c) {
  SCOPED_TRACE(testing::Message() << "kind " << static_cast<int>(c.kind) << " width " << c.width << " rows " << c.used << "/"
                                  << c.bucket << " weight " << c.weight << " bias " << c.bias << " residual " << c.residual
                                  << " gather " << c.gather << " in place " << c.in_place);
  Rig rig(device, c);
  run(device, [&](gpu::Recorder& recorder) { return rig.record(recorder); });
  rig.check();
}

TEST_F(NormTest, WidthsWithEveryTail) {
  for (const NormKind kind : {NormKind::kRms, NormKind::kLayer})
    for (const uint32_t width : {1u, 2u, 3u, 4u, 7u, 31u, 64u, 97u, 576u, 1021u, 4099u})
      run_case(device(), {.kind = kind, .width = width});
}

TEST_F(NormTest, EveryForm) {
  for (const NormKind kind : {NormKind::kRms, NormKind::kLayer})
    for (uint32_t bits = 0; bits < 16; ++bits)
      run_case(device(), {.kind = kind,
                          .width = 90,
                          .bucket = 5,
                          .used = 4,
                          .weight = (bits & 1) != 0,
                          .bias = (bits & 2) != 0,
                          .residual = (bits & 4) != 0,
                          .gather = (bits & 8) != 0});
}

TEST_F(NormTest, InPlace) { run_case(device(), {.width = 130, .in_place = true}); }

TEST_F(NormTest, LargeValuesAndOffsets) {
  run_case(device(), {.width = 512, .spread = 1e5f});
  run_case(device(), {.kind = NormKind::kLayer, .width = 512, .offset = 100});
}

TEST_F(NormTest, DeclaresWhatItTouches) {
  for (const bool gather : {false, true}) {
    Rig rig(device(), {.width = 130, .bucket = 5, .used = 4, .bias = true, .residual = true, .gather = gather});
    prove_hazards(
        device(), [&](gpu::Recorder& recorder) { return rig.record(recorder); }, rig.buffers());
  }
}

TEST_F(NormTest, RefusesShapesThatDoNotFit) {
  gpu::Recorder recorder(device());
  const gpu::Buffer x = make_buffer(device(), 1024);
  const gpu::Buffer step = make_buffer(device(), sizeof(params::StepState) + 8 * sizeof(params::Row));
  ops::NormParams p{.x = {x, 64}, .y = {x, 64}, .width = 64, .step = {step, 4}, .label = "n"};
  EXPECT_TRUE(ops::norm(recorder, p).ok());
  p.step.bucket = 5;
  EXPECT_FALSE(ops::norm(recorder, p).ok());
  p.step.bucket = 3;
  p.y = {gpu::BufferRange(x, 256, 768), 64};  // other rows of x
  EXPECT_FALSE(ops::norm(recorder, p).ok());
  p.y = {x, 64};
  p.width = 65;
  EXPECT_FALSE(ops::norm(recorder, p).ok());
}

}  // namespace
}  // namespace lahar::test
