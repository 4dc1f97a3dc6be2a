// The experts of a layer against a float64 reference: every weight format on every path, few rows and many, experts that
// nobody chose, one that everybody did, biases, the clamped activation, inputs that are weighted.
#include <limits>

#include "ops/moe_variants.h"
#include "ops/ops_test.h"
#include "quant/layout.h"

namespace lahar::test {
namespace {

using ops::Activation;
using ops::ExpertMatrix;
using ops::MoeForm;
using ops::MoePath;
using quant::WeightFormat;

struct Case {
  WeightFormat format = WeightFormat::kF32, down_format = WeightFormat::kF32;
  uint32_t hidden = 96, width = 40, experts = 7, chosen = 3, bucket = 2, used = 2, group = 0;
  bool gated = true, bias = false, weighted_input = false, residual = true, in_place = true, mixed = false;
  Activation activation = Activation::kSilu;
  float clamp = 0, alpha = 1;
  int one_expert = -1;  // that every row chooses first
  ops::Precision precision = ops::Precision::kF32;
  bool all_forms = false;
  uint64_t seed = 1;

  std::string name() const {
    return std::string(to_string(format)) + "/" + std::string(to_string(down_format)) + " " + std::to_string(hidden) + "x" +
           std::to_string(width) + ", " + std::to_string(chosen) + " of " + std::to_string(experts) + ", rows " +
           std::to_string(used) + "/" + std::to_string(bucket) + (bias ? " bias" : "") + (gated ? "" : " no gate");
  }
};

double activate(Activation kind, double x) {
  switch (kind) {
    case Activation::kGeluTanh: return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kReluSquared: return std::max(x, 0.0) * std::max(x, 0.0);
    default: return x / (1 + std::exp(-x));
  }
}

class Rig {
 public:
  Rig(gpu::Device& device, const Case& c) : c_(c), device_(device), step_(c.bucket, c.used) {
    ref_ = step_.upload(device);
    x_stride_ = (c.hidden + 3) / 4 * 4 + 4;
    x_ = random_floats(size_t{c.bucket} * c.hidden, c.seed + 10);
    residual_ = random_floats(size_t{c.bucket} * c.hidden, c.seed + 11);
    x_buffer_ = to_device(device, padded_rows(x_, c.bucket, c.hidden, x_stride_), "x");
    y_ = make_output(device, uint64_t{c.bucket} * x_stride_ * 4, "y");
    residual_buffer_ = to_device(device, padded_rows(residual_, c.bucket, c.hidden, x_stride_), "residual");
    make_routes();
    make_slabs();
    scratch_ = make_buffer(device, ops::moe_scratch_bytes(experts_, c.chosen, c.bucket), gpu::Memory::kDevice, "scratch");
  }

  ops::MoeParams params() {
    ops::MoeParams p;
    p.experts = &experts_;
    p.routes = {ids_buffer_, weights_buffer_};
    p.chosen = c_.chosen;
    p.x = {x_buffer_, x_stride_};
    p.y = {c_.in_place ? gpu::BufferRange(residual_buffer_) : y_.range(), x_stride_};
    if (c_.residual) p.residual = {residual_buffer_, x_stride_};
    p.residual_scale = 0.75f;
    p.activation = c_.activation;
    p.clamp = c_.clamp, p.alpha = c_.alpha;
    p.weighted_input = c_.weighted_input;
    p.scratch = scratch_;
    p.step = ref_;
    p.precision = c_.precision;
    p.label = "moe";
    return p;
  }

  void reset() {
    residual_buffer_ = to_device(device_, padded_rows(residual_, c_.bucket, c_.hidden, x_stride_), "residual");
    y_ = make_output(device_, uint64_t{c_.bucket} * x_stride_ * 4, "y");
  }

  void check(double bound) {
    const std::vector<float> y = from_device<float>(device_, c_.in_place ? gpu::BufferRange(residual_buffer_) : y_.range());
    std::vector<Bounded> expected;
    for (uint32_t t = 0; t < c_.used; ++t) {
      const std::vector<Bounded> row = reference(t);
      expected.insert(expected.end(), row.begin(), row.end());
    }
    if (c_.in_place)
      for (uint32_t t = c_.used; t < c_.bucket; ++t)
        for (uint32_t i = 0; i < c_.hidden; ++i) expected.push_back({residual_[size_t{t} * c_.hidden + i], 0});
    expect_close(y, x_stride_, expected, c_.in_place ? c_.bucket : c_.used, c_.bucket, c_.hidden, bound, 1e-6);
  }

  std::vector<const gpu::Buffer*> buffers() {
    std::vector<const gpu::Buffer*> all{&x_buffer_,       &y_.buffer, &residual_buffer_, &ids_buffer_,
                                        &weights_buffer_, &table_,    &scratch_,         &step_.buffer};
    for (const gpu::Buffer& b : slab_buffers_) all.push_back(&b);
    return all;
  }
  std::vector<float> weights_of_routes;

 private:
  struct Expert {
    std::vector<float> gate_up, up, down, bias_up, bias_down;
  };

  void make_routes() {
    std::mt19937_64 random(c_.seed + 20);
    ids_.assign(size_t{c_.bucket} * c_.chosen, 0xffffffffu);
    weights_of_routes = random_floats(ids_.size(), c_.seed + 21, 0.1f, 1);
    const uint32_t in_use = c_.experts > 4 ? c_.experts - 2 : c_.experts;  // the last two stay empty
    for (uint32_t t = 0; t < c_.used; ++t) {
      std::vector<uint32_t> all(std::max(in_use, c_.chosen));
      std::iota(all.begin(), all.end(), 0u);
      std::shuffle(all.begin(), all.end(), random);
      if (c_.one_expert >= 0) std::swap(all[0], *std::find(all.begin(), all.end(), static_cast<uint32_t>(c_.one_expert)));
      std::copy_n(all.begin(), c_.chosen, ids_.begin() + t * c_.chosen);
    }
    ids_.resize((ids_.size() + 3) / 4 * 4), weights_of_routes.resize(ids_.size());
    ids_buffer_ = to_device(device_, ids_, "ids");
    weights_buffer_ = to_device(device_, weights_of_routes, "weights");
  }

  // Puts a matrix into the slab, and says in `m` where.
  std::vector<float> add_matrix(std::vector<std::byte>& slab, ExpertMatrix& m, WeightFormat format, uint32_t rows,
                                uint32_t cols, uint64_t seed) {
    const HostMatrix host = random_matrix(device_, format, rows, cols, seed, c_.group);
    m.format = format, m.rows = rows, m.cols = cols, m.group = c_.group;
    const auto shape = quant::layout(format, rows, cols, c_.group);
    for (uint32_t i = 0; i < shape->planes; ++i) {
      const std::vector<std::byte> plane = from_device_bytes(device_, host.matrix.planes[i]);
      slab.resize((slab.size() + 15) / 16 * 16 + 16);  // never at 0, so that an offset that is left out shows
      m.planes[i] = slab.size();
      slab.insert(slab.end(), plane.begin(), plane.end());
    }
    return host.values;
  }
  std::vector<float> add_bias(std::vector<std::byte>& slab, uint64_t& at, uint32_t n, uint64_t seed) {
    const std::vector<float> values = random_floats(n, seed);
    slab.resize((slab.size() + 3) / 4 * 4 + 4);
    at = slab.size();
    const auto bytes = std::as_bytes(std::span(values));
    slab.insert(slab.end(), bytes.begin(), bytes.end());
    return values;
  }

  void make_slabs() {
    experts_.experts = c_.experts, experts_.gated = c_.gated;
    const bool mixed = c_.mixed;
    std::vector<std::vector<std::byte>> slabs;
    for (uint32_t e = 0; e < c_.experts; ++e) {
      std::vector<std::byte>& slab = slabs.emplace_back();
      Expert& x = weights_.emplace_back();
      const uint64_t seed = c_.seed * 1000 + e * 10;
      const uint32_t stacked = c_.gated && !mixed ? 2 * c_.width : c_.width;
      x.gate_up = add_matrix(slab, experts_.gate_up, c_.format, stacked, c_.hidden, seed);
      if (mixed) {
        x.up = add_matrix(slab, experts_.up, WeightFormat::kF16, c_.width, c_.hidden, seed + 1);
      } else if (c_.gated) {
        x.up.assign(x.gate_up.begin() + size_t{c_.width} * c_.hidden, x.gate_up.end());
      }
      x.down = add_matrix(slab, experts_.down, c_.down_format, c_.hidden, c_.width, seed + 2);
      if (!c_.bias) continue;
      x.bias_up = add_bias(slab, experts_.gate_up.bias, c_.gated ? 2 * c_.width : c_.width, seed + 3);
      experts_.up.bias = experts_.gate_up.bias + uint64_t{c_.width} * 4;
      x.bias_down = add_bias(slab, experts_.down.bias, c_.hidden, seed + 4);
    }
    // Two buffers, the second of another kind of memory, and not in the order of the experts.
    std::vector<uint64_t> addresses(c_.experts);
    for (uint32_t half = 0; half < 2; ++half) {
      std::vector<std::byte> bytes(64);
      std::vector<std::pair<uint32_t, uint64_t>> placed;
      for (uint32_t i = 0; i < c_.experts; ++i) {
        const uint32_t e = c_.experts - 1 - i;
        if (e % 2 != half) continue;
        bytes.resize((bytes.size() + 15) / 16 * 16);
        placed.emplace_back(e, bytes.size());
        bytes.insert(bytes.end(), slabs[e].begin(), slabs[e].end());
      }
      if (half == 0) {
        slab_buffers_.push_back(to_device_bytes(device_, bytes, "slabs"));
      } else {
        slab_buffers_.push_back(make_buffer(device_, bytes.size(), gpu::Memory::kUpload, "host slabs"));
        std::memcpy(slab_buffers_.back().mapped(), bytes.data(), bytes.size());
      }
      for (const auto& [e, at] : placed) addresses[e] = slab_buffers_.back().address() + at;
    }
    table_ = to_device(device_, addresses, "table");
    for (const gpu::Buffer& b : slab_buffers_) slab_ranges_.emplace_back(b);
    experts_.table = table_, experts_.slabs = slab_ranges_;
  }

  std::vector<Bounded> reference(uint32_t t) const {
    std::vector<Bounded> y(c_.hidden);
    for (uint32_t j = 0; j < c_.chosen; ++j) {
      const Expert& e = weights_[ids_[t * c_.chosen + j]];
      const double w = weights_of_routes[t * c_.chosen + j], in = c_.weighted_input ? w : 1, out = c_.weighted_input ? 1 : w;
      const auto dot = [&](const std::vector<float>& m, uint32_t r) {
        double v = 0;
        for (uint32_t k = 0; k < c_.hidden; ++k) v += double{m[size_t{r} * c_.hidden + k]} * x_[size_t{t} * c_.hidden + k];
        return v * in;
      };
      std::vector<double> h(c_.width);
      for (uint32_t r = 0; r < c_.width; ++r) {
        double g = dot(e.gate_up, r), u = c_.gated ? dot(e.up, r) : 0;
        if (c_.bias) g += e.bias_up[r], u += c_.gated ? e.bias_up[c_.width + r] : 0;
        if (c_.clamp > 0) {
          g = std::min<double>(g, c_.clamp), u = std::clamp<double>(u, -c_.clamp, c_.clamp);
          h[r] = (u + 1) * g / (1 + std::exp(-c_.alpha * g));
        } else {
          h[r] = activate(c_.activation, g) * (c_.gated ? u : 1);
        }
      }
      for (uint32_t i = 0; i < c_.hidden; ++i) {
        double v = c_.bias ? e.bias_down[i] : 0, magnitude = std::abs(v);
        for (uint32_t k = 0; k < c_.width; ++k) {
          const double product = double{e.down[size_t{i} * c_.width + k]} * h[k];
          v += product, magnitude += std::abs(product);
        }
        y[i].value += out * v, y[i].magnitude += std::abs(out) * magnitude;
      }
    }
    for (uint32_t i = 0; i < c_.hidden; ++i) {
      y[i].value *= 0.75, y[i].magnitude *= 0.75;
      if (c_.residual) y[i].value += residual_[size_t{t} * c_.hidden + i], y[i].magnitude += 1;
    }
    return y;
  }

  Case c_;
  gpu::Device& device_;
  HostStep step_;
  ops::StepRef ref_;
  uint32_t x_stride_ = 0;
  std::vector<float> x_, residual_;
  std::vector<uint32_t> ids_;
  std::vector<Expert> weights_;
  gpu::Buffer x_buffer_, residual_buffer_, ids_buffer_, weights_buffer_, table_, scratch_;
  std::vector<gpu::Buffer> slab_buffers_;
  std::vector<gpu::BufferRange> slab_ranges_;
  Output y_;
  ops::ExpertsRef experts_;
};

// What rounding may do: h has gone through a product and an activation before it is multiplied.
double bound_for(const MoeForm& form) {
  const auto narrow = [](const ops::MatmulForm& f) {
    return f.half_sums != 0 || f.path == ops::MatmulPath::kCoop || f.path == ops::MatmulPath::kGemmInt8 ||
           f.path == ops::MatmulPath::kCoopInt8;
  };
  if (form.path != MoePath::kGrouped || (!narrow(form.up) && !narrow(form.down))) return 400;
  return 4e5;  // operands of 8 or 11 bits
}

class Moe : public GpuTest {
 protected:
  // The first form of every path, or all of them.
  void check(const Case& c) {
    SCOPED_TRACE(c.name());
    Rig rig(device(), c);
    std::vector<std::string> seen;
    const std::vector<MoeForm> forms = ops::moe_forms(device().caps(), rig.params());
    ASSERT_FALSE(forms.empty());
    for (const MoeForm& form : forms) {
      const std::string text = to_string(form), kind = text.substr(0, text.find(' ', text.find(' ') + 1));
      if (!c.all_forms && std::find(seen.begin(), seen.end(), kind) != seen.end()) continue;
      seen.push_back(kind);
      SCOPED_TRACE(text);
      rig.reset();
      run(device(), [&](gpu::Recorder& recorder) { return ops::moe_with(recorder, rig.params(), form); });
      rig.check(bound_for(form));
    }
  }
};

uint32_t columns_for(WeightFormat f) { return std::max(32u, quant::traits(f).block_values); }

// One row: software drivers take seconds to compile each format for more.
TEST_F(Moe, EveryFormatFewRows) {
  for (uint32_t f = 0; f < static_cast<uint32_t>(WeightFormat::kCount); ++f) {
    const auto format = static_cast<WeightFormat>(f);
    const uint32_t n = columns_for(format);
    check({.format = format,
           .down_format = format,
           .hidden = 2 * n,
           .width = n,
           .experts = 5,
           .chosen = 2,
           .bucket = 1,
           .used = 1});
  }
}

TEST_F(Moe, EveryFormatManyRows) {
  for (uint32_t f = 0; f < static_cast<uint32_t>(WeightFormat::kCount); ++f) {
    const auto format = static_cast<WeightFormat>(f);
    const uint32_t n = columns_for(format);
    check({.format = format,
           .down_format = format,
           .hidden = n,
           .width = n,
           .experts = 5,
           .chosen = 2,
           .bucket = 20,
           .used = 19,
           .precision = ops::Precision::kDefault});
  }
}

TEST_F(Moe, TakesTheMeasuredFormUnlessItIsInQuarantine) {
  Rig rig(device(), {.bucket = 1, .used = 1});
  ops::MoeParams p = rig.params();
  ops::Tuning tuning;
  p.tuning = &tuning;
  const auto dispatches = [&] {
    gpu::Recorder recorder(device());
    EXPECT_TRUE(ops::moe(recorder, p).ok());
    return recorder.nodes().size();
  };
  const std::vector<MoeForm> forms = ops::moe_forms(device().caps(), p);
  const auto grouped =
      std::find_if(forms.begin(), forms.end(), [](const MoeForm& f) { return f.path == MoePath::kGrouped; });
  ASSERT_NE(grouped, forms.end());
  EXPECT_EQ(dispatches(), 2u);
  tuning.choose(ops::moe_case(p), to_string(*grouped));
  EXPECT_GT(dispatches(), 2u);
  tuning.quarantine(to_string(*grouped), "a test");
  EXPECT_EQ(dispatches(), 2u);
  tuning = {};
  tuning.choose(ops::moe_case(p), "nothing that exists");
  for (const MoeForm& f : forms)
    if (f.path != MoePath::kGrouped) tuning.quarantine(to_string(f), "a test");
  EXPECT_GT(dispatches(), 2u);
}

TEST_F(Moe, AwkwardSizesFewRows) {
  check({.experts = 3, .chosen = 1, .bucket = 1, .used = 1});
  check({.hidden = 97, .width = 41, .experts = 33, .chosen = 16, .bucket = 1, .used = 1, .in_place = false});
  check({.format = WeightFormat::kQ4_0,
         .down_format = WeightFormat::kF16,
         .experts = 33,
         .chosen = 16,
         .bucket = 16,
         .used = 15});
  check({.experts = 512, .chosen = 3, .bucket = 5, .used = 4, .in_place = false});
}

TEST_F(Moe, AwkwardSizesManyRows) {
  check({.bucket = 17, .used = 17});
  check({.hidden = 97, .width = 41, .experts = 33, .chosen = 16, .bucket = 40, .used = 37, .in_place = false});
  check({.format = WeightFormat::kQ8_0,
         .down_format = WeightFormat::kBF16,
         .experts = 3,
         .chosen = 3,
         .bucket = 130,
         .used = 130,
         .all_forms = true});
  check({.hidden = 32, .width = 20, .experts = 512, .chosen = 1, .bucket = 64, .used = 61});
}

TEST_F(Moe, AllRowsOnOneExpert) {
  check({.experts = 7, .chosen = 1, .bucket = 16, .used = 16, .one_expert = 4});
  check({.experts = 7, .chosen = 1, .bucket = 70, .used = 67, .one_expert = 0});
}

TEST_F(Moe, BiasesAndTheClampedActivation) {
  for (const uint32_t bucket : {3u, 18u}) {
    check({.bucket = bucket, .used = bucket, .bias = true, .clamp = 0.7f, .alpha = 1.702f});
    check({.format = WeightFormat::kMXFP4,
           .down_format = WeightFormat::kMXFP4,
           .width = 32,
           .bucket = bucket,
           .used = bucket,
           .bias = true,
           .residual = false,
           .in_place = false,
           .clamp = 7,
           .alpha = 1.702f});
    check({.bucket = bucket, .used = bucket, .gated = false, .bias = true, .activation = Activation::kReluSquared});
  }
}

TEST_F(Moe, WeightedInputs) {
  for (const uint32_t bucket : {2u, 18u})
    check({.chosen = 2,
           .bucket = bucket,
           .used = bucket,
           .bias = true,
           .weighted_input = true,
           .activation = Activation::kGeluTanh});
}

TEST_F(Moe, GateAndUpOfTwoFormats) {
  for (const uint32_t bucket : {2u, 18u})
    check({.format = WeightFormat::kQ8_0, .bucket = bucket, .used = bucket, .bias = true, .mixed = true});
}

TEST_F(Moe, OuterScales) {
  for (const uint32_t bucket : {2u, 18u})
    for (const WeightFormat f : {WeightFormat::kF8, WeightFormat::kI8, WeightFormat::kI4})
      check({.format = f, .down_format = f, .hidden = 128, .width = 64, .bucket = bucket, .used = bucket, .group = 32});
}

TEST_F(Moe, NoRows) {
  for (const uint32_t bucket : {2u, 18u}) check({.bucket = bucket, .used = 0, .in_place = false});
}

// A row whose router gave no numbers ends as none, and the others do not notice.
TEST_F(Moe, WeightsThatAreNoNumbers) {
  for (const uint32_t bucket : {2u, 18u}) {
    const Case c{.bucket = bucket, .used = bucket, .in_place = false};
    Rig clean(device(), c), rig(device(), c);
    std::vector<float> weights = rig.weights_of_routes;
    for (uint32_t j = 0; j < c.chosen; ++j) weights[c.chosen + j] = std::numeric_limits<float>::quiet_NaN();
    const gpu::Buffer changed = to_device(device(), weights, "weights");
    ops::MoeParams p = rig.params(), q = clean.params();
    p.routes.weights = changed;
    run(device(), [&](gpu::Recorder& recorder) { return ops::moe(recorder, p); });
    run(device(), [&](gpu::Recorder& recorder) { return ops::moe(recorder, q); });
    const auto y = from_device<float>(device(), p.y.range), expected = from_device<float>(device(), q.y.range);
    for (uint32_t t = 0; t < bucket; ++t)
      for (uint32_t i = 0; i < c.hidden; ++i) {
        const size_t at = size_t{t} * p.y.stride + i;
        if (t == 1) {
          ASSERT_TRUE(std::isnan(y[at]));
        } else {
          ASSERT_EQ(y[at], expected[at]);
        }
      }
  }
}

TEST_F(Moe, DeclaresWhatItTouches) {
  for (const uint32_t bucket : {3u, 18u}) {
    const Case c{.format = WeightFormat::kQ8_0,
                 .down_format = WeightFormat::kQ8_0,
                 .hidden = 64,
                 .width = 32,
                 .experts = 4,
                 .chosen = 2,
                 .bucket = bucket,
                 .used = bucket - 1,
                 .bias = true};
    Rig rig(device(), c);
    prove_hazards(
        device(), [&](gpu::Recorder& recorder) { return ops::moe(recorder, rig.params()); }, rig.buffers());
  }
}

TEST_F(Moe, RefusesWhatDoesNotFit) {
  Rig rig(device(), {});
  gpu::Recorder recorder(device());
  EXPECT_TRUE(ops::moe(recorder, rig.params()).ok());
  const auto refused = [&](auto change) {
    ops::MoeParams p = rig.params();
    ops::ExpertsRef e = *p.experts;
    p.experts = &e;
    change(p, e);
    const Status s = ops::moe(recorder, p);
    return !s.ok() && s.error().message.find("moe") != std::string::npos;
  };
  EXPECT_TRUE(refused([](auto& p, auto&) { p.chosen = 17; }));
  EXPECT_TRUE(refused([](auto& p, auto&) { p.chosen = 8; }));
  EXPECT_TRUE(refused([](auto& p, auto&) { p.y = p.x; }));
  EXPECT_TRUE(refused([](auto& p, auto&) { p.scratch = p.scratch.part(0, 16); }));
  EXPECT_TRUE(refused([](auto& p, auto&) { p.scratch = p.x.range; }));
  EXPECT_TRUE(refused([](auto&, auto& e) { e.table = e.table.part(0, 8); }));
  EXPECT_TRUE(refused([](auto&, auto& e) { e.down.cols = 41; }));
  EXPECT_TRUE(refused([](auto&, auto& e) { e.gate_up.planes[0] += 4; }));
  EXPECT_TRUE(refused([](auto&, auto& e) { e.gated = false; }));
}

TEST_F(Moe, SharedGate) {
  const uint32_t hidden = 97, width = 41, bucket = 3, used = 2, x_stride = 104, h_stride = 44;
  HostStep step(bucket, used);
  const std::vector<float> x = random_floats(bucket * hidden, 1), h = random_floats(bucket * width, 2),
                           gate = random_floats(100, 3);
  const gpu::Buffer x_buffer = to_device(device(), padded_rows(x, bucket, hidden, x_stride));
  const gpu::Buffer h_buffer = to_device(device(), padded_rows(h, bucket, width, h_stride));
  const gpu::Buffer gate_buffer = to_device(device(), gate);
  const ops::MoeSharedGateParams p{.x = {x_buffer, x_stride},
                                   .gate = gate_buffer,
                                   .hidden = hidden,
                                   .h = {h_buffer, h_stride},
                                   .width = width,
                                   .step = step.upload(device()),
                                   .label = "gate"};
  const auto record = [&](gpu::Recorder& recorder) { return ops::moe_shared_gate(recorder, p); };
  const gpu::Buffer* all[] = {&x_buffer, &h_buffer, &gate_buffer, &step.buffer};
  prove_hazards(device(), record, all);
  run(device(), record);
  std::vector<Bounded> expected;
  for (uint32_t t = 0; t < bucket; ++t) {
    double dot = 0;
    for (uint32_t i = 0; i < hidden; ++i) dot += double{x[t * hidden + i]} * gate[i];
    for (uint32_t i = 0; i < width; ++i) {
      const double v = h[t * width + i] * (t < used ? 1 / (1 + std::exp(-dot)) : 1);
      expected.push_back({v, std::abs(v)});
    }
  }
  expect_close(from_device<float>(device(), h_buffer), h_stride, expected, bucket, bucket, width, 100);
}

}  // namespace
}  // namespace lahar::test
