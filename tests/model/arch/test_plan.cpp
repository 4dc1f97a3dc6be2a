// Plans of small models that are damaged in one place each.
#include <gtest/gtest.h>

#include "planned.h"
#include "tiny_model.h"

namespace lahar {

namespace {

using test::Planned;

Planned plan_of(test::TinyLlama& model, Quantize quantize = Quantize::kNone, const Log& log = {}) {
  return test::plan_of_bytes(model.bytes(), quantize, log);
}

TEST(Plan, StacksWhatAgrees) {
  test::TinyLlama model;
  const Planned planned = plan_of(model);
  ASSERT_EQ(planned.error(), "");
  EXPECT_EQ(planned.spec->vocabulary, 80u);
  EXPECT_FALSE(planned.spec->tied_head);
  const LayerPlan& layer = planned.plan->data().layers[0];
  ASSERT_EQ(layer.qkv.parts.size(), 1u);
  EXPECT_EQ(layer.qkv.parts[0].rows, 128u);
  EXPECT_EQ(layer.qkv.parts[0].pieces.size(), 3u);
  EXPECT_EQ(layer.up.parts[0].rows, 192u);
  const MemoryNeed& memory = planned.plan->memory();
  EXPECT_EQ(memory.embedding, 80u * 64 * 4);
  EXPECT_EQ(memory.linear, (2u * (128 * 64 + 64 * 64 + 192 * 64 + 64 * 96) + 80 * 64) * 4);
  EXPECT_EQ(memory.vectors, (5u * 64 + 8) * 4);
}

TEST(Plan, SplitsWhereTypesDiffer) {
  test::TinyLlama model;
  model.tensor("blk.1.attn_v.weight") = test::random_tensor("blk.1.attn_v.weight", {32, 64}, DType::kF16);
  const Planned planned = plan_of(model);
  ASSERT_EQ(planned.error(), "");
  const LinearPlan& qkv = planned.plan->data().layers[1].qkv;
  ASSERT_EQ(qkv.parts.size(), 2u);
  EXPECT_EQ(qkv.parts[0].rows, 96u);
  EXPECT_EQ(qkv.parts[1].rows, 32u);
  EXPECT_EQ(qkv.parts[1].format, quant::WeightFormat::kF16);
}

TEST(Plan, TiesTheHeadWhereThereIsNone) {
  test::TinyLlama model;
  model.remove("output.weight");
  const Planned planned = plan_of(model);
  ASSERT_EQ(planned.error(), "");
  EXPECT_TRUE(planned.spec->tied_head);
}

TEST(Plan, NamesAMissingTensor) {
  test::TinyLlama model;
  model.remove("blk.1.ffn_down.weight");
  EXPECT_EQ(plan_of(model).error(), "tiny.gguf: tensor 'blk.1.ffn_down.weight' is missing");
}

TEST(Plan, NamesBothShapes) {
  test::TinyLlama model;
  model.tensor("blk.0.attn_k.weight") = test::random_tensor("blk.0.attn_k.weight", {48, 64});
  EXPECT_EQ(plan_of(model).error(), "tiny.gguf: tensor 'blk.0.attn_k.weight': expected shape [32, 64], found [48, 64]");
}

TEST(Plan, NamesAnUnsupportedType) {
  test::TinyLlama model;
  auto& tensor = model.tensor("blk.0.attn_norm.weight");
  tensor.dtype = DType::kI32;
  EXPECT_NE(plan_of(model).error().find("'blk.0.attn_norm.weight': type I32"), std::string::npos);
  test::TinyLlama second;
  auto& matrix = second.tensor("blk.0.attn_q.weight");
  matrix.dtype = DType::kI32;
  EXPECT_NE(plan_of(second).error().find("'blk.0.attn_q.weight': type I32 is not supported here; F32"), std::string::npos);
}

TEST(Plan, NamesTheKeyOfALie) {
  const auto error = [](const char* key, uint32_t value) {
    test::TinyLlama model;
    GgufWriter writer;
    writer.add("general.architecture", "llama");
    const std::pair<const char*, uint32_t> numbers[] = {
        {"llama.block_count", 2},          {"llama.context_length", 128},     {"llama.embedding_length", 64},
        {"llama.feed_forward_length", 96}, {"llama.attention.head_count", 4}, {"llama.attention.head_count_kv", 2}};
    for (const auto& [name, number] : numbers) writer.add(name, std::string_view(name) == key ? value : number);
    model.metadata = writer;
    return plan_of(model).error();
  };
  EXPECT_EQ(error("", 0), "");
  EXPECT_NE(error("llama.attention.head_count_kv", 3).find("llama.attention.head_count_kv: expected a divisor"),
            std::string::npos);
  EXPECT_NE(error("llama.attention.head_count", 0).find("llama.attention.head_count: expected 1"), std::string::npos);
  EXPECT_NE(error("llama.attention.head_count", 4000000000).find("llama.attention.head_count: expected "),
            std::string::npos);
  EXPECT_NE(error("llama.block_count", 1000000).find("llama.block_count: expected 1 to"), std::string::npos);
  EXPECT_NE(error("llama.block_count", 3).find("'blk.2.attn_norm.weight' is missing"), std::string::npos);
  EXPECT_NE(error("llama.embedding_length", 0).find("llama.embedding_length: expected 1"), std::string::npos);
  EXPECT_NE(error("llama.embedding_length", 128).find("'token_embd.weight': expected shape [vocabulary, 128]"),
            std::string::npos);
  EXPECT_NE(error("llama.feed_forward_length", 95).find("expected shape [95, 64], found [96, 64]"), std::string::npos);
}

TEST(Plan, RefusesExpertsAndStrangers) {
  test::TinyLlama model;
  GgufWriter dense;
  dense.add("general.architecture", "qwen2");
  dense.add("qwen2.expert_count", uint32_t{8});
  model.metadata = dense;
  EXPECT_NE(plan_of(model).error().find("mixture-of-experts"), std::string::npos);
  test::TinyLlama stranger;
  GgufWriter writer;
  writer.add("general.architecture", "nonesuch");
  stranger.metadata = writer;
  const std::string error = plan_of(stranger).error();
  EXPECT_NE(error.find("'nonesuch' is not supported; these are: "), std::string::npos) << error;
  EXPECT_LT(error.find(" gpt2, "), error.find(" llama, ")) << error;
  EXPECT_LT(error.find(" llama, "), error.find(" qwen3, ")) << error;
}

TEST(Plan, QuantizesMatricesAlone) {
  test::TinyLlama model(DType::kF16);
  std::vector<std::string> lines;
  const Log log([&](LogLevel, std::string_view text) { lines.emplace_back(text); });
  const Planned int4 = plan_of(model, Quantize::kInt4, log);
  ASSERT_EQ(int4.error(), "");
  EXPECT_EQ(int4.plan->data().layers[0].qkv.parts[0].format, quant::WeightFormat::kQ4_1);
  EXPECT_EQ(int4.plan->data().embedding.parts[0].format, quant::WeightFormat::kQ8_0);
  EXPECT_EQ(int4.plan->data().head.parts[0].format, quant::WeightFormat::kQ8_0);
  EXPECT_TRUE(lines.empty());
  EXPECT_EQ(plan_of(model, Quantize::kFp8).plan->data().layers[0].down.parts[0].format, quant::WeightFormat::kF8);
  EXPECT_LT(int4.plan->memory().linear, plan_of(model, Quantize::kInt8).plan->memory().linear);
}

TEST(Plan, KeepsRowsThatGroupsDoNotDivide) {
  test::TinyLlama model;
  GgufWriter writer;
  writer.add("general.architecture", "llama");
  writer.add("llama.block_count", uint32_t{1});
  writer.add("llama.embedding_length", uint32_t{64});
  writer.add("llama.feed_forward_length", uint32_t{100});
  writer.add("llama.attention.head_count", uint32_t{4});
  writer.add("llama.attention.head_count_kv", uint32_t{2});
  model.metadata = writer;
  for (const char* name : {"blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"})
    model.tensor(name) = test::random_tensor(name, {100, 64});
  model.tensor("blk.0.ffn_down.weight") = test::random_tensor("blk.0.ffn_down.weight", {64, 100});
  std::vector<std::string> lines;
  const Log log([&](LogLevel, std::string_view text) { lines.emplace_back(text); });
  const Planned planned = plan_of(model, Quantize::kInt8, log);
  ASSERT_EQ(planned.error(), "");
  EXPECT_EQ(planned.plan->data().layers[0].down.parts[0].format, quant::WeightFormat::kF32);
  EXPECT_EQ(planned.plan->data().layers[0].up.parts[0].format, quant::WeightFormat::kQ8_0);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("blk.0.ffn_down.weight (100 columns)"), std::string::npos) << lines[0];
}

}  // namespace

}  // namespace lahar
