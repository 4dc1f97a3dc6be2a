// embed against the decoded table: every weight format, learned positions, tokens outside the table.
#include "ops/embed.h"
#include "ops/ops_test.h"
#include "quant/layout.h"

namespace lahar::test {
namespace {

using quant::WeightFormat;

struct Case {
  WeightFormat format = WeightFormat::kF32;
  uint32_t vocabulary = 19, width = 64, bucket = 5, used = 5, group = 0;
  float scale = 1;
  WeightFormat positions = WeightFormat::kCount;  // kCount: none
};

class Rig {
 public:
  Rig(gpu::Device& device, const Case& c) : case_(c), step_(c.bucket, c.used, 3), device_(device) {
    table_ = random_matrix(device, c.format, c.vocabulary, c.width, 5, c.group);
    if (c.positions != WeightFormat::kCount) positions_ = random_matrix(device, c.positions, kContext, c.width, 6);
    std::mt19937_64 random(7);
    for (params::Row& row : step_.rows) row.token = static_cast<int32_t>(random() % c.vocabulary);
    step_.rows[0].token = -5;
    if (c.used > 1) step_.rows[1].token = 1 << 30;
    step_ref_ = step_.upload(device);
    stride_ = (c.width + 3) / 4 * 4 + 4;
    y_ = make_output(device, uint64_t{c.bucket} * stride_ * 4);
  }

  ops::EmbedParams params() {
    return {.table = &table_.matrix,
            .positions = case_.positions == WeightFormat::kCount ? nullptr : &positions_.matrix,
            .scale = case_.scale,
            .y = {y_.range(), stride_},
            .step = step_ref_};
  }

  void check() {
    const std::vector<float> y = from_device<float>(device_, y_.range());
    expect_guards(device_, y_);
    std::vector<Bounded> expected;
    for (uint32_t t = 0; t < case_.used; ++t) {
      const auto token = static_cast<size_t>(std::clamp(step_.rows[t].token, 0, static_cast<int>(case_.vocabulary) - 1));
      const size_t position = std::min(step_.rows[t].position, kContext - 1);
      for (uint32_t i = 0; i < case_.width; ++i) {
        const double v = double{case_.scale} * table_.values[token * case_.width + i];
        const double p = case_.positions == WeightFormat::kCount ? 0 : positions_.values[position * case_.width + i];
        // K formats subtract a minimum: what rounds is as large as its terms.
        expected.push_back({v + p, std::abs(v) + std::abs(p) + std::abs(case_.scale)});
      }
    }
    expect_close(y, stride_, expected, case_.used, case_.bucket, case_.width, 4);
  }

  std::vector<const gpu::Buffer*> buffers() {
    std::vector<const gpu::Buffer*> all = table_.pointers();
    for (const gpu::Buffer* b : positions_.pointers()) all.push_back(b);
    all.push_back(&step_.buffer);
    all.push_back(&y_.buffer);
    return all;
  }

 private:
  static constexpr uint32_t kContext = 6;  // fewer than positions reach
  Case case_;
  HostStep step_;
  gpu::Device& device_;
  HostMatrix table_, positions_;
  ops::StepRef step_ref_;
  uint32_t stride_ = 0;
  Output y_;
};

class Embed : public GpuTest {
 protected:
  void check(const Case& c) {
    SCOPED_TRACE(std::string(to_string(c.format)) + " width " + std::to_string(c.width));
    Rig rig(device(), c);
    run(device(), [&](gpu::Recorder& r) { return ops::embed(r, rig.params()); });
    rig.check();
  }
};

TEST_F(Embed, EveryFormat) {
  for (int f = 0; f < int(WeightFormat::kCount); ++f) {
    const auto format = static_cast<WeightFormat>(f);
    const uint32_t block = quant::traits(format).block_values;
    for (const uint32_t width : {1u, 31u, 33u, 97u, 576u}) {
      const uint32_t fitting = (width + block - 1) / block * block;
      check({.format = format, .width = fitting, .bucket = 7, .used = 5, .scale = 1.5f});
    }
  }
  check({.format = WeightFormat::kF8, .width = 96, .group = 32});
  check({.format = WeightFormat::kI8, .width = 100, .group = 16});
}

TEST_F(Embed, LearnedPositions) {
  for (const WeightFormat positions : {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kBF16})
    for (const uint32_t width : {33u, 64u}) check({.format = WeightFormat::kF16, .width = width, .positions = positions});
}

TEST_F(Embed, NothingInUseWritesNothing) { check({.bucket = 3, .used = 0}); }

TEST_F(Embed, DeclaredReadsAndWrites) {
  Rig rig(device(), {.format = WeightFormat::kQ6_K, .width = 256, .bucket = 6, .used = 4, .positions = WeightFormat::kF32});
  const auto buffers = rig.buffers();
  prove_hazards(
      device(), [&](gpu::Recorder& r) { return ops::embed(r, rig.params()); }, buffers);
}

}  // namespace
}  // namespace lahar::test
