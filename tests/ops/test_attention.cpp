// attention against float64, in every form that the device has: few rows and many, types of the cache, head sizes, head
// counts, windows, soft caps, chunks that begin anywhere, several runs of several slots in a step, pages and segments in no
// order.
#include "ops/attention_test.h"

namespace lahar::test {
namespace {

using ops::KvType;

using AttentionTest = GpuTest;
using Case = AttentionCase;
using Rig = AttentionRig;
using Forms = AttentionForms;

constexpr uint32_t kSplitPages = 40;  // of a slot: enough for the context to be split

constexpr KvType kTypes[] = {KvType::kF16, KvType::kF32, KvType::kBF16, KvType::kI8, KvType::kF8, KvType::kI4};

TEST_F(AttentionTest, DecodeAtEveryLength) {
  for (const KvType type : kTypes)
    for (const uint32_t pages : {8u, kSplitPages})
      for (const uint32_t index : {0u, 1u, 3u, 4u, 15u, 16u, 17u, 63u, 64u, 97u, 127u, 600u})
        if (index < pages * params::kPageTokens)
          run_case(device(), {.kv = {.pages_per_slot = pages, .type = type}, .runs = {{1, index, 1}}});
}

TEST_F(AttentionTest, DecodeHeadsOfEverySize) {
  for (const uint32_t dim : {4u, 24u, 64u, 100u, 256u})
    for (const uint32_t pages : {8u, kSplitPages})
      if (pages == 8 || dim == 24)
        run_case(device(), {.kv = {.pages_per_slot = pages, .head_dim = dim}, .runs = {{0, 44, 1}}});
}

TEST_F(AttentionTest, QuantizedHeadsOfEverySize) {
  const std::pair<KvType, uint32_t> cases[] = {
      {KvType::kI8, 36}, {KvType::kF8, 12}, {KvType::kI4, 12}, {KvType::kI4, 80}, {KvType::kI4, 256}};
  for (const auto& [type, dim] : cases)
    for (const uint32_t rows : {1u, 18u})
      run_case(device(), {.kv = {.head_dim = dim, .type = type}, .runs = {{0, 30, rows}}, .bucket = rows});
}

// A context of its own for each step: what is beyond it is not looked at.
TEST_F(AttentionTest, ContextOfTheStep) {
  for (const uint32_t context : {64u, 65u, 128u, 192u})
    run_case(device(),
             {.kv = {.pages_per_slot = kSplitPages}, .runs = {{0, context - 3, 3}}, .bucket = 4, .max_context = context});
}

TEST_F(AttentionTest, DecodeHeadCounts) {
  for (const uint32_t group : {1u, 3u, 8u, 9u, 71u})
    run_case(device(), {.kv = {.kv_heads = group == 71 ? 1u : 3u, .head_dim = 32},
                        .heads = group * (group == 71 ? 1 : 3),
                        .runs = {{0, 37, 1}}});
}

TEST_F(AttentionTest, DecodeWindowsAndCaps) {
  for (const uint32_t window : {1u, 2u, 16u, 30u, 64u, 500u})
    for (const uint32_t index : {0u, 20u, 90u})
      run_case(device(), {.kv = {.pages_per_slot = kSplitPages}, .runs = {{0, index, 1}}, .window = window});
  run_case(device(), {.runs = {{0, 70, 1}}, .softcap = 2, .score_scale = 5});
}

TEST_F(AttentionTest, DecodeRowsOfSeveralSlots) {
  run_case(device(), {.kv = {.slots = 3}, .runs = {{0, 5, 1}, {2, 100, 1}, {1, 33, 1}}, .bucket = 4});
  run_case(device(),
           {.kv = {.slots = 3, .pages_per_slot = kSplitPages}, .runs = {{1, 300, 3}}, .bucket = 4, .invalid_row = 1});
}

// Short runs are for the decode kernels as well.
TEST_F(AttentionTest, FewRows) {
  for (const uint32_t rows : {2u, 3u, 5u, 8u, 16u})
    for (const uint32_t heads : {2u, 4u, 6u}) {
      run_case(device(), {.heads = heads, .runs = {{1, 39, rows}}, .bucket = rows});
      run_case(device(), {.heads = heads, .runs = {{1, 0, rows}}, .bucket = 16, .window = 5});
    }
  const KvShape kv{.slots = 5};
  run_case(device(),
           {.kv = kv, .heads = 2, .runs = {{3, 0, 7}, {0, 60, 1}, {4, 33, 3}, {1, 2, 1}, {2, 90, 4}}, .bucket = 16});
}

TEST_F(AttentionTest, PrefillAtEveryLength) {
  for (const KvType type : kTypes)
    for (const uint32_t rows : {5u, 17u, 31u, 32u, 33u, 64u, 67u})
      run_case(device(), {.kv = {.type = type}, .runs = {{1, 0, rows}}, .bucket = 128});
}

TEST_F(AttentionTest, PrefillChunks) {
  for (const uint32_t first : {1u, 15u, 16u, 50u})
    for (const uint32_t rows : {7u, 64u}) run_case(device(), {.runs = {{1, first, rows}}, .bucket = 64});
}

TEST_F(AttentionTest, PrefillHeadsOfEverySize) {
  for (const uint32_t dim : {4u, 24u, 64u, 100u, 256u})
    run_case(device(), {.kv = {.head_dim = dim}, .runs = {{0, 9, 35}}, .bucket = 64});
}

TEST_F(AttentionTest, PrefillHeadCounts) {
  for (const uint32_t group : {1u, 3u, 71u})
    run_case(device(), {.kv = {.kv_heads = group == 71 ? 1u : 2u, .head_dim = 16},
                        .heads = group * (group == 71 ? 1 : 2),
                        .runs = {{0, 3, 13}},
                        .bucket = 16});
}

TEST_F(AttentionTest, PrefillWindowsAndCaps) {
  for (const uint32_t window : {1u, 5u, 16u, 33u, 100u})
    run_case(device(), {.runs = {{0, 20, 60}}, .bucket = 64, .window = window});
  run_case(device(), {.runs = {{0, 0, 40}}, .bucket = 64, .softcap = 3, .score_scale = 5});
}

TEST_F(AttentionTest, PrefillSeveralRuns) {
  const KvShape kv{.slots = 5, .pages_per_slot = 5, .pages_per_segment = 4};
  run_case(device(), {.kv = kv, .runs = {{3, 0, 17}, {0, 60, 1}, {4, 33, 30}, {1, 2, 1}, {2, 5, 9}}, .bucket = 64});
  run_case(device(), {.kv = kv, .runs = {{3, 0, 8}, {1, 40, 20}}, .bucket = 32, .invalid_row = 11});
}

TEST_F(AttentionTest, LargeScores) {
  for (const uint32_t bucket : {1u, 32u}) run_case(device(), {.runs = {{0, 30, 1}}, .bucket = bucket, .score_scale = 60});
}

TEST_F(AttentionTest, AllForms) {
  for (const uint32_t rows : {1u, 3u, 60u})
    run_case(device(), {.kv = {.pages_per_slot = kSplitPages}, .runs = {{1, 300, rows}}, .bucket = rows}, Forms::kAll);
}

// What devices with few registers are given by default.
TEST_F(AttentionTest, FewKeysAtATime) {
  for (const uint32_t rows : {1u, 3u, 35u}) {
    Rig rig(device(), {.kv = {.pages_per_slot = kSplitPages, .head_dim = 80},
                       .heads = 6,
                       .runs = {{1, 301, rows}},
                       .bucket = rows,
                       .window = 290});
    const auto path = rows > 16 ? ops::AttentionPath::kTile : ops::AttentionPath::kDecode;
    const std::vector<ops::AttentionForm> forms = rig.forms();
    const auto found = std::find_if(forms.begin(), forms.end(), [&](const auto& f) { return f.path == path; });
    ASSERT_NE(found, forms.end());
    for (const uint32_t keys : {1u, 2u}) {
      ops::AttentionForm form = *found;
      form.keys = keys;
      if (path == ops::AttentionPath::kDecode) form.items = 3;
      else if (keys == 2) continue;
      ASSERT_TRUE(can_attention(device().caps(), rig.params(), form));
      run_form(device(), rig, form);
    }
  }
}

// On matrices alone: a CPU driver takes long to compile each of these kernels.
class AttentionMatrixTest : public AttentionTest {
 protected:
  void SetUp() override {
    AttentionTest::SetUp();
    const Rig rig(device(), {.bucket = 32});
    const auto forms = rig.forms();
    if (std::none_of(forms.begin(), forms.end(), [](const auto& f) { return f.path == ops::AttentionPath::kCoop; }))
      GTEST_SKIP() << "the device has no cooperative matrices that the kernel can use";
  }
};

TEST_F(AttentionMatrixTest, EveryLength) {
  for (const uint32_t rows : {17u, 67u})
    for (const uint32_t first : {0u, 35u}) run_case(device(), {.runs = {{1, first, rows}}, .bucket = 128}, Forms::kCoop);
}

TEST_F(AttentionMatrixTest, HeadsAndTypes) {
  for (const uint32_t dim : {32u, 48u, 128u, 256u})
    run_case(device(), {.kv = {.head_dim = dim}, .heads = 6, .runs = {{0, 9, 35}}, .bucket = 64}, Forms::kCoop);
  for (const KvType type : {KvType::kBF16, KvType::kI8, KvType::kF8, KvType::kI4})
    run_case(device(), {.kv = {.type = type}, .runs = {{0, 20, 40}}, .bucket = 64, .window = 21, .softcap = 3},
             Forms::kCoop);
}

// As many narrow subgroups as there are lanes in four wide ones.
TEST_F(AttentionMatrixTest, ManySubgroups) {
  Rig rig(device(), {.kv = {.head_dim = 80}, .heads = 6, .runs = {{0, 9, 35}}, .bucket = 64});
  for (ops::AttentionForm form : rig.forms()) {
    if (form.path != ops::AttentionPath::kCoop) continue;
    form.subgroups = 128 / form.subgroup;
    ASSERT_TRUE(can_attention(device().caps(), rig.params(), form));
    return run_form(device(), rig, form);
  }
}

TEST_F(AttentionTest, FormsAsText) {
  for (const uint32_t bucket : {1u, 16u, 64u}) {
    const Rig exact(device(), {.bucket = bucket, .precision = ops::Precision::kF32});
    for (const ops::AttentionForm& form : exact.forms()) EXPECT_NE(form.path, ops::AttentionPath::kCoop);
    const Rig rig(device(), {.bucket = bucket});
    for (const ops::AttentionForm& form : rig.forms()) {
      const auto parsed = ops::parse_attention_form(to_string(form));
      ASSERT_TRUE(parsed.has_value()) << to_string(form);
      EXPECT_EQ(*parsed, form);
    }
  }
  for (const char* text : {"", "gemv", "decode team", "decode team x", "decode team 4 4"})
    EXPECT_FALSE(ops::parse_attention_form(text).has_value()) << text;
}

// What was measured is taken, what is in quarantine never.
TEST_F(AttentionTest, TakesWhatWasMeasured) {
  const Rig rig(device(), {.bucket = 32});
  ops::AttentionParams params = rig.params();
  const std::vector<ops::AttentionForm> forms = rig.forms();
  if (forms.size() < 2) GTEST_SKIP() << "the device has one form";
  ops::Tuning tuning;
  params.tuning = &tuning;
  EXPECT_EQ(default_form(device().caps(), params), forms[0]);
  const auto shader_of = [&] {
    gpu::Recorder recorder(device());
    EXPECT_TRUE(ops::attention(recorder, params).ok());
    return recorder.nodes().front().kernel->desc();
  };
  const gpu::KernelDesc by_default = shader_of();
  tuning.choose(ops::attention_case(params), to_string(forms[1]));
  EXPECT_FALSE(shader_of() == by_default);
  tuning.quarantine(to_string(forms[1]), "test");
  EXPECT_TRUE(shader_of() == by_default);
  tuning.quarantine(to_string(forms[0]), "test");
  EXPECT_FALSE(default_form(device().caps(), params) == forms[0]);
}

TEST_F(AttentionTest, DeclaresWhatItTouches) {
  for (const uint32_t bucket : {3u, 16u}) {
    Rig rig(device(), {.kv = {.pages_per_slot = kSplitPages, .type = KvType::kI4}, .runs = {{1, 300, 3}}, .bucket = bucket});
    for (const ops::AttentionForm& form : rig.forms())
      prove_hazards(
          device(), [&](gpu::Recorder& recorder) { return ops::attention_with(recorder, rig.params(), form); },
          rig.buffers());
  }
}

}  // namespace
}  // namespace lahar::test
