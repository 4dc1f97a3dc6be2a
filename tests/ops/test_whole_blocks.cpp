// Blocks of a layer in one dispatch: the feed-forward against float64; attention against the ops that compute its parts one
// by one (which their own tests hold against float64), RoPE within attention too.
#include <cmath>

#include "ops/attention_block.h"
#include "ops/attention_variants.h"
#include "ops/gated_ffn.h"
#include "ops/kv_test.h"
#include "ops/matmul_variants.h"
#include "ops/rope.h"
#include "params_matmul.h"

namespace lahar::test {
namespace {

using quant::WeightFormat;

constexpr float kEps = 1e-3f;
constexpr WeightFormat kBlockFormats[] = {WeightFormat::kF16, WeightFormat::kQ8_0, WeightFormat::kQ4_0, WeightFormat::kQ4_K,
                                          WeightFormat::kQ6_K};

// A folded norm in device memory. What the product before it left there, where `x` is given: rows times the weight, the sum
// of squares in two parts.
struct Fold {
  std::vector<float> weight;
  gpu::Buffer weight_buffer, scaled, squares, block;
  ops::NormFold fold;

  Fold(gpu::Device& device, uint32_t width, uint64_t seed, const std::vector<float>* x = nullptr) {
    weight = random_floats(width, seed, 0.5f, 1.5f);
    weight_buffer = to_device(device, weight, "norm weight");
    std::vector<float> rows(width, std::nanf("")), parts(ops::norm_fold_squares_bytes(1) / sizeof(float), 0.0f);
    if (x != nullptr) {
      const uint32_t count = 2;
      std::memcpy(parts.data(), &count, sizeof count);
      for (uint32_t i = 0; i < width; ++i) rows[i] = (*x)[i] * weight[i], parts[4 + i % count] += (*x)[i] * (*x)[i];
    }
    scaled = to_device(device, rows, "scaled"), squares = to_device(device, parts, "squares");
    const params::NormFold contents{.weight = weight_buffer.address(),
                                    .scaled = scaled.address(),
                                    .squares = squares.address(),
                                    .scaled_stride = (width + 3) / 4 * 4,
                                    .width = width,
                                    .eps = kEps,
                                    .reserved = 0};
    block = to_device(device, std::vector{contents}, "fold");
    fold = {block, weight_buffer, {scaled, contents.scaled_stride}, squares};
  }
  std::vector<const gpu::Buffer*> buffers() const { return {&weight_buffer, &scaled, &squares, &block}; }
  double factor(const std::vector<float>& x) const {
    double sum = 0;
    for (const float v : x) sum += double{v} * v;
    return 1 / std::sqrt(sum / static_cast<double>(x.size()) + double{kEps});
  }
};

struct FfnCase {
  WeightFormat format = WeightFormat::kQ8_0;
  uint32_t cols = 96, width = 512, rows = 37;
  bool folded = true, used = true;
};

class FfnRig {
 public:
  FfnRig(gpu::Device& device, const FfnCase& c)
      : case_(c),
        device_(device),
        step_(1, c.used ? 1 : 0),
        up_(random_matrix(device, c.format, 2 * c.width, c.cols, 1)),
        down_(random_matrix(device, c.format, c.rows, c.width, 2)),
        x_(random_floats(c.cols, 3)),
        y_(random_floats(c.rows, 4)),
        before_(device, c.cols, 5, &x_),
        after_(device, c.rows, 6) {
    step_ref_ = step_.upload(device);
    x_buffer_ = to_device(device, x_, "x"),
    y_buffer_ = to_device(device, padded_rows(y_, 1, c.rows, (c.rows + 3) / 4 * 4), "y");
    mid_ = make_output(device, uint64_t{c.width} * 4, "mid");
    parts_ = make_output(device, ops::gated_ffn_parts_bytes(c.rows), "parts");
    counter_ = to_device(device, std::vector<uint32_t>(4, 0), "counter");
  }

  ops::GatedFfnParams params() const {
    return {.gate_up = &up_.matrix,
            .down = &down_.matrix,
            .residual_scale = 0.75f,
            .x = case_.folded ? before_.fold.scaled : ops::Activations{x_buffer_, case_.cols},
            .y = {y_buffer_, (case_.rows + 3) / 4 * 4},
            .x_norm = case_.folded ? &before_.fold : nullptr,
            .y_norm = case_.folded ? &after_.fold : nullptr,
            .mid = {mid_.range(), case_.width},
            .parts = parts_.range(),
            .counter = counter_,
            .step = step_ref_,
            .label = "ffn"};
  }

  void check(uint32_t times) {
    expect_guards(device_, mid_), expect_guards(device_, parts_);
    EXPECT_EQ(from_device<uint32_t>(device_, counter_)[0], 0u);
    std::vector<double> x(case_.cols);
    for (uint32_t k = 0; k < case_.cols; ++k)
      x[k] = case_.folded ? double{x_[k]} * before_.weight[k] * before_.factor(x_) : double{x_[k]};
    std::vector<Bounded> mid(case_.width);
    for (uint32_t r = 0; r < case_.width; ++r) {
      const Bounded gate = product(up_, x, r), up = product(up_, x, r + case_.width);
      const double f = gate.value / (1 + std::exp(-gate.value));
      mid[r] = {f * up.value, gate.magnitude * (std::abs(up.value) + up.magnitude) + std::abs(f) * up.magnitude};
    }
    std::vector<Bounded> expected(case_.rows);
    for (uint32_t r = 0; r < case_.rows; ++r) {
      expected[r] = {y_[r], std::abs(y_[r])};
      for (uint32_t k = 0; k < case_.width; ++k) {
        const double w = 0.75 * times * down_.values[size_t{r} * case_.width + k];
        expected[r].value += w * mid[k].value, expected[r].magnitude += std::abs(w) * mid[k].magnitude;
      }
    }
    const std::vector<float> y = from_device<float>(device_, y_buffer_);
    if (!case_.used) {
      for (uint32_t r = 0; r < case_.rows; ++r) EXPECT_EQ(y[r], y_[r]);
      return;
    }
    const uint32_t stride = (case_.rows + 3) / 4 * 4;
    expect_close(y, stride, expected, 1, 1, case_.rows, 64, 1e-30);
    if (!case_.folded) return;
    // What the norm behind it needs, of what was stored.
    const std::vector<float> scaled = from_device<float>(device_, after_.scaled),
                             squares = from_device<float>(device_, after_.squares);
    uint32_t parts = 0;
    std::memcpy(&parts, squares.data(), sizeof parts);
    double sum = 0, all = 0;
    for (uint32_t i = 0; i < parts; ++i) sum += squares[4 + i];
    for (uint32_t r = 0; r < case_.rows; ++r) {
      EXPECT_FLOAT_EQ(scaled[r], y[r] * after_.weight[r]);
      all += double{y[r]} * y[r];
    }
    EXPECT_NEAR(sum / all, 1, 1e-5);
  }

  std::vector<const gpu::Buffer*> buffers() const {
    std::vector<const gpu::Buffer*> all{&x_buffer_, &y_buffer_, &mid_.buffer, &parts_.buffer, &counter_, &step_.buffer};
    for (const auto& more : {up_.pointers(), down_.pointers(), before_.buffers(), after_.buffers()})
      all.insert(all.end(), more.begin(), more.end());
    return all;
  }

 private:
  static Bounded product(const HostMatrix& m, const std::vector<double>& x, uint32_t row) {
    Bounded b;
    for (size_t k = 0; k < x.size(); ++k) {
      const double v = m.values[row * x.size() + k] * x[k];
      b.value += v, b.magnitude += std::abs(v);
    }
    return b;
  }

  const FfnCase case_;
  gpu::Device& device_;
  HostStep step_;
  ops::StepRef step_ref_;
  HostMatrix up_, down_;
  std::vector<float> x_, y_;
  Fold before_, after_;
  gpu::Buffer x_buffer_, y_buffer_, counter_;
  Output mid_, parts_;
};

// The fixture of all tests here.
class WholeBlocks : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (!device().caps().uniform_loops) GTEST_SKIP() << "the device's driver is none that runs loops over CPU vectors well";
  }
};

TEST_F(WholeBlocks, FeedForward) {
  for (const WeightFormat format : kBlockFormats)
    for (const FfnCase& c : {FfnCase{}, FfnCase{.cols = 576, .width = 1536, .rows = 61, .folded = false},
                             FfnCase{.cols = 256, .width = 1280, .rows = 3}}) {
      FfnCase one = c;
      one.format = format;
      if (format == WeightFormat::kQ4_K || format == WeightFormat::kQ6_K) one.cols = (one.cols + 255) / 256 * 256;
      SCOPED_TRACE(testing::Message() << to_string(format) << " " << one.cols << " -> " << one.width << " -> " << one.rows);
      FfnRig rig(device(), one);
      if (!ops::can_gated_ffn(device().caps(), rig.params())) continue;  // the shares would be too uneven
      // Twice in a row: what the first leaves behind does not get in the way of the second.
      const uint32_t times = one.folded ? 1 : 2;
      run(device(), [&](gpu::Recorder& r) -> Status {
        for (uint32_t i = 0; i < times; ++i) LAHAR_TRY(ops::gated_ffn(r, rig.params()));
        return {};
      });
      rig.check(times);
      if (HasFailure()) return;
    }
  FfnRig idle(device(), {.used = false});
  ASSERT_TRUE(ops::can_gated_ffn(device().caps(), idle.params()));
  run(device(), [&](gpu::Recorder& r) { return ops::gated_ffn(r, idle.params()); });
  idle.check(1);
}

TEST_F(WholeBlocks, FeedForwardDeclaresWhatItTouches) {
  FfnRig rig(device(), {.format = WeightFormat::kQ4_0});
  prove_hazards(
      device(), [&](gpu::Recorder& r) { return ops::gated_ffn(r, rig.params()); }, rig.buffers());
}

TEST_F(WholeBlocks, FeedForwardThatDoesNotFit) {
  const FfnRig rig(device(), {}), other(device(), {.width = 768});
  gpu::Recorder recorder(device());
  ops::GatedFfnParams p = rig.params();
  p.step.bucket = 2;
  EXPECT_FALSE(ops::can_gated_ffn(device().caps(), p));
  p = rig.params(), p.down = other.params().down;
  EXPECT_EQ(ops::gated_ffn(recorder, p).error().code, ErrorCode::kInvalidArgument);
  p = rig.params(), p.mid = p.y;
  EXPECT_EQ(ops::gated_ffn(recorder, p).error().code, ErrorCode::kInvalidArgument);
  p = rig.params(), p.counter = {};
  EXPECT_EQ(ops::gated_ffn(recorder, p).error().code, ErrorCode::kInvalidArgument);
}

struct AttentionCase {
  WeightFormat format = WeightFormat::kQ8_0;
  KvShape kv{.kv_heads = 2, .head_dim = 64};
  uint32_t group = 3, cols = 96, rows = 37;
  uint32_t index = 40;  // of the row in its cache
  uint32_t window = 0, chunk = 0;
  float softcap = 0, alibi = 0;
  bool alibi_scaled = false;
  bool sinks = false, folded = true, bias = false, valid = true;
  ops::RopePairing pairing = ops::RopePairing::kHalves;
  uint32_t rope_dims = 64;
  ops::QkNorm qk_norm = ops::QkNorm::kNone;
};

class AttentionBlockRig {
 public:
  AttentionBlockRig(gpu::Device& device, const AttentionCase& c)
      : case_(c),
        device_(device),
        step_(1, 1, c.index + 3),
        kv_(device, c.kv, 9),
        heads_(c.group * c.kv.kv_heads),
        width_(heads_ * c.kv.head_dim),
        qkv_rows_(width_ + 2 * c.kv.kv_heads * c.kv.head_dim),
        qkv_(random_matrix(device, c.format, qkv_rows_, c.cols, 1)),
        out_(random_matrix(device, c.format, c.rows, width_, 2)),
        x_(random_floats(c.cols, 3, -0.2f, 0.2f)),
        y_(random_floats(c.rows, 4)),
        before_(device, c.cols, 5, &x_),
        after_(device, c.rows, 6) {
    step_.state.runs[0].slot = 1;
    step_.rows[0].slot = 1, step_.rows[0].kv_index = c.index, step_.rows[0].valid = c.valid ? 1 : 0;
    step_ref_ = step_.upload(device);
    kv_.fill(1, c.index), kv_.upload();
    const uint32_t dim = c.kv.head_dim;
    std::vector<float> frequencies;
    for (uint32_t i = 0; i < std::max(c.rope_dims / 2, 1u); ++i)
      frequencies.push_back(static_cast<float>(std::pow(10000.0, -2.0 * i / std::max(c.rope_dims, 2u))));
    frequencies_ = to_device(device, frequencies, "frequencies");
    q_norm_ = to_device(device, random_floats(width_, 7, 0.5f, 1.5f), "q norm");
    k_norm_ = to_device(device, random_floats(size_t{c.kv.kv_heads} * dim, 8, 0.5f, 1.5f), "k norm");
    sinks_ = to_device(device, random_floats(heads_, 9), "sinks");
    bias_ = to_device(device, random_floats(qkv_rows_, 10), "bias");
    x_buffer_ = to_device(device, x_, "x"), y_buffer_ = to_device(device, padded_rows(y_, 1, c.rows, stride()), "y");
    row_ = make_output(device, uint64_t{qkv_rows_} * 4, "qkv"), q_ = make_output(device, uint64_t{width_} * 4, "q");
    attended_ = make_output(device, uint64_t{width_} * 4, "attended");
    parts_ = make_output(device, uint64_t{c.kv.kv_heads} * c.rows * 4, "parts");
    scratch_ = make_output(device, ops::attention_scratch_bytes(device.caps(), 1, heads_, dim, kv_.capacity()), "scratch");
    counter_ = to_device(device, std::vector<uint32_t>(4, 0), "counter");
    kv_ref_ = kv_.ref();
    rope_ = {.qkv = {row_.range(), qkv_rows_},
             .k_offset = width_,
             .v_offset = width_ + c.kv.kv_heads * dim,
             .q = {q_.range(), width_},
             .heads = heads_,
             .kv = kv_ref_,
             .pairing = c.pairing,
             .rope_dims = c.rope_dims,
             .inverse_frequencies = frequencies_,
             .magnitude = 1.25f,
             .qk_norm = c.qk_norm,
             .step = step_ref_,
             .label = "rope"};
    if (c.qk_norm != ops::QkNorm::kNone) rope_.q_norm = q_norm_, rope_.k_norm = k_norm_;
    block_ = to_device(device, std::vector{ops::attention_block_contents(params())}, "block");
  }
  AttentionBlockRig(const AttentionBlockRig&) = delete;

  ops::AttentionParams attention() const {
    return {.q = {q_.range(), width_},
            .out = {attended_.range(), width_},
            .heads = heads_,
            .kv = kv_ref_,
            .scale = 0.2f,
            .softcap = case_.softcap,
            .window = case_.window,
            .chunk = case_.chunk,
            .sinks = case_.sinks ? gpu::BufferRange(sinks_) : gpu::BufferRange{},
            .alibi = case_.alibi,
            .alibi_scaled = case_.alibi_scaled,
            .scratch = scratch_.range(),
            .max_context = kv_.capacity(),
            .step = step_ref_,
            .label = "attention",
            .rope = &rope_};
  }
  ops::AttentionBlockParams params() const {
    ops::AttentionBlockParams p{.qkv = &qkv_.matrix,
                                .out = &out_.matrix,
                                .bias = case_.bias ? gpu::BufferRange(bias_) : gpu::BufferRange{},
                                .x = case_.folded ? before_.fold.scaled : ops::Activations{x_buffer_, case_.cols},
                                .y = {y_buffer_, stride()},
                                .residual_scale = 0.75f,
                                .x_norm = case_.folded ? &before_.fold : nullptr,
                                .y_norm = case_.folded ? &after_.fold : nullptr,
                                .attention = attention(),
                                .parts = parts_.range(),
                                .counter = counter_};
    if (block_.size() > 0) p.block = block_;
    return p;
  }
  // The same, one op after the other.
  Status record_parts(gpu::Recorder& recorder, const ops::AttentionForm& form) const {
    const ops::AttentionBlockParams p = params();
    LAHAR_TRY(record_projection(recorder));
    LAHAR_TRY(ops::rope_kv(recorder, rope_));
    ops::AttentionParams attend = attention();
    attend.rope = nullptr;
    LAHAR_TRY(ops::attention_with(recorder, attend, form));
    return ops::matmul(recorder, {.w = p.out,
                                  .x = attend.out,
                                  .y = p.y,
                                  .residual = p.y,
                                  .residual_scale = p.residual_scale,
                                  .y_norm = p.y_norm,
                                  .step = step_ref_,
                                  .label = "out"});
  }
  Status record_projection(gpu::Recorder& recorder) const {
    const ops::AttentionBlockParams p = params();
    return ops::matmul(
        recorder,
        {.w = p.qkv, .x = p.x, .y = rope_.qkv, .bias = p.bias, .x_norm = p.x_norm, .step = step_ref_, .label = "qkv"});
  }

  std::vector<float> y() const { return from_device<float>(device_, y_buffer_); }
  std::vector<float> attended() const { return from_device<float>(device_, attended_.range()); }
  uint32_t counter() const { return from_device<uint32_t>(device_, counter_)[0]; }
  const ops::NormFold& after() const { return after_.fold; }
  // The keys and values of all heads at the row's index, and whether bytes elsewhere are as they were.
  std::vector<float> stored() {
    kv_.download();
    std::vector<float> all;
    for (uint32_t head = 0; head < case_.kv.kv_heads; ++head)
      for (uint32_t d = 0; d < case_.kv.head_dim; ++d) {
        all.push_back(kv_.key(1, head, case_.index, d));
        all.push_back(kv_.value(1, head, case_.index, d));
      }
    return all;
  }
  uint64_t touched() const { return kv_.touched_bytes(); }
  void check_guards() const {
    for (const Output* o : {&row_, &q_, &attended_, &parts_, &scratch_}) expect_guards(device_, *o);
  }

  std::vector<const gpu::Buffer*> buffers() const {
    std::vector<const gpu::Buffer*> all{&frequencies_, &q_norm_,   &k_norm_,       &sinks_,          &bias_,
                                        &x_buffer_,    &y_buffer_, &row_.buffer,   &q_.buffer,       &attended_.buffer,
                                        &counter_,     &block_,    &parts_.buffer, &scratch_.buffer, &step_.buffer};
    for (const auto& more : {qkv_.pointers(), out_.pointers(), before_.buffers(), after_.buffers(), kv_.buffers()})
      all.insert(all.end(), more.begin(), more.end());
    return all;
  }

 private:
  uint32_t stride() const { return (case_.rows + 3) / 4 * 4; }

  const AttentionCase case_;
  gpu::Device& device_;
  HostStep step_;
  ops::StepRef step_ref_;
  TestKv kv_;
  uint32_t heads_, width_, qkv_rows_;
  HostMatrix qkv_, out_;
  std::vector<float> x_, y_;
  Fold before_, after_;
  gpu::Buffer frequencies_, q_norm_, k_norm_, sinks_, bias_, x_buffer_, y_buffer_, counter_, block_;
  Output row_, q_, attended_, parts_, scratch_;
  ops::KvRef kv_ref_;
  ops::RopeKvParams rope_;
};

void expect_near(const std::vector<float>& a, const std::vector<float>& b, double relative) {
  ASSERT_EQ(a.size(), b.size());
  double most = 0;
  for (const float v : b) most = std::max(most, std::isfinite(v) ? std::abs(double{v}) : 0);
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    ASSERT_NEAR(a[i], b[i], relative * most) << "element " << i;
  }
}

// fp16 keys differ by a rounding where the row differs in its last bit.
constexpr double kRounding = 2e-3, kExact = 2e-5;
double bound_of(const AttentionCase& c) {
  return c.kv.type == ops::KvType::kF32 ? kExact : c.kv.type == ops::KvType::kBF16 ? 8e-3 : kRounding;
}

std::vector<AttentionCase> attention_cases() {
  using enum ops::QkNorm;
  using ops::KvType, ops::RopePairing;
  std::vector<AttentionCase> cases{
      {.index = 0},
      {.index = 1, .pairing = RopePairing::kInterleaved},
      {.group = 4, .index = 15, .bias = true},
      {.kv = {.kv_heads = 3, .head_dim = 32, .type = KvType::kF32}, .group = 2, .index = 16, .rope_dims = 16},
      {.kv = {.kv_heads = 1, .head_dim = 128, .type = KvType::kBF16}, .group = 2, .index = 100, .qk_norm = kPerHead},
      {.kv = {.kv_heads = 2, .head_dim = 64, .type = KvType::kF32},
       .group = 1,
       .window = 7,
       .pairing = RopePairing::kNone,
       .qk_norm = kEachHead},
      {.index = 77, .chunk = 32, .softcap = 3, .sinks = true},
      {.index = 33, .window = 1, .alibi = 8, .pairing = RopePairing::kNone},
      {.index = 41, .alibi = 8, .alibi_scaled = true, .pairing = RopePairing::kNone},
      {.folded = false, .pairing = RopePairing::kInterleaved, .rope_dims = 20},
      {.valid = false}};
  for (const WeightFormat format : kBlockFormats) {
    AttentionCase c{.format = format, .kv = {.kv_heads = 3, .head_dim = 64}, .group = 4, .cols = 256, .rows = 259};
    cases.push_back(c);
  }
  cases.push_back(
      {.format = WeightFormat::kQ4_0, .kv = {.kv_heads = 3, .head_dim = 64}, .group = 3, .cols = 576, .rows = 64});
  return cases;
}

std::string describe(const AttentionCase& c) {
  return std::string(to_string(c.format)) + " heads " + std::to_string(c.group) + "x" + std::to_string(c.kv.kv_heads) + "x" +
         std::to_string(c.kv.head_dim) + " index " + std::to_string(c.index) + " window " + std::to_string(c.window) +
         " chunk " + std::to_string(c.chunk) + " pairing " + std::to_string(static_cast<int>(c.pairing));
}

TEST_F(WholeBlocks, Attention) {
  uint32_t ran = 0;
  for (const AttentionCase& c : attention_cases()) {
    SCOPED_TRACE(describe(c));
    AttentionBlockRig whole(device(), c), parts(device(), c);
    if (!ops::can_attention_block(device().caps(), whole.params())) continue;
    ++ran;
    run(device(), [&](gpu::Recorder& r) { return ops::attention_block(r, whole.params()); });
    const std::vector<ops::AttentionForm> forms = ops::attention_forms(device().caps(), parts.attention());
    const auto form =
        std::find_if(forms.begin(), forms.end(), [](const auto& f) { return f.path == ops::AttentionPath::kDecode; });
    ASSERT_NE(form, forms.end());
    run(device(), [&](gpu::Recorder& r) { return parts.record_parts(r, *form); });
    whole.check_guards();
    EXPECT_EQ(whole.counter(), 0u);
    expect_near(whole.attended(), parts.attended(), bound_of(c));
    expect_near(whole.y(), parts.y(), bound_of(c));
    if (c.valid) expect_near(whole.stored(), parts.stored(), bound_of(c));
    else whole.stored(), parts.stored();
    EXPECT_EQ(whole.touched(), parts.touched());
    if (c.folded) {
      const auto scaled = [&](const AttentionBlockRig& rig) {
        return from_device<float>(device(), rig.after().scaled.range);
      };
      expect_near(scaled(whole), scaled(parts), bound_of(c));
    }
    if (HasFailure()) return;
  }
  EXPECT_GE(ran, 10u);
}

TEST_F(WholeBlocks, AttentionDeclaresWhatItTouches) {
  for (const AttentionCase& c :
       {AttentionCase{.index = 40, .bias = true},
        AttentionCase{.index = 70, .sinks = true, .folded = false, .qk_norm = ops::QkNorm::kPerHead}}) {
    AttentionBlockRig rig(device(), c);
    prove_hazards(
        device(), [&](gpu::Recorder& r) { return ops::attention_block(r, rig.params()); }, rig.buffers());
  }
}

TEST_F(WholeBlocks, AttentionThatDoesNotFit) {
  const gpu::Caps& caps = device().caps();
  AttentionBlockRig rig(device(), {}), int8(device(), {.kv = {.type = ops::KvType::kI8}});
  ASSERT_TRUE(ops::can_attention_block(caps, rig.params()));
  EXPECT_FALSE(ops::can_attention_block(caps, int8.params()));  // a scale for each token
  ops::AttentionBlockParams p = rig.params();
  p.attention.step.bucket = 2;
  EXPECT_FALSE(ops::can_attention_block(caps, p));
  p = rig.params(), p.parts = p.parts.part(0, 16);
  EXPECT_FALSE(ops::can_attention_block(caps, p));
  gpu::Recorder recorder(device());
  p = rig.params(), p.block = {};
  EXPECT_EQ(ops::attention_block(recorder, p).error().code, ErrorCode::kInvalidArgument);
  p = rig.params(), p.attention.rope = nullptr;
  EXPECT_EQ(ops::attention_block(recorder, p).error().code, ErrorCode::kInvalidArgument);
  p = rig.params(), p.parts = p.y.range;
  EXPECT_EQ(ops::attention_block(recorder, p).error().code, ErrorCode::kInvalidArgument);
}

// Code that failed a check is not taken as a part of something larger.
TEST_F(WholeBlocks, NotOfWhatIsInQuarantine) {
  const gpu::Caps& caps = device().caps();
  const FfnRig ffn(device(), {});
  const AttentionBlockRig attention(device(), {});
  ops::GatedFfnParams f = ffn.params();
  ops::AttentionBlockParams a = attention.params();
  ops::Tuning product, attends;
  f.tuning = a.attention.tuning = &product;
  ASSERT_TRUE(ops::can_gated_ffn(caps, f) && ops::can_attention_block(caps, a));
  product.quarantine("loop rows 4 x_rows 1", "test");
  EXPECT_FALSE(ops::can_gated_ffn(caps, f));
  EXPECT_FALSE(ops::can_attention_block(caps, a));
  a.attention.tuning = &attends;
  ASSERT_TRUE(ops::can_attention_block(caps, a));
  attends.quarantine(to_string(ops::attention_forms(caps, a.attention).front()), "test");
  EXPECT_FALSE(ops::can_attention_block(caps, a));
}

// RoPE along with attention, in every form of it, split over the context too.
TEST_F(WholeBlocks, RopeWithinAttention) {
  for (const AttentionCase& c : attention_cases()) {
    SCOPED_TRACE(describe(c));
    AttentionBlockRig along(device(), c), parts(device(), c);
    std::vector<ops::AttentionForm> forms = ops::attention_forms(device().caps(), along.attention());
    std::erase_if(forms, [](const auto& f) { return f.path != ops::AttentionPath::kLoop; });
    ASSERT_FALSE(forms.empty());
    ops::AttentionForm form = forms.front();
    form.splits = c.index % 2 == 0 ? 1 : 3;
    run(device(), [&](gpu::Recorder& r) -> Status {
      LAHAR_TRY(along.record_projection(r));
      LAHAR_TRY(ops::attention_with(r, along.attention(), form));
      EXPECT_EQ(r.nodes().size(), form.splits > 1 ? 3u : 2u);
      LAHAR_TRY(parts.record_projection(r));
      LAHAR_TRY(ops::rope_kv(r, *parts.attention().rope));
      ops::AttentionParams rest = parts.attention();
      rest.rope = nullptr;
      return ops::attention_with(r, rest, form);
    });
    along.check_guards();
    expect_near(along.attended(), parts.attended(), bound_of(c));
    const std::vector<float> ours = along.stored(), theirs = parts.stored();
    if (c.valid) expect_near(ours, theirs, bound_of(c));
    EXPECT_EQ(along.touched(), parts.touched());
    if (HasFailure()) return;
  }
  AttentionBlockRig rig(device(), {});
  prove_hazards(
      device(), [&](gpu::Recorder& r) { return ops::attention(r, rig.attention()); }, rig.buffers());
}

// Forms that cannot compute RoPE along have a dispatch for it.
TEST_F(WholeBlocks, RopeByItself) {
  AttentionBlockRig rig(device(), {.kv = {.type = ops::KvType::kI4}});
  gpu::Recorder recorder(device());
  ASSERT_TRUE(ops::attention(recorder, rig.attention()).ok());
  EXPECT_EQ(recorder.nodes().size(), 2u);
}

}  // namespace
}  // namespace lahar::test
