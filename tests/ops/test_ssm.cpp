// The ops of Mamba layers against float64: runs of every length in one step, states read and written in other slots, groups,
// sizes that are no multiple of anything.
#include "ops/causal_conv.h"
#include "ops/ssm_gate.h"
#include "ops/ssm_scan.h"
#include "ops/state_test.h"

namespace lahar::test {
namespace {

using Runs = std::vector<TestRun>;

constexpr uint32_t kNone = params::kNoState;
constexpr double kError = 1e-11;  // of squares: 3e-6 of the values

double silu(double x) { return x / (1 + std::exp(-x)); }

void expect_rows(gpu::Device& device, const Output& output, uint32_t rows, uint32_t width, uint32_t stride,
                 const std::vector<double>& expected) {
  const std::vector<float> got = dense_rows(device, output, rows, width, stride);
  ASSERT_EQ(got.size(), expected.size());
  EXPECT_LE(error_of(got.data(), expected), kError);
}

// ---- the convolution ----

struct ConvCase {
  uint32_t channels = 64, taps = 4;
  Runs runs = {{5, 0, 1}};
  bool bias = true, gates = false;
  ops::Activation activation = ops::Activation::kSilu;
};

class ConvRig {
 public:
  ConvRig(gpu::Device& device, const ConvCase& c)
      : c_(c),
        device_(device),
        n_(rows_of(c.runs)),
        step_(make_step(c.runs, 2)),
        x_(device, n_ + 2, c.channels, 1),
        gate_in_(device, n_ + 2, c.channels, 2),
        gate_out_(device, n_ + 2, c.channels, 3),
        weight_(device, size_t{c.channels} * c.taps, 4),
        bias_(device, c.channels, 5),
        states_(device, 4, state_floats(), 6),
        y_(make_output(device, uint64_t{n_ + 2} * x_.stride * 4)) {
    params_ = {.x = x_.activations(),
               .x_gate = c.gates ? gate_in_.activations() : ops::Activations{},
               .y = {y_.range(), x_.stride},
               .y_gate = c.gates ? gate_out_.activations() : ops::Activations{},
               .channels = c.channels,
               .taps = c.taps,
               .weight = weight_.buffer,
               .bias = c.bias ? gpu::BufferRange(bias_.buffer) : gpu::BufferRange{},
               .activation = c.activation,
               .state = states_.ref(),
               .step = step_.upload(device),
               .label = "convolution"};
  }

  Status record(gpu::Recorder& recorder) const { return ops::causal_conv(recorder, params_); }

  void check() {
    std::vector<double> expected;
    std::vector<std::pair<uint32_t, std::vector<double>>> written;
    uint32_t first = 0;
    for (const TestRun& run : c_.runs) {
      std::vector<double> state = states_.initial(run.read);  // [taps - 1][stride]
      const uint32_t stride = (c_.channels + 3) / 4 * 4;
      for (uint32_t t = first; t < first + run.rows; ++t) {
        for (uint32_t ch = 0; ch < c_.channels; ++ch) {
          const double u = x_.at(t, ch) * (c_.gates ? gate_in_.at(t, ch) : 1);
          double sum = c_.bias ? bias_.values[ch] : 0;
          for (uint32_t k = 0; k + 1 < c_.taps; ++k) sum += weight_.values[ch * c_.taps + k] * state[k * stride + ch];
          sum += weight_.values[ch * c_.taps + c_.taps - 1] * u;
          if (c_.activation == ops::Activation::kSilu) sum = silu(sum);
          expected.push_back(sum * (c_.gates ? gate_out_.at(t, ch) : 1));
          for (uint32_t k = 0; k + 2 < c_.taps; ++k) state[k * stride + ch] = state[(k + 1) * stride + ch];
          state[(c_.taps - 2) * stride + ch] = u;
        }
      }
      first += run.rows;
      if (run.write != kNone) written.emplace_back(run.write, state);
    }
    expect_rows(device_, y_, n_, c_.channels, x_.stride, expected);
    if (c_.channels % 4 == 0) states_.expect(written, kError);
  }

  std::vector<const gpu::Buffer*> buffers() const {
    return {&x_.buffer,    &gate_in_.buffer,  &gate_out_.buffer, &weight_.buffer,
            &bias_.buffer, &states_.buffer(), &y_.buffer,        &step_.buffer};
  }

 private:
  uint32_t state_floats() const { return static_cast<uint32_t>(ops::causal_conv_state_bytes(c_.channels, c_.taps) / 4); }

  ConvCase c_;
  gpu::Device& device_;
  uint32_t n_;
  HostStep step_;
  Rows x_, gate_in_, gate_out_;
  Vector weight_, bias_;
  TestStates states_;
  Output y_;
  ops::CausalConvParams params_;
};

using CausalConvTest = GpuTest;

TEST_F(CausalConvTest, RunsOfEveryLength) {
  for (const ConvCase& c :
       {ConvCase{}, ConvCase{.channels = 96, .runs = {{1, 2, 3}, {2, kNone, 1}, {7, 0, kNone}}},
        ConvCase{.channels = 162, .taps = 3, .runs = {{1, kNone, 0}, {3, 1, 2}}, .bias = false},
        ConvCase{.channels = 12, .taps = 8, .runs = {{4, 3, 0}, {1, 1, 2}}, .activation = ops::Activation::kNone},
        ConvCase{.channels = 64,
        .taps = 3,
        .runs = {{1, 0, 1}, {9, 2, 3}},
        .bias = false,
        .gates = true,
        .activation = ops::Activation::kNone}}) {
    SCOPED_TRACE(testing::Message() << c.channels << " channels, " << c.taps << " taps, " << c.runs.size() << " runs");
    ConvRig rig(device(), c);
    run(device(), [&](gpu::Recorder& recorder) { return rig.record(recorder); });
    rig.check();
  }
}

TEST_F(CausalConvTest, DeclaresWhatItTouches) {
  ConvRig rig(device(), {.channels = 20, .runs = {{3, 0, 1}, {1, 2, 3}}, .gates = true});
  prove_hazards(
      device(), [&](gpu::Recorder& recorder) { return rig.record(recorder); }, rig.buffers());
}

// ---- the scan ----

struct ScanCase {
  uint32_t heads = 4, head_dim = 16, groups = 1, state = 16;
  Runs runs = {{5, 0, 1}};
  bool per_state = false, skip = true;
  float dt_min = 0, dt_max = 3.4e38f, dt_scale = 1;
};

class ScanRig {
 public:
  ScanRig(gpu::Device& device, const ScanCase& c)
      : c_(c),
        device_(device),
        n_(rows_of(c.runs)),
        width_(c.heads * c.head_dim),
        step_(make_step(c.runs, 1)),
        xbc_(device, n_ + 1, width_ + 2 * c.groups * c.state, 1),
        in_(device, n_ + 1, 3 + c.heads, 2, -6, 3),
        a_(device, size_t{c.heads} * (c.per_state ? c.state : 1), 3, -2, -0.01f),
        d_(device, c.heads, 4),
        bias_(device, c.heads, 5),
        states_(device, 4, static_cast<uint32_t>(ops::ssm_state_bytes(c.heads, c.head_dim, c.state) / 4), 6),
        y_stride_((width_ + 3) / 4 * 4),
        y_(make_output(device, uint64_t{n_ + 1} * y_stride_ * 4)) {
    params_ = {.x = {xbc_.activations(), 0},
               .b = {xbc_.activations(), width_},
               .c = {xbc_.activations(), width_ + c.groups * c.state},
               .dt = {in_.activations(), 3},
               .y = {y_.range(), y_stride_},
               .heads = c.heads,
               .head_dim = c.head_dim,
               .groups = c.groups,
               .state = c.state,
               .a = a_.buffer,
               .a_per_state = c.per_state,
               .d = c.skip ? gpu::BufferRange(d_.buffer) : gpu::BufferRange{},
               .dt_bias = bias_.buffer,
               .dt_min = c.dt_min,
               .dt_max = c.dt_max,
               .dt_scale = c.dt_scale,
               .slots = states_.ref(),
               .step = step_.upload(device),
               .label = "scan"};
    params_.step.max_runs = static_cast<uint32_t>(c.runs.size());
    if (const uint64_t bytes = ops::ssm_scan_scratch_bytes(device.caps(), n_ + 1, c.heads, c.head_dim, c.state); bytes > 0) {
      scratch_ = to_device(device, std::vector<float>(bytes / sizeof(float), NAN), "scratch");
      params_.scratch = scratch_;
    }
  }

  Status record(gpu::Recorder& recorder) const { return ops::ssm_scan(recorder, params_); }

  void check() {
    std::vector<double> expected;
    std::vector<std::pair<uint32_t, std::vector<double>>> written;
    uint32_t first = 0;
    for (const TestRun& run : c_.runs) {
      std::vector<double> s = states_.initial(run.read);
      for (uint32_t t = first; t < first + run.rows; ++t)
        for (uint32_t h = 0; h < c_.heads; ++h) scan_head(t, h, s, expected);
      first += run.rows;
      if (run.write != kNone) written.emplace_back(run.write, s);
    }
    expect_rows(device_, y_, n_, width_, y_stride_, expected);
    // Padding of the state rows is not what random slots hold.
    if (c_.state % 4 == 0) states_.expect(written, kError);
  }

  std::vector<const gpu::Buffer*> buffers() const {
    std::vector<const gpu::Buffer*> all = {&xbc_.buffer,  &in_.buffer,       &a_.buffer, &d_.buffer,
                                           &bias_.buffer, &states_.buffer(), &y_.buffer, &step_.buffer};
    if (scratch_) all.push_back(&scratch_);
    return all;
  }

 private:
  void scan_head(uint32_t t, uint32_t h, std::vector<double>& s, std::vector<double>& expected) const {
    const double raw = c_.dt_scale * in_.at(t, 3 + h) + bias_.values[h];
    const double dt = std::clamp(std::log1p(std::exp(raw)), double{c_.dt_min}, double{c_.dt_max});
    const uint32_t b = width_ + h / (c_.heads / c_.groups) * c_.state, cc = b + c_.groups * c_.state;
    const uint32_t row = (c_.state + 3) / 4 * 4;
    for (uint32_t p = 0; p < c_.head_dim; ++p) {
      const uint32_t channel = h * c_.head_dim + p;
      const double x = xbc_.at(t, channel);
      double y = c_.skip ? d_.values[h] * x : 0;
      for (uint32_t n = 0; n < c_.state; ++n) {
        double& cell = s[size_t{channel} * row + n];
        cell = std::exp(dt * a_.values[c_.per_state ? h * c_.state + n : h]) * cell + dt * xbc_.at(t, b + n) * x;
        y += cell * xbc_.at(t, cc + n);
      }
      expected.push_back(y);
    }
  }

  ScanCase c_;
  gpu::Device& device_;
  uint32_t n_, width_;
  HostStep step_;
  Rows xbc_, in_;
  Vector a_, d_, bias_;
  TestStates states_;
  uint32_t y_stride_;
  Output y_;
  gpu::Buffer scratch_;
  ops::SsmScanParams params_;
};

class SsmScanTest : public GpuTest {
 protected:
  void run_case(const ScanCase& c) {
    SCOPED_TRACE(testing::Message() << c.heads << " heads of " << c.head_dim << ", " << c.groups << " groups, state "
                                    << c.state << ", " << rows_of(c.runs) << " rows");
    ScanRig rig(device(), c);
    run(device(), [&](gpu::Recorder& recorder) { return rig.record(recorder); });
    rig.check();
  }
};

TEST_F(SsmScanTest, HeadsGroupsAndStates) {
  run_case({});
  run_case({.heads = 6, .head_dim = 24, .groups = 3, .state = 17, .runs = {{1, kNone, 1}, {4, 0, 2}}});
  run_case({.heads = 3, .head_dim = 5, .groups = 1, .state = 64, .runs = {{1, 3, 0}, {1, kNone, kNone}, {2, 1, 2}}});
  run_case({.heads = 2, .head_dim = 64, .groups = 2, .state = 128, .runs = {{40, 0, 1}, {3, 2, 3}}});
}

TEST_F(SsmScanTest, ChannelsWithDecaysOfTheirOwn) {
  run_case({.heads = 40, .head_dim = 1, .state = 16, .runs = {{3, 0, 1}, {1, kNone, 2}}, .per_state = true});
  run_case({.heads = 12, .head_dim = 1, .state = 7, .runs = {{20, kNone, 1}}, .per_state = true, .skip = false});
}

// On a GPU these are split into chunks.
TEST_F(SsmScanTest, LongRuns) {
  run_case(
      {.heads = 3, .head_dim = 12, .state = 20, .runs = {{64, kNone, 1}, {130, 0, 2}, {3, kNone, 3}}, .per_state = false});
  run_case({.heads = 9, .head_dim = 1, .state = 16, .runs = {{200, 0, 1}}, .per_state = true});
}

TEST_F(SsmScanTest, LongRunsDeclareWhatTheyTouch) {
  ScanRig rig(device(), {.heads = 2, .head_dim = 4, .state = 8, .runs = {{100, 0, 1}, {70, kNone, 2}}});
  gpu::Recorder recorder(device());
  ASSERT_TRUE(rig.record(recorder).ok());
  EXPECT_EQ(recorder.nodes().size(), device().caps().is_cpu() ? 1u : 3u);
  prove_hazards(
      device(), [&](gpu::Recorder& recorder) { return rig.record(recorder); }, rig.buffers());
}

TEST_F(SsmScanTest, TheStepIsScaledAndClamped) {
  run_case({.runs = {{6, 0, 1}}, .dt_min = 0.1f, .dt_max = 0.9f, .dt_scale = 0.5f});
}

TEST_F(SsmScanTest, DeclaresWhatItTouches) {
  ScanRig rig(device(), {.heads = 3, .head_dim = 5, .state = 12, .runs = {{2, 0, 1}, {1, 3, 2}}});
  prove_hazards(
      device(), [&](gpu::Recorder& recorder) { return rig.record(recorder); }, rig.buffers());
}

// ---- the gate ----

struct GateCase {
  ops::GateOrder order = ops::GateOrder::kGateFirst;
  uint32_t groups = 1, width = 64;
  bool weight = true, shared = false, in_place = false;
  float gate_scale = 1;
};

class GateRig {
 public:
  GateRig(gpu::Device& device, const GateCase& c)
      : c_(c),
        device_(device),
        all_(c.groups * c.width),
        step_(4, 3),
        x_(device, 4, all_, 1, -3, 3),
        gate_(device, 4, all_, 2, -3, 3),
        weight_(device, c.shared ? c.width : all_, 3),
        y_(make_output(device, uint64_t{4} * x_.stride * 4)) {
    params_ = {.order = c.order,
               .x = x_.activations(),
               .gate = gate_.activations(),
               .y = c.in_place ? x_.activations() : ops::Activations{y_.range(), x_.stride},
               .groups = c.groups,
               .width = c.width,
               .weight = c.weight ? gpu::BufferRange(weight_.buffer) : gpu::BufferRange{},
               .shared_weight = c.shared,
               .gate_scale = c.gate_scale,
               .step = step_.upload(device),
               .label = "gate"};
  }

  Status record(gpu::Recorder& recorder) const { return ops::ssm_gate(recorder, params_); }

  void check() {
    std::vector<double> expected;
    for (uint32_t t = 0; t < 3; ++t)
      for (uint32_t g = 0; g < c_.groups; ++g) expect_group(t, g, expected);
    if (!c_.in_place) return expect_rows(device_, y_, 3, all_, x_.stride, expected);
    const std::vector<float> rows = from_device<float>(device_, x_.buffer);
    for (uint32_t t = 0; t < 3; ++t)
      EXPECT_LE(
          error_of(rows.data() + size_t{t} * x_.stride, {expected.begin() + t * all_, expected.begin() + (t + 1) * all_}),
          kError);
  }

  std::vector<const gpu::Buffer*> buffers() const {
    return {&x_.buffer, &gate_.buffer, &weight_.buffer, &y_.buffer, &step_.buffer};
  }

 private:
  void expect_group(uint32_t t, uint32_t g, std::vector<double>& expected) const {
    std::vector<double> v(c_.width), gates(c_.width);
    double squares = 0;
    for (uint32_t i = 0; i < c_.width; ++i) {
      gates[i] = silu(c_.gate_scale * gate_.at(t, g * c_.width + i));
      v[i] = x_.at(t, g * c_.width + i) * (c_.order == ops::GateOrder::kNormFirst ? 1 : gates[i]);
      squares += v[i] * v[i];
    }
    const double scale = c_.order == ops::GateOrder::kGateAlone ? 1 : 1 / std::sqrt(squares / c_.width + 1e-5);
    for (uint32_t i = 0; i < c_.width; ++i) {
      const double w = c_.weight ? weight_.values[c_.shared ? i : g * c_.width + i] : 1;
      expected.push_back(v[i] * scale * w * (c_.order == ops::GateOrder::kNormFirst ? gates[i] : 1));
    }
  }

  GateCase c_;
  gpu::Device& device_;
  uint32_t all_;
  HostStep step_;
  Rows x_, gate_;
  Vector weight_;
  Output y_;
  ops::SsmGateParams params_;
};

using SsmGateTest = GpuTest;

TEST_F(SsmGateTest, EveryOrder) {
  using ops::GateOrder;
  for (const GateCase& c :
       {GateCase{}, GateCase{.groups = 3, .width = 24}, GateCase{.groups = 2, .width = 17, .gate_scale = 0.5f},
        GateCase{.order = GateOrder::kNormFirst, .groups = 4, .width = 32, .shared = true, .in_place = true},
        GateCase{.order = GateOrder::kNormFirst, .groups = 13, .width = 128, .shared = true},
        GateCase{.order = GateOrder::kGateAlone, .width = 1000, .weight = false, .in_place = true}}) {
    SCOPED_TRACE(testing::Message() << c.groups << " groups of " << c.width);
    GateRig rig(device(), c);
    run(device(), [&](gpu::Recorder& recorder) { return rig.record(recorder); });
    rig.check();
  }
}

TEST_F(SsmGateTest, DeclaresWhatItTouches) {
  GateRig rig(device(), {.groups = 2, .width = 12});
  prove_hazards(
      device(), [&](gpu::Recorder& recorder) { return rig.record(recorder); }, rig.buffers());
}

}  // namespace
}  // namespace lahar::test
