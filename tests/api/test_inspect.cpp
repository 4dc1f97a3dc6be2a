// A look inside an engine while it generates: alternatives, pages, memory, traces, time slices, replies that are begun.
#include <algorithm>
#include <cmath>

#include "api/api_test.h"

namespace lahar::test {
namespace {

constexpr const char* kQuestion = "What is 7 + 8?";
constexpr const char* kAnswer = "7 + 8 = 15.";

struct SeenToken {
  int32_t id = 0;
  float logprob = 0, entropy = 0;
  std::vector<lahar_alternative> alternatives;
};

class InspectTest : public ApiTest {
 protected:
  void SetUp() override {
    runtime = make_runtime();
    model = pumice(runtime);
    ASSERT_NE(model, nullptr);
    lahar_engine_options options = engine_options();
    options.alternatives = LAHAR_MOST_ALTERNATIVES;
    lahar_engine* handle = nullptr;
    ASSERT_EQ(lahar_engine_open(model.get(), &options, &handle), LAHAR_OK) << lahar_model_error(model.get());
    engine.reset(handle);
  }
  Reply answer(const OnToken& on_token = {}) { return generate(engine.get(), user_message(kQuestion), on_token); }
  std::vector<lahar_kv_page> pages() {
    size_t count = 0;
    EXPECT_EQ(lahar_get_kv_pages(engine.get(), nullptr, 0, &count), LAHAR_OK);
    std::vector<lahar_kv_page> pages(count);
    EXPECT_EQ(lahar_get_kv_pages(engine.get(), pages.data(), count, &count), LAHAR_OK);
    return pages;
  }
  uint32_t tokens_in_pages() {
    uint32_t tokens = 0;
    for (const lahar_kv_page& page : pages()) tokens += page.sequence >= 0 ? page.tokens : 0;
    return tokens;
  }
  lahar_engine_info info() {
    lahar_engine_info info{};
    info.size = sizeof(info);
    EXPECT_EQ(lahar_get_engine_info(engine.get(), &info), LAHAR_OK) << lahar_engine_error(engine.get());
    return info;
  }

  Runtime runtime;
  Model model;
  Engine engine;
};

TEST_F(InspectTest, AlternativesAreTheLikeliestTokens) {
  std::vector<SeenToken> seen;
  const Reply reply = answer([&](const lahar_token& t) {
    if (t.id < 0) return 0;
    SeenToken& token = seen.emplace_back(SeenToken{t.id, t.logprob, t.entropy, {}});
    token.alternatives.assign(t.alternatives, t.alternatives + t.alternative_count);
    return 0;
  });
  EXPECT_EQ(reply.text, kAnswer);
  ASSERT_FALSE(seen.empty());
  for (const SeenToken& token : seen) {
    ASSERT_EQ(token.alternatives.size(), size_t{LAHAR_MOST_ALTERNATIVES});
    EXPECT_EQ(token.alternatives[0].id, token.id) << "a greedy token is the likeliest one";
    EXPECT_NEAR(token.alternatives[0].logprob, token.logprob, 1e-3);
    double sum = 0, entropy = 0;
    for (size_t i = 0; i < token.alternatives.size(); ++i) {
      const double p = std::exp(static_cast<double>(token.alternatives[i].logprob));
      sum += p;
      entropy -= p * token.alternatives[i].logprob;
      if (i > 0) { EXPECT_LE(token.alternatives[i].logprob, token.alternatives[i - 1].logprob); }
    }
    EXPECT_LE(sum, 1 + 1e-4);
    EXPECT_LE(entropy, token.entropy + 1e-3) << "a part of the distribution has no more than all of it";
  }
}

TEST_F(InspectTest, MoreAlternativesThanThereCanBe) {
  lahar_engine_options options = engine_options();
  options.alternatives = LAHAR_MOST_ALTERNATIVES + 1;
  lahar_engine* handle = nullptr;
  EXPECT_EQ(lahar_engine_open(model.get(), &options, &handle), LAHAR_INVALID_ARGUMENT);
  EXPECT_NE(std::string(lahar_model_error(model.get())).find("alternatives"), std::string::npos);
}

TEST_F(InspectTest, AReplyThatIsBegun) {
  const Reply whole = answer();
  ASSERT_GE(whole.tokens.size(), 4u);
  const std::vector<int32_t> begun(whole.tokens.begin(), whole.tokens.begin() + 3);
  std::string head(256, '\0');
  size_t length = 0;
  ASSERT_EQ(lahar_detokenize(model.get(), begun.data(), begun.size(), head.data(), head.size(), &length), LAHAR_OK);
  head.resize(length);
  const Reply rest = generate(engine.get(), user_message(kQuestion), {}, [&](lahar_generate_options& options) {
    options.reply_tokens = begun.data();
    options.reply_count = begun.size();
  });
  ASSERT_EQ(rest.status, LAHAR_OK) << lahar_engine_error(engine.get());
  EXPECT_EQ(rest.tokens, std::vector<int32_t>(whole.tokens.begin() + 3, whole.tokens.end()));
  EXPECT_EQ(head + rest.text, whole.text);
}

TEST_F(InspectTest, TheEngineTellsOfItself) {
  const lahar_engine_info engine_info = info();
  EXPECT_STREQ(engine_info.architecture, "llama");
  EXPECT_GT(engine_info.layers, 0u);
  EXPECT_EQ(engine_info.context, 512u);
  EXPECT_EQ(engine_info.pages * engine_info.page_tokens, 512u);
  EXPECT_EQ(engine_info.kv_bytes, engine_info.pages * engine_info.page_bytes);
  lahar_memory memory{};
  memory.size = sizeof(memory);
  ASSERT_EQ(lahar_get_memory(engine.get(), &memory), LAHAR_OK);
  EXPECT_GE(memory.used, engine_info.weights_bytes + engine_info.kv_bytes);
  lahar_layer_info layer{};
  layer.size = sizeof(layer);
  ASSERT_EQ(lahar_get_layer_info(engine.get(), 0, &layer), LAHAR_OK);
  EXPECT_GT(layer.kv_heads * layer.head_dim, 0u);
  EXPECT_EQ(lahar_get_layer_info(engine.get(), engine_info.layers, &layer), LAHAR_INVALID_ARGUMENT);
  EXPECT_GT(lahar_step_bytes(engine.get(), 100), lahar_step_bytes(engine.get(), 0));
}

TEST_F(InspectTest, PagesFillAndAreFreed) {
  EXPECT_EQ(tokens_in_pages(), 0u);
  uint32_t most = 0;
  const Reply reply = answer([&](const lahar_token&) {
    const uint32_t now = tokens_in_pages();
    EXPECT_GE(now, most);
    most = now;
    return 0;
  });
  EXPECT_GE(most, reply.result.prompt_tokens);
  std::vector<uint32_t> indices;
  for (const lahar_kv_page& page : pages())
    if (page.sequence >= 0) indices.push_back(page.index);
  std::sort(indices.begin(), indices.end());
  for (size_t i = 0; i < indices.size(); ++i) EXPECT_EQ(indices[i], i);

  const Reply other = generate(engine.get(), user_message("Hi"), {}, [](auto& options) { options.max_tokens = 1; });
  ASSERT_EQ(other.status, LAHAR_OK);
  EXPECT_LT(tokens_in_pages(), most) << "what a shorter conversation does not need is still held";
  EXPECT_EQ(answer().text, kAnswer) << "after pages have been given back and taken again";
}

TEST_F(InspectTest, ATraceOfAStep) {
  size_t count = 1;
  lahar_trace trace{};
  trace.size = sizeof(trace);
  ASSERT_EQ(lahar_get_trace(engine.get(), &trace, nullptr, 0, &count), LAHAR_OK);
  EXPECT_EQ(trace.serial, 0u);
  EXPECT_EQ(count, 0u);

  ASSERT_EQ(lahar_request_trace(engine.get()), LAHAR_OK);
  EXPECT_EQ(answer().text, kAnswer) << "a traced step computes what another one does";
  ASSERT_EQ(lahar_get_trace(engine.get(), &trace, nullptr, 0, &count), LAHAR_OK);
  EXPECT_EQ(trace.serial, 1u);
  EXPECT_GT(trace.context, 0u);
  std::vector<lahar_trace_node> nodes(count);
  ASSERT_EQ(lahar_get_trace(engine.get(), &trace, nodes.data(), count, &count), LAHAR_OK);
  const uint32_t layers = info().layers;
  std::vector<bool> seen(layers);
  uint64_t bytes = 0;
  double end = 0;
  for (const lahar_trace_node& node : nodes) {
    ASSERT_LT(node.layer, static_cast<int32_t>(layers));
    if (node.layer >= 0) seen[static_cast<size_t>(node.layer)] = true;
    EXPECT_STRNE(node.kernel, "");
    bytes += node.bytes;
    if (trace.timed) { EXPECT_GE(node.begin_ns, end * 0.999); }
    end = node.begin_ns;
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), false), 0) << "a layer is missing";
  EXPECT_GE(bytes, lahar_step_bytes(engine.get(), 0) / 2);
}

TEST_F(InspectTest, TimeSlicesChangeNoWord) {
  for (const float slice : {0.5f, 16.0f, 0.0f}) {
    ASSERT_EQ(lahar_set_time_slice(engine.get(), slice), LAHAR_OK);
    EXPECT_EQ(answer().text, kAnswer) << slice;
  }
  EXPECT_EQ(lahar_set_time_slice(engine.get(), -1), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_set_time_slice(engine.get(), NAN), LAHAR_INVALID_ARGUMENT);
}

TEST_F(InspectTest, TheCopyRate) {
  double rate = 0;
  ASSERT_EQ(lahar_measure_copy_rate(engine.get(), &rate), LAHAR_OK) << lahar_engine_error(engine.get());
  EXPECT_GT(rate, 1e6);
  lahar_status inside = LAHAR_OK;
  answer([&](const lahar_token&) {
    inside = lahar_measure_copy_rate(engine.get(), &rate);
    return 0;
  });
  EXPECT_EQ(inside, LAHAR_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace lahar::test
