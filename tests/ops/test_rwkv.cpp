// Token shift, RWKV-4's attention, RWKV-7's state and output, and the sigmoid gate against float64.
#include "ops/gate.h"
#include "ops/rwkv.h"
#include "ops/state_test.h"
#include "params_linear_attention.h"

namespace lahar::test {
namespace {

constexpr double kError = 1e-11;  // of fp32 against float64, over the mean square

const std::vector<TestRun> kRuns{{1, params::kNoState, 1}, {19, 2, 3}, {1, 0, params::kNoState}, {2, params::kNoState, 4}};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

using RwkvTest = GpuTest;

void shift_case(gpu::Device& device, uint32_t width, uint32_t mixes) {
  SCOPED_TRACE(testing::Message() << "width " << width << " mixes " << mixes);
  HostStep step = make_step(kRuns, 2);
  const ops::StepRef ref = step.upload(device);
  const auto bucket = static_cast<uint32_t>(step.rows.size());
  const TestStates states(device, 5, width, 3);
  const uint32_t stride = width + 4;
  const std::vector<float> x = random_floats(size_t{bucket} * width, 1), mix = random_floats(size_t{mixes} * width, 2);
  const gpu::Buffer x_buffer = to_device(device, padded_rows(x, bucket, width, stride), "x"),
                    mix_buffer = to_device(device, mix);
  const Output y = make_output(device, uint64_t{mixes} * bucket * width * 4);
  std::vector<gpu::BufferRange> ranges;
  for (uint32_t m = 0; m < mixes; ++m) ranges.push_back({mix_buffer, uint64_t{m} * width * 4, uint64_t{width} * 4});
  const auto record = [&](gpu::Recorder& recorder) {
    return ops::token_shift(recorder, {.x = {x_buffer, stride},
                                       .y = {y.range(), width, bucket * width},
                                       .mixes = ranges,
                                       .width = width,
                                       .state = states.ref(),
                                       .step = ref,
                                       .label = "shift"});
  };
  run(device, record);
  const uint32_t used = step.state.n_rows;
  const std::vector<float> got = from_device<float>(device, y.range());
  std::vector<std::pair<uint32_t, std::vector<double>>> written;
  for (uint32_t m = 0; m < mixes; ++m) {
    std::vector<double> expected;
    for (uint32_t r = 0, row = 0; r < kRuns.size(); ++r) {
      std::vector<double> before = states.initial(kRuns[r].read);
      for (uint32_t i = 0; i < kRuns[r].rows; ++i, ++row) {
        const std::vector<double> now(x.begin() + row * width, x.begin() + (row + 1) * width);
        for (uint32_t c = 0; c < width; ++c) expected.push_back(now[c] + (before[c] - now[c]) * mix[m * width + c]);
        before = now;
      }
      if (m == 0 && kRuns[r].write != params::kNoState) written.emplace_back(kRuns[r].write, before);
    }
    EXPECT_LE(error_of(&got[size_t{m} * bucket * width], expected), kError) << "mix " << m;
    EXPECT_TRUE(std::isnan(got[(size_t{m} * bucket + used) * width])) << "a row beyond the step was written";
  }
  expect_guards(device, y);
  states.expect(written, 0);
  const gpu::Buffer* buffers[] = {&x_buffer, &mix_buffer, &y.buffer, &step.buffer, &states.buffer()};
  prove_hazards(device, record, buffers);
}

TEST_F(RwkvTest, TokenShift) {
  shift_case(device(), 12, 1);
  shift_case(device(), 100, 3);
  shift_case(device(), 64, 6);
}

// RWKV-4's sums without any rescaling: float64 has room enough for exponents of this size.
TEST_F(RwkvTest, Wkv4) {
  constexpr uint32_t kWidth = 37, kStride = 40;
  HostStep step = make_step(kRuns, 2);
  const ops::StepRef ref = step.upload(device());
  const auto bucket = static_cast<uint32_t>(step.rows.size());
  const TestStates states(device(), 5, 3 * kWidth, 3, 0.5f, 2);
  const std::vector<float> k = random_floats(size_t{bucket} * kWidth, 1, -40, 40), v = random_floats(k.size(), 2);
  const std::vector<float> r = random_floats(k.size(), 4, -3, 3), decay = random_floats(kWidth, 5, -3, -0.01f);
  const std::vector<float> first = random_floats(kWidth, 6);
  const auto rows = [&](const std::vector<float>& a) {
    return to_device(device(), padded_rows(a, bucket, kWidth, kStride));
  };
  const gpu::Buffer kb = rows(k), vb = rows(v), rb = rows(r), db = to_device(device(), decay),
                    fb = to_device(device(), first);
  const Output y = make_output(device(), uint64_t{bucket} * kStride * 4);
  const auto record = [&](gpu::Recorder& recorder) {
    return ops::wkv4(recorder, {.k = {kb, kStride},
                                .v = {vb, kStride},
                                .r = {rb, kStride},
                                .y = {y.range(), kStride},
                                .decay = db,
                                .first = fb,
                                .width = kWidth,
                                .state = states.ref(),
                                .step = ref,
                                .label = "wkv"});
  };
  run(device(), record);
  std::vector<double> expected(size_t{step.state.n_rows} * kWidth);
  const std::vector<float> after = from_device<float>(device(), states.buffer());
  const size_t slot_floats = states.ref().slot_bytes / 4;
  for (uint32_t run_index = 0, row = 0; run_index < kRuns.size(); row += kRuns[run_index++].rows) {
    const TestRun& run = kRuns[run_index];
    const std::vector<double> state = states.initial(run.read);
    for (uint32_t c = 0; c < kWidth; ++c) {
      const double scale = run.read == params::kNoState ? 0 : std::exp(state[2 * kWidth + c]);
      double num = state[c] * scale, den = state[kWidth + c] * scale;
      for (uint32_t t = row; t < row + run.rows; ++t) {
        const size_t at = size_t{t} * kWidth + c;
        const double now = std::exp(double{first[c]} + k[at]), later = std::exp(double{k[at]});
        expected[at] = sigmoid(r[at]) * (num + now * v[at]) / (den + now);
        num = std::exp(double{decay[c]}) * num + later * v[at], den = std::exp(double{decay[c]}) * den + later;
      }
      if (run.write == params::kNoState) continue;
      const float* got = &after[run.write * slot_floats + 4];
      const double top = std::exp(double{got[2 * kWidth + c]});
      EXPECT_NEAR(got[c] * top / num, 1, 1e-4);
      EXPECT_NEAR(got[kWidth + c] * top / den, 1, 1e-4);
    }
  }
  const std::vector<float> got = dense_rows(device(), y, step.state.n_rows, kWidth, kStride);
  ASSERT_EQ(got.size(), expected.size());
  EXPECT_LE(error_of(got.data(), expected), 1e-10);
  const gpu::Buffer* buffers[] = {&kb, &vb, &rb, &db, &fb, &y.buffer, &step.buffer, &states.buffer()};
  prove_hazards(device(), record, buffers);
}

struct Rwkv7Case {
  uint32_t heads = 2, head_dim = 16;
  bool first_layer = false;
};

class Rwkv7Rig {
 public:
  Rwkv7Rig(gpu::Device& device, const Rwkv7Case& c)
      : case_(c), device_(device), step_(make_step(kRuns, 2)), states_(device, 5, c.heads * c.head_dim * c.head_dim, 3) {
    width_ = c.heads * c.head_dim, bucket_ = static_cast<uint32_t>(step_.rows.size());
    step_ref_ = step_.upload(device);
    for (uint32_t i = 0; i < kVectors; ++i) vectors_.push_back(random_floats(width_, 10 + i));
    for (uint32_t i = 0; i < kVectors; ++i) vector_buffers_.push_back(to_device(device, vectors_[i]));
    planes_ = random_floats(size_t{params::kRwkv7Planes} * bucket_ * width_, 1, -2, 2);
    v_ = random_floats(size_t{bucket_} * width_, 2), v_first_ = random_floats(v_.size(), 4),
    y_in_ = random_floats(v_.size(), 5);
    planes_buffer_ = to_device(device, planes_), v_buffer_ = to_device(device, v_),
    first_buffer_ = to_device(device, v_first_);
    y_ = make_output(device, uint64_t{bucket_} * width_ * 4);
    y_in_buffer_ = to_device(device, y_in_);
  }

  ops::Rwkv7Inputs inputs() const {
    ops::Rwkv7Inputs in{.planes = {planes_buffer_, width_, bucket_ * width_},
                        .v = {v_buffer_, width_},
                        .v_first = {},
                        .heads = case_.heads,
                        .head_dim = case_.head_dim,
                        .w0 = vector_buffers_[0],
                        .a0 = vector_buffers_[1],
                        .v0 = {},
                        .k_k = vector_buffers_[3],
                        .k_a = vector_buffers_[4],
                        .step = step_ref_,
                        .label = "rwkv7"};
    if (!case_.first_layer) in.v_first = {first_buffer_, width_}, in.v0 = vector_buffers_[2];
    return in;
  }
  Status record_state(gpu::Recorder& recorder) const {
    return ops::rwkv7(recorder, {.in = inputs(), .y = {y_.range(), width_}, .state = states_.ref()});
  }
  Status record_output(gpu::Recorder& recorder) const {
    return ops::rwkv7_output(recorder, {.in = inputs(),
                                        .y = {y_in_buffer_, width_},
                                        .r_k = vector_buffers_[5],
                                        .norm = vector_buffers_[6],
                                        .norm_bias = vector_buffers_[7],
                                        .eps = 64e-5f});
  }

  void check_state() const {
    std::vector<double> y(size_t{step_.state.n_rows} * width_);
    std::vector<std::pair<uint32_t, std::vector<double>>> written;
    for (uint32_t r = 0, row = 0; r < kRuns.size(); row += kRuns[r++].rows) {
      std::vector<double> state = states_.initial(kRuns[r].read);
      for (uint32_t t = row; t < row + kRuns[r].rows; ++t)
        for (uint32_t head = 0; head < case_.heads; ++head) advance(t, head, state, y);
      if (kRuns[r].write != params::kNoState) written.emplace_back(kRuns[r].write, state);
    }
    const std::vector<float> got = dense_rows(device_, y_, step_.state.n_rows, width_, width_);
    ASSERT_EQ(got.size(), y.size());
    EXPECT_LE(error_of(got.data(), y), kError);
    states_.expect(written, kError);
  }

  void check_output() const {
    std::vector<double> expected;
    const uint32_t dim = case_.head_dim;
    for (uint32_t t = 0; t < step_.state.n_rows; ++t)
      for (uint32_t head = 0; head < case_.heads; ++head) {
        const size_t at = size_t{t} * width_ + head * dim;
        double mean = 0, squares = 0, bonus = 0;
        for (uint32_t i = 0; i < dim; ++i) mean += double{y_in_[at + i]} / dim;
        for (uint32_t i = 0; i < dim; ++i) {
          squares += (y_in_[at + i] - mean) * (y_in_[at + i] - mean) / dim;
          bonus += plane(params::kRwkv7R, t, head * dim + i) * key(t, head * dim + i) * vectors_[5][head * dim + i];
        }
        for (uint32_t i = 0; i < dim; ++i) {
          const uint32_t c = head * dim + i;
          const double n = (y_in_[at + i] - mean) / std::sqrt(squares + double{64e-5f}) * vectors_[6][c] + vectors_[7][c];
          expected.push_back((n + bonus * value(t, c)) * plane(params::kRwkv7G, t, c));
        }
      }
    const std::vector<float> got = from_device<float>(device_, y_in_buffer_);
    EXPECT_LE(error_of(got.data(), expected), kError);
    EXPECT_EQ(got.back(), y_in_.back()) << "a row beyond the step was written";
  }

  std::vector<const gpu::Buffer*> buffers() const {
    std::vector<const gpu::Buffer*> all{&planes_buffer_, &v_buffer_,    &first_buffer_,   &y_.buffer,
                                        &y_in_buffer_,   &step_.buffer, &states_.buffer()};
    for (const gpu::Buffer& b : vector_buffers_) all.push_back(&b);
    return all;
  }

 private:
  static constexpr uint32_t kVectors = 8;  // w0, a0, v0, k_k, k_a, r_k, norm, norm_bias

  double plane(uint32_t i, uint32_t t, uint32_t c) const { return planes_[(size_t{i} * bucket_ + t) * width_ + c]; }
  double rate(uint32_t t, uint32_t c) const { return sigmoid(plane(params::kRwkv7A, t, c) + vectors_[1][c]); }
  double key(uint32_t t, uint32_t c) const { return plane(params::kRwkv7K, t, c) * (1 + (rate(t, c) - 1) * vectors_[4][c]); }
  double value(uint32_t t, uint32_t c) const {
    const double v = v_[size_t{t} * width_ + c];
    if (case_.first_layer) return v;
    return v + (v_first_[size_t{t} * width_ + c] - v) * sigmoid(plane(params::kRwkv7VMix, t, c) + vectors_[2][c]);
  }

  void advance(uint32_t t, uint32_t head, std::vector<double>& state, std::vector<double>& y) const {
    const uint32_t dim = case_.head_dim, begin = head * dim;
    double squares = 0;
    std::vector<double> kk(dim);
    for (uint32_t i = 0; i < dim; ++i) {
      kk[i] = plane(params::kRwkv7K, t, begin + i) * vectors_[3][begin + i];
      squares += kk[i] * kk[i];
    }
    for (double& v : kk) v /= std::sqrt(squares);
    for (uint32_t j = 0; j < dim; ++j) {
      double* cells = state.data() + (size_t{begin} + j) * dim;
      double seen = 0, read = 0;
      for (uint32_t i = 0; i < dim; ++i) seen += cells[i] * kk[i];
      for (uint32_t i = 0; i < dim; ++i) {
        const uint32_t c = begin + i;
        const double w = std::exp(-std::exp(-0.5) * sigmoid(plane(params::kRwkv7W, t, c) + vectors_[0][c]));
        cells[i] = cells[i] * w - seen * kk[i] * rate(t, c) + value(t, begin + j) * key(t, c);
        read += cells[i] * plane(params::kRwkv7R, t, c);
      }
      y[size_t{t} * width_ + begin + j] = read;
    }
  }

  Rwkv7Case case_;
  gpu::Device& device_;
  HostStep step_;
  TestStates states_;
  ops::StepRef step_ref_;
  uint32_t width_ = 0, bucket_ = 0;
  std::vector<std::vector<float>> vectors_;
  std::vector<float> planes_, v_, v_first_, y_in_;
  std::vector<gpu::Buffer> vector_buffers_;
  gpu::Buffer planes_buffer_, v_buffer_, first_buffer_, y_in_buffer_;
  Output y_;
};

TEST_F(RwkvTest, Rwkv7State) {
  for (const Rwkv7Case& c :
       {Rwkv7Case{}, Rwkv7Case{.heads = 3, .head_dim = 24, .first_layer = true}, Rwkv7Case{.head_dim = 64}}) {
    SCOPED_TRACE(testing::Message() << "heads " << c.heads << " dim " << c.head_dim << " first " << c.first_layer);
    const Rwkv7Rig rig(device(), c);
    run(device(), [&](gpu::Recorder& recorder) { return rig.record_state(recorder); });
    rig.check_state();
  }
}

TEST_F(RwkvTest, Rwkv7Output) {
  for (const Rwkv7Case& c : {Rwkv7Case{.head_dim = 64}, Rwkv7Case{.heads = 3, .head_dim = 20, .first_layer = true}}) {
    SCOPED_TRACE(testing::Message() << "heads " << c.heads << " dim " << c.head_dim << " first " << c.first_layer);
    const Rwkv7Rig rig(device(), c);
    run(device(), [&](gpu::Recorder& recorder) { return rig.record_output(recorder); });
    rig.check_output();
  }
}

TEST_F(RwkvTest, Rwkv7DeclaresWhatItTouches) {
  for (const bool first : {false, true}) {
    const Rwkv7Rig rig(device(), {.first_layer = first});
    prove_hazards(
        device(), [&](gpu::Recorder& recorder) { return rig.record_state(recorder); }, rig.buffers());
    prove_hazards(
        device(), [&](gpu::Recorder& recorder) { return rig.record_output(recorder); }, rig.buffers());
  }
}

TEST_F(RwkvTest, Gate) {
  constexpr uint32_t kWidth = 52, kBucket = 4, kUsed = 3;
  HostStep step(kBucket, kUsed);
  const ops::StepRef ref = step.upload(device());
  const std::vector<float> a = random_floats(kBucket * kWidth, 1), g = random_floats(kBucket * (kWidth + 4), 2, -90, 90);
  const std::vector<float> r = random_floats(kBucket * kWidth, 3);
  const gpu::Buffer ab = to_device(device(), a), gb = to_device(device(), g), rb = to_device(device(), r);
  for (const bool residual : {false, true}) {
    const Output y = make_output(device(), kBucket * kWidth * 4);
    const auto record = [&](gpu::Recorder& recorder) {
      return ops::gate(recorder, {.a = {ab, kWidth},
                                  .gate = {gb, kWidth + 4},
                                  .y = {y.range(), kWidth},
                                  .residual = residual ? ops::Activations{rb, kWidth} : ops::Activations{},
                                  .residual_scale = 0.5f,
                                  .width = kWidth,
                                  .step = ref,
                                  .label = "gate"});
    };
    run(device(), record);
    std::vector<double> expected;
    for (uint32_t i = 0; i < kUsed * kWidth; ++i) {
      const double v = a[i] * sigmoid(g[i / kWidth * (kWidth + 4) + i % kWidth]);
      expected.push_back(residual ? r[i] + 0.5 * v : v);
    }
    const std::vector<float> got = dense_rows(device(), y, kUsed, kWidth, kWidth);
    ASSERT_EQ(got.size(), expected.size());
    EXPECT_LE(error_of(got.data(), expected), kError);
    const gpu::Buffer* buffers[] = {&ab, &gb, &rb, &y.buffer, &step.buffer};
    prove_hazards(device(), record, buffers);
  }
}

}  // namespace
}  // namespace lahar::test
