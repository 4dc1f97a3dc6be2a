// Plan and open: what fits, progress, cancelling, devices that are not there.
#include <thread>

#include "api/api_test.h"

namespace lahar::test {
namespace {

class EngineTest : public ApiTest {
 protected:
  void SetUp() override {
    runtime = make_runtime();
    model = pumice(runtime);
    ASSERT_NE(model, nullptr);
  }
  lahar_status open(const lahar_engine_options& options, Engine* opened = nullptr) {
    lahar_engine* engine = nullptr;
    const lahar_status status = lahar_engine_open(model.get(), &options, &engine);
    EXPECT_EQ(engine != nullptr, status == LAHAR_OK);
    Engine owner(engine);
    if (opened != nullptr) *opened = std::move(owner);
    return status;
  }
  std::string error() const { return lahar_model_error(model.get()); }

  Runtime runtime;
  Model model;
};

lahar_memory_plan empty_plan() {
  lahar_memory_plan plan{};
  plan.size = sizeof(plan);
  return plan;
}

TEST_F(EngineTest, Plan) {
  lahar_engine_options options = engine_options(256);
  lahar_memory_plan plan = empty_plan();
  ASSERT_EQ(lahar_plan(model.get(), &options, &plan), LAHAR_OK) << error();
  EXPECT_EQ(plan.context, 256u);
  EXPECT_EQ(plan.fits, 1);
  EXPECT_GT(plan.weights_bytes, 2'000'000u);
  EXPECT_LT(plan.weights_bytes, 20'000'000u);
  EXPECT_GT(plan.kv_bytes, 0u);
  EXPECT_GT(plan.scratch_bytes, 0u);
  EXPECT_GE(plan.available_bytes, plan.weights_bytes + plan.kv_bytes + plan.scratch_bytes);
  const uint64_t kv = plan.kv_bytes;
  options.context = 512;
  ASSERT_EQ(lahar_plan(model.get(), &options, &plan), LAHAR_OK) << error();
  EXPECT_EQ(plan.kv_bytes, 2 * kv);
}

TEST_F(EngineTest, WhatDoesNotFit) {
  lahar_engine_options options = engine_options(256);
  options.memory_cap = 1 << 20;
  lahar_memory_plan plan = empty_plan();
  ASSERT_EQ(lahar_plan(model.get(), &options, &plan), LAHAR_OK) << error();
  EXPECT_EQ(plan.fits, 0);
  EXPECT_LE(plan.available_bytes, uint64_t{1} << 20);
  EXPECT_EQ(open(options), LAHAR_OUT_OF_MEMORY);
  EXPECT_NE(error(), "");
}

TEST_F(EngineTest, PlansOfOtherVersions) {
  const lahar_engine_options options = engine_options(256);
  lahar_memory_plan plan{};
  EXPECT_EQ(lahar_plan(model.get(), &options, &plan), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_plan(model.get(), &options, nullptr), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_plan(nullptr, &options, &plan), LAHAR_INVALID_ARGUMENT);
  plan.size = offsetof(lahar_memory_plan, available_bytes);
  plan.available_bytes = 77;
  ASSERT_EQ(lahar_plan(model.get(), &options, &plan), LAHAR_OK) << error();
  EXPECT_GT(plan.weights_bytes, 0u);
  EXPECT_EQ(plan.available_bytes, 77u) << "written beyond the caller's struct";
}

TEST_F(EngineTest, OptionsOfOtherVersions) {
  lahar_engine_options older = engine_options(256);
  older.size = offsetof(lahar_engine_options, quantize);
  older.quantize = static_cast<lahar_quantize>(99);  // is not part of it
  Engine engine;
  ASSERT_EQ(open(older, &engine), LAHAR_OK) << error();
  EXPECT_EQ(lahar_engine_context(engine.get()), 256u);

  older = engine_options(256);
  older.size = offsetof(lahar_engine_options, rope_scaling);
  older.rope_scaling = static_cast<lahar_rope_scaling>(99);
  older.rope_scale = -1;
  EXPECT_EQ(open(older), LAHAR_OK) << error();

  struct {
    lahar_engine_options known;
    uint64_t unknown = 1;
  } newer{engine_options(256)};
  newer.known.size = sizeof(newer);
  EXPECT_EQ(open(newer.known), LAHAR_INVALID_ARGUMENT);
  EXPECT_NE(error().find("lahar_engine_options"), std::string::npos) << error();
}

TEST_F(EngineTest, OptionsThatAreWrong) {
  lahar_engine_options options = engine_options(256);
  options.quantize = static_cast<lahar_quantize>(99);
  EXPECT_EQ(open(options), LAHAR_INVALID_ARGUMENT);
  EXPECT_NE(error().find("99"), std::string::npos) << error();
  options = engine_options(256);
  options.kv = static_cast<lahar_kv>(77);
  EXPECT_EQ(open(options), LAHAR_INVALID_ARGUMENT);
  EXPECT_NE(error().find("77"), std::string::npos) << error();
  options = engine_options(256);
  options.chunk = 1u << 31;
  EXPECT_EQ(open(options), LAHAR_INVALID_ARGUMENT);
  options = engine_options(256);
  options.rope_scaling = static_cast<lahar_rope_scaling>(55);
  EXPECT_EQ(open(options), LAHAR_INVALID_ARGUMENT);
  EXPECT_NE(error().find("55"), std::string::npos) << error();
  options.rope_scaling = LAHAR_ROPE_YARN;
  options.rope_scale = 0.5;
  EXPECT_EQ(open(options), LAHAR_INVALID_ARGUMENT);
  EXPECT_NE(error().find("found 0.5"), std::string::npos) << error();
  options.rope_scaling = LAHAR_ROPE_NONE;
  options.rope_scale = 2;
  EXPECT_EQ(open(options), LAHAR_INVALID_ARGUMENT);
  options = engine_options(256);
  options.device = "a device that nobody has";
  EXPECT_EQ(open(options), LAHAR_NOT_FOUND);
  EXPECT_NE(error().find("a device that nobody has"), std::string::npos) << error();
  EXPECT_EQ(lahar_engine_open(nullptr, &options, nullptr), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_engine_open(model.get(), &options, nullptr), LAHAR_INVALID_ARGUMENT);
}

// What is likeliest behind the same 400 tokens depends on how RoPE was stretched, so the options have arrived.
TEST_F(EngineTest, RopeIsStretchedAsTheOptionsSay) {
  std::vector<int32_t> prompt(400);
  for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<int32_t>(3 + i * 7 % 1000);
  const auto logprob = [&](const std::function<void(lahar_engine_options&)>& change) {
    lahar_engine_options options = engine_options(512);
    options.full_precision = 1;
    change(options);
    Engine engine;
    EXPECT_EQ(open(options, &engine), LAHAR_OK) << error();
    float seen = 1;
    lahar_generate_options o = LAHAR_GENERATE_OPTIONS_INIT;
    const lahar_sampling sampling = greedy();
    o.tokens = prompt.data(), o.token_count = prompt.size();
    o.max_tokens = 1, o.sampling = &sampling, o.ignore_stop_tokens = 1, o.user = &seen;
    o.callback = [](void* user, const lahar_token* token) {
      if (token->id >= 0) *static_cast<float*>(user) = token->logprob;
      return 0;
    };
    EXPECT_EQ(lahar_generate(engine.get(), &o, nullptr), LAHAR_OK) << lahar_engine_error(engine.get());
    EXPECT_LE(seen, 0);
    return seen;
  };
  const float plain = logprob([](lahar_engine_options&) {});
  EXPECT_EQ(logprob([](lahar_engine_options& o) { o.rope_scaling = LAHAR_ROPE_NONE; }), plain);
  const float yarn = logprob([](lahar_engine_options& o) { o.rope_scaling = LAHAR_ROPE_YARN; });
  EXPECT_NE(yarn, plain);
  // 512 tokens are twice what the built-in model was trained on.
  EXPECT_EQ(logprob([](lahar_engine_options& o) { o.rope_scaling = LAHAR_ROPE_YARN, o.rope_scale = 2; }), yarn);
  EXPECT_NE(logprob([](lahar_engine_options& o) { o.rope_scaling = LAHAR_ROPE_YARN, o.rope_original_context = 128; }), yarn);
  const float linear = logprob([](lahar_engine_options& o) { o.rope_scale = 2; });
  EXPECT_NE(linear, plain);
  EXPECT_NE(linear, yarn);
}

TEST_F(EngineTest, TypesOfTheCache) {
  const auto kv_bytes = [&](lahar_kv kv) {
    lahar_engine_options options = engine_options(256);
    options.kv = kv;
    lahar_memory_plan plan{};
    plan.size = sizeof(plan);
    EXPECT_EQ(lahar_plan(model.get(), &options, &plan), LAHAR_OK) << error();
    return plan.kv_bytes;
  };
  const uint64_t half = kv_bytes(LAHAR_KV_F16);
  EXPECT_EQ(kv_bytes(LAHAR_KV_DEFAULT), half);
  EXPECT_EQ(kv_bytes(LAHAR_KV_BF16), half);
  EXPECT_EQ(kv_bytes(LAHAR_KV_F32), 2 * half);
  EXPECT_LT(kv_bytes(LAHAR_KV_INT8), half * 3 / 4);
  EXPECT_EQ(kv_bytes(LAHAR_KV_FP8), kv_bytes(LAHAR_KV_INT8));
  EXPECT_LT(kv_bytes(LAHAR_KV_INT4), half / 2);
}

TEST_F(EngineTest, Progress) {
  struct Progress {
    std::vector<uint64_t> done;
    uint64_t total = 0;
    std::thread::id thread;
  } progress;
  lahar_engine_options options = engine_options(256);
  options.progress_user = &progress;
  options.progress = [](void* user, uint64_t done, uint64_t total) {
    auto& p = *static_cast<Progress*>(user);
    p.done.push_back(done);
    p.total = total;
    p.thread = std::this_thread::get_id();
    return 0;
  };
  ASSERT_EQ(open(options), LAHAR_OK) << error();
  ASSERT_FALSE(progress.done.empty());
  EXPECT_TRUE(std::is_sorted(progress.done.begin(), progress.done.end()));
  EXPECT_EQ(progress.done.back(), progress.total);
  EXPECT_GT(progress.total, 2'000'000u);
  EXPECT_EQ(progress.thread, std::this_thread::get_id());

  options.progress_user = nullptr;
  options.progress = [](void*, uint64_t, uint64_t) { return 1; };
  EXPECT_EQ(open(options), LAHAR_CANCELLED);
  options.progress = [](void*, uint64_t, uint64_t) -> int { throw 5; };
  EXPECT_EQ(open(options), LAHAR_INTERNAL);
  options.progress = nullptr;
  EXPECT_EQ(open(options), LAHAR_OK) << "after those that failed: " << error();
}

// The handles go while an engine is being opened from them.
TEST_F(EngineTest, ProgressMayDestroyTheModel) {
  const std::function<void()> destroy = [this] {
    model.reset();
    runtime.reset();
  };
  lahar_engine_options options = engine_options(256);
  options.progress_user = const_cast<std::function<void()>*>(&destroy);
  options.progress = [](void* user, uint64_t, uint64_t) {
    (*static_cast<const std::function<void()>*>(user))();
    return 0;
  };
  lahar_engine* opened = nullptr;
  ASSERT_EQ(lahar_engine_open(model.get(), &options, &opened), LAHAR_OK);
  const Engine engine(opened);
  EXPECT_EQ(generate(engine.get(), user_message("What is 7 + 8?")).text, "7 + 8 = 15.");
}

TEST_F(EngineTest, SamplingDefaults) {
  lahar_default_sampling(nullptr, nullptr);
  lahar_sampling sampling{};
  lahar_default_sampling(nullptr, &sampling);
  EXPECT_EQ(sampling.temperature, 0) << "its size is wrong";
  sampling.size = sizeof(sampling);
  lahar_default_sampling(nullptr, &sampling);
  EXPECT_FLOAT_EQ(sampling.temperature, 0.8f);
  EXPECT_FLOAT_EQ(sampling.top_p, 0.95f);
  EXPECT_FLOAT_EQ(sampling.min_p, 0.05f);
  EXPECT_EQ(sampling.top_k, 0u);
  const uint64_t seed = sampling.seed;
  lahar_default_sampling(nullptr, &sampling);
  EXPECT_NE(sampling.seed, seed);
}

}  // namespace
}  // namespace lahar::test
