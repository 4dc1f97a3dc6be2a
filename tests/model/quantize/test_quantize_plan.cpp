// Which type each tensor gets.
#include <gtest/gtest.h>

#include "quantize/quantize_plan.h"
#include "tiny_model.h"

namespace lahar {
namespace {

struct Planned {
  std::vector<std::byte> bytes;
  std::unique_ptr<ModelSource> source;
  Result<QuantizePlan> plan = Error{};

  Planned(test::TinyLlama model, DType type, const std::vector<TypeRule>& rules = {}) : bytes(model.bytes()) {
    source = std::move(ModelSource::from_memory(bytes, "tiny.gguf")).value();
    plan = plan_quantization(*source, type, rules);
  }
  const TensorConversion& of(std::string_view name) const {
    for (const TensorConversion& c : plan->tensors)
      if (c.tensor->name == name) return c;
    ADD_FAILURE() << name << " is not planned";
    return plan->tensors.front();
  }
  DType type(std::string_view name) const { return of(name).type; }
};

// Hidden size 256, so that blocks of 256 fit everywhere but in blk.0's ffn_down.
test::TinyLlama wide_llama() {
  test::TinyLlama model;
  model.tensors.clear();
  for (const auto& [name, shape] : {std::pair<std::string, Shape>{"token_embd.weight", {32, 256}},
                                    {"output.weight", {32, 256}},
                                    {"output_norm.weight", {256}},
                                    {"blk.0.attn_q.weight", {256, 256}},
                                    {"blk.0.attn_q.bias", {256}},
                                    {"blk.0.ffn_gate_inp.weight", {4, 256}},
                                    {"blk.0.ffn_up_exps.weight", {4, 64, 256}},
                                    {"blk.0.ffn_down.weight", {256, 96}},
                                    {"blk.0.odd.weight", {256, 40}},
                                    {"position_embd.weight", {16, 256}}})
    model.tensors.push_back(test::random_tensor(name, shape, DType::kF16));
  return model;
}

TEST(QuantizePlan, MatricesAndTheRest) {
  const Planned p(wide_llama(), DType::kQ4_K);
  ASSERT_TRUE(p.plan.ok()) << p.plan.error().message;
  EXPECT_EQ(p.type("blk.0.attn_q.weight"), DType::kQ4_K);
  EXPECT_EQ(p.type("blk.0.ffn_up_exps.weight"), DType::kQ4_K);
  EXPECT_EQ(p.type("token_embd.weight"), DType::kQ4_K);
  EXPECT_EQ(p.type("output.weight"), DType::kQ6_K);
  EXPECT_EQ(p.type("output_norm.weight"), DType::kF32);
  EXPECT_EQ(p.type("blk.0.attn_q.bias"), DType::kF32);
  EXPECT_EQ(p.type("blk.0.ffn_gate_inp.weight"), DType::kF16);
  EXPECT_EQ(p.type("position_embd.weight"), DType::kF16);
  EXPECT_EQ(p.plan->requantized, 0u);
  uint64_t in = 0, out = 0;
  for (const TensorConversion& c : p.plan->tensors) in += c.tensor->data.size(), out += c.bytes;
  EXPECT_EQ(p.plan->source_bytes, in);
  EXPECT_EQ(p.plan->bytes, out);
  EXPECT_EQ(p.of("blk.0.attn_q.weight").bytes, 256u * 144);
}

TEST(QuantizePlan, RowsThatAreNoWholeBlocksFallBack) {
  const Planned k4(wide_llama(), DType::kQ4_K), k6(wide_llama(), DType::kQ6_K), q4(wide_llama(), DType::kQ4_0);
  EXPECT_EQ(k4.type("blk.0.ffn_down.weight"), DType::kIQ4_NL);
  EXPECT_EQ(k6.type("blk.0.ffn_down.weight"), DType::kQ8_0);
  EXPECT_EQ(q4.type("blk.0.ffn_down.weight"), DType::kQ4_0);
  EXPECT_TRUE(k4.of("blk.0.ffn_down.weight").fell_back);
  EXPECT_NE(k4.of("blk.0.ffn_down.weight").note.find("96"), std::string::npos);
  EXPECT_FALSE(q4.of("blk.0.ffn_down.weight").fell_back);
  for (const Planned* p : {&k4, &k6, &q4}) {
    EXPECT_EQ(p->type("blk.0.odd.weight"), DType::kF16);
    EXPECT_TRUE(p->of("blk.0.odd.weight").fell_back);
  }
}

TEST(QuantizePlan, TheOutputMatrixOfFourBits) {
  for (const DType type : {DType::kQ4_0, DType::kQ4_K, DType::kIQ4_NL, DType::kMXFP4})
    EXPECT_EQ(Planned(wide_llama(), type).type("output.weight"), DType::kQ6_K);
  for (const DType type : {DType::kQ8_0, DType::kQ6_K, DType::kF8E4M3, DType::kF16})
    EXPECT_EQ(Planned(wide_llama(), type).type("output.weight"), type);
  test::TinyLlama tied = wide_llama();
  tied.remove("output.weight");
  EXPECT_EQ(Planned(tied, DType::kQ4_0).type("token_embd.weight"), DType::kQ6_K);
  EXPECT_EQ(Planned(test::TinyLlama(), DType::kQ4_0).type("output.weight"), DType::kQ8_0);  // rows of 64
}

TEST(QuantizePlan, TheFirstRuleThatFitsDecides) {
  const Planned p(
      wide_llama(), DType::kQ4_0,
      {{"attn_[qk]", DType::kQ8_0}, {"blk\\.0\\.(attn|ffn_up)", DType::kQ6_K}, {"^output\\.weight$", DType::kF16}});
  ASSERT_TRUE(p.plan.ok()) << p.plan.error().message;
  EXPECT_EQ(p.type("blk.0.attn_q.weight"), DType::kQ8_0);
  EXPECT_EQ(p.type("blk.0.ffn_up_exps.weight"), DType::kQ6_K);
  EXPECT_EQ(p.type("output.weight"), DType::kF16);
  EXPECT_EQ(p.type("token_embd.weight"), DType::kQ4_0);
  EXPECT_EQ(p.type("blk.0.attn_q.bias"), DType::kF32);
  EXPECT_EQ(Planned(wide_llama(), DType::kQ8_0, {{"down", DType::kQ4_K}}).type("blk.0.ffn_down.weight"), DType::kIQ4_NL);
}

TEST(QuantizePlan, RefusesWhatCannotBe) {
  const auto error = [](DType type, const std::vector<TypeRule>& rules) {
    const Planned p(wide_llama(), type, rules);
    return p.plan.ok() ? std::string() : p.plan.error().message;
  };
  EXPECT_EQ(error(DType::kQ4_0, {}), "");
  EXPECT_NE(error(DType::kQ4_0, {{"no_such", DType::kQ8_0}}).find("matches no matrix"), std::string::npos);
  EXPECT_NE(error(DType::kQ4_0, {{"attn_q.bias", DType::kQ8_0}}).find("matches no matrix"), std::string::npos);
  EXPECT_NE(error(DType::kQ4_0, {{"att(", DType::kQ8_0}}).find("'att('"), std::string::npos);
  EXPECT_NE(error(DType::kQ4_0, {{"attn_q", DType::kQ2_K}}).find("Q2_K"), std::string::npos);
  EXPECT_NE(error(DType::kIQ2_XXS, {}).find("IQ2_XXS"), std::string::npos);
}

TEST(QuantizePlan, QuantizedBefore) {
  test::TinyLlama model = wide_llama();
  model.tensor("blk.0.attn_q.weight") = {
      "blk.0.attn_q.weight", DType::kQ8_0, {256, 256}, std::vector<std::byte>(256 * 8 * 34)};
  EXPECT_EQ(Planned(model, DType::kQ4_0).plan->requantized, 1u);
  EXPECT_EQ(Planned(model, DType::kQ8_0).plan->requantized, 0u);
  model.tensor("blk.0.attn_q.weight") = {
      "blk.0.attn_q.weight", DType::kIQ2_XXS, {256, 256}, std::vector<std::byte>(256 * 66)};
  const Planned p(model, DType::kQ4_0);
  ASSERT_FALSE(p.plan.ok());
  EXPECT_NE(p.plan.error().message.find("'blk.0.attn_q.weight'"), std::string::npos) << p.plan.error().message;
}

TEST(QuantizePlan, AFolderIsRefused) {
  const test::TemporaryFolder folder;
  test::write_folder(folder.path(), {{"model_type", "llama"}}, {test::random_tensor("model.norm.weight", {64})});
  const auto source = ModelSource::open(folder.path());
  ASSERT_TRUE(source.ok()) << source.error().message;
  const auto plan = plan_quantization(**source, DType::kQ8_0, {});
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, ErrorCode::kUnsupported);
}

TEST(QuantizePlan, Names) {
  EXPECT_EQ(quantize_type("q4_k"), DType::kQ4_K);
  EXPECT_EQ(quantize_type("F8"), DType::kF8E4M3);
  EXPECT_EQ(quantize_type("mxfp4"), DType::kMXFP4);
  EXPECT_EQ(quantize_type("Q4_K_M"), std::nullopt);
  for (const std::string_view name : quantize_types()) EXPECT_TRUE(quantize_type(name)) << name;
}

}  // namespace
}  // namespace lahar
