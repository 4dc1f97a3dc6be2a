// attention against float64 with what some architectures add: sinks, chunks, ALiBi, values that are dims of the keys.
#include "ops/attention_test.h"

namespace lahar::test {
namespace {

using ops::KvType;

constexpr uint32_t kSplitPages = 40;  // of a slot: enough for the context to be split

using AttentionMaskTest = GpuTest;

TEST_F(AttentionMaskTest, Sinks) {
  for (const uint32_t pages : {8u, kSplitPages})
    for (const uint32_t index : {0u, 16u, 97u})
      run_case(device(), {.kv = {.pages_per_slot = pages}, .heads = 6, .runs = {{1, index, 1}}, .sinks = true});
  run_case(device(), {.heads = 6, .runs = {{0, 20, 3}}, .bucket = 4, .window = 5, .sinks = true, .invalid_row = 1});
  for (const uint32_t rows : {17u, 40u})
    run_case(device(), {.heads = 6, .runs = {{1, 9, rows}}, .bucket = 64, .window = 16, .sinks = true, .invalid_row = 2});
}

// A sink far above all scores leaves next to nothing, never NaN.
TEST_F(AttentionMaskTest, SinksAboveAllScores) {
  for (const uint32_t bucket : {1u, 32u})
    run_case(device(), {.heads = 10, .runs = {{0, 30, 1}}, .bucket = bucket, .sinks = true, .score_scale = 0.01f});
}

TEST_F(AttentionMaskTest, Chunks) {
  for (const uint32_t chunk : {1u, 7u, 16u, 24u, 100u})
    for (const uint32_t index : {0u, 15u, 16u, 99u, 100u})
      run_case(device(), {.kv = {.pages_per_slot = kSplitPages}, .runs = {{1, index, 1}}, .chunk = chunk});
  run_case(device(), {.kv = {.pages_per_slot = kSplitPages}, .runs = {{1, 62, 5}}, .bucket = 8, .chunk = 64});
  for (const uint32_t chunk : {5u, 16u, 48u}) run_case(device(), {.runs = {{1, 11, 60}}, .bucket = 64, .chunk = chunk});
}

TEST_F(AttentionMaskTest, Alibi) {
  for (const uint32_t heads : {4u, 6u}) {
    const KvShape kv{.pages_per_slot = kSplitPages};
    for (const uint32_t index : {0u, 300u})
      run_case(device(), {.kv = kv, .heads = heads, .runs = {{0, index, 1}}, .alibi = 8});
    run_case(device(), {.kv = kv, .heads = heads, .runs = {{0, 30, 40}}, .bucket = 64, .alibi = 8});
  }
  run_case(device(), {.heads = 6, .runs = {{0, 70, 2}}, .bucket = 2, .window = 30, .alibi = 4});
  for (const auto& [bucket, rows] : {std::pair{1u, 1u}, {4u, 3u}, {64u, 40u}})
    run_case(device(), {.heads = 6, .runs = {{0, 30, rows}}, .bucket = bucket, .alibi = 8, .alibi_scaled = true});
}

TEST_F(AttentionMaskTest, ValuesThatAreDimsOfTheKeys) {
  for (const KvType type : {KvType::kF16, KvType::kF32, KvType::kI8, KvType::kI4})
    for (const uint32_t rows : {1u, 18u})
      run_case(device(), {.kv = {.kv_heads = 1, .head_dim = 40, .type = type, .shared_dim = 32},
                          .heads = 5,
                          .runs = {{1, 33, rows}},
                          .bucket = rows});
  run_case(device(), {.kv = {.pages_per_slot = kSplitPages, .kv_heads = 1, .head_dim = 80, .shared_dim = 64},
                      .heads = 9,
                      .runs = {{0, 500, 3}},
                      .bucket = 4});
}

TEST_F(AttentionMaskTest, OnMatrices) {
  const AttentionRig rig(device(), {.bucket = 32});
  const auto forms = rig.forms();
  if (std::none_of(forms.begin(), forms.end(), [](const auto& f) { return f.path == ops::AttentionPath::kCoop; }))
    GTEST_SKIP() << "the device has no cooperative matrices that the kernel can use";
  run_case(device(), {.heads = 6, .runs = {{0, 9, 35}}, .bucket = 64, .window = 16, .sinks = true}, AttentionForms::kCoop);
  run_case(device(), {.heads = 6, .runs = {{0, 9, 35}}, .bucket = 64, .chunk = 17, .alibi = 8}, AttentionForms::kCoop);
  run_case(device(), {.heads = 6, .runs = {{0, 9, 35}}, .bucket = 64, .alibi = 8, .alibi_scaled = true},
           AttentionForms::kCoop);
  run_case(device(),
           {.kv = {.kv_heads = 1, .head_dim = 80, .shared_dim = 64}, .heads = 6, .runs = {{0, 9, 35}}, .bucket = 64},
           AttentionForms::kCoop);
}

TEST_F(AttentionMaskTest, DeclaresWhatItTouches) {
  for (const uint32_t bucket : {2u, 16u}) {
    AttentionRig rig(device(), {.kv = {.pages_per_slot = kSplitPages, .kv_heads = 1, .head_dim = 24, .shared_dim = 16},
                                .runs = {{1, 300, 2}},
                                .bucket = bucket,
                                .chunk = 100,
                                .sinks = true});
    for (const ops::AttentionForm& form : rig.forms())
      prove_hazards(
          device(), [&](gpu::Recorder& recorder) { return ops::attention_with(recorder, rig.params(), form); },
          rig.buffers());
  }
}

}  // namespace
}  // namespace lahar::test
