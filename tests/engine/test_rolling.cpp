// Streaming caches that have rolled, of every kind of attention and beside recurrent layers, against what does not roll: the
// reference model that attends to the same keys; a model of one layer that is given just the tokens that are left; and a
// cache of everything, where no layer looks back farther than the window.
#include <algorithm>

#include "../model/arch/reference_model.h"
#include "engine/engine_test.h"
#include "engine/golden.h"
#include "ops/kv_type.h"
#include "test_data.h"

namespace lahar::test {
namespace {

using Edit = std::function<void(ModelSpec&)>;

constexpr StreamingOptions kStreaming{.sinks = 16, .window = 48};
constexpr uint32_t kStep = 16;     // tokens that a roll drops
constexpr uint32_t kTokens = 230;  // more than twice the cache
// Attention that sees less than what always stays.
constexpr uint32_t kShortWindow = 24;

std::vector<int32_t> text(uint32_t n) {
  std::vector<int32_t> tokens(n);
  for (uint32_t i = 0; i < n; ++i) tokens[i] = static_cast<int32_t>((3 + i * 7 + i * i) % 250);
  return tokens;
}

// How many tokens have left the cache when each token of a text is read in chunks.
std::vector<size_t> tokens_gone(uint32_t tokens, uint32_t chunk) {
  std::vector<size_t> all;
  size_t gone = 0;
  while (all.size() < tokens) {
    const size_t rows = std::min<size_t>(chunk, tokens - all.size());
    if (all.size() - gone + rows > kStreaming.context()) gone += kStep;
    all.insert(all.end(), rows, gone);
  }
  return all;
}

void shorten_windows(ModelSpec& spec) {
  for (LayerSpec& layer : spec.layers)
    if (layer.attention.kv_heads > 0) layer.attention.window = kShortWindow;
}

// A model whose description was edited, and engines of it.
struct EditedModel {
  std::unique_ptr<ModelSource> source;
  std::unique_ptr<WeightPlan> plan;
  std::shared_ptr<const Model> model;

  Result<std::unique_ptr<Engine>> open(gpu::Device& device, EngineOptions options) const {
    options.precision = ops::Precision::kF32;
    return Engine::create(device.shared_from_this(), model, std::move(options));
  }
};

Result<EditedModel> load_edited(gpu::Device& device, const std::filesystem::path& path, const Edit& edit) {
  EditedModel edited;
  LAHAR_ASSIGN(edited.source, ModelSource::open(path));
  LAHAR_ASSIGN(ModelSpec spec, read_model_spec(*edited.source));
  if (edit) edit(spec);
  LAHAR_ASSIGN(WeightPlan plan, WeightPlan::make(*edited.source, spec));
  LAHAR_ASSIGN(ModelWeights weights, load_weights(device, *edited.source, spec, plan));
  edited.plan = std::make_unique<WeightPlan>(std::move(plan));
  edited.model = std::make_shared<const Model>(Model{std::move(spec), std::move(weights)});
  return edited;
}

class RollingTest : public GpuTest {
 protected:
  static constexpr uint32_t kPlainContext = 512;

  std::unique_ptr<Engine> open(const EditedModel& model, const EngineOptions& options) {
    auto engine = model.open(device(), options);
    EXPECT_TRUE(engine.ok()) << why(engine);
    return engine.ok() ? std::move(engine).value() : nullptr;
  }
  std::vector<float> logits(const EditedModel& model, EngineOptions options, std::span<const int32_t> tokens) {
    options.all_logits = true;
    const auto engine = open(model, options);
    if (!engine) return {};
    const auto all = all_logits(*engine, tokens);
    EXPECT_TRUE(all.ok()) << why(all);
    return all.ok() ? *all : std::vector<float>{};
  }
  static GenerateOutcome answer(Engine& engine, const std::vector<int32_t>& prompt, uint32_t most = 20) {
    auto outcome = engine.generate({.prompt = prompt, .max_tokens = most, .sampling = {.temperature = 0}});
    EXPECT_TRUE(outcome.ok()) << why(outcome);
    return outcome.ok() ? std::move(*outcome) : GenerateOutcome{};
  }
};

struct Case {
  const char* name;
  const char* path;
  Edit edit;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }
std::string case_name(const ::testing::TestParamInfo<Case>& info) { return info.param.name; }

void use_alibi(ModelSpec& spec) {
  for (LayerSpec& layer : spec.layers) layer.attention.rope = -1, layer.attention.alibi = 8;
}

// One scale a head and token, from the largest magnitude.
void round_int8(double* head, size_t dims) {
  double largest = 0;
  for (size_t i = 0; i < dims; ++i) largest = std::max(largest, std::abs(head[i]));
  for (size_t i = 0; i < dims && largest > 0; ++i) head[i] = std::round(head[i] * 127 / largest) * largest / 127;
}

class RolledAttention : public RollingTest, public ::testing::WithParamInterface<Case> {};

// The error of each stretch of rows between two rolls is looked at by itself: the last ones must be as near as the first.
TEST_P(RolledAttention, LogitsAreThoseOfTheKeysThatAreLeft) {
  LAHAR_NEED_DATA(path, std::string("golden/hf/") + GetParam().path);
  const auto model = load_edited(device(), path, GetParam().edit);
  ASSERT_TRUE(model.ok()) << why(model);
  const ModelSpec& spec = model->model->spec;
  const std::vector<int32_t> tokens = text(kTokens);
  for (const uint32_t chunk : {16u, 7u}) {
    const std::vector<size_t> gone = tokens_gone(kTokens, chunk);
    ASSERT_GE(gone.back(), 8 * kStep);
    for (const auto& [type, bound] :
         {std::pair(ops::KvType::kF32, 1e-6), std::pair(ops::KvType::kF16, 1e-5), std::pair(ops::KvType::kI8, 1e-4)}) {
      SCOPED_TRACE("chunk " + std::to_string(chunk) + " " + std::string(to_string(type)));
      ReferenceOptions options{.rolling = {.sinks = kStreaming.sinks, .gone = [&](size_t t) { return gone[t]; }}};
      if (type == ops::KvType::kI8) options.cache = round_int8;
      const auto expected = reference_logits(*model->source, spec, *model->plan, tokens, options);
      ASSERT_TRUE(expected.ok()) << why(expected);
      const std::vector<float> got = logits(*model, {.chunk = chunk, .kv = type, .streaming = kStreaming}, tokens);
      ASSERT_EQ(got.size(), expected->size());
      for (size_t first = 0, end = 0; first < kTokens; first = end) {
        while (end < kTokens && gone[end] == gone[first]) ++end;
        const auto row = [&](size_t t) { return static_cast<std::ptrdiff_t>(t * spec.vocabulary); };
        const double error = normalized_error({got.begin() + row(first), got.begin() + row(end)},
                                              {expected->begin() + row(first), expected->begin() + row(end)});
        EXPECT_LE(error, bound) << "tokens " << first << " to " << end << ", " << gone[first] << " gone";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RolledAttention,
                         ::testing::Values(Case{"rope", "llama-gqa", {}}, Case{"yarn", "llama-yarn", {}},
                                           Case{"norms", "qwen3", {}}, Case{"windows", "gemma3", {}},
                                           Case{"shared_keys", "gemma3n", {}}, Case{"sinks", "gpt-oss", {}},
                                           Case{"alibi", "falcon-mqa", use_alibi}),
                         case_name);

// With a single layer, keys depend on nothing but their token: what is left in the cache is a text like any other.
class RolledLayer : public RollingTest, public ::testing::WithParamInterface<Case> {};

TEST_P(RolledLayer, IsThatOfTheTokensThatAreLeft) {
  LAHAR_NEED_DATA(path, std::string("golden/hf/") + GetParam().path);
  const auto model = load_edited(device(), path, [](ModelSpec& spec) { spec.layers.resize(1); });
  ASSERT_TRUE(model.ok()) << why(model);
  const std::vector<int32_t> tokens = text(kTokens);
  const std::vector<size_t> gone = tokens_gone(kTokens, kStep);
  const auto rolled = logits(*model, {.chunk = kStep, .streaming = kStreaming}, tokens);
  const uint32_t vocabulary = model->model->spec.vocabulary;
  ASSERT_EQ(rolled.size(), size_t{kTokens} * vocabulary);
  // After one roll, after two, and at the end.
  for (const uint32_t last : {kStreaming.context(), kStreaming.context() + kStep, kTokens - 1}) {
    ASSERT_GT(gone[last], 0u);
    std::vector<int32_t> left(tokens.begin(), tokens.begin() + kStreaming.sinks);
    left.insert(left.end(), tokens.begin() + kStreaming.sinks + static_cast<std::ptrdiff_t>(gone[last]),
                tokens.begin() + last + 1);
    const auto expected = logits(*model, {.context = kPlainContext}, left);
    ASSERT_EQ(expected.size(), left.size() * vocabulary);
    const auto row = rolled.begin() + static_cast<std::ptrdiff_t>(size_t{last} * vocabulary);
    EXPECT_LE(normalized_error({row, row + vocabulary}, {expected.end() - vocabulary, expected.end()}), 1e-6)
        << "token " << last;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RolledLayer,
                         ::testing::Values(Case{"rope", "llama-gqa", {}}, Case{"latent", "deepseek-v2", {}},
                                           Case{"latent_v3", "deepseek-v3", {}}),
                         case_name);

// Where no layer looks back farther than the window, rolling changes nothing: the plain engine keeps everything.
class RolledWindow : public RollingTest, public ::testing::WithParamInterface<Case> {
 protected:
  Result<EditedModel> load() {
    return load_edited(device(), data_folder() / "golden/hf" / GetParam().path, shorten_windows);
  }
};

TEST_P(RolledWindow, IsTheWholeText) {
  LAHAR_NEED_DATA(path, std::string("golden/hf/") + GetParam().path);
  const auto model = load();
  ASSERT_TRUE(model.ok()) << why(model);
  const std::vector<int32_t> tokens = text(kTokens);
  const auto expected = logits(*model, {.context = kPlainContext}, tokens);
  ASSERT_FALSE(expected.empty());
  for (const uint32_t chunk : {16u, 7u, 1u}) {
    // States are kept often, so that rolls find some to forget.
    const auto got = logits(*model, {.chunk = chunk, .checkpoint_tokens = 10, .streaming = kStreaming}, tokens);
    EXPECT_LE(normalized_error(got, expected), 1e-9) << "chunk " << chunk;
  }
}

TEST_P(RolledWindow, GeneratesTheSameTokens) {
  LAHAR_NEED_DATA(path, std::string("golden/hf/") + GetParam().path);
  const auto model = load();
  ASSERT_TRUE(model.ok()) << why(model);
  const auto plain = open(*model, {.context = kPlainContext});
  ASSERT_TRUE(plain);
  const GenerateOutcome expected = answer(*plain, text(50), 250);
  for (const uint32_t steps : {1u, 3u}) {
    const auto rolling = open(*model, {.context = 64, .steps_in_flight = steps, .streaming = kStreaming});
    ASSERT_TRUE(rolling);
    const GenerateOutcome got = answer(*rolling, text(50), 250);
    EXPECT_EQ(got.reason, StopReason::kLength);
    EXPECT_EQ(got.tokens, expected.tokens) << steps << " steps under way";
  }
}

// A conversation whose turns end otherwise than they were answered: it goes on from within the window, where states of its
// recurrent layers are held.
TEST_P(RolledWindow, APromptThatPartsWaysInTheWindowGoesOnThere) {
  LAHAR_NEED_DATA(path, std::string("golden/hf/") + GetParam().path);
  const auto model = load();
  ASSERT_TRUE(model.ok()) << why(model);
  const ModelSpec& spec = model->model->spec;
  const bool recurrent =
      !std::all_of(spec.layers.begin(), spec.layers.end(), [](const LayerSpec& l) { return is_attention(l.mixer); });
  const bool has_keys = must_roll(spec, kStreaming);
  const EngineOptions options{.chunk = 16, .checkpoint_tokens = 16};
  EngineOptions streaming = options, whole = options;
  streaming.streaming = kStreaming, whole.context = kPlainContext;
  const auto rolling = open(*model, streaming), plain = open(*model, whole);
  ASSERT_TRUE(rolling && plain);
  std::vector<int32_t> conversation = text(kTokens);
  const auto next_turn = [&](uint32_t reused, const std::string& what) {
    SCOPED_TRACE(what);
    plain->forget();
    const GenerateOutcome got = answer(*rolling, conversation);
    EXPECT_EQ(got.stats.reused_tokens, reused);
    EXPECT_EQ(got.tokens, answer(*plain, conversation).tokens);
    conversation.insert(conversation.end(), got.tokens.begin(), got.tokens.end());
  };
  next_turn(0, "beginning");
  conversation.push_back(249);
  next_turn(kTokens + 19, "behind it");  // the reply's last token was not fed
  const auto end = static_cast<uint32_t>(conversation.size());
  conversation.back() ^= 1;  // was not fed either
  conversation[end - 2] ^= 1;
  next_turn(end - 2, "another token at the end");
  // Within the window, and farther from the sinks than any layer sees.
  const auto parted = static_cast<uint32_t>(conversation.size()) - 18;
  conversation[parted] ^= 1;
  conversation.resize(parted + 1);
  // A model without keys has its whole context's room for states, and all of them are held still.
  next_turn(recurrent && has_keys ? parted / 16 * 16 : parted, "in the last turn");
  // Far behind the window nothing is left; states of a model without keys have no window.
  conversation[100] ^= 1;
  next_turn(has_keys ? 0 : 96, "at the beginning");
}

INSTANTIATE_TEST_SUITE_P(Models, RolledWindow,
                         ::testing::Values(Case{"attention", "llama-gqa", {}}, Case{"mamba2_hybrid", "granite-hybrid", {}},
                                           Case{"delta_net_hybrid", "qwen3-next", {}}, Case{"mamba2", "mamba2", {}},
                                           Case{"rwkv4", "rwkv4", {}}),
                         case_name);

// Positions of a model without keys run on beyond its context: nothing grows, and no program is recorded anew.
TEST_F(RollingTest, RecurrentLayersAloneRunOnInConstantMemory) {
  LAHAR_NEED_DATA(path, "golden/hf/mamba2");
  const auto model = load_edited(device(), path, {});
  ASSERT_TRUE(model.ok()) << why(model);
  const auto engine = open(*model, {.context = 64, .streaming = kStreaming});
  ASSERT_TRUE(engine);
  uint64_t memory = 0, recorded = 0, tokens = 0;
  const auto outcome = engine->generate({.prompt = text(100),
                                         .max_tokens = 1000,
                                         .sampling = {.temperature = 0},
                                         .on_token = [&](int32_t, const params::SampleRecord& record) {
                                           EXPECT_TRUE(std::isfinite(record.logprob));
                                           const uint64_t used = device().memory_use().used;
                                           if (++tokens == 10) memory = used, recorded = engine->steps().recorded();
                                           if (tokens < 10) return true;
                                           EXPECT_EQ(used, memory);
                                           EXPECT_EQ(engine->steps().recorded(), recorded);
                                           return true;
                                         }});
  ASSERT_TRUE(outcome.ok()) << why(outcome);
  EXPECT_EQ(outcome->reason, StopReason::kLength);
  EXPECT_EQ(outcome->tokens.size(), 1000u);
}

}  // namespace
}  // namespace lahar::test
