#include <gtest/gtest.h>

#include <set>

#include "gpu/gpu_test.h"
#include "ops/attention_variants.h"
#include "ops/matmul_variants.h"
#include "temporary_folder.h"
#include "tune/timed.h"
#include "tune/tuner.h"

namespace lahar::test {
namespace {

using tune::Case;
using tune::Database;
using tune::FormResult;

class TunerTest : public GpuTest {
 protected:
  Database database() { return Database::open(device(), folder_); }

  Case matmul(const tune::MatmulShape& shape, uint32_t bucket) {
    auto matrix = tune::SampleMatrix::create(device(), shape.matrix, 1 << 16);
    EXPECT_TRUE(matrix.ok()) << why(matrix);
    if (!matrix.ok()) return {};
    auto made = tune::make_matmul_case(device(), std::make_shared<const tune::SampleMatrix>(std::move(matrix).value()),
                                       shape, bucket);
    EXPECT_TRUE(made.ok()) << why(made);
    return made.ok() ? std::move(made).value() : Case{};
  }
  // A few forms: a CPU's compiler takes long for each.
  static void keep_first(Case& c, size_t n) { c.candidates.resize(std::min(c.candidates.size(), n)); }

  void expect_all_right(const Case& c) {
    const auto results = tune::check_case(device(), c, nullptr);
    ASSERT_TRUE(results.ok()) << why(results);
    EXPECT_FALSE(results->empty()) << c.label;
    for (const FormResult& r : *results) EXPECT_EQ(r.status, FormResult::Status::kOk) << r.form << ": " << r.reason;
  }

  const TemporaryFolder own_folder_;
  const std::filesystem::path& folder_ = own_folder_.path();
};

tune::MatmulShape small(quant::WeightFormat format, uint32_t rows = 101, uint32_t cols = 256) {
  return {.matrix = {format, rows, cols, format == quant::WeightFormat::kI4 ? 64u : 0u}};
}

TEST(TakenCandidate, IsWhatTheOpTakes) {
  Case c{.name = "case", .candidates = {{.form = "a"}, {.form = "b"}, {.form = "c"}}};
  EXPECT_EQ(tune::taken_candidate(c, nullptr).form, "a") << "the default";
  ops::Tuning tuning;
  EXPECT_EQ(tune::taken_candidate(c, &tuning).form, "a") << "nothing was measured";
  tuning.choose("case", "c");
  tuning.choose("another", "b");
  EXPECT_EQ(tune::taken_candidate(c, &tuning).form, "c");
  tuning.quarantine("c", "wrong");
  tuning.quarantine("a", "wrong");
  EXPECT_EQ(tune::taken_candidate(c, &tuning).form, "b");
}

TEST_F(TunerTest, TheDeviceDoesWhatItIsTold) {
  const Status proof = tune::prove_device(device());
  EXPECT_TRUE(proof.ok()) << why(proof);
}

TEST_F(TunerTest, TheDefaultFormOfEveryFormatIsRight) {
  for (uint32_t i = 0; i < static_cast<uint32_t>(quant::WeightFormat::kCount); ++i) {
    Case c = matmul(small(static_cast<quant::WeightFormat>(i)), 1);
    keep_first(c, 1);
    expect_all_right(c);
  }
}

TEST_F(TunerTest, ManyRowsGatesAndLogitsAreRight) {
  // More rows than the period of the sample, odd ones, and a gate whose halves overlap in it.
  Case many = matmul(small(quant::WeightFormat::kQ8_0, 523, 64), 17);
  keep_first(many, 2);
  expect_all_right(many);
  tune::MatmulShape gated = small(quant::WeightFormat::kF16, 600, 64);
  gated.glu = ops::Activation::kSilu;
  Case with_gate = matmul(gated, 3);
  keep_first(with_gate, 2);
  expect_all_right(with_gate);
  tune::MatmulShape logits = small(quant::WeightFormat::kF16);
  logits.gathered = true;
  Case gathered = matmul(logits, 4);
  keep_first(gathered, 1);
  expect_all_right(gathered);
}

TEST_F(TunerTest, AttentionIsRightInEveryKindOfCache) {
  // The form that a CPU's compiler is quickest with.
  for (uint32_t type = 0; type < static_cast<uint32_t>(ops::KvType::kCount); ++type) {
    const tune::AttentionShape shape{.cache = {static_cast<ops::KvType>(type), 1, 32}, .heads = 2};
    auto c = tune::make_attention_case(device(), shape, {1, 100, 100}, 1 << 16);
    ASSERT_TRUE(c.ok()) << why(c);
    std::erase_if(c->candidates, [](const tune::Candidate& k) { return k.path != "decode"; });
    keep_first(*c, 1);
    expect_all_right(*c);
  }
  tune::AttentionShape window{.cache = {ops::KvType::kF16, 1, 32}, .heads = 2, .softcap = 5, .window = 21};
  auto prompt = tune::make_attention_case(device(), window, {40, 90, 90}, 1);
  ASSERT_TRUE(prompt.ok()) << why(prompt);
  std::erase_if(prompt->candidates, [](const tune::Candidate& k) { return k.path != "lanes" && k.path != "tile"; });
  keep_first(*prompt, 1);
  expect_all_right(*prompt);
}

TEST_F(TunerTest, LatentAttentionIsRight) {
  const tune::AttentionShape shape{.cache = {ops::KvType::kF16, 1, 48, 32}, .heads = 3};
  auto c = tune::make_attention_case(device(), shape, {2, 70, 70}, 1 << 16);
  ASSERT_TRUE(c.ok()) << why(c);
  keep_first(*c, 1);
  expect_all_right(*c);
  tune::AttentionShape scaled = shape;
  scaled.cache.type = ops::KvType::kI8;
  EXPECT_FALSE(tune::make_attention_case(device(), scaled, {2, 70, 70}, 1).ok());
}

// One form of each path: two dispatches for a few rows, products of sorted rows for many.
TEST_F(TunerTest, ExpertsAreRight) {
  using enum quant::WeightFormat;
  const auto check = [&](const tune::ExpertsShape& shape, uint32_t bucket, uint64_t ring_bytes) {
    auto c = tune::make_experts_case(device(), shape, bucket, ring_bytes);
    ASSERT_TRUE(c.ok()) << why(c);
    std::set<std::string> paths;
    std::erase_if(c->candidates, [&](const tune::Candidate& k) { return !paths.insert(k.path).second; });
    EXPECT_EQ(paths.contains("grouped"), true) << c->label;
    expect_all_right(*c);
    Case far = *c;
    for (tune::Candidate& k : far.candidates)
      k.record = [record = k.record, last = c->copies - 1](gpu::Recorder& r, uint32_t) { return record(r, last); };
    if (c->copies > 1) expect_all_right(far);
  };
  check({.gate_up = {kQ4_0, 2 * 160, 96, 0}, .down = {kQ4_0, 96, 160, 0}, .experts = 5, .chosen = 2}, 3, 1 << 20);
  check({.gate_up = {kF16, 300, 64, 0}, .down = {kF16, 64, 300, 0}, .experts = 7, .chosen = 3, .gated = false}, 20, 1);
}

TEST_F(TunerTest, ChoosesAFormThatRunsAndStoresIt) {
  const Case c = [&] {
    Case all = matmul(small(quant::WeightFormat::kF16), 1);
    keep_first(all, 3);
    return all;
  }();
  {
    Database db = database();
    const auto tuned = tune::tune_case(device(), c, db, {.form_seconds = 0.01});
    ASSERT_TRUE(tuned.ok()) << why(tuned);
    EXPECT_GT(tuned->seconds, 0);
    EXPECT_EQ(tuned->wrong, 0u);
    EXPECT_EQ(tuned->default_form, c.candidates[0].form);
    ASSERT_TRUE(db.save().ok());
  }
  const auto tuning = database().tuning();
  ASSERT_NE(tuning, nullptr);
  const std::string* chosen = tuning->chosen(c.name);
  ASSERT_NE(chosen, nullptr);
  EXPECT_TRUE(std::any_of(c.candidates.begin(), c.candidates.end(), [&](const auto& k) { return k.form == *chosen; }));
}

TEST_F(TunerTest, PrefersTheFasterFormAndDropsTheHopelessOne) {
  Case c = matmul(small(quant::WeightFormat::kF16), 1);
  keep_first(c, 1);
  const auto repeated = [once = c.candidates[0].record](uint32_t times) {
    return [once, times](gpu::Recorder& recorder, uint32_t copy) -> Status {
      for (uint32_t i = 0; i < times; ++i) LAHAR_TRY(once(recorder, copy));
      return {};
    };
  };
  const tune::Candidate fast = c.candidates[0];
  c.candidates = {fast, fast};
  c.candidates[0].form = "slow", c.candidates[0].record = repeated(40);
  c.candidates[1].form = "fast";
  Database db = database();
  const auto tuned = tune::tune_case(device(), c, db, {.form_seconds = 0.01});
  ASSERT_TRUE(tuned.ok()) << why(tuned);
  EXPECT_EQ(tuned->form, "fast");
}

TEST_F(TunerTest, AFormThatIsWrongGoesToQuarantineAtOnce) {
  Case c = matmul(small(quant::WeightFormat::kF16), 1);
  keep_first(c, 1);
  tune::Candidate wrong = c.candidates[0];
  wrong.form = "zeros";
  wrong.record = [y = c.y](gpu::Recorder& recorder, uint32_t) -> Status {
    recorder.fill("zeros", y, 0);
    return {};
  };
  tune::Candidate nothing = wrong;
  nothing.form = "nothing", nothing.record = [](gpu::Recorder&, uint32_t) { return Status{}; };
  tune::Candidate broken = wrong;
  broken.form = "broken", broken.record = [](gpu::Recorder&, uint32_t) {
    return Status(Error{ErrorCode::kInternal, "the driver did not compile it"});
  };
  tune::Candidate lacking = wrong;
  lacking.form = "lacking", lacking.record = [](gpu::Recorder&, uint32_t) {
    return Status(Error{ErrorCode::kUnsupported, "a feature is missing"});
  };
  c.candidates = {wrong, nothing, broken, lacking, c.candidates[0]};
  {
    Database db = database();
    const auto tuned = tune::tune_case(device(), c, db, {.form_seconds = 0.01});
    ASSERT_TRUE(tuned.ok()) << why(tuned);
    EXPECT_EQ(tuned->form, c.candidates.back().form);
    EXPECT_EQ(tuned->wrong, 3u);
  }
  const Database db = database();  // saved without being asked to
  for (const char* form : {"zeros", "nothing", "broken"}) EXPECT_NE(db.quarantined(form), nullptr) << form;
  EXPECT_EQ(db.quarantined("lacking"), nullptr);
  EXPECT_EQ(db.quarantined(c.candidates.back().form), nullptr);
}

TEST_F(TunerTest, NothingIsBlamedWhereNothingIsRight) {
  Case c = matmul(small(quant::WeightFormat::kF16), 1);
  keep_first(c, 2);
  for (double& v : c.expected.values) v += 1;
  Database db = database();
  const auto tuned = tune::tune_case(device(), c, db, {.form_seconds = 0.01});
  ASSERT_TRUE(tuned.ok()) << why(tuned);
  EXPECT_NE(tuned->note, "");
  EXPECT_TRUE(db.quarantined().empty());
  EXPECT_TRUE(db.choices().empty());
}

TEST_F(TunerTest, ALostDeviceIsTheFormsFault) {
  Case c = matmul(small(quant::WeightFormat::kF16), 1);
  keep_first(c, 1);
  c.candidates[0].form = "deadly";
  c.candidates[0].record = [](gpu::Recorder&, uint32_t) { return Status(Error{ErrorCode::kDeviceLost, "gone"}); };
  Database db = database();
  const auto tuned = tune::tune_case(device(), c, db, {});
  ASSERT_FALSE(tuned.ok());
  EXPECT_EQ(tuned.error().code, ErrorCode::kDeviceLost);
  EXPECT_NE(database().quarantined("deadly"), nullptr);
}

TEST_F(TunerTest, APlanStopsWhenItIsTold) {
  tune::TunePlan plan;
  plan.matmuls = {{small(quant::WeightFormat::kF16, 32, 64), {1, 2}}};
  EXPECT_EQ(plan.cases(), 2u);
  Database db = database();
  size_t seen = 0;
  const Status status = tune::tune_all(device(), plan, db, {.form_seconds = 0.001, .cold_bytes = 1 << 16},
                                       [&](size_t done, size_t all, const tune::TunedCase&) {
                                         EXPECT_EQ(all, 2u);
                                         seen = done;
                                         return false;
                                       });
  EXPECT_TRUE(status.ok()) << why(status);
  EXPECT_EQ(seen, 1u);
  EXPECT_EQ(database().choices().size(), 1u);
}

// ---- what ops make of it

std::string kernel_of(gpu::Device& device, const std::function<Status(gpu::Recorder&)>& record) {
  gpu::Recorder recorder(device);
  const Status recorded = record(recorder);
  EXPECT_TRUE(recorded.ok()) << why(recorded);
  return recorder.nodes().empty() ? "" : std::string(recorder.nodes().back().kernel->shader().name);
}

TEST_F(TunerTest, MatmulTakesTheChosenFormAndSkipsQuarantinedOnes) {
  const tune::MatmulShape shape = small(quant::WeightFormat::kF16);
  auto matrix = tune::SampleMatrix::create(device(), shape.matrix, 1);
  ASSERT_TRUE(matrix.ok()) << why(matrix);
  const gpu::Buffer x = make_buffer(device(), 256 * 4), y = make_buffer(device(), 104 * 4);
  const auto step = tune::TimedStep::create(device(), 1);
  ASSERT_TRUE(step.ok()) << why(step);
  ops::Tuning tuning;
  ops::MatmulParams p{.w = &matrix->copy(0), .x = {x, 256}, .y = {y, 104}, .step = step->ref()};
  p.tuning = &tuning, p.label = "matmul";
  const auto record = [&](gpu::Recorder& recorder) { return ops::matmul(recorder, p); };
  const std::string usual = kernel_of(device(), record);
  const ops::MatmulForm usual_form = ops::default_form(device().caps(), p);

  tuning.choose(ops::matmul_case(p), "gemm tile_m 64 tile_n 16");
  EXPECT_NE(usual, "gemm");
  EXPECT_EQ(kernel_of(device(), record), "gemm");
  tuning.quarantine("gemm tile_m 64 tile_n 16", "a test");
  EXPECT_EQ(kernel_of(device(), record), usual);
  tuning.quarantine(to_string(usual_form), "a test");
  EXPECT_NE(to_string(ops::default_form(device().caps(), p)), to_string(usual_form));
}

TEST_F(TunerTest, AttentionTakesTheChosenForm) {
  const tune::AttentionShape shape{.cache = {ops::KvType::kF16, 2, 64}, .heads = 4};
  auto cache = tune::SampleCache::create(device(), shape.cache, 64, 64, 1);
  ASSERT_TRUE(cache.ok()) << why(cache);
  const gpu::Buffer q = make_buffer(device(), 256 * 4), out = make_buffer(device(), 256 * 4);
  const gpu::Buffer scratch = make_buffer(device(), ops::attention_scratch_bytes(device().caps(), 1, 4, 64, 64));
  const auto step = tune::TimedStep::create(device(), 1, 63);
  ASSERT_TRUE(step.ok()) << why(step);
  ops::Tuning tuning;
  ops::AttentionParams p{.q = {q, 256}, .out = {out, 256}, .heads = 4, .kv = cache->copy(0), .scratch = scratch};
  p.max_context = 64, p.step = step->ref(), p.tuning = &tuning, p.label = "attention";
  const auto record = [&](gpu::Recorder& recorder) { return ops::attention(recorder, p); };
  EXPECT_NE(kernel_of(device(), record), "attention_prefill_tile");
  tuning.choose(ops::attention_case(p), "tile");
  EXPECT_EQ(kernel_of(device(), record), "attention_prefill_tile");
}

// A form's split belongs to one context; the rest of it is what was chosen.
TEST_F(TunerTest, AChoiceHoldsForContextsOfAboutItsLength) {
  auto cache = tune::SampleCache::create(device(), {ops::KvType::kF16, 2, 64}, 16, 1000, 1);
  ASSERT_TRUE(cache.ok()) << why(cache);
  const gpu::Buffer q = make_buffer(device(), 256 * 4), out = make_buffer(device(), 256 * 4);
  const gpu::Buffer scratch = make_buffer(device(), ops::attention_scratch_bytes(device().caps(), 1, 4, 64, 1000));
  const auto step = tune::TimedStep::create(device(), 1, 15);
  ASSERT_TRUE(step.ok()) << why(step);
  ops::Tuning tuning;
  ops::AttentionParams longer{.q = {q, 256}, .out = {out, 256}, .heads = 4, .kv = cache->copy(0), .scratch = scratch};
  longer.max_context = 1000, longer.step = step->ref(), longer.tuning = &tuning, longer.label = "attention";
  ops::AttentionParams shorter = longer;
  shorter.max_context = 520;
  ASSERT_EQ(ops::attention_case(shorter), ops::attention_case(longer));
  size_t tried = 0;
  for (const ops::AttentionForm& form : ops::attention_forms(device().caps(), longer)) {
    if (ops::can_attention(device().caps(), shorter, form)) continue;
    ++tried;
    tuning.choose(ops::attention_case(longer), to_string(form));
    gpu::Recorder recorder(device());
    const Status recorded = ops::attention(recorder, shorter);
    ASSERT_TRUE(recorded.ok()) << why(recorded);
    gpu::Recorder expected(device());
    for (ops::AttentionForm same : ops::attention_forms(device().caps(), shorter)) {
      const ops::AttentionForm listed = same;
      same.splits = form.splits;
      if (same != form) continue;
      ASSERT_TRUE(ops::attention_with(expected, shorter, listed).ok());
      break;
    }
    ASSERT_FALSE(expected.nodes().empty()) << to_string(form);
    EXPECT_EQ(recorder.nodes().front().kernel, expected.nodes().front().kernel) << to_string(form);
  }
  if (tried == 0) GTEST_SKIP() << "needs a device whose forms split these two contexts differently";
}

}  // namespace
}  // namespace lahar::test
