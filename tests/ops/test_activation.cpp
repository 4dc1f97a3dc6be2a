// activation against float64: every kind, gated and not, tails, strides, in place, extreme arguments.
#include "ops/activation.h"
#include "ops/ops_test.h"

namespace lahar::test {
namespace {

using ops::Activation;

struct Case {
  Activation kind = Activation::kSilu;
  bool gated = false, in_place = false;
  uint32_t width = 64, bucket = 3, used = 3;
  float spread = 4;
};

double reference(Activation kind, double x) {
  switch (kind) {
    case Activation::kNone: return x;
    case Activation::kSilu: return x / (1 + std::exp(-x));
    case Activation::kGeluTanh: return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kGelu: return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::kRelu: return std::max(x, 0.0);
    case Activation::kReluSquared: return std::max(x, 0.0) * std::max(x, 0.0);
    case Activation::kSigmoid: return 1 / (1 + std::exp(-x));
    case Activation::kTanh: return std::tanh(x);
  }
  return 0;
}

class Rig {
 public:
  Rig(gpu::Device& device, const Case& c) : case_(c), device_(device), step_(c.bucket, c.used) {
    x_width_ = c.width * (c.gated ? 2 : 1);
    const uint32_t stride = (x_width_ + 3) / 4 * 4 + 4;
    x_ = random_floats(size_t{c.bucket} * x_width_, 1, -c.spread, c.spread);
    x_buffer_ = to_device(device, padded_rows(x_, c.bucket, x_width_, stride), "x");
    const uint32_t y_stride = c.in_place ? stride : (c.width + 3) / 4 * 4;
    y_ = make_output(device, uint64_t{c.bucket} * y_stride * 4);
    const ops::StepRef step = step_.upload(device);
    params_ = {.kind = c.kind,
               .gated = c.gated,
               .x = {x_buffer_, stride},
               .y = {c.in_place ? gpu::BufferRange(x_buffer_) : y_.range(), y_stride},
               .width = c.width,
               .step = step,
               .label = "activation"};
  }

  Status record(gpu::Recorder& recorder) const { return ops::activation(recorder, params_); }

  void check() {
    std::vector<float> y = from_device<float>(device_, params_.y.range);
    expect_guards(device_, y_);
    const uint32_t stride = params_.y.stride;
    for (uint32_t t = 0; t < case_.bucket; ++t)
      for (uint32_t i = 0; i < case_.width; ++i) {
        const double gate = x_[size_t{t} * x_width_ + i];
        const double up = case_.gated ? x_[size_t{t} * x_width_ + case_.width + i] : 1;
        const float got = y[size_t{t} * stride + i];
        if (t >= case_.used) {
          EXPECT_TRUE(case_.in_place || std::isnan(got)) << "row " << t;
          continue;
        }
        // The erf of kGelu is good to 1.5e-7, times x/2 and up.
        const double want = reference(case_.kind, gate) * up;
        ASSERT_NEAR(got, want, 4e-7 * (1 + std::abs(gate)) * std::abs(up) + 2e-6 * std::abs(want))
            << "row " << t << " at " << i;
      }
  }

  std::vector<const gpu::Buffer*> buffers() const { return {&x_buffer_, &y_.buffer, &step_.buffer}; }

 private:
  Case case_;
  gpu::Device& device_;
  HostStep step_;
  uint32_t x_width_ = 0;
  std::vector<float> x_;
  gpu::Buffer x_buffer_;
  Output y_;
  ops::ActivationParams params_;
};

using ActivationTest = GpuTest;

void run_case(gpu::Device& device, const Case& c) {
  SCOPED_TRACE(testing::Message() << "kind " << static_cast<int>(c.kind) << " gated " << c.gated << " width " << c.width);
  Rig rig(device, c);
  run(device, [&](gpu::Recorder& recorder) { return rig.record(recorder); });
  rig.check();
}

TEST_F(ActivationTest, EveryKind) {
  for (uint32_t kind = 0; kind <= static_cast<uint32_t>(Activation::kTanh); ++kind)
    for (const bool gated : {false, true})
      for (const float spread : {4.0f, 200.0f})
        run_case(device(), {.kind = static_cast<Activation>(kind), .gated = gated, .width = 1536, .spread = spread});
}

TEST_F(ActivationTest, WidthsWithEveryTail) {
  for (const uint32_t width : {1u, 2u, 3u, 5u, 63u, 97u, 1021u})
    for (const bool gated : {false, true}) run_case(device(), {.gated = gated, .width = width, .bucket = 5, .used = 4});
}

TEST_F(ActivationTest, InPlace) {
  for (const bool gated : {false, true}) run_case(device(), {.gated = gated, .in_place = true, .width = 1000});
}

TEST_F(ActivationTest, DeclaresWhatItTouches) {
  Rig rig(device(), {.gated = true, .width = 97, .bucket = 4, .used = 3});
  prove_hazards(
      device(), [&](gpu::Recorder& recorder) { return rig.record(recorder); }, rig.buffers());
}

}  // namespace
}  // namespace lahar::test
