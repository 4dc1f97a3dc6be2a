// rope_kv against float64: pairings, partial rotation, q/k norms, both element types, scattered pages, long positions.
#include "ops/kv_test.h"
#include "ops/rope.h"

namespace lahar::test {
namespace {

using ops::KvType;
using ops::QkNorm;
using ops::RopePairing;

struct Case {
  KvShape kv;
  uint32_t heads = 4, rope_dims = 64;
  RopePairing pairing = RopePairing::kHalves;
  QkNorm qk_norm = QkNorm::kNone;
  uint32_t position = 5, bucket = 4, used = 4;
  float magnitude = 1;
  uint32_t kv_index_offset = 0;  // of the cache's index before the position
  ops::NormKind norm_kind = ops::NormKind::kRms;
  bool norm_bias = false, norm_after = false, norm_weight = true, value_norm = false;
  bool query_alone = false;
  float temperature = 0;
  float clamp = 0;
  bool clamp_normed = false;
};

class Rig {
 public:
  Rig(gpu::Device& device, const Case& c)
      : case_(c), device_(device), step_(c.bucket, c.used, c.position), kv_(device, c.kv, 9) {
    dim_ = c.kv.head_dim;
    const uint32_t q_width = c.heads * dim_, kv_width = c.kv.kv_heads * dim_;
    // v, gap, q, k: the offsets are free.
    v_offset_ = 0, q_offset_ = kv_width + 4, k_offset_ = q_offset_ + q_width;
    width_ = k_offset_ + kv_width;
    qkv_stride_ = width_ + 8, q_stride_ = q_width + 4;
    qkv_ = random_floats(size_t{c.bucket} * width_, 1, -2, 2);
    for (uint32_t i = 0; i < c.rope_dims / 2; ++i)
      frequencies_.push_back(static_cast<float>(std::pow(10000.0, -2.0 * i / std::max(c.rope_dims, 2u))));
    if (c.rope_dims >= 16) frequencies_[c.rope_dims / 2 - 1] = 0;
    if (frequencies_.empty()) frequencies_.push_back(1);
    // As many biases behind the weights.
    q_norm_ = random_floats(size_t{2} * q_width, 2, 0.5f, 1.5f),
    k_norm_ = random_floats(size_t{2} * kv_width, 3, 0.5f, 1.5f);
    for (uint32_t t = 0; t < c.used; ++t) {
      params::Row& row = step_.rows[t];
      row.slot = t % c.kv.slots;
      row.kv_index = (c.position + t - c.kv_index_offset) % kv_.capacity();
      row.valid = t == 2 ? 0 : 1;
    }
    step_ref_ = step_.upload(device);
    qkv_buffer_ = to_device(device, padded_rows(qkv_, c.bucket, width_, qkv_stride_), "qkv");
    frequency_buffer_ = to_device(device, frequencies_, "frequencies");
    q_norm_buffer_ = to_device(device, q_norm_, "q norm"), k_norm_buffer_ = to_device(device, k_norm_, "k norm");
    q_ = make_output(device, uint64_t{c.bucket} * q_stride_ * 4);
  }

  Status record(gpu::Recorder& recorder) const {
    return ops::rope_kv(recorder, {.qkv = {qkv_buffer_, qkv_stride_},
                                   .q_offset = q_offset_,
                                   .k_offset = k_offset_,
                                   .v_offset = v_offset_,
                                   .q = {q_.range(), q_stride_},
                                   .heads = case_.heads,
                                   .kv = kv_.ref(),
                                   .query_alone = case_.query_alone,
                                   .clamp = case_.clamp,
                                   .clamp_normed = case_.clamp_normed,
                                   .pairing = case_.pairing,
                                   .rope_dims = case_.rope_dims,
                                   .inverse_frequencies = frequency_buffer_,
                                   .magnitude = case_.magnitude,
                                   .qk_norm = case_.qk_norm,
                                   .qk_norm_kind = case_.norm_kind,
                                   .qk_norm_bias = case_.norm_bias,
                                   .qk_norm_after_rope = case_.norm_after,
                                   .value_norm = case_.value_norm,
                                   .q_norm = case_.norm_weight ? gpu::BufferRange(q_norm_buffer_) : gpu::BufferRange(),
                                   .k_norm = case_.norm_weight ? gpu::BufferRange(k_norm_buffer_) : gpu::BufferRange(),
                                   .qk_norm_eps = 1e-6f,
                                   .temperature = case_.temperature,
                                   .temperature_floor = 16,
                                   .step = step_ref_,
                                   .label = "rope"});
  }

  void rotate(std::vector<double>& v, uint32_t heads, uint32_t position) const {
    if (case_.pairing == RopePairing::kNone) return;
    for (uint32_t h = 0; h < heads; ++h)
      for (uint32_t i = 0; i < case_.rope_dims / 2; ++i) {
        const bool halves = case_.pairing == RopePairing::kHalves;
        double& a = v[h * dim_ + (halves ? i : 2 * i)];
        double& b = v[h * dim_ + (halves ? i + case_.rope_dims / 2 : 2 * i + 1)];
        const double angle = double{frequencies_[i]} * position;
        const double cosine = std::cos(angle) * case_.magnitude, sine = std::sin(angle) * case_.magnitude;
        const double rotated = a * cosine - b * sine;
        b = b * cosine + a * sine;
        a = rotated;
      }
  }

  // `kind` over each head's dims, or over all heads; weights and biases of `weight` where there are some.
  void norm(std::vector<double>& v, QkNorm kind, ops::NormKind moments, const float* weight) const {
    if (kind == QkNorm::kNone) return;
    const size_t span = kind == QkNorm::kFull ? v.size() : dim_;
    const size_t own = kind == QkNorm::kPerHead ? dim_ : v.size();  // weights before they begin anew
    for (size_t from = 0; from < v.size(); from += span) {
      double mean = 0, squares = 0;
      for (size_t i = from; i < from + span; ++i) mean += v[i] / static_cast<double>(span);
      if (moments == ops::NormKind::kRms) mean = 0;
      for (size_t i = from; i < from + span; ++i) squares += (v[i] - mean) * (v[i] - mean) / static_cast<double>(span);
      for (size_t i = from; i < from + span; ++i) {
        v[i] = (v[i] - mean) / std::sqrt(squares + double{1e-6f});
        if (weight != nullptr) v[i] = v[i] * weight[i % own] + (case_.norm_bias ? weight[own + i % own] : 0);
      }
    }
  }

  void clamp(std::vector<double>& v) const {
    for (double& x : v)
      if (case_.clamp > 0) x = std::clamp(x, -double{case_.clamp}, double{case_.clamp});
  }

  // Heads [heads][dim] of row t at `offset`.
  std::vector<double> heads_of(uint32_t t, uint32_t offset, uint32_t heads) const {
    const float* x = &qkv_[size_t{t} * width_ + offset];
    std::vector<double> v{x, x + size_t{heads} * dim_};
    if (!case_.clamp_normed) clamp(v);
    return v;
  }

  // The same, normed and rotated.
  std::vector<double> expected(uint32_t t, uint32_t offset, uint32_t heads, const std::vector<float>& weight) const {
    std::vector<double> v = heads_of(t, offset, heads);
    const float* weights = case_.norm_weight ? weight.data() : nullptr;
    if (case_.norm_after) rotate(v, heads, step_.rows[t].position);
    norm(v, case_.qk_norm, case_.norm_kind, weights);
    if (case_.clamp_normed) clamp(v);
    if (!case_.norm_after) rotate(v, heads, step_.rows[t].position);
    return v;
  }

  // tolerance: of a value, absolute
  void check(double tolerance) {
    const std::vector<float> q = from_device<float>(device_, q_.range());
    expect_guards(device_, q_);
    kv_.download();
    const uint32_t kv_heads = case_.kv.kv_heads;
    double worst = 0;
    uint64_t tokens = 0;
    for (uint32_t t = 0; t < case_.bucket; ++t) {
      if (t >= case_.used) {
        for (uint32_t i = 0; i < case_.heads * dim_; ++i) ASSERT_TRUE(std::isnan(q[t * q_stride_ + i])) << "row " << t;
        continue;
      }
      std::vector<double> want_q = expected(t, q_offset_, case_.heads, q_norm_);
      const double steps = std::floor((step_.rows[t].position + 1.0) / 16);
      for (double& q_value : want_q) q_value *= 1 + double{case_.temperature} * std::log(1 + steps);
      for (size_t i = 0; i < want_q.size(); ++i) worst = std::max(worst, error(q[t * q_stride_ + i], want_q[i]));
      const params::Row& row = step_.rows[t];
      if (row.valid == 0 || case_.query_alone) {
        EXPECT_TRUE(kv_.untouched(row.slot, row.kv_index)) << "row " << t << " is not valid, and wrote";
        continue;
      }
      ++tokens;
      const std::vector<double> want_k = expected(t, k_offset_, kv_heads, k_norm_);
      std::vector<double> want_v = heads_of(t, v_offset_, kv_heads);
      if (case_.value_norm) norm(want_v, QkNorm::kPerHead, ops::NormKind::kRms, nullptr);
      if (case_.clamp_normed) clamp(want_v);
      for (uint32_t h = 0; h < kv_heads; ++h)
        for (uint32_t d = 0; d < dim_; ++d) {
          const double k = want_k[h * dim_ + d], v = want_v[h * dim_ + d];
          worst = std::max(worst, error(kv_.key(row.slot, h, row.kv_index, d), k) - rounding(&want_k[h * dim_], k));
          worst = std::max(worst, error(kv_.value(row.slot, h, row.kv_index, d), v) - rounding(&want_v[h * dim_], v));
        }
    }
    EXPECT_LE(worst, tolerance);
    EXPECT_LE(kv_.touched_bytes(), tokens * kv_.token_bytes()) << "more was written than the tokens' K and V";
  }

  std::vector<const gpu::Buffer*> buffers() const {
    std::vector<const gpu::Buffer*> all = kv_.buffers();
    for (const gpu::Buffer* b :
         {&qkv_buffer_, &frequency_buffer_, &q_norm_buffer_, &k_norm_buffer_, &q_.buffer, &step_.buffer})
      all.push_back(b);
    return all;
  }

 private:
  // What storing element v of a head may cost.
  double rounding(const double* head, double v) const {
    double largest = 0;
    for (uint32_t d = 0; d < dim_; ++d) largest = std::max(largest, std::abs(head[d]));
    switch (case_.kv.type) {
      case KvType::kF16: return std::abs(v) / 2048;  // half an ulp
      case KvType::kBF16: return std::abs(v) / 256;
      case KvType::kI8:
        return largest / 127 * 0.501;  // half a step
      // Half an ulp and what the fit takes from all; half the smallest number, with a scale twice the least.
      case KvType::kF8: return std::abs(v) * 0.11 + largest / 448 / 32;
      case KvType::kI4: return 2 * largest / 15 * 1.5;  // up to a step, which is up to 1.4 times the least
      default: return 0;
    }
  }
  static double error(float got, double want) { return std::isnan(got) ? 1e9 : std::abs(got - want); }

  Case case_;
  gpu::Device& device_;
  HostStep step_;
  ops::StepRef step_ref_;
  TestKv kv_;
  uint32_t dim_ = 0, width_ = 0, qkv_stride_ = 0, q_stride_ = 0, q_offset_ = 0, k_offset_ = 0, v_offset_ = 0;
  std::vector<float> qkv_, frequencies_, q_norm_, k_norm_;
  gpu::Buffer qkv_buffer_, frequency_buffer_, q_norm_buffer_, k_norm_buffer_;
  Output q_;
};

using RopeTest = GpuTest;

constexpr KvType kTypes[] = {KvType::kF16, KvType::kF32, KvType::kBF16, KvType::kI8, KvType::kF8, KvType::kI4};

void run_case(gpu::Device& device, const Case& c, double tolerance = 1e-4) {
  SCOPED_TRACE(testing::Message() << "heads " << c.heads << "/" << c.kv.kv_heads << " dim " << c.kv.head_dim << " rotated "
                                  << c.rope_dims << " pairing " << static_cast<int>(c.pairing) << " norm "
                                  << static_cast<int>(c.qk_norm) << " type " << static_cast<int>(c.kv.type) << " position "
                                  << c.position);
  Rig rig(device, c);
  run(device, [&](gpu::Recorder& recorder) { return rig.record(recorder); });
  rig.check(tolerance);
}

TEST_F(RopeTest, EveryForm) {
  for (const RopePairing pairing : {RopePairing::kNone, RopePairing::kHalves, RopePairing::kInterleaved})
    for (const QkNorm qk_norm : {QkNorm::kNone, QkNorm::kPerHead, QkNorm::kFull})
      for (const KvType type : kTypes)
        run_case(device(), {.kv = {.type = type}, .pairing = pairing, .qk_norm = qk_norm, .magnitude = 1.2f});
}

TEST_F(RopeTest, EveryKindOfNorm) {
  using ops::NormKind;
  for (const QkNorm qk_norm : {QkNorm::kPerHead, QkNorm::kFull, QkNorm::kEachHead})
    for (const NormKind kind : {NormKind::kRms, NormKind::kLayer}) {
      if (qk_norm == QkNorm::kPerHead && kind == NormKind::kRms) continue;  // above
      run_case(device(), {.kv = {.kv_heads = 3, .head_dim = 24},
                          .heads = 9,
                          .rope_dims = 8,
                          .qk_norm = qk_norm,
                          .norm_kind = kind,
                          .norm_bias = kind == NormKind::kLayer});
    }
  for (const bool weight : {true, false})
    run_case(device(), {.kv = {.head_dim = 24},
                        .rope_dims = 20,
                        .pairing = weight ? RopePairing::kHalves : RopePairing::kInterleaved,
                        .qk_norm = QkNorm::kPerHead,
                        .norm_after = true,
                        .norm_weight = weight,
                        .value_norm = !weight});
}

TEST_F(RopeTest, ClampBeforeAndAfterTheNorm) {
  for (const bool normed : {false, true})
    for (const QkNorm qk_norm : {QkNorm::kNone, QkNorm::kPerHead, QkNorm::kFull})
      for (const uint32_t rope_dims : {12u, 16u})
        run_case(device(), {.kv = {.head_dim = 24},
                            .rope_dims = rope_dims,
                            .qk_norm = qk_norm,
                            .value_norm = qk_norm != QkNorm::kNone,
                            .clamp = 0.8f,
                            .clamp_normed = normed});
}

TEST_F(RopeTest, TemperatureByPosition) {
  for (const uint32_t position : {0u, 13u, 14u, 100u})
    run_case(device(), {.pairing = RopePairing::kNone, .position = position, .temperature = 0.25f});
}

// The keys and values are another layer's.
TEST_F(RopeTest, QueryAlone) {
  for (const QkNorm qk_norm : {QkNorm::kNone, QkNorm::kPerHead, QkNorm::kFull})
    run_case(device(), {.qk_norm = qk_norm, .query_alone = true});
}

TEST_F(RopeTest, HeadsOfEverySize) {
  for (const uint32_t dim : {4u, 8u, 16u, 24u, 32u, 64u, 80u, 96u, 100u, 128u, 256u})
    for (const RopePairing pairing : {RopePairing::kHalves, RopePairing::kInterleaved})
      run_case(device(), {.kv = {.head_dim = dim}, .rope_dims = dim, .pairing = pairing, .qk_norm = QkNorm::kPerHead});
}

TEST_F(RopeTest, HeadsOfEverySizeQuantized) {
  for (const KvType type : {KvType::kI8, KvType::kF8, KvType::kI4})
    for (const uint32_t dim : {4u, 8u, 12u, 16u, 24u, 36u, 64u, 80u, 100u, 128u, 256u})
      run_case(device(), {.kv = {.head_dim = dim, .type = type}, .rope_dims = dim});
}

TEST_F(RopeTest, PartOfTheHead) {
  for (const uint32_t rope_dims : {0u, 2u, 6u, 10u, 20u, 32u, 78u})
    for (const RopePairing pairing : {RopePairing::kHalves, RopePairing::kInterleaved})
      run_case(device(), {.kv = {.head_dim = 80}, .rope_dims = rope_dims, .pairing = pairing});
}

TEST_F(RopeTest, HeadCounts) {
  run_case(device(), {.kv = {.kv_heads = 1}, .heads = 71});
  run_case(device(), {.kv = {.kv_heads = 3}, .heads = 9, .bucket = 8, .used = 5});
  run_case(device(), {.kv = {.kv_heads = 7}, .heads = 7, .qk_norm = QkNorm::kFull, .bucket = 1, .used = 1});
}

TEST_F(RopeTest, LongPositions) {
  for (const uint32_t position : {4095u, 32771u, 131067u})
    run_case(device(), {.kv = {.type = KvType::kF32}, .position = position}, 2e-3);  // values up to 2, angles within 5e-4
}

TEST_F(RopeTest, CacheIndexApartFromPosition) { run_case(device(), {.position = 70, .kv_index_offset = 55}); }

TEST_F(RopeTest, DeclaresWhatItTouches) {
  for (const QkNorm qk_norm : {QkNorm::kNone, QkNorm::kFull}) {
    Rig rig(device(),
            {.kv = {.type = qk_norm == QkNorm::kNone ? KvType::kF16 : KvType::kI4}, .qk_norm = qk_norm, .bucket = 5});
    prove_hazards(
        device(), [&](gpu::Recorder& recorder) { return rig.record(recorder); }, rig.buffers());
  }
}

}  // namespace
}  // namespace lahar::test
