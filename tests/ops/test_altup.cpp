// AltUp's streams, layers' own inputs and the cut of activations against float64, and what they declare.
#include "ops/altup.h"
#include "ops/ops_test.h"

namespace lahar::test {
namespace {

constexpr uint32_t kStreams = 3, kActive = 1, kWidth = 20, kRows = 3, kUsed = 2, kStride = kStreams * kWidth;
constexpr double kEps = 1e-6;
using Values = std::vector<double>;

class AltUpTest : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    step_ = step_host_.upload(device());
    const auto make = [&](size_t size, uint64_t seed) {
      host_.push_back(random_floats(size, seed, -1, 1));
      buffers_.push_back(to_device(device(), host_.back(), "values"));
    };
    make(kRows * kStride, 1), make(kRows * kWidth, 2), make(kRows * kStride, 3);           // streams, x, y
    make(kWidth, 4), make(kStreams * kWidth, 5), make(kStreams * kStreams * kStreams, 6);  // norm, router, coefficients
    make(kWidth, 7);                                                                       // scale
  }

  ops::StreamsRef streams() { return {{buffers_[0], kStride}, kStreams, kActive, kWidth, kWidth}; }
  ops::Activations x() { return {buffers_[1], kWidth}; }
  ops::Activations y() { return {buffers_[2], kStride}; }
  ops::StreamMixer mixer() { return {buffers_[3], buffers_[4], buffers_[5], buffers_[6], static_cast<float>(kEps)}; }

  Values row(size_t which, uint32_t stride, uint32_t t, uint32_t first = 0) const {
    const float* from = host_[which].data() + size_t{t} * stride + first;
    return {from, from + kWidth};
  }
  Values modalities(const Values& v) const {
    double square = 0;
    for (double e : v) square += e * e / kWidth;
    Values found(kStreams);
    for (uint32_t k = 0; k < kStreams; ++k) {
      double sum = 0;
      for (uint32_t i = 0; i < kWidth; ++i) sum += v[i] * host_[3][i] * host_[4][k * kWidth + i];
      found[k] = std::tanh(sum / std::sqrt(square + kEps) / kWidth);
    }
    return found;
  }
  void expect(size_t which, uint32_t stride, uint32_t t, uint32_t first, const Values& want) {
    const std::vector<float> got = from_device<float>(device(), buffers_[which]);
    for (uint32_t i = 0; i < kWidth; ++i) EXPECT_NEAR(got[size_t{t} * stride + first + i], want[i], 2e-5) << t << " " << i;
  }
  // Rows that are not used stay.
  void expect_rest(size_t which, uint32_t stride) {
    const std::vector<float> got = from_device<float>(device(), buffers_[which]);
    for (size_t i = size_t{kUsed} * stride; i < got.size(); ++i) EXPECT_EQ(got[i], host_[which][i]);
  }

  HostStep step_host_{kRows, kUsed};
  ops::StepRef step_;
  std::vector<std::vector<float>> host_;
  std::vector<gpu::Buffer> buffers_;
};

TEST_F(AltUpTest, Predicts) {
  run(device(), [&](gpu::Recorder& r) { return ops::predict_streams(r, streams(), mixer(), x(), step_); });
  for (uint32_t t = 0; t < kUsed; ++t) {
    const Values m = modalities(row(0, kStride, t, kActive * kWidth));
    for (uint32_t i = 0; i < kStreams; ++i) {
      Values want = row(0, kStride, t, i * kWidth);
      for (uint32_t j = 0; j < kStreams; ++j) {
        double c = 0;
        for (uint32_t k = 0; k < kStreams; ++k) c += host_[5][(i * kStreams + j) * kStreams + k] * m[k];
        const Values other = row(0, kStride, t, j * kWidth);
        for (uint32_t d = 0; d < kWidth; ++d) want[d] += c * other[d];
      }
      expect(0, kStride, t, i * kWidth, want);
      if (i == kActive) expect(1, kWidth, t, 0, want);
    }
  }
  expect_rest(0, kStride), expect_rest(1, kWidth);
}

TEST_F(AltUpTest, Corrects) {
  run(device(), [&](gpu::Recorder& r) { return ops::correct_streams(r, streams(), mixer(), x(), y(), step_); });
  for (uint32_t t = 0; t < kUsed; ++t) {
    const Values now = row(1, kWidth, t), m = modalities(now), before = row(0, kStride, t, kActive * kWidth);
    for (uint32_t i = 0; i < kStreams; ++i) {
      double c = 1;
      for (uint32_t k = 0; k < kStreams; ++k) c += host_[5][i * kStreams + k] * m[k];
      Values want = row(0, kStride, t, i * kWidth);
      for (uint32_t d = 0; d < kWidth; ++d) want[d] += c * (now[d] - before[d]);
      expect(0, kStride, t, i * kWidth, want);
      for (uint32_t d = 0; d < kWidth; ++d) want[d] *= host_[6][d];
      if (i == kActive) expect(2, kStride, t, 0, want);
    }
  }
}

TEST_F(AltUpTest, CutsBelow) {
  run(device(), [&](gpu::Recorder& r) { return ops::cut_below(r, x(), kWidth - 1, 0.3f, kWidth - 2, step_); });
  for (uint32_t t = 0; t < kUsed; ++t) {
    Values want = row(1, kWidth, t);
    double mean = 0, square = 0;
    for (uint32_t i = 0; i < kWidth - 1; ++i) mean += want[i] / (kWidth - 1);
    for (uint32_t i = 0; i < kWidth - 1; ++i) square += (want[i] - mean) * (want[i] - mean);
    for (uint32_t i = 0; i < kWidth - 1; ++i)
      want[i] = std::max(0.0, want[i] - mean - double{0.3f} * std::sqrt(square / (kWidth - 2)));
    expect(1, kWidth, t, 0, want);
  }
}

TEST_F(AltUpTest, DeclaresWhatItTouches) {
  std::vector<const gpu::Buffer*> all;
  for (const gpu::Buffer& buffer : buffers_) all.push_back(&buffer);
  all.push_back(&step_host_.buffer);
  prove_hazards(
      device(),
      [&](gpu::Recorder& r) -> Status {
        LAHAR_TRY(ops::expand_streams(r, streams(), x(), y(), step_));
        LAHAR_TRY(ops::predict_streams(r, streams(), mixer(), x(), step_));
        LAHAR_TRY(ops::average(r, x(), {buffers_[2], kStride}, kWidth, step_));
        LAHAR_TRY(ops::correct_streams(r, streams(), mixer(), x(), y(), step_));
        LAHAR_TRY(ops::gate_by_inputs(r, x(), y(), kWidth, kWidth, step_));
        LAHAR_TRY(ops::add_to_streams(r, streams(), y(), step_));
        return ops::merge_streams(r, streams(), x(), y(), step_);
      },
      all);
}

}  // namespace
}  // namespace lahar::test
