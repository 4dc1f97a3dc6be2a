// An RMS norm that two products compute along with themselves, against float64.
#include <cmath>

#include "ops/matmul_variants.h"
#include "ops/ops_test.h"
#include "params_matmul.h"

namespace lahar::test {
namespace {

using ops::Activation;
using ops::MatmulForm;
using quant::WeightFormat;

struct Case {
  WeightFormat format = WeightFormat::kQ8_0;
  uint32_t width = 96;  // of the norm: rows of the first matrix, columns of the second
  uint32_t rows = 37;   // of the second
  uint32_t bucket = 1, used = 1;
  bool gated = false;
};
constexpr uint32_t kInput = 64;
constexpr float kEps = 1e-3f;

// y = residual + W x, then z = V norm(y), both with the norm folded in.
class Chain {
 public:
  Chain(gpu::Device& device, const Case& c) : case_(c), device_(device), step_(c.bucket, c.used) {
    w_ = random_matrix(device, c.format, c.width, kInput, 1, 0);
    v_ = random_matrix(device, c.format, c.rows * (c.gated ? 2 : 1), c.width, 2, 0);
    x_ = random_floats(size_t{c.bucket} * kInput, 3), residual_ = random_floats(size_t{c.bucket} * c.width, 4);
    weight_ = random_floats(c.width, 5);
    step_ref_ = {step_.upload(device).state, c.bucket};
    x_buffer_ = to_device(device, x_), y_buffer_ = to_device(device, residual_), weight_buffer_ = to_device(device, weight_);
    scaled_ = make_output(device, uint64_t{c.bucket} * c.width * 4, "scaled");
    squares_ = make_output(device, ops::norm_fold_squares_bytes(c.bucket), "squares");
    z_ = make_output(device, uint64_t{c.bucket} * z_stride() * 4, "z");
    const params::NormFold block{.weight = gpu::BufferRange(weight_buffer_).address(),
                                 .scaled = scaled_.range().address(),
                                 .squares = squares_.range().address(),
                                 .scaled_stride = c.width,
                                 .width = c.width,
                                 .eps = kEps,
                                 .reserved = 0};
    block_ = to_device(device, std::vector{block});
    fold_ = {block_, weight_buffer_, {scaled_.range(), c.width}, squares_.range()};
  }

  ops::MatmulParams first() const {
    ops::MatmulParams p;
    p.w = &w_.matrix, p.x = {x_buffer_, kInput}, p.y = {y_buffer_, case_.width}, p.residual = p.y;
    p.y_norm = &fold_, p.step = step_ref_, p.label = "before";
    return p;
  }
  ops::MatmulParams second() const {
    ops::MatmulParams p;
    p.w = &v_.matrix, p.x = fold_.scaled, p.y = {z_.range(), z_stride()};
    p.glu = case_.gated ? Activation::kSilu : Activation::kNone;
    p.x_norm = &fold_, p.step = step_ref_, p.label = "after";
    return p;
  }

  void check() {
    for (const Output* guarded : {&scaled_, &squares_, &z_}) expect_guards(device_, *guarded);
    std::vector<Bounded> expected;
    for (uint32_t t = 0; t < case_.used; ++t) {
      const std::vector<double> n = normed(t);
      for (uint32_t r = 0; r < case_.rows; ++r) {
        Bounded v = product(n, r);
        if (case_.gated) {
          const Bounded up = product(n, r + case_.rows);
          const double gate = v.value / (1 + std::exp(-v.value));
          v = {gate * up.value, v.magnitude * (std::abs(up.value) + up.magnitude) + std::abs(gate) * up.magnitude};
        }
        expected.push_back(v);
      }
    }
    expect_close(from_device<float>(device_, z_.range()), z_stride(), expected, case_.used, case_.bucket, case_.rows, 64,
                 1e-30);
  }

 private:
  uint32_t z_stride() const { return (case_.rows + 3) / 4 * 4; }
  std::vector<double> normed(uint32_t t) const {
    std::vector<double> y(case_.width);
    double squares = 0;
    for (uint32_t r = 0; r < case_.width; ++r) {
      y[r] = residual_[size_t{t} * case_.width + r];
      for (uint32_t k = 0; k < kInput; ++k) y[r] += double{w_.values[size_t{r} * kInput + k]} * x_[size_t{t} * kInput + k];
      squares += y[r] * y[r];
    }
    for (uint32_t r = 0; r < case_.width; ++r) y[r] *= weight_[r] / std::sqrt(squares / case_.width + double{kEps});
    return y;
  }
  Bounded product(const std::vector<double>& n, uint32_t row) const {
    Bounded b;
    for (uint32_t k = 0; k < case_.width; ++k) {
      const double v = v_.values[size_t{row} * case_.width + k] * n[k];
      b.value += v, b.magnitude += std::abs(v);
    }
    return b;
  }

  const Case case_;
  gpu::Device& device_;
  HostStep step_;
  HostMatrix w_, v_;
  std::vector<float> x_, residual_, weight_;
  gpu::Buffer x_buffer_, y_buffer_, weight_buffer_, block_;
  Output scaled_, squares_, z_;
  ops::NormFold fold_;
  ops::StepRef step_ref_;
};

class NormFold : public GpuTest {
 protected:
  void check(const Case& c, bool all_forms) {
    SCOPED_TRACE(std::string(to_string(c.format)) + " " + std::to_string(c.width) + " -> " + std::to_string(c.rows) +
                 " bucket " + std::to_string(c.bucket) + (c.gated ? " gated" : ""));
    const gpu::Caps& caps = device().caps();
    const Chain probe(device(), c);
    const std::vector<MatmulForm> before = ops::matmul_forms(caps, probe.first()),
                                  after = ops::matmul_forms(caps, probe.second());
    ASSERT_FALSE(before.empty() || after.empty());
    const size_t n = all_forms ? std::max(before.size(), after.size()) : 1;
    for (size_t i = 0; i < n; ++i) {
      const MatmulForm &one = before[i % before.size()], &two = after[i % after.size()];
      SCOPED_TRACE(to_string(one) + ", " + to_string(two));
      Chain chain(device(), c);
      run(device(), [&](gpu::Recorder& r) -> Status {
        LAHAR_TRY(ops::matmul_with(r, chain.first(), one));
        return ops::matmul_with(r, chain.second(), two);
      });
      chain.check();
      if (HasFailure()) return;
    }
  }
};

TEST_F(NormFold, EveryBucket) {
  for (const auto& [bucket, used] : {std::pair{1u, 1u}, {2u, 2u}, {4u, 3u}, {8u, 5u}, {16u, 16u}})
    check({.bucket = bucket, .used = used}, false);
}

TEST_F(NormFold, EveryForm) {
  check({.width = 160, .rows = 53}, true);
  check({.format = WeightFormat::kF16, .width = 1088, .rows = 19, .bucket = 4, .used = 3}, true);
}

TEST_F(NormFold, GatedActivation) { check({.width = 96, .rows = 26, .bucket = 2, .used = 2, .gated = true}, false); }

// Of what GPUs are told to be, whatever this device is.
TEST_F(NormFold, OnGpusWithSubgroupsOfAnySize) {
  for (const uint32_t subgroup : {8u, 16u, 32u, 64u, 128u})
    for (const uint32_t width : {576u, 2048u, 4096u, 5120u, 8192u})
      for (uint16_t format = 0; format < static_cast<uint16_t>(WeightFormat::kCount); ++format)
        for (const uint32_t bucket : {1u, 2u, 4u, 8u, 16u}) {
          gpu::Caps caps = device().caps();
          caps.info.type = gpu::DeviceType::kDiscrete;
          caps.uniform_loops = false;
          caps.subgroup_size = caps.min_subgroup_size = caps.max_subgroup_size = subgroup;
          quant::Matrix w;
          w.format = static_cast<WeightFormat>(format), w.rows = width, w.cols = width;
          const ops::NormFold fold;
          ops::MatmulParams p;
          p.w = &w, p.step.bucket = bucket, p.y_norm = &fold;
          EXPECT_TRUE(ops::can_fold_norm(caps, p))
              << "subgroups of " << subgroup << ", " << width << " wide, " << to_string(w.format) << ", " << bucket
              << " rows: " << to_string(ops::default_form(caps, p));
        }
}

TEST_F(NormFold, NotInLargeSteps) {
  const Chain chain(device(), {.bucket = 64, .used = 64});
  if (device().caps().uniform_loops) GTEST_SKIP() << "the loops of this driver's kernels take any number of rows";
  EXPECT_FALSE(ops::can_fold_norm(device().caps(), chain.first()));
  gpu::Recorder recorder(device());
  EXPECT_FALSE(ops::matmul(recorder, chain.first()).ok());
}

TEST_F(NormFold, ShapesThatDoNotFit) {
  const Chain chain(device(), {});
  gpu::Recorder recorder(device());
  ops::MatmulParams p = chain.second();
  p.x = chain.first().x;  // not what the norm scaled
  EXPECT_EQ(ops::matmul(recorder, p).error().code, ErrorCode::kInvalidArgument);
  p = chain.first();
  p.x_norm = p.y_norm;
  EXPECT_EQ(ops::matmul(recorder, p).error().code, ErrorCode::kInvalidArgument);
  ops::NormFold small = *chain.first().y_norm;
  small.squares = small.squares.part(0, 16);
  p = chain.first();
  p.y_norm = &small;
  EXPECT_EQ(ops::matmul(recorder, p).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace lahar::test
