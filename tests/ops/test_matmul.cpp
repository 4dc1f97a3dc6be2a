// matmul against a float64 reference: every weight format, every form that the device can run, prime and tail shapes,
// buckets that are not full, every option by itself and together.
#include <limits>

#include "ops/matmul_variants.h"
#include "ops/ops_test.h"
#include "quant/layout.h"

namespace lahar::test {
namespace {

using ops::Activation;
using ops::MatmulForm;
using ops::MatmulPath;
using quant::WeightFormat;

struct Case {
  WeightFormat format = WeightFormat::kF32;
  uint32_t rows = 37, cols = 256, bucket = 1, used = 1, group = 0;
  bool bias = false, residual = false, in_place = false, gather = false;
  float scale = 1, softcap = 0, residual_scale = 1, x_range = 1;
  Activation glu = Activation::kNone;
  ops::Precision precision = ops::Precision::kDefault;
  uint32_t pad = 4;  // floats between rows
  uint64_t seed = 1;
  // Software drivers take seconds to compile these: not every case runs them. `line` stands for int8 forms too.
  bool line = false, coop = false;
  bool all_forms = false;  // of each path, not its default alone

  std::string name() const {
    return std::string(to_string(format)) + " " + std::to_string(rows) + "x" + std::to_string(cols) + " bucket " +
           std::to_string(used) + "/" + std::to_string(bucket) + (group ? " group " + std::to_string(group) : "") +
           (bias ? " bias" : "") + (residual ? " residual" : "") + (in_place ? " in place" : "") +
           (gather ? " gather" : "") + (softcap > 0 ? " softcap" : "") + " glu " + std::to_string(int(glu)) + " seed " +
           std::to_string(seed);
  }
};

double activate(Activation kind, double x) {
  switch (kind) {
    case Activation::kSilu: return x / (1 + std::exp(-x));
    case Activation::kGeluTanh: return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kGelu: return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::kRelu: return std::max(x, 0.0);
    case Activation::kReluSquared: return std::max(x, 0.0) * std::max(x, 0.0);
    case Activation::kSigmoid: return 1 / (1 + std::exp(-x));
    case Activation::kTanh: return std::tanh(x);
    case Activation::kNone: break;
  }
  return x;
}

uint32_t padded(uint32_t width, uint32_t pad) { return (width + 3) / 4 * 4 + pad; }

// Everything that a case puts on the device.
class Rig {
 public:
  Rig(gpu::Device& device, const Case& c)
      : case_(c), step_(c.gather ? kGatherRows : c.bucket, c.gather ? kGatherRows : c.used), device_(device) {
    x_rows_ = c.gather ? kGatherRows : c.bucket;
    y_width_ = c.glu == Activation::kNone ? c.rows : c.rows / 2;
    x_stride_ = padded(c.cols, c.pad), y_stride_ = padded(y_width_, c.pad), scratch_stride_ = padded(c.rows, c.pad);
    w_ = random_matrix(device, c.format, c.rows, c.cols, c.seed, c.group);
    x_ = random_floats(size_t{x_rows_} * c.cols, c.seed + 10, -c.x_range, c.x_range);
    bias_ = random_floats(c.rows, c.seed + 11);
    residual_ = random_floats(size_t{c.bucket} * y_width_, c.seed + 12);
    if (c.gather) {
      std::mt19937_64 random(c.seed + 13);
      step_.state.n_logits = c.used;
      for (uint32_t i = 0; i < c.used; ++i) step_.state.logit_rows[i] = random() % kGatherRows;
    }
    step_ref_ = {step_.upload(device).state, c.bucket};
    x_buffer_ = to_device(device, padded_rows(x_, x_rows_, c.cols, x_stride_), "x");
    bias_buffer_ = to_device(device, bias_, "bias");
    residual_buffer_ = to_device(device, padded_rows(residual_, c.bucket, y_width_, y_stride_), "residual");
    y_ = make_output(device, uint64_t{c.bucket} * y_stride_ * 4, "y");
    x_scratch_ = make_buffer(device, ops::matmul_scratch_bytes(c.cols, c.bucket), gpu::Memory::kDevice, "x scratch");
    scratch_ = make_buffer(device, uint64_t{c.bucket} * scratch_stride_ * 4, gpu::Memory::kDevice, "scratch");
  }

  ops::MatmulParams params() {
    const Case& c = case_;
    ops::MatmulParams p;
    p.w = &w_.matrix;
    p.x = {x_buffer_, x_stride_};
    p.y = {c.in_place ? gpu::BufferRange(residual_buffer_) : y_.range(), y_stride_};
    if (c.bias) p.bias = bias_buffer_;
    if (c.residual) p.residual = {residual_buffer_, y_stride_};
    p.residual_scale = c.residual_scale, p.scale = c.scale, p.softcap = c.softcap;
    p.glu = c.glu;
    p.x_scratch = x_scratch_;
    p.glu_scratch = {scratch_, scratch_stride_};
    p.step = step_ref_;
    p.logit_rows = c.gather;
    p.precision = c.precision;
    p.label = "matmul";
    return p;
  }

  void check(double c) {
    const std::vector<float> y =
        from_device<float>(device_, case_.in_place ? gpu::BufferRange(residual_buffer_) : y_.range());
    expect_guards(device_, y_);
    std::vector<Bounded> expected;
    for (uint32_t t = 0; t < case_.used; ++t)
      for (uint32_t r = 0; r < y_width_; ++r) expected.push_back(reference(t, r));
    if (case_.in_place) {  // rows beyond the used ones keep the residual
      for (uint32_t t = case_.used; t < case_.bucket; ++t)
        for (uint32_t r = 0; r < y_width_; ++r) expected.push_back({residual_[size_t{t} * y_width_ + r], 0});
    }
    expect_close(y, y_stride_, expected, case_.in_place ? case_.bucket : case_.used, case_.bucket, y_width_, c, 1e-30);
  }

  std::vector<const gpu::Buffer*> buffers() {
    std::vector<const gpu::Buffer*> all = w_.pointers();
    for (const gpu::Buffer* b :
         {&x_buffer_, &bias_buffer_, &residual_buffer_, &y_.buffer, &scratch_, &x_scratch_, &step_.buffer})
      all.push_back(b);
    return all;
  }

 private:
  static constexpr uint32_t kGatherRows = 29;

  // v of MatmulParams for one row of the matrix.
  Bounded linear(uint32_t t, uint32_t row) const {
    const uint32_t source = case_.gather ? step_.state.logit_rows[t] : t;
    Bounded b;
    for (uint32_t k = 0; k < case_.cols; ++k) {
      const double product = double{w_.values[size_t{row} * case_.cols + k]} * x_[size_t{source} * case_.cols + k];
      b.value += product;
      b.magnitude += std::abs(product);
    }
    b.value *= case_.scale, b.magnitude *= std::abs(case_.scale);
    if (case_.bias) b.value += bias_[row], b.magnitude += std::abs(bias_[row]);
    if (case_.softcap > 0) {
      b.magnitude += case_.softcap;  // the device's tanh rounds relative to its largest value
      b.value = case_.softcap * std::tanh(b.value / case_.softcap);
    }
    return b;
  }

  Bounded reference(uint32_t t, uint32_t row) const {
    Bounded v = linear(t, row);
    if (case_.glu != Activation::kNone) {
      const Bounded up = linear(t, row + y_width_);
      const double g = activate(case_.glu, v.value);
      // Activations grow at most like 1.2 |x|, the squared one like 2 |x| at x.
      const double slope = case_.glu == Activation::kReluSquared ? 2 * std::abs(v.value) + 1 : 1.2;
      return {g * up.value, (slope * v.magnitude + 1) * std::abs(up.value) + std::abs(g) * up.magnitude};
    }
    if (case_.residual) {
      const double r = residual_[size_t{t} * y_width_ + row];
      v.value = r + case_.residual_scale * v.value;
      v.magnitude = std::abs(r) + std::abs(case_.residual_scale) * v.magnitude;
    }
    return v;
  }

  Case case_;
  HostStep step_;
  gpu::Device& device_;
  uint32_t x_rows_ = 0, y_width_ = 0, x_stride_ = 0, y_stride_ = 0, scratch_stride_ = 0;
  HostMatrix w_;
  std::vector<float> x_, bias_, residual_;
  gpu::Buffer x_buffer_, bias_buffer_, residual_buffer_, scratch_, x_scratch_;
  Output y_;
  ops::StepRef step_ref_;
};

class Matmul : public GpuTest {
 protected:
  // Rounding of fp32 sums: each product and each addition on the way to the result may be off by eps of the magnitudes.
  static constexpr double kBound = 16;

  static double bound(const MatmulForm& form, uint32_t cols) {
    // Sums in fp16: half a unit of rounding for each addition, of a block of the matrices' depth or one of 32 columns.
    if (form.half_sums != 0) return 3 * 8192 + 8192.0 * (form.path == MatmulPath::kGemm ? 32 : cols / form.k + 1);
    switch (form.path) {
      case MatmulPath::kCoop:
      case MatmulPath::kCoop2:
        return 3 * 8192;  // both operands are rounded to fp16, 2^13 times as coarse as fp32
      // x is rounded to a 254th of the largest of 32, which are evenly spread: 2^16.
      case MatmulPath::kCoopInt8:
      case MatmulPath::kGemvInt8:
      case MatmulPath::kGemmInt8: return 2 * 65536;
      default: return kBound;
    }
  }

  void check(const Case& c) {
    SCOPED_TRACE(c.name());
    MatmulPath last = MatmulPath::kCount;
    for (const MatmulForm& form : ops::matmul_forms(device().caps(), Rig(device(), c).params())) {
      if ((form.path == MatmulPath::kLine && !c.line) || (on_matrices(form) && !c.coop)) continue;
      const bool int8 = form.path == MatmulPath::kGemvInt8 || form.path == MatmulPath::kGemmInt8;
      if (int8 && !c.line && !c.all_forms) continue;
      if (form.path == last && !c.all_forms) continue;
      last = form.path;
      check(c, form);
      if (HasFatalFailure() || HasNonfatalFailure()) return;
    }
  }

  void check(const Case& c, const MatmulForm& form) {
    SCOPED_TRACE(c.name() + ", " + to_string(form));
    Rig rig(device(), c);
    run(device(), [&](gpu::Recorder& r) { return ops::matmul_with(r, rig.params(), form); });
    rig.check(bound(form, c.cols));
  }

  static bool on_matrices(const MatmulForm& form) {
    return form.path == MatmulPath::kCoop || form.path == MatmulPath::kCoopInt8 || form.path == MatmulPath::kCoop2;
  }

  // A width that the format can have, near `cols`.
  static uint32_t fit(WeightFormat format, uint32_t cols) {
    const uint32_t block = quant::traits(format).block_values;
    return (cols + block - 1) / block * block;
  }
};

class MatmulFormat : public Matmul, public ::testing::WithParamInterface<int> {
 protected:
  WeightFormat format() const { return static_cast<WeightFormat>(GetParam()); }
  uint32_t group(uint32_t cols) const {
    const uint32_t part = format() == WeightFormat::kI4 ? 96 : 48;
    return quant::traits(format()).grouped && cols % part == 0 ? part : 0;
  }
};

TEST_P(MatmulFormat, Shapes) {
  uint32_t seed = 100;
  for (const uint32_t rows : {1u, 7u, 37u, 129u})
    for (const uint32_t cols : {1u, 31u, 33u, 97u, 256u, 288u, 576u, 1536u}) {
      const uint32_t fitting = fit(format(), cols);
      const uint32_t bucket = 1 + (rows + cols) % 16;
      check({.format = format(),
             .rows = rows,
             .cols = fitting,
             .bucket = bucket,
             .used = bucket,
             .group = group(fitting),
             .seed = ++seed,
             .line = rows == 37,
             .coop = rows == 37 && cols == 97});
    }
}

TEST_P(MatmulFormat, Buckets) {
  for (const uint32_t bucket : {1u, 2u, 3u, 4u, 5u, 8u, 11u, 16u, 17u, 64u, 100u}) {
    const uint32_t used = bucket - bucket / 3;
    check({.format = format(),
           .rows = 37,
           .cols = fit(format(), 288),
           .bucket = bucket,
           .used = used,
           .seed = bucket,
           .line = bucket == 1 || bucket == 3 || bucket == 100,
           .coop = bucket >= 64});
  }
}

TEST_P(MatmulFormat, GatedActivation) {
  for (const Activation glu :
       {Activation::kSilu, Activation::kGeluTanh, Activation::kGelu, Activation::kRelu, Activation::kReluSquared})
    check({.format = format(),
           .rows = 74,
           .cols = fit(format(), 96),
           .bucket = 3,
           .used = 2,
           .bias = true,
           .scale = 0.7f,
           .glu = glu,
           .seed = 7,
           .line = glu == Activation::kSilu || glu == Activation::kGelu});
  check({.format = format(),
         .rows = 26,
         .cols = fit(format(), 300),
         .bucket = 40,
         .used = 33,
         .glu = Activation::kSilu,
         .line = true,
         .coop = format() == WeightFormat::kQ8_0});
}

std::string format_name(const ::testing::TestParamInfo<int>& info) {
  return std::string(to_string(static_cast<WeightFormat>(info.param)));
}
INSTANTIATE_TEST_SUITE_P(All, MatmulFormat, ::testing::Range(0, int(WeightFormat::kCount)), format_name);

TEST_F(Matmul, Options) {
  for (const uint32_t bucket : {1u, 5u, 24u}) {
    const uint32_t used = bucket == 1 ? 1 : bucket - 1;
    const Case base{
        .format = WeightFormat::kF16, .rows = 41, .cols = 100, .bucket = bucket, .used = used, .line = bucket != 5};
    const auto with = [&](auto&& change) {
      Case c = base;
      change(c);
      check(c);
    };
    with([](Case& c) { c.bias = true; });
    with([](Case& c) { c.scale = 0.125f; });
    with([](Case& c) { c.softcap = 1.5f, c.scale = 3; });
    with([](Case& c) { c.residual = true, c.residual_scale = 0.22f; });
    with([](Case& c) { c.residual = c.in_place = true; });
    with([](Case& c) {
      c.residual = c.in_place = c.bias = true, c.scale = 2, c.softcap = 3, c.residual_scale = -1;
      c.coop = c.bucket > 16;
    });
    with([](Case& c) { c.gather = true; });
    with([](Case& c) { c.gather = c.bias = true, c.softcap = 2, c.scale = 0.5f, c.coop = c.bucket > 16; });
    with([](Case& c) { c.pad = 0, c.cols = 128; });
    with([](Case& c) { c.pad = 60, c.residual = true; });
  }
}

TEST_F(Matmul, NothingInUseWritesNothing) {
  check({.rows = 33, .cols = 64, .bucket = 4, .used = 0, .line = true});
  check({.rows = 33, .cols = 64, .bucket = 70, .used = 0, .line = true, .coop = true});
}

TEST_F(Matmul, SubnormalAndNegativeFp8) {
  // Every byte but the two NaNs, in one row.
  check(
      {.format = WeightFormat::kF8, .rows = 5, .cols = 1024, .bucket = 1, .used = 1, .group = 128, .seed = 3, .line = true});
}

TEST_F(Matmul, ResidualStreamsThatOverflowHalves) {
  for (const float range : {3e6f, 1e-6f})
    check({.format = WeightFormat::kQ8_0,
           .rows = 70,
           .cols = 96,
           .bucket = 66,
           .used = 66,
           .x_range = range,
           .line = true,
           .coop = true});
}

TEST_F(Matmul, ManyRows) {
  check({.format = WeightFormat::kQ8_0, .rows = 5003, .cols = 64, .bucket = 2, .used = 2, .line = true});
  check({.format = WeightFormat::kF16, .rows = 3001, .cols = 40, .bucket = 65, .used = 65, .line = true, .coop = true});
}

TEST_F(Matmul, LineShapes) {
  const Case c{.format = WeightFormat::kQ4_0, .rows = 23, .cols = 576, .bucket = 11, .used = 10};
  if (ops::line_shape(device().caps(), Rig(device(), c).params()).rows == 0) GTEST_SKIP() << "needs a CPU device";
  for (const ops::LineShape& shape : {ops::LineShape{1, 1, 9}, {2, 5, 6}, {3, 2, 3}, {5, 3, 18}, {16, 1, 2}}) {
    SCOPED_TRACE(std::to_string(shape.rows) + " " + std::to_string(shape.x_rows) + " " + std::to_string(shape.chunks));
    Rig rig(device(), c);
    run(device(), [&](gpu::Recorder& r) { return ops::matmul_line(r, rig.params(), shape); });
    rig.check(kBound);
  }
}

TEST_F(Matmul, LoopsOverVectors) {
  if (!device().caps().uniform_loops) GTEST_SKIP() << "needs a driver that keeps uniform values in loops";
  for (uint16_t i = 0; i <= static_cast<uint16_t>(WeightFormat::kI8); ++i)
    for (const uint32_t bucket : {1u, 2u, 3u, 7u, 9u, 20u})
      for (const uint32_t cols : {64u, 576u, 1100u}) {
        const auto format = static_cast<WeightFormat>(i);
        // Every pipeline takes a driver's compiler a while: the other buckets in one format, the tails of columns in one
        // row.
        if (bucket != 1 && (cols == 64 || (bucket != 7 && format != WeightFormat::kQ4_1))) continue;
        const bool grouped = quant::traits(format).grouped;
        Case c{.format = format, .rows = 2 * (19 + cols % 11), .cols = fit(format, cols), .bucket = bucket, .used = bucket};
        c.group = grouped && cols == 576 ? 48 : grouped && bucket == 2 ? 32 * (c.cols / 64) : 0;
        c.bias = bucket % 2 == 1;
        if (bucket == 3) c.glu = Activation::kSilu;
        SCOPED_TRACE(c.name());
        std::vector<MatmulForm> forms = ops::matmul_forms(device().caps(), Rig(device(), c).params());
        std::erase_if(forms, [](const MatmulForm& f) { return f.path != MatmulPath::kLoop; });
        ASSERT_FALSE(forms.empty());
        for (const MatmulForm& form : forms) {
          Rig rig(device(), c);
          run(device(), [&](gpu::Recorder& r) { return ops::matmul_with(r, rig.params(), form); });
          rig.check(kBound);
        }
        if (HasFailure()) return;
      }
}

TEST_F(Matmul, AllForms) {
  for (const uint32_t bucket : {1u, 3u, 16u, 40u})
    check({.format = WeightFormat::kQ8_0,
           .rows = 137,
           .cols = 288,
           .bucket = bucket,
           .used = bucket - bucket / 8,
           .bias = true,
           .all_forms = true});
  check({.format = WeightFormat::kQ4_K,
         .rows = 74,
         .cols = 512,
         .bucket = 2,
         .used = 2,
         .glu = Activation::kSilu,
         .all_forms = true});
}

TEST_F(Matmul, MatrixTiles) {
  if (device().caps().cooperative_matrix_shapes.empty()) GTEST_SKIP() << "needs cooperative matrices";
  check({.format = WeightFormat::kQ8_0, .rows = 137, .cols = 320, .bucket = 70, .used = 67, .coop = true});
  for (const uint32_t bucket : {13u, 21u})
    check({.format = WeightFormat::kQ4_K,
           .rows = 67,
           .cols = 256,
           .bucket = bucket,
           .used = bucket - 1,
           .bias = true,
           .coop = true});
}

// Each way to use matrices once, without the rest of what a product can have along with it.
TEST_F(Matmul, MatrixForms) {
  const Case c{.format = WeightFormat::kQ8_0, .rows = 70, .cols = 160, .bucket = 40, .used = 37};
  const ops::MatmulParams params = Rig(device(), c).params();
  std::vector<MatmulForm> forms = ops::matmul_forms(device().caps(), params);
  std::erase_if(forms, [](const MatmulForm& f) { return !on_matrices(f); });
  if (forms.empty()) GTEST_SKIP() << "needs cooperative matrices";
  MatmulPath last = MatmulPath::kCount;
  for (const MatmulForm& form : forms) {
    // Of the defaults, which other tests run, x as it is; of what differs from them, one kind of x each.
    if (form.path != last || form.half_rows == 0) check(c, form);
    last = form.path;
    if (HasFailure()) return;
  }
}

TEST_F(Matmul, MatrixTilesOf128) {
  Case c{.format = WeightFormat::kQ4_0, .rows = 131, .cols = 96, .bucket = 133, .used = 130, .residual = true};
  bool any = false;
  for (MatmulForm form : ops::matmul_forms(device().caps(), Rig(device(), c).params())) {
    if (!on_matrices(form)) continue;
    form.tile_m = form.tile_n = 128, form.part_m = form.part_n = 32;
    if (form.depth != 32 || form.half_sums != 0 || form.elements != 0 ||
        !ops::can_matmul(device().caps(), Rig(device(), c).params(), form))
      continue;
    if (form.path == MatmulPath::kCoop && any) continue;
    any = true;
    check(c, form);
    if (HasFailure() || form.path == MatmulPath::kCoopInt8) return;
  }
  if (!any) GTEST_SKIP() << "needs cooperative matrices, and shared memory for such tiles";
}

TEST_F(Matmul, MatricesOfInt8) {
  if (device().caps().int8_matrix_shapes.empty()) GTEST_SKIP() << "needs cooperative matrices of int8";
  const auto form_of = [&](const Case& c) {
    for (const MatmulForm& f : ops::matmul_forms(device().caps(), Rig(device(), c).params()))
      if (f.path == MatmulPath::kCoopInt8) return f;
    return MatmulForm{.path = MatmulPath::kCount};
  };
  for (const auto& [format, cols, group] : {std::tuple{WeightFormat::kQ8_0, 1056u, 0u},
                                            {WeightFormat::kQ4_0, 288u, 0u},
                                            {WeightFormat::kI8, 45u, 0u},
                                            {WeightFormat::kI8, 256u, 32u},
                                            {WeightFormat::kI8, 192u, 96u}}) {
    Case c{.format = format, .rows = 67, .cols = cols, .bucket = 21, .used = 19, .group = group, .bias = true};
    MatmulForm form = form_of(c);
    ASSERT_EQ(form.path, MatmulPath::kCoopInt8) << c.name();
    check(c, form);
    form.depth = 64;
    check(c, form);
    if (HasFailure()) return;
  }
  // Scales that change within 32 columns.
  EXPECT_EQ(form_of({.format = WeightFormat::kI8, .cols = 96, .group = 48}).path, MatmulPath::kCount);
  const Case exact{.format = WeightFormat::kQ8_0, .cols = 96, .precision = ops::Precision::kF32};
  EXPECT_EQ(form_of(exact).path, MatmulPath::kCount);
}

// The kernel of tensor loads with these replaced by operations on single elements, which more devices have: its decoder of
// every format, its tails and its options.
TEST_F(Matmul, MatricesThatDecode) {
  const gpu::Caps& caps = device().caps();
  if (!caps.has(gpu::kFlexibleMatrix)) GTEST_SKIP() << "needs cooperative matrices of flexible dimensions";
  const MatmulForm form{.path = MatmulPath::kCoop2,
                        .subgroup = caps.subgroup_size,
                        .teams = 1,
                        .tile_m = 16,
                        .tile_n = 16,
                        .depth = 16,
                        .half_rows = 1,
                        .elements = 1};
  for (const auto& [format, cols, group] : {std::tuple{WeightFormat::kF16, 45u, 0u},
                                            {WeightFormat::kQ8_0, 96u, 0u},
                                            {WeightFormat::kQ4_0, 160u, 0u},
                                            {WeightFormat::kQ4_K, 512u, 0u},
                                            {WeightFormat::kQ6_K, 512u, 0u},
                                            {WeightFormat::kMXFP4, 160u, 0u},
                                            {WeightFormat::kI4, 160u, 0u},
                                            {WeightFormat::kI4, 192u, 96u}}) {
    check({.format = format, .rows = 37, .cols = cols, .bucket = 21, .used = 19, .group = group}, form);
    if (HasFailure()) return;
  }
  const auto with = [&](auto&& change) {
    Case c{.format = WeightFormat::kQ4_K, .rows = 50, .cols = 256, .bucket = 5, .used = 3, .bias = true};
    change(c);
    check(c, form);
  };
  with([](Case& c) { c.residual = true, c.residual_scale = 0.22f; });
  with([](Case& c) { c.gather = true, c.softcap = 2, c.scale = 0.5f; });
  with([](Case& c) { c.glu = Activation::kSilu; });
  with([](Case& c) { c.used = 0; });
  with([](Case& c) { c.rows = 1, c.x_range = 3e6f; });

  const auto can = [&](Case c, MatmulForm f) { return ops::can_matmul(caps, Rig(device(), c).params(), f); };
  const Case plain{.format = WeightFormat::kQ8_0, .rows = 37, .cols = 96, .bucket = 3, .used = 3};
  EXPECT_TRUE(can(plain, form));
  EXPECT_FALSE(can({.format = WeightFormat::kQ5_K, .cols = 256}, form));
  EXPECT_FALSE(can({.format = WeightFormat::kQ8_0, .cols = 96, .precision = ops::Precision::kF32}, form));
  EXPECT_FALSE(can({.format = WeightFormat::kQ8_0, .cols = 96, .residual = true, .in_place = true}, form));
  for (uint32_t MatmulForm::*number : {&MatmulForm::tile_m, &MatmulForm::tile_n, &MatmulForm::depth, &MatmulForm::subgroup,
                                       &MatmulForm::teams, &MatmulForm::half_rows})
    for (const uint32_t value : {0u, 7u, 512u}) {
      MatmulForm other = form;
      other.*number = value;
      EXPECT_FALSE(can(plain, other)) << to_string(other);
    }
}

// It is for those who measure.
TEST_F(Matmul, TensorLoadsAreNoDefault) {
  for (const uint32_t bucket : {1u, 40u, 512u}) {
    const Case c{.format = WeightFormat::kQ4_K, .rows = 137, .cols = 512, .bucket = bucket, .used = bucket};
    EXPECT_NE(ops::default_form(device().caps(), Rig(device(), c).params()).path, MatmulPath::kCoop2);
  }
}

TEST_F(Matmul, FormsAsText) {
  const Case c{.format = WeightFormat::kQ8_0, .rows = 37, .cols = 64, .bucket = 20, .used = 20};
  for (const MatmulForm& form : ops::matmul_forms(device().caps(), Rig(device(), c).params())) {
    const auto parsed = ops::parse_matmul_form(to_string(form));
    ASSERT_TRUE(parsed.has_value()) << to_string(form);
    EXPECT_EQ(*parsed, form) << to_string(form);
  }
  for (const char* text : {"", "gem", "gemv rows", "gemv rows x", "gemv rows 1x", "gemv rows -1", "gemv colour 3",
                           "gemv rows 99999999999", "gemv  rows 1", "none"})
    EXPECT_FALSE(ops::parse_matmul_form(text).has_value()) << text;
}

TEST_F(Matmul, TakesWhatWasMeasured) {
  const Case c{.format = WeightFormat::kQ8_0, .rows = 37, .cols = 64, .bucket = 3, .used = 3};
  Rig rig(device(), c);
  ops::MatmulParams p = rig.params();
  const gpu::Caps& caps = device().caps();
  const std::vector<MatmulForm> forms = ops::matmul_forms(caps, p);
  ASSERT_GE(forms.size(), 2u);
  const auto kernel_of = [&](const auto& record) {
    gpu::Recorder recorder(device());
    const Status status = record(recorder);
    EXPECT_TRUE(status.ok()) << why(status);
    return recorder.nodes().empty() ? nullptr : recorder.nodes()[0].kernel;
  };
  const auto taken = [&] { return kernel_of([&](gpu::Recorder& r) { return ops::matmul(r, p); }); };
  const auto of = [&](const MatmulForm& f) {
    return kernel_of([&](gpu::Recorder& r) { return ops::matmul_with(r, p, f); });
  };
  EXPECT_EQ(ops::default_form(caps, p), forms[0]);
  EXPECT_EQ(taken(), of(forms[0]));
  ops::Tuning tuning;
  p.tuning = &tuning;
  tuning.choose(ops::matmul_case(p), to_string(forms.back()));
  EXPECT_EQ(taken(), of(forms.back()));
  tuning.quarantine(to_string(forms.back()), "wrong");
  EXPECT_EQ(taken(), of(forms[0]));
  tuning.quarantine(to_string(forms[0]), "wrong");
  EXPECT_EQ(ops::default_form(caps, p), forms[1]);
  EXPECT_EQ(taken(), of(forms[1]));
  // A database of other versions: forms that are none, or that cannot run here.
  for (const char* stale : {"gemv of old", "gemv rows 2 x_rows 2 subgroup 3 teams 1", "gemm tile_m 7"}) {
    tuning.choose(ops::matmul_case(p), stale);
    EXPECT_EQ(taken(), of(forms[1])) << stale;
  }
}

TEST_F(Matmul, DeclaredReadsAndWrites) {
  for (const Case& c :
       {Case{.format = WeightFormat::kQ6_K, .rows = 37, .cols = 256, .bucket = 3, .used = 2, .bias = true},
        Case{.format = WeightFormat::kF8,
        .rows = 12,
        .cols = 96,
        .bucket = 2,
        .used = 2,
        .group = 32,
        .residual = true,
        .in_place = true},
        Case{.format = WeightFormat::kQ4_K, .rows = 20, .cols = 256, .bucket = 20, .used = 19, .glu = Activation::kSilu},
        Case{.format = WeightFormat::kF16, .rows = 20, .cols = 50, .bucket = 5, .used = 4, .gather = true}}) {
    MatmulPath last = MatmulPath::kCount;
    for (const MatmulForm& form : ops::matmul_forms(device().caps(), Rig(device(), c).params())) {
      if (form.path == last) continue;
      last = form.path;
      SCOPED_TRACE(c.name() + " " + to_string(form));
      Rig rig(device(), c);
      const auto buffers = rig.buffers();
      prove_hazards(
          device(), [&](gpu::Recorder& r) { return ops::matmul_with(r, rig.params(), form); }, buffers);
    }
  }
}

TEST_F(Matmul, RefusesShapesThatDoNotFit) {
  const auto refused = [&](auto&& change) {
    Rig rig(device(), Case{.rows = 8, .cols = 32, .bucket = 2, .used = 2});
    ops::MatmulParams p = rig.params();
    change(p);
    gpu::Recorder recorder(device());
    const Status status = ops::matmul(recorder, p);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(status.error().message.find("matmul"), std::string::npos) << status.error().message;
    EXPECT_TRUE(recorder.nodes().empty());
  };
  refused([](ops::MatmulParams& p) { p.w = nullptr; });
  refused([](ops::MatmulParams& p) { p.x.range.size -= 64; });
  refused([](ops::MatmulParams& p) { p.y.stride = 3; });
  refused([](ops::MatmulParams& p) { p.y = p.x; });
  refused([](ops::MatmulParams& p) { p.step.bucket = 100; });
  refused([](ops::MatmulParams& p) { p.bias = p.x.range.part(0, 16); });
  refused([](ops::MatmulParams& p) { p.glu = Activation::kSilu, p.residual = p.y; });
}

}  // namespace
}  // namespace lahar::test
