// The gated delta rule against float64, token by token and in chunks: several runs with states of their own, head groupings,
// dims with tails.
#include "ops/delta_net.h"
#include "ops/state_test.h"

namespace lahar::test {
namespace {

constexpr double kError = 1e-11;  // of fp32 against float64, over the mean square

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

struct Case {
  uint32_t key_heads = 2, value_heads = 4, key_dim = 16, value_dim = 16;
  std::vector<TestRun> runs{{5, 1, 2}};
  uint32_t spare = 0;
  bool tiled = false;
  float alpha = 3, decay = -2;  // the largest magnitudes: of random ones
  bool chunked = false;         // with scratch memory
};

class Rig {
 public:
  Rig(gpu::Device& device, const Case& c)
      : case_(c),
        device_(device),
        step_(make_step(c.runs, c.spare)),
        states_(device, 5, c.value_heads * c.key_dim * c.value_dim, 7) {
    const auto bucket = static_cast<uint32_t>(step_.rows.size());
    width_ = 2 * c.key_heads * c.key_dim + c.value_heads * c.value_dim;
    stride_ = width_ + 8, y_stride_ = c.value_heads * c.value_dim + 4;
    qkv_ = random_floats(size_t{bucket} * width_, 1);
    gates_ = random_floats(size_t{bucket} * 2 * c.value_heads, 2, -c.alpha, c.alpha);
    decay_ = random_floats(c.value_heads, 3, c.decay, 0), bias_ = random_floats(c.value_heads, 4);
    step_ref_ = step_.upload(device);
    step_ref_.max_runs = static_cast<uint32_t>(c.runs.size());
    const uint64_t scratch = c.chunked ? ops::delta_net_scratch_bytes(device.caps(), bucket, c.value_heads) : 0;
    if (scratch > 0) scratch_ = to_device(device, std::vector<float>(scratch / sizeof(float), NAN), "scratch");
    qkv_buffer_ = to_device(device, padded_rows(qkv_, bucket, width_, stride_), "qkv");
    gates_buffer_ = to_device(device, padded_rows(gates_, bucket, 2 * c.value_heads, 2 * c.value_heads + 4), "gates");
    decay_buffer_ = to_device(device, decay_, "decay"), bias_buffer_ = to_device(device, bias_, "bias");
    y_ = make_output(device, uint64_t{bucket} * y_stride_ * 4);
  }

  ops::DeltaNetParams params() const {
    return {
        .qkv = {qkv_buffer_, stride_},
        .beta = {gates_buffer_, 2 * case_.value_heads + 4},
        .alpha = {gpu::BufferRange(gates_buffer_).part(case_.value_heads * 4, gates_buffer_.size() - case_.value_heads * 4),
                  2 * case_.value_heads + 4},
        .y = {y_.range(), y_stride_},
        .key_heads = case_.key_heads,
        .value_heads = case_.value_heads,
        .key_dim = case_.key_dim,
        .value_dim = case_.value_dim,
        .tiled = case_.tiled,
        .decay = decay_buffer_,
        .bias = bias_buffer_,
        .state = states_.ref(),
        .scratch = scratch_ ? gpu::BufferRange(scratch_) : gpu::BufferRange{},
        .step = step_ref_,
        .label = "delta net"};
  }

  // One head of one run: its rows of y, and the state after them.
  void reference(const TestRun& run, uint32_t first_row, uint32_t head, std::vector<double>& state,
                 std::vector<double>& y) const {
    const Case& c = case_;
    const uint32_t key_head = c.tiled ? head % c.key_heads : head / (c.value_heads / c.key_heads);
    double* s = state.data() + size_t{head} * c.key_dim * c.value_dim;
    for (uint32_t t = first_row; t < first_row + run.rows; ++t) {
      const float* row = &qkv_[size_t{t} * width_];
      const float *q = row + key_head * c.key_dim, *k = q + c.key_heads * c.key_dim;
      const float* v = row + 2 * c.key_heads * c.key_dim + head * c.value_dim;
      double q2 = 1e-6, k2 = 1e-6;
      for (uint32_t i = 0; i < c.key_dim; ++i) q2 += double{q[i]} * q[i], k2 += double{k[i]} * k[i];
      const double q_scale = 1 / std::sqrt(q2 * c.key_dim), k_scale = 1 / std::sqrt(k2);
      const float* gates = &gates_[size_t{t} * 2 * c.value_heads];
      const double alpha = double{gates[c.value_heads + head]} + bias_[head];
      const double g = std::exp(decay_[head] * std::log1p(std::exp(alpha)));
      for (uint32_t j = 0; j < c.value_dim; ++j) {
        double* cells = s + size_t{j} * c.key_dim;
        double seen = 0, read = 0;
        for (uint32_t i = 0; i < c.key_dim; ++i) cells[i] *= g, seen += cells[i] * k[i] * k_scale;
        const double change = sigmoid(gates[head]) * (v[j] - seen);
        for (uint32_t i = 0; i < c.key_dim; ++i) cells[i] += change * k[i] * k_scale, read += cells[i] * q[i] * q_scale;
        y[size_t{t} * c.value_heads * c.value_dim + head * c.value_dim + j] = read;
      }
    }
  }

  void check() const {
    const uint32_t used = step_.state.n_rows, width = case_.value_heads * case_.value_dim;
    std::vector<double> y(size_t{used} * width);
    std::vector<std::pair<uint32_t, std::vector<double>>> written;
    uint32_t row = 0;
    for (const TestRun& run : case_.runs) {
      std::vector<double> state = states_.initial(run.read);
      for (uint32_t head = 0; head < case_.value_heads; ++head) reference(run, row, head, state, y);
      if (run.write != params::kNoState) written.emplace_back(run.write, state);
      row += run.rows;
    }
    const std::vector<float> got = dense_rows(device_, y_, used, width, y_stride_);
    ASSERT_EQ(got.size(), y.size());
    EXPECT_LE(error_of(got.data(), y), kError);
    states_.expect(written, kError);
  }

  std::vector<const gpu::Buffer*> buffers() const {
    std::vector<const gpu::Buffer*> all{&qkv_buffer_, &gates_buffer_, &decay_buffer_,   &bias_buffer_,
                                        &y_.buffer,   &step_.buffer,  &states_.buffer()};
    if (scratch_) all.push_back(&scratch_);
    return all;
  }

 private:
  Case case_;
  gpu::Device& device_;
  HostStep step_;
  TestStates states_;
  ops::StepRef step_ref_;
  uint32_t width_ = 0, stride_ = 0, y_stride_ = 0;
  std::vector<float> qkv_, gates_, decay_, bias_;
  gpu::Buffer qkv_buffer_, gates_buffer_, decay_buffer_, bias_buffer_, scratch_;
  Output y_;
};

using DeltaNetTest = GpuTest;

void run_case(gpu::Device& device, const Case& c) {
  SCOPED_TRACE(testing::Message() << "heads " << c.key_heads << "/" << c.value_heads << " dims " << c.key_dim << "/"
                                  << c.value_dim << " tiled " << c.tiled << " runs " << c.runs.size() << " chunks "
                                  << c.chunked);
  Rig rig(device, c);
  if (c.chunked) {
    gpu::Recorder recorder(device);
    ASSERT_TRUE(ops::delta_net(recorder, rig.params()).ok());
    // CPU drivers that do not keep uniform values in loops get no chunks.
    const bool chunks = !device.caps().is_cpu() || device.caps().uniform_loops;
    ASSERT_EQ(recorder.nodes().size(), chunks ? 2u : 1u);
  }
  run(device, [&](gpu::Recorder& recorder) { return ops::delta_net(recorder, rig.params()); });
  rig.check();
}

TEST_F(DeltaNetTest, OneToken) { run_case(device(), {.runs = {{1, 3, 0}}}); }

TEST_F(DeltaNetTest, RunsOfEveryKind) {
  const std::vector<TestRun> runs{{1, params::kNoState, 1}, {37, 2, 3}, {1, 0, params::kNoState}, {8, params::kNoState, 4}};
  for (const bool tiled : {false, true}) run_case(device(), {.runs = runs, .spare = 3, .tiled = tiled});
}

TEST_F(DeltaNetTest, DimsAndHeads) {
  run_case(device(), {.key_heads = 1, .value_heads = 3, .key_dim = 24, .value_dim = 20});
  run_case(device(), {.key_heads = 3, .value_heads = 3, .key_dim = 4, .value_dim = 36});
  run_case(device(), {.key_heads = 1, .value_heads = 2, .key_dim = 128, .value_dim = 128, .runs = {{21, 0, 1}, {1, 2, 3}}});
  run_case(device(), {.key_heads = 1, .value_heads = 1, .key_dim = 252, .value_dim = 12, .runs = {{7, 0, 1}}});
}

// Chunks with every tail: whole ones, one token, none of a run at all in a step that has room for more.
TEST_F(DeltaNetTest, ChunksOfRuns) {
  const std::vector<TestRun> runs{{16, params::kNoState, 1}, {37, 2, 3}, {1, 0, params::kNoState}, {9, params::kNoState, 4}};
  for (const bool tiled : {false, true}) run_case(device(), {.runs = runs, .spare = 3, .tiled = tiled, .chunked = true});
  run_case(device(), {.runs = {{1, 0, 1}, {1, 2, 3}}, .spare = 40, .chunked = true});
}

// Dims with tails in every tile: of a workgroup's rows, of what lanes take at once, of value heads that go together.
TEST_F(DeltaNetTest, ChunksOfDimsAndHeads) {
  const std::vector<TestRun> runs{{45, 0, 1}, {20, 2, 3}};
  run_case(device(), {.key_heads = 1, .value_heads = 3, .key_dim = 24, .value_dim = 20, .runs = runs, .chunked = true});
  run_case(device(), {.key_heads = 2, .value_heads = 2, .key_dim = 64, .value_dim = 64, .runs = runs, .chunked = true});
  run_case(device(), {.key_heads = 1, .value_heads = 2, .key_dim = 128, .value_dim = 128, .runs = runs, .chunked = true});
  run_case(device(), {.key_heads = 3, .value_heads = 3, .key_dim = 4, .value_dim = 36, .runs = runs, .chunked = true});
  run_case(device(), {.key_heads = 1, .value_heads = 2, .key_dim = 32, .value_dim = 4, .runs = runs, .chunked = true});
  for (const bool tiled : {false, true})
    run_case(
        device(),
        {.key_heads = 2, .value_heads = 22, .key_dim = 24, .value_dim = 12, .runs = runs, .tiled = tiled, .chunked = true});
}

// Runs of prime lengths around those of chunks, one of them without a state before and one without a state behind it.
TEST_F(DeltaNetTest, ChunksOfPrimeRuns) {
  const std::vector<TestRun> runs{{17, 0, 1}, {31, params::kNoState, 2}, {7, 3, params::kNoState}, {97, 4, 3}};
  run_case(device(), {.key_dim = 24, .value_dim = 68, .runs = runs, .spare = 5, .chunked = true});
  run_case(device(), {.key_dim = 32, .value_dim = 32, .runs = {{127, 2, 2}}, .chunked = true});
}

// With scratch memory too: of heads that are too wide for the shared memory of a GPU the tokens go one after the other.
TEST_F(DeltaNetTest, WideHeads) {
  Rig rig(device(),
          {.key_heads = 1, .value_heads = 1, .key_dim = 252, .value_dim = 12, .runs = {{35, 0, 1}}, .chunked = true});
  run(device(), [&](gpu::Recorder& recorder) { return ops::delta_net(recorder, rig.params()); });
  rig.check();
}

// Decays from exp(-1000) to 1 beside each other: nothing overflows, and what is left of the state is right.
TEST_F(DeltaNetTest, ChunksOfStrongDecay) {
  const std::vector<TestRun> runs{{40, 0, 1}, {30, 2, 3}};
  for (const float alpha : {30.f, 100.f})
    run_case(device(), {.key_dim = 24, .runs = runs, .alpha = alpha, .decay = -10, .chunked = true});
}

TEST_F(DeltaNetTest, ChunksDeclareWhatTheyTouch) {
  Rig rig(device(), {.runs = {{33, 0, 1}, {1, params::kNoState, 2}}, .spare = 2, .chunked = true});
  prove_hazards(
      device(), [&](gpu::Recorder& recorder) { return ops::delta_net(recorder, rig.params()); }, rig.buffers());
}

TEST_F(DeltaNetTest, DeclaresWhatItTouches) {
  Rig rig(device(), {.runs = {{2, 0, 1}, {1, params::kNoState, 2}}, .spare = 2});
  prove_hazards(
      device(), [&](gpu::Recorder& recorder) { return ops::delta_net(recorder, rig.params()); }, rig.buffers());
}

TEST_F(DeltaNetTest, RefusesShapesThatDoNotFit) {
  Rig rig(device(), {});
  gpu::Recorder recorder(device());
  EXPECT_TRUE(ops::delta_net(recorder, rig.params()).ok());
  const auto refused = [&](auto&& change) {
    ops::DeltaNetParams p = rig.params();
    change(p);
    EXPECT_FALSE(ops::delta_net(recorder, p).ok());
  };
  refused([](auto& p) { p.key_dim = 18; });
  refused([](auto& p) { p.key_heads = 3; });
  refused([](auto& p) { p.value_dim = 64; });
  refused([](auto& p) { p.state_offset = 32; });
  refused([](auto& p) { p.state.slots = 0; });
}

}  // namespace
}  // namespace lahar::test
