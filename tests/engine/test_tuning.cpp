// What is measured is what engines look up: every case that the steps of a model ask for is in the model's plan.
#include <set>

#include "engine/engine_test.h"
#include "engine/tuning.h"
#include "ops/attention.h"
#include "test_data.h"

namespace lahar::test {
namespace {

class TunedEngineTest : public GpuTest, public ::testing::WithParamInterface<const char*> {
 protected:
  std::unique_ptr<Engine> open(const std::filesystem::path& path, std::shared_ptr<const ops::Tuning> tuning) {
    const EngineOptions options{.context = 150, .chunk = 32, .tuning = std::move(tuning)};
    auto opened = open_model(device(), path, {.engine = options, .use_tuning = false});
    EXPECT_TRUE(opened.ok()) << why(opened);
    return opened.ok() ? std::move(opened->engine) : nullptr;
  }
  // The default form for every case of the plan.
  Status choose_all(const tune::TunePlan& plan, ops::Tuning& tuning) {
    const auto choose = [&](const Result<tune::Case>& c) -> Status {
      if (!c.ok()) return c.error();
      tuning.choose(c->name, c->candidates.front().form);
      return {};
    };
    for (const tune::TunePlan::Matmul& m : plan.matmuls) {
      LAHAR_ASSIGN(tune::SampleMatrix matrix, tune::SampleMatrix::create(device(), m.shape.matrix, 1));
      const auto shared = std::make_shared<const tune::SampleMatrix>(std::move(matrix));
      for (const uint32_t bucket : m.buckets) LAHAR_TRY(choose(tune::make_matmul_case(device(), shared, m.shape, bucket)));
    }
    for (const tune::TunePlan::Attention& a : plan.attentions)
      LAHAR_TRY(choose(tune::make_attention_case(device(), a.shape, a.step, 1)));
    for (const tune::TunePlan::Experts& e : plan.experts)
      for (const uint32_t bucket : e.buckets) LAHAR_TRY(choose(tune::make_experts_case(device(), e.shape, bucket, 1)));
    return {};
  }
  // Steps of every bucket, as one sequence goes through them: none has more rows than tokens.
  Status record_steps(Engine& engine) {
    for (uint32_t bucket = 1; bucket <= engine.steps().max_bucket(); bucket *= 2) {
      std::set<uint32_t> contexts;
      for (uint32_t tokens = bucket; tokens <= engine.context(); ++tokens)
        contexts.insert(ops::recorded_context(device().caps(), tokens));
      for (const uint32_t context : contexts) {
        const auto size = engine.steps().program_size({.bucket = bucket, .context = context});
        if (!size.ok()) return size.error();
      }
    }
    return {};
  }
};

TEST_P(TunedEngineTest, FindsEveryChoice) {
  LAHAR_NEED_DATA(path, std::string("golden/hf/") + GetParam());
  const auto untuned = open(path, nullptr);
  ASSERT_TRUE(untuned);
  auto tuning = std::make_shared<ops::Tuning>();
  const Status chosen = choose_all(tune_plan(*untuned), *tuning);
  ASSERT_TRUE(chosen.ok()) << why(chosen);

  std::set<std::string> found, missing;
  tuning->on_asked([&](std::string_view name, const std::string* form) {
    (form == nullptr ? missing : found).insert(std::string(name));
  });
  const auto engine = open(path, tuning);
  ASSERT_TRUE(engine);
  const Status recorded = record_steps(*engine);
  ASSERT_TRUE(recorded.ok()) << why(recorded);
  EXPECT_GT(found.size(), 6u);
  EXPECT_EQ(missing, std::set<std::string>{});
}

INSTANTIATE_TEST_SUITE_P(Models, TunedEngineTest,
                         ::testing::Values("llama-gqa", "gemma3", "llama4", "mixtral", "qwen2-moe", "deepseek-v3", "gemma3n",
                                           "granite-hybrid"),
                         [](const auto& info) { return test_name(info.param); });

}  // namespace
}  // namespace lahar::test
