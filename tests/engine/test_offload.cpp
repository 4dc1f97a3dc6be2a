// Weights in the host's memory: the same bits as with all of them on the device, whatever comes and goes, and plans that say
// what stays where.
#include "engine/engine_test.h"
#include "engine/expert_lru.h"
#include "engine/offload.h"
#include "test_data.h"

namespace lahar::test {
namespace {

TEST(ExpertLru, TheOneUsedTheLongestAgoGoes) {
  ExpertLru lru(6, 2);
  EXPECT_EQ(lru.claim(0, 1)->slot, 0u);
  EXPECT_EQ(lru.claim(1, 1)->slot, 1u);
  EXPECT_FALSE(lru.slot_of(0)) << "it has not arrived yet";
  EXPECT_FALSE(lru.claim(2, 2)) << "nothing has arrived that could go";
  lru.settle(0), lru.settle(1);
  EXPECT_EQ(lru.slot_of(0), 0u);
  lru.touch(0, 2), lru.touch(1, 3), lru.touch(0, 4);
  const auto claim = lru.claim(2, 4);
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->slot, 1u);
  EXPECT_EQ(claim->evicted, 1u);
  EXPECT_FALSE(lru.slot_of(1));
  EXPECT_FALSE(lru.slot_of(2));
  lru.settle(2);
  EXPECT_EQ(lru.slot_of(2), 1u);
  EXPECT_FALSE(lru.claim(2, 9)) << "it has its place";
}

TEST(ExpertLru, WhatTheStepItselfUsedStays) {
  ExpertLru lru(4, 1);
  lru.claim(0, 1), lru.settle(0);
  lru.touch(0, 5);
  EXPECT_FALSE(lru.claim(1, 5));
  EXPECT_TRUE(lru.claim(1, 6));
  ExpertLru none(4, 0);
  none.touch(2, 1), none.settle(2);
  EXPECT_FALSE(none.claim(2, 1));
}

class OffloadTest : public GpuTest {
 protected:
  struct Answer {
    std::vector<int32_t> tokens;
    std::vector<float> logits;  // that each token was sampled from
    GenerateStats stats;
  };

  static std::vector<int32_t> prompt(uint32_t n) {
    std::vector<int32_t> all(n);
    for (uint32_t i = 0; i < n; ++i) all[i] = static_cast<int32_t>((5 + i * 11 + i * i * 3) % 200);
    return all;
  }
  std::unique_ptr<Engine> open(const std::filesystem::path& path, EngineOptions options) {
    options.context = 160, options.chunk = 16, options.sampled_logits = true;
    auto opened = open_model(device(), path, {.engine = options, .use_tuning = false});
    EXPECT_TRUE(opened.ok()) << why(opened);
    return opened.ok() ? std::move(opened->engine) : nullptr;
  }
  std::unique_ptr<Engine> open_placed(const std::filesystem::path& path, WeightPlacement placement) {
    const auto make = [&]() -> Result<std::unique_ptr<Engine>> {
      LAHAR_ASSIGN(const auto source, ModelSource::open(path));
      LAHAR_ASSIGN(ModelSpec spec, read_model_spec(*source, 160, {}));
      LAHAR_ASSIGN(const WeightPlan plan, WeightPlan::make(*source, spec));
      LAHAR_ASSIGN(ModelWeights weights, load_weights(device(), *source, spec, plan, {.placement = placement}));
      auto model = std::make_shared<const Model>(Model{std::move(spec), std::move(weights)});
      return Engine::create(device().shared_from_this(), std::move(model),
                            {.context = 160, .chunk = 16, .sampled_logits = true});
    };
    auto engine = make();
    EXPECT_TRUE(engine.ok()) << why(engine);
    return engine.ok() ? std::move(*engine) : nullptr;
  }
  static Answer answer(Engine& engine, uint32_t seed) {
    Answer answer;
    engine.forget();
    const std::vector<int32_t> tokens = prompt(37);
    auto outcome = engine.generate({.prompt = tokens,
                                    .max_tokens = 80,
                                    .sampling = {.temperature = 1.5f, .top_p = 1, .min_p = 0, .seed = seed},
                                    .on_logits = [&](std::span<const float> logits) {
                                      answer.logits.insert(answer.logits.end(), logits.begin(), logits.end());
                                    }});
    EXPECT_TRUE(outcome.ok()) << why(outcome);
    if (outcome.ok()) answer.tokens = outcome->tokens, answer.stats = outcome->stats;
    return answer;
  }
  // Bytes that all experts of the model take.
  static uint64_t expert_bytes(const Engine& engine) {
    uint64_t bytes = 0;
    for (const LayerWeights& layer : engine.model().weights.layers)
      bytes += layer.ffn.expert_bytes() * layer.ffn.expert_slabs.size();
    return bytes;
  }
};

TEST_F(OffloadTest, ExpertsThatComeAndGoGiveTheSameBits) {
  for (const char* model : {"golden/hf/mixtral", "golden/hf/deepseek-v3", "golden/hf/gpt-oss"}) {
    LAHAR_NEED_DATA(path, model);
    SCOPED_TRACE(model);
    const auto resident = open(path, {});
    ASSERT_TRUE(resident);
    EXPECT_EQ(resident->experts(), nullptr);
    const uint64_t all = expert_bytes(*resident);
    for (const uint64_t cache : {all / 4, all, uint64_t{0}}) {
      SCOPED_TRACE(std::to_string(cache) + " of " + std::to_string(all) + " bytes");
      const auto engine = open(path, {.expert_cache = cache});
      ASSERT_TRUE(engine);
      ASSERT_NE(engine->experts(), nullptr);
      EXPECT_LE(engine->experts()->bytes(), cache);
      EXPECT_GE(engine->model().weights.host_bytes, all);
      EXPECT_LT(engine->model().weights.device_bytes, resident->model().weights.device_bytes);
      for (const uint32_t seed : {1u, 2u}) {
        const Answer want = answer(*resident, seed), got = answer(*engine, seed);
        EXPECT_EQ(got.tokens, want.tokens);
        EXPECT_TRUE(got.logits == want.logits) << "the bits differ";
        const ExpertStats& experts = got.stats.experts;
        EXPECT_GT(experts.reads, 0u);
        EXPECT_EQ(want.stats.experts.reads, 0u);
        if (cache == 0) {
          EXPECT_EQ(experts.hits + experts.copied_bytes, 0u);
        } else if (cache == all && seed == 2) {
          EXPECT_EQ(experts.hits, experts.reads) << "all were copied before";
          EXPECT_EQ(experts.copied_bytes, 0u);
        } else {
          EXPECT_GT(experts.hits, 0u);
          EXPECT_LT(experts.hits, experts.reads);
          EXPECT_GT(experts.copied_bytes, 0u);
        }
      }
    }
  }
}

TEST_F(OffloadTest, SlicedStepsAndTracedOnesCountToo) {
  LAHAR_NEED_DATA(path, "golden/hf/qwen3-moe");
  const auto resident = open(path, {});
  ASSERT_TRUE(resident);
  const auto engine = open(path, {.expert_cache = expert_bytes(*resident) / 3});
  ASSERT_TRUE(engine);
  engine->steps().set_time_slice(1e-4);
  const Answer want = answer(*resident, 3), got = answer(*engine, 3);
  EXPECT_TRUE(got.logits == want.logits);
  EXPECT_GT(got.stats.experts.copied_bytes, 0u);
  uint32_t steps = 0;
  engine->forget();
  const std::vector<int32_t> tokens = prompt(5);
  const auto traced = engine->generate({.prompt = tokens,
                                        .max_tokens = 12,
                                        .sampling = {.temperature = 0},
                                        .want_trace = [&] { return ++steps % 3 == 0; },
                                        .on_trace = [](const StepTrace&, uint32_t) {}});
  ASSERT_TRUE(traced.ok()) << why(traced);
  EXPECT_GE(traced->stats.experts.reads, 12 * 3 * 2u) << "steps, layers and experts";
  EXPECT_LE(traced->stats.experts.hits, traced->stats.experts.reads);
}

TEST_F(OffloadTest, LayersThatDoNotFitAreReadInPlace) {
  for (const char* model : {"golden/hf/llama-gqa", "golden/hf/granite-hybrid", "golden/hf/mixtral"}) {
    LAHAR_NEED_DATA(path, model);
    SCOPED_TRACE(model);
    const auto resident = open(path, {});
    ASSERT_TRUE(resident);
    const Answer want = answer(*resident, 4);
    const auto engine = open_placed(path, {.device_layers = 1});
    ASSERT_TRUE(engine);
    EXPECT_GT(engine->model().weights.host_bytes, 0u);
    EXPECT_LT(engine->model().weights.device_bytes, resident->model().weights.device_bytes);
    const Answer got = answer(*engine, 4);
    EXPECT_EQ(got.tokens, want.tokens);
    EXPECT_TRUE(got.logits == want.logits) << "the bits differ";
  }
}

// A device that gives fewer blocks than its budget promised.
TEST_F(OffloadTest, CopiesThatDoNotFitAreDoneWithout) {
  LAHAR_NEED_DATA(path, "golden/hf/mixtral");
  const auto engine = open_placed(path, {.host_experts = true});
  ASSERT_TRUE(engine);
  const ModelWeights& weights = engine->model().weights;
  const uint64_t slab = weights.layers[0].ffn.expert_slabs[0].size;
  uint32_t blocks = 3;
  ExpertCacheOptions options{.bytes = expert_bytes(*engine), .may_shrink = true, .block_bytes = slab};
  options.create_block = [&](uint64_t bytes) -> Result<gpu::Buffer> {
    if (blocks == 0) return Error{ErrorCode::kOutOfMemory, "no more blocks"};
    --blocks;
    return device().create_buffer(bytes, gpu::Memory::kDevice, "block");
  };
  const auto create = [&] { return ExpertCache::create(device().shared_from_this(), weights, options); };
  const auto shrunk = create();
  ASSERT_TRUE(shrunk.ok()) << why(shrunk);
  EXPECT_TRUE((*shrunk)->shrunk());
  EXPECT_EQ((*shrunk)->bytes(), 2 * slab) << "the last block is for what comes later";
  const auto none = create();
  ASSERT_TRUE(none.ok()) << why(none);
  EXPECT_EQ((*none)->bytes(), 0u);
  options.may_shrink = false;
  const auto refused = create();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kOutOfMemory);
  blocks = UINT32_MAX;
  const auto all = create();
  ASSERT_TRUE(all.ok()) << why(all);
  EXPECT_FALSE((*all)->shrunk());
  EXPECT_EQ((*all)->bytes(), options.bytes);
}

// A cap that leaves room for less and less: first experts go, then layers, the last ones first, then nothing helps.
TEST_F(OffloadTest, ACapMovesExpertsThenLayers) {
  LAHAR_NEED_DATA(path, "golden/hf/mixtral");
  const auto source = ModelSource::open(path);
  ASSERT_TRUE(source.ok()) << why(source);
  const auto spec = read_model_spec(**source, 64, {});
  ASSERT_TRUE(spec.ok()) << why(spec);
  const auto weights = WeightPlan::make(**source, *spec);
  ASSERT_TRUE(weights.ok()) << why(weights);
  const MemoryNeed& need = weights->memory();
  ASSERT_EQ(need.layers.size(), 3u);
  const uint64_t used = device().memory_use().used;
  EngineOptions options{.context = 64};
  const auto all = plan_offload(device(), *spec, need, options);
  ASSERT_TRUE(all.ok()) << why(all);
  EXPECT_FALSE(all->placement.host_experts);
  EXPECT_EQ(all->memory.host_weights, 0u);
  const uint64_t total = all->memory.total();

  options.memory_cap = used + total - 1;
  const auto experts = plan_offload(device(), *spec, need, options);
  ASSERT_TRUE(experts.ok()) << why(experts);
  EXPECT_TRUE(experts->placement.host_experts && experts->memory.fits());
  EXPECT_GT(experts->expert_cache, need.experts * 9 / 10) << "nearly all that is left";
  EXPECT_LT(experts->memory.total(), experts->memory.available) << "there are pipelines and tables too";
  EXPECT_EQ(experts->memory.host_weights, need.experts);
  EXPECT_EQ(experts->placement.device_layers, UINT32_MAX);

  options.memory_cap = used + total - need.experts - need.layers[2] - 1;
  const auto layers = plan_offload(device(), *spec, need, options);
  ASSERT_TRUE(layers.ok()) << why(layers);
  EXPECT_TRUE(layers->placement.host_experts && layers->memory.fits());
  EXPECT_EQ(layers->placement.device_layers, 1u);
  EXPECT_EQ(layers->memory.host_weights, need.experts + need.layers[1] + need.layers[2]);

  options.memory_cap = used + 1000;
  const auto nothing = plan_offload(device(), *spec, need, options);
  ASSERT_TRUE(nothing.ok()) << why(nothing);
  EXPECT_FALSE(nothing->memory.fits());
}

TEST_F(OffloadTest, APlanSaysWhatStaysWhere) {
  LAHAR_NEED_DATA(path, "golden/hf/mixtral");
  const auto source = ModelSource::open(path);
  ASSERT_TRUE(source.ok()) << why(source);
  const auto plan = plan_engine(device(), **source, {.engine = {.context = 64, .expert_cache = 100000}});
  ASSERT_TRUE(plan.ok()) << why(plan);
  EXPECT_EQ(plan->expert_cache, 100000u);
  EXPECT_GT(plan->host_weights, 0u);
  EXPECT_NE(plan->describe().find("copies of experts 98 KiB"), std::string::npos) << plan->describe();
  EXPECT_NE(plan->describe().find("stay in the host's memory"), std::string::npos) << plan->describe();
  MemoryPlan crowded = *plan;
  crowded.host_available = crowded.host_weights - 1;
  EXPECT_FALSE(crowded.fits());
}

TEST_F(OffloadTest, ACacheForExpertsThatAreNotThereIsRefused) {
  LAHAR_NEED_DATA(path, "golden/hf/llama-gqa");
  const auto opened = open_model(device(), path, {.engine = {.expert_cache = 1 << 20}});
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(opened.error().message.find("experts"), std::string::npos);
}

}  // namespace
}  // namespace lahar::test
