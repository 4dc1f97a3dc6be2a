// Caches in few bits of models with experts. Rounding turns the choice of an expert where two scores are close, and what
// follows is another function: there is no bound on the difference from the logits of a cache in full. What holds instead:
// with the experts of the exact run, rounding alone stays within the bound of dense models; and the engine's logits are
// those of a reference that rounds keys and values as the cache does and chooses experts by what it then has. Gemma 3n,
// which has no experts but a wider bound, is here too.
#include <algorithm>

#include "../model/arch/reference_model.h"
#include "engine/engine_test.h"
#include "engine/golden.h"
#include "ops/kv_type.h"
#include "quant/float_bits.h"
#include "test_data.h"

namespace lahar::test {
namespace {

using Rounding = void (*)(double* head, size_t dims);

float largest_of(const double* head, size_t dims) {
  float largest = 0;
  for (size_t i = 0; i < dims; ++i) largest = std::max(largest, std::abs(static_cast<float>(head[i])));
  return largest;
}

void round_bf16(double* head, size_t dims) {
  for (size_t i = 0; i < dims; ++i) head[i] = quant::bf16_to_float(quant::float_to_bf16(static_cast<float>(head[i])));
}

// One scale a head and token, from the largest magnitude.
void round_int8(double* head, size_t dims) {
  const float largest = largest_of(head, dims);
  if (largest == 0) return;
  for (size_t i = 0; i < dims; ++i) head[i] = std::round(head[i] * 127 / largest) * largest / 127;
}

// To the nearest of three bits of mantissa; below the smallest normal number 2^-6, that or zero.
double to_e4m3(double x) {
  const double magnitude = std::abs(x);
  if (magnitude < 0x1p-6) return magnitude < 0x1p-7 ? 0 : std::copysign(0x1p-6, x);
  const double step = std::exp2(std::floor(std::log2(magnitude)) - 3);
  return std::copysign(std::min(std::nearbyint(magnitude / step) * step, 448.0), x);
}

// Of eight scales within an octave the one whose least-squares fit is the closest.
void round_fp8(double* head, size_t dims) {
  const double largest = largest_of(head, dims);
  if (largest == 0) return;
  std::vector<double> best(dims);
  double closest = -1;
  for (int c = 0; c < 8; ++c) {
    const double candidate = 448 / largest * std::exp2(c / -8.0);
    std::vector<double> codes(dims);
    double products = 0, squares = 0;
    for (size_t i = 0; i < dims; ++i) {
      codes[i] = to_e4m3(std::clamp(head[i] * candidate, -448.0, 448.0));
      products += codes[i] * head[i], squares += codes[i] * codes[i];
    }
    if (squares == 0 || products / squares * products <= closest) continue;
    closest = products / squares * products;
    for (size_t i = 0; i < dims; ++i) best[i] = codes[i] * products / squares;
  }
  std::copy(best.begin(), best.end(), head);
}

struct Cache {
  ops::KvType type;
  Rounding rounding;
  double bound;  // of rounding alone, as for dense models (test_golden.cpp)
};
constexpr Cache kCaches[] = {
    {ops::KvType::kBF16, round_bf16, 2e-3}, {ops::KvType::kI8, round_int8, 5e-3}, {ops::KvType::kF8, round_fp8, 5e-3}};

class RoutedCacheTest : public GpuTest, public ::testing::WithParamInterface<const char*> {};

size_t turned(const ExpertChoices& a, const ExpertChoices& b) {
  size_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    std::vector<size_t> x = a[i], y = b[i];
    std::sort(x.begin(), x.end()), std::sort(y.begin(), y.end());
    count += x != y ? 1 : 0;
  }
  return count;
}

TEST_P(RoutedCacheTest, RoundingAloneIsWithinTheBoundAndTheEngineRoundsSo) {
  LAHAR_NEED_DATA(path, std::string("golden/") + GetParam());
  auto logits_path = path;
  const Golden golden = std::filesystem::is_directory(path) ? read_hf_golden(path)
                                                            : read_gguf_golden(logits_path.replace_extension(".logits.bin"));
  const std::vector<int32_t> tokens = golden.tokens();
  const auto source = ModelSource::open(path);
  ASSERT_TRUE(source.ok()) << why(source);
  const auto spec = read_model_spec(**source, static_cast<uint32_t>(tokens.size()));
  ASSERT_TRUE(spec.ok()) << why(spec);
  const auto plan = WeightPlan::make(**source, *spec);
  ASSERT_TRUE(plan.ok()) << why(plan);
  ExpertChoices exact;
  ASSERT_TRUE(reference_logits(**source, *spec, *plan, tokens, {.chosen = &exact}).ok());

  for (const Cache& cache : kCaches) {
    SCOPED_TRACE(to_string(cache.type));
    const auto same = reference_logits(**source, *spec, *plan, tokens, {.cache = cache.rounding, .choices = &exact});
    ExpertChoices own;
    const auto free = reference_logits(**source, *spec, *plan, tokens, {.cache = cache.rounding, .chosen = &own});
    ASSERT_TRUE(same.ok() && free.ok());
    const double alone = nmse(*same, golden.logits), with_turns = nmse(*free, golden.logits);
    // Gemma 3n: several layers read one cache, so that its rounding counts more than once.
    EXPECT_LE(alone, cache.bound * (spec->altup.streams > 0 ? 2 : 1));

    OpenOptions options;
    options.engine.context = static_cast<uint32_t>(tokens.size());
    options.engine.precision = ops::Precision::kF32;
    options.engine.kv = cache.type;
    options.engine.all_logits = true;
    const auto opened = open_model(device(), path, options);
    ASSERT_TRUE(opened.ok()) << why(opened);
    const auto got = all_logits(*opened->engine, tokens);
    ASSERT_TRUE(got.ok()) << why(got);
    const double engine = nmse(*free, *got);
    EXPECT_LE(engine, 1e-5);
    std::printf("%s %s: the exact run's experts %.2g, its own %.2g (%zu of %zu choices turned), engine to reference %.2g\n",
                GetParam(), std::string(to_string(cache.type)).c_str(), alone, with_turns, turned(exact, own), exact.size(),
                engine);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RoutedCacheTest,
                         ::testing::Values("hf/mixtral", "hf/qwen2-moe", "hf/qwen3-moe", "hf/gpt-oss", "hf/llama4",
                                           "gguf/gpt-oss-moe.gguf", "gguf/llama-moe.gguf", "gguf/qwen3moe-moe.gguf",
                                           "hf/gemma3n"),
                         [](const auto& info) { return test_name(info.param); });

}  // namespace
}  // namespace lahar::test
