// The real-gated linear recurrent unit against float64: runs of every length in one step, states read and written in other
// slots, sequences that begin, decays from almost none to almost all.
#include "ops/rg_lru.h"
#include "ops/state_test.h"

namespace lahar::test {
namespace {

constexpr uint32_t kNone = params::kNoState;
constexpr double kError = 1e-11;  // of fp32 against float64, over the mean square

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

struct RgLruCase {
  uint32_t width = 96;
  std::vector<TestRun> runs = {{1, kNone, 1}, {19, 2, 3}, {1, 0, kNone}, {2, kNone, 4}};
  ops::Activation activation = ops::Activation::kSilu;
  bool in_place = false;
  float least = 1e-4f, most = 8;  // of a decay's magnitude
  float state = 1;                // as large as the states before the step are
};

class RgLruRig {
 public:
  RgLruRig(gpu::Device& device, const RgLruCase& c)
      : c_(c),
        device_(device),
        n_(rows_of(c.runs)),
        step_(make_step(c.runs, 2)),
        x_(device, n_ + 2, c.width, 1),
        y_gate_(device, n_ + 2, c.width, 2, -3, 3, 8),
        input_gate_(device, n_ + 2, c.width, 3, -3, 3, 12),
        recurrent_gate_(device, n_ + 2, c.width, 4, -3, 3, 12),
        input_bias_(device, c.width, 5),
        recurrent_bias_(device, c.width, 6),
        decay_(device, c.width, 7, std::log(c.least), std::log(c.most)),
        states_(device, 5, c.width, 8, -c.state, c.state),
        y_(make_output(device, uint64_t{n_ + 2} * x_.stride * 4)) {
    for (float& v : decay_.values) v = -std::exp(v);
    decay_.buffer = to_device(device, decay_.values, "decay");
    params_ = {.x = x_.activations(),
               .y_gate = y_gate_.activations(),
               .input_gate = input_gate_.activations(),
               .recurrent_gate = recurrent_gate_.activations(),
               .y = c.in_place ? x_.activations() : ops::Activations{y_.range(), x_.stride},
               .input_bias = input_bias_.buffer,
               .recurrent_bias = recurrent_bias_.buffer,
               .decay = decay_.buffer,
               .activation = c.activation,
               .width = c.width,
               .state = states_.ref(),
               .step = step_.upload(device),
               .label = "rg-lru"};
  }

  Status record(gpu::Recorder& recorder) const { return ops::rg_lru(recorder, params_); }

  void check() const {
    std::vector<double> expected;
    std::vector<std::pair<uint32_t, std::vector<double>>> written;
    uint32_t first = 0;
    for (const TestRun& run : c_.runs) {
      std::vector<double> h = states_.initial(run.read);
      for (uint32_t t = first; t < first + run.rows; ++t) advance(t, run.read == kNone && t == first, h, expected);
      first += run.rows;
      if (run.write != kNone) written.emplace_back(run.write, h);
    }
    states_.expect(written, kError);
    if (c_.in_place) {
      const std::vector<float> all = from_device<float>(device_, x_.buffer);
      for (uint32_t t = 0; t < n_; ++t)
        EXPECT_LE(
            error_of(&all[size_t{t} * x_.stride], {expected.begin() + t * c_.width, expected.begin() + (t + 1) * c_.width}),
            10 * kError);
      return;
    }
    const std::vector<float> got = dense_rows(device_, y_, n_, c_.width, x_.stride);
    ASSERT_EQ(got.size(), expected.size());
    EXPECT_LE(error_of(got.data(), expected), kError);
  }

  std::vector<const gpu::Buffer*> buffers() const {
    return {&x_.buffer,          &y_gate_.buffer,
            &input_gate_.buffer, &recurrent_gate_.buffer,
            &input_bias_.buffer, &recurrent_bias_.buffer,
            &decay_.buffer,      &states_.buffer(),
            &y_.buffer,          &step_.buffer};
  }

 private:
  void advance(uint32_t t, bool begins, std::vector<double>& h, std::vector<double>& y) const {
    for (uint32_t c = 0; c < c_.width; ++c) {
      const double log_a = decay_.values[c] * sigmoid(recurrent_gate_.at(t, c) + recurrent_bias_.values[c]);
      const double input = sigmoid(input_gate_.at(t, c) + input_bias_.values[c]) * x_.at(t, c);
      h[c] = std::exp(log_a) * h[c] + (begins ? 1 : std::sqrt(-std::expm1(2 * log_a))) * input;
      const double gate = y_gate_.at(t, c);
      y.push_back(h[c] * gate * (c_.activation == ops::Activation::kSilu ? sigmoid(gate) : 1));
    }
  }

  RgLruCase c_;
  gpu::Device& device_;
  uint32_t n_;
  HostStep step_;
  Rows x_, y_gate_, input_gate_, recurrent_gate_;
  Vector input_bias_, recurrent_bias_, decay_;
  TestStates states_;
  Output y_;
  ops::RgLruParams params_;
};

class RgLruTest : public GpuTest {
 protected:
  void run_case(const RgLruCase& c) {
    SCOPED_TRACE(testing::Message() << c.width << " channels, " << rows_of(c.runs) << " rows in " << c.runs.size()
                                    << " runs");
    const RgLruRig rig(device(), c);
    run(device(), [&](gpu::Recorder& recorder) { return rig.record(recorder); });
    rig.check();
  }
};

TEST_F(RgLruTest, RunsOfEveryLength) {
  run_case({});
  run_case({.width = 37, .activation = ops::Activation::kNone});
  run_case({.width = 1, .runs = {{5, 0, 1}}});
  run_case({.width = 260, .runs = {{1, 0, 1}}, .in_place = true});
}

// On a GPU the parts of these are computed at once, some of them without a row.
TEST_F(RgLruTest, LongRuns) {
  run_case({.width = 77, .runs = {{131, 0, 1}, {3, kNone, 2}, {40, kNone, 3}, {1, 4, kNone}}});
  run_case({.runs = {{67, kNone, 1}}, .in_place = true});
}

// What goes in is the root of a difference that fp32 alone would lose: here there is nothing else.
TEST_F(RgLruTest, AlmostNothingDecays) {
  run_case({.runs = {{9, 0, 1}, {50, 2, 3}}, .least = 1e-8f, .most = 1e-5f, .state = 0});
}

TEST_F(RgLruTest, DeclaresWhatItTouches) {
  for (const uint32_t rows : {2u, 40u}) {
    const RgLruRig rig(device(), {.width = 20, .runs = {{rows, 0, 1}, {1, kNone, 3}}});
    prove_hazards(
        device(), [&](gpu::Recorder& recorder) { return rig.record(recorder); }, rig.buffers());
  }
}

}  // namespace
}  // namespace lahar::test
