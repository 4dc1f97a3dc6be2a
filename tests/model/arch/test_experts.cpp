// Experts in files: stacked, one by one, transposed, in blocks, damaged.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "arch/experts.h"
#include "planned.h"
#include "quant/quantize.h"
#include "reference_math.h"
#include "tiny_model.h"

namespace lahar {

namespace {

using nlohmann::json;
using test::Planned;
using test::TinyTensor;

constexpr uint32_t kHidden = 64, kWidth = test::TinyMoe::kWidth, kExperts = test::TinyMoe::kExperts;

// Llama with experts, as GGUF.
struct TinyMoe : test::TinyMoe {
  using test::TinyMoe::TinyMoe;
  Planned plan(Quantize quantize = Quantize::kNone) { return test::plan_of_bytes(bytes(), quantize); }
};

const LayerExpertsPlan& experts_of(const Planned& planned, size_t layer = 0) {
  return planned.plan->data().layers[layer].ffn.experts;
}

std::vector<float> floats_of(const TinyTensor& tensor, size_t expert) {
  const size_t count = *tensor.shape.elements() / kExperts;
  std::vector<float> values(count);
  std::memcpy(values.data(), tensor.data.data() + expert * count * sizeof(float), count * sizeof(float));
  return values;
}

std::vector<float> joined(std::vector<float> a, const std::vector<float>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(Experts, StackedTensorsAreCutIntoOneMatrixEach) {
  TinyMoe model(kExperts, 2);
  const Planned planned = model.plan();
  ASSERT_EQ(planned.error(), "");
  EXPECT_EQ(planned.spec->layers[0].ffn_kind, FfnKind::kExperts);
  EXPECT_EQ(planned.spec->layers[0].moe.chosen, 2u);
  EXPECT_TRUE(planned.spec->layers[0].moe.normalize);
  const LayerExpertsPlan& plan = experts_of(planned, 1);
  ASSERT_EQ(plan.experts.size(), kExperts);
  for (size_t e = 0; e < kExperts; ++e) {
    ASSERT_EQ(plan.experts[e].up.parts.size(), 1u);
    EXPECT_EQ(test::matrix_of(planned.plan->data(), plan.experts[e].up),
              joined(floats_of(model.tensor("blk.1.ffn_gate_exps.weight"), e),
                     floats_of(model.tensor("blk.1.ffn_up_exps.weight"), e)));
    EXPECT_EQ(test::matrix_of(planned.plan->data(), plan.experts[e].down),
              floats_of(model.tensor("blk.1.ffn_down_exps.weight"), e));
  }
}

TEST(Experts, ASlabHoldsAllOfAnExpert) {
  TinyMoe model(kExperts, 2);
  const Planned planned = model.plan();
  ASSERT_EQ(planned.error(), "");
  const ExpertSlab& slab = experts_of(planned).slab;
  EXPECT_EQ(slab.gate_up.rows, 2 * kWidth);
  EXPECT_EQ(slab.gate_up.planes[0], 0u);
  EXPECT_EQ(slab.down.planes[0], 2 * kWidth * kHidden * sizeof(float));
  EXPECT_EQ(slab.bytes, 3 * kWidth * kHidden * sizeof(float));
  EXPECT_EQ(slab.up.rows, 0u);
  EXPECT_EQ(slab.down.bias, ops::ExpertMatrix::kNoBias);
  const MemoryNeed& memory = planned.plan->memory();
  const uint64_t attention = 128 * 64 + 64 * 64, router = kExperts * kHidden;
  EXPECT_EQ(memory.linear, 2 * 4 * (attention + router) + 80 * 64 * 4);
  EXPECT_EQ(memory.experts, 2 * kExperts * slab.bytes);
  ASSERT_EQ(memory.layers.size(), 2u);
  EXPECT_EQ(memory.layers[1], 4 * (attention + router));
}

TEST(Experts, GateAndUpOfDifferentTypesAreTwoMatrices) {
  TinyMoe model(kExperts, 2);
  model.tensor("blk.0.ffn_up_exps.weight") =
      test::random_tensor("blk.0.ffn_up_exps.weight", {kExperts, kWidth, kHidden}, DType::kF16);
  const Planned planned = model.plan();
  ASSERT_EQ(planned.error(), "");
  const ExpertSlab& slab = experts_of(planned).slab;
  EXPECT_EQ(slab.gate_up.rows, kWidth);
  EXPECT_EQ(slab.up.rows, kWidth);
  EXPECT_EQ(slab.up.format, quant::WeightFormat::kF16);
  EXPECT_EQ(slab.up.planes[0], kWidth * kHidden * sizeof(float));
}

TEST(Experts, TheRouterIsNotQuantized) {
  TinyMoe model(kExperts, 2, DType::kF16);
  const Planned planned = model.plan(Quantize::kInt8);
  ASSERT_EQ(planned.error(), "");
  EXPECT_EQ(planned.plan->data().layers[0].ffn.linears[0].parts[0].format, quant::WeightFormat::kF32);
  EXPECT_EQ(experts_of(planned).slab.gate_up.format, quant::kInt8Format);
}

// Whatever the type of the experts is, they stay as they are.
TEST(Experts, AScaleOfWhatAnExpertGivesIsAFactorOfItsRoutes) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    TinyMoe model(kExperts, 2, type == DType::kQ8_0 ? DType::kF32 : type);
    const std::string name = "blk.0.ffn_down_exps.weight";
    if (type == DType::kQ8_0) model.tensor(name) = test::encoded(model.tensor(name), DType::kQ8_0);
    const auto before = model.plan();
    ASSERT_EQ(before.error(), "");
    EXPECT_TRUE(before.plan->data().tensors.layers[0].ffn.vectors[arch::kExpertScale].pieces.empty());
    model.tensors.push_back(test::values_tensor("blk.0.ffn_down_exps.scale", {1, 1.25f, -2, 0}));
    const Planned planned = model.plan();
    ASSERT_EQ(planned.error(), "");
    const BlockTensors& block = planned.plan->data().tensors.layers[0].ffn;
    EXPECT_EQ(test::vector_of(block.vectors[arch::kExpertScale]), (std::vector<float>{1, 1.25f, -2, 0}));
    EXPECT_TRUE(planned.plan->data().tensors.layers[1].ffn.vectors[arch::kExpertScale].pieces.empty());
    const LayerExpertsPlan &plain = experts_of(before), &scaled = experts_of(planned);
    EXPECT_EQ(scaled.slab.down.format, *quant::format_for(type));
    for (size_t e = 0; e < kExperts; ++e)
      EXPECT_EQ(test::matrix_of(planned.plan->data(), scaled.experts[e].down),
                test::matrix_of(before.plan->data(), plain.experts[e].down));
  }
}

TEST(Experts, AScaleBesideABiasOrBeforeTheActivationIsMultipliedIn) {
  for (const bool down : {false, true}) {
    const std::string name = down ? "ffn_down_exps" : "ffn_up_exps";
    TinyMoe model(kExperts, 2, DType::kF16);
    TinyMoe plain(kExperts, 2, DType::kF32);
    model.tensors.push_back(test::values_tensor("blk.0." + name + ".scale", {1, 1.25f, 1, 3}));
    if (down)
      for (const char* layer : {"blk.0.", "blk.1."})
        model.tensors.push_back(test::random_tensor(layer + name + ".bias", {kExperts, kHidden}));
    const Planned planned = model.plan();
    ASSERT_EQ(planned.error(), "");
    EXPECT_TRUE(planned.plan->data().tensors.layers[0].ffn.vectors[arch::kExpertScale].pieces.empty());
    const ExpertPlan& expert = experts_of(planned).experts[3];
    auto found = test::matrix_of(planned.plan->data(), down ? expert.down : expert.up);
    const auto values = floats_of(plain.tensor("blk.0." + name + ".weight"), 3);
    found.erase(found.begin(), found.end() - static_cast<std::ptrdiff_t>(values.size()));  // gate is before up
    for (size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(found[i], 3 * values[i], 3e-4);
    // The other layer's are as the file has them.
    EXPECT_EQ(experts_of(planned, 1).slab.down.format, quant::WeightFormat::kF16);
    // Scales that change nothing leave them so, too.
    model.tensor("blk.0." + name + ".scale") = test::values_tensor("blk.0." + name + ".scale", {1, 1, 1, 1});
    EXPECT_EQ(experts_of(model.plan()).slab.down.format, quant::WeightFormat::kF16);
    model.tensor("blk.0." + name + ".weight") = test::encoded(plain.tensor("blk.0." + name + ".weight"), DType::kQ8_0);
    model.tensor("blk.0." + name + ".scale") = test::values_tensor("blk.0." + name + ".scale", {1, 1, 1, 2});
    EXPECT_NE(model.plan().error().find(name + ".weight[0]': type Q8_0 is not supported here; with a scale for each expert"),
              std::string::npos)
        << model.plan().error();
  }
}

TEST(Experts, AScaleOfEachExpertHasAsManyValues) {
  for (const char* name : {"blk.0.ffn_down_exps.scale", "blk.0.ffn_gate_exps.scale"}) {
    TinyMoe model(kExperts, 2);
    model.tensors.push_back(test::values_tensor(name, {1, 2, 3}));
    EXPECT_EQ(model.plan().error(), std::string("tiny.gguf: tensor '") + name + "': expected shape [4], found [3]");
  }
}

TEST(Experts, ABiasOfTheSelectionCountsWhereAFileHasIt) {
  TinyMoe model(kExperts, 2);
  EXPECT_FALSE(model.plan().spec->layers[0].moe.selection_bias);
  model.tensors.push_back(test::random_tensor("blk.1.exp_probs_b.bias", {kExperts}));
  EXPECT_EQ(model.plan().error(), "tiny.gguf: tensor 'blk.0.exp_probs_b.bias' is missing");
  model.tensors.push_back(test::random_tensor("blk.0.exp_probs_b.bias", {kExperts}));
  const Planned planned = model.plan();
  ASSERT_EQ(planned.error(), "");
  EXPECT_TRUE(planned.spec->layers[0].moe.selection_bias);
}

TEST(Experts, OldFilesHaveATensorEach) {
  TinyMoe model(kExperts, 2);
  model.remove("blk.0.ffn_down_exps.weight");
  for (uint32_t e = 0; e < kExperts; ++e)
    model.tensors.push_back(
        test::random_tensor("blk.0.ffn_down." + std::to_string(e) + ".weight", {kHidden, kWidth}, DType::kF32));
  const Planned planned = model.plan();
  ASSERT_EQ(planned.error(), "");
  EXPECT_EQ(test::matrix_of(planned.plan->data(), experts_of(planned).experts[2].down).size(), kHidden * kWidth);
}

TEST(Experts, NamesWhatIsMissingOrOfAnotherShape) {
  const auto error_without = [](const char* name) {
    TinyMoe model(kExperts, 2);
    model.remove(name);
    return model.plan().error();
  };
  EXPECT_EQ(error_without("blk.1.ffn_down_exps.weight"), "tiny.gguf: tensor 'blk.1.ffn_down_exps.weight' is missing");
  EXPECT_EQ(error_without("blk.0.ffn_up_exps.weight"), "tiny.gguf: tensor 'blk.0.ffn_up_exps.weight' is missing");
  EXPECT_EQ(error_without("blk.0.ffn_gate_inp.weight"), "tiny.gguf: tensor 'blk.0.ffn_gate_inp.weight' is missing");
  TinyMoe flat(kExperts, 2);
  flat.tensor("blk.0.ffn_up_exps.weight") = test::random_tensor("blk.0.ffn_up_exps.weight", {kExperts * kWidth, kHidden});
  EXPECT_EQ(flat.plan().error(),
            "tiny.gguf: tensor 'blk.0.ffn_up_exps.weight': expected shape [4, 32, 64], found [128, 64]");
  TinyMoe fewer(kExperts, 2);
  fewer.tensor("blk.0.ffn_gate_exps.weight") =
      test::random_tensor("blk.0.ffn_gate_exps.weight", {kExperts - 1, kWidth, kHidden});
  EXPECT_EQ(fewer.plan().error(),
            "tiny.gguf: tensor 'blk.0.ffn_gate_exps.weight': expected shape [4, 32, 64], found [3, 32, 64]");
}

TEST(Experts, NamesTheKeyOfALie) {
  const auto error = [](uint32_t experts, uint32_t chosen) { return TinyMoe(experts, chosen).plan().error(); };
  EXPECT_NE(error(513, 2).find("llama.expert_count: expected 1 to 512, found 513"), std::string::npos) << error(513, 2);
  EXPECT_NE(error(4000000000, 2).find("llama.expert_count"), std::string::npos);
  EXPECT_NE(error(4, 5).find("llama.expert_used_count: expected 1 to 4, found 5"), std::string::npos) << error(4, 5);
  EXPECT_NE(error(4, 0).find("llama.expert_used_count: expected 1 to 4, found 0"), std::string::npos);
  EXPECT_NE(error(512, 17).find("llama.expert_used_count: expected 1 to 16, found 17"), std::string::npos);
  EXPECT_NE(error(5, 2).find("expected shape [5, 64], found [4, 64]"), std::string::npos) << error(5, 2);
  EXPECT_NE(error(0, 0).find("'blk.0.ffn_gate.weight' is missing"), std::string::npos) << error(0, 0);
}

// Nemotron-H as GGUF: a layer of attention, one of experts in a latent width, one that predicts further tokens.
struct TinyNemotron : test::TinyLlama {
  static constexpr uint32_t kLatent = 24, kShared = 40;
  TinyNemotron() {
    metadata = {};
    metadata.add("general.architecture", "nemotron_h_moe");
    const auto set = [&](const std::string& key, auto value) { metadata.add("nemotron_h_moe." + key, value); };
    set("block_count", uint32_t{3});
    set("nextn_predict_layers", uint32_t{1});
    set("context_length", uint32_t{128});
    set("embedding_length", kHidden);
    set("feed_forward_length", std::span<const int32_t>(std::array<int32_t, 3>{0, kWidth, kWidth}));
    set("attention.head_count", uint32_t{4});
    set("attention.head_count_kv", std::span<const int32_t>(std::array<int32_t, 3>{2, 0, 2}));
    set("attention.layer_norm_rms_epsilon", 1e-5f);
    for (const auto& [key, value] : std::initializer_list<std::pair<const char*, uint32_t>>{
             {"conv_kernel", 4}, {"state_size", 16}, {"inner_size", 128}, {"time_step_rank", 8}, {"group_count", 2}})
      set(std::string("ssm.") + key, value);
    set("expert_count", kExperts);
    set("expert_used_count", uint32_t{2});
    set("expert_feed_forward_length", kWidth);
    set("expert_shared_feed_forward_length", kShared);
    set("expert_weights_norm", true);
    set("expert_weights_scale", 2.5f);
    set("moe_latent_size", kLatent);
    std::erase_if(tensors, [](const TinyTensor& t) {
      return t.name.find("ffn") != std::string::npos ||
             (t.name.starts_with("blk.1.attn_") && t.name != "blk.1.attn_norm.weight");
    });
    const auto add = [&](const char* name, const Shape& shape) { tensors.push_back(test::random_tensor(name, shape)); };
    add("blk.1.ffn_gate_inp.weight", {kExperts, kHidden});
    add("blk.1.exp_probs_b.bias", {kExperts});
    add("blk.1.ffn_latent_down.weight", {kLatent, kHidden});
    add("blk.1.ffn_latent_up.weight", {kHidden, kLatent});
    add("blk.1.ffn_up_exps.weight", {kExperts, kWidth, kLatent});
    add("blk.1.ffn_down_exps.weight", {kExperts, kLatent, kWidth});
    add("blk.1.ffn_up_shexp.weight", {kShared, kHidden});
    add("blk.1.ffn_down_shexp.weight", {kHidden, kShared});
    add("blk.2.nextn.eh_proj.weight", {kHidden, 2 * kHidden});
  }
};

TEST(Experts, NemotronHasThemInALatentWidth) {
  TinyNemotron model;
  const Planned planned = test::plan_of_bytes(model.bytes());
  ASSERT_EQ(planned.error(), "");
  ASSERT_EQ(planned.spec->layers.size(), 2u);  // what predicts further tokens is left out
  EXPECT_EQ(planned.spec->layers[0].mixer, Mixer::kAttention);
  EXPECT_EQ(planned.spec->layers[1].mixer, Mixer::kNone);
  ASSERT_EQ(planned.spec->layers[1].ffn_kind, FfnKind::kExperts);
  const MoeSpec& moe = planned.spec->layers[1].moe;
  EXPECT_EQ(moe.score, ops::RouterScore::kSigmoid);
  EXPECT_EQ(moe.activation, ops::Activation::kReluSquared);
  EXPECT_TRUE(moe.selection_bias && moe.normalize && !moe.gated && !moe.latent_bias);
  EXPECT_EQ(moe.scale, 2.5f);
  EXPECT_EQ(moe.latent, TinyNemotron::kLatent);
  EXPECT_EQ(moe.shared_width, TinyNemotron::kShared);
  const LayerExpertsPlan& plan = experts_of(planned, 1);
  ASSERT_EQ(plan.experts.size(), kExperts);
  EXPECT_EQ(test::matrix_of(planned.plan->data(), plan.experts[3].up),
            floats_of(model.tensor("blk.1.ffn_up_exps.weight"), 3));
  EXPECT_EQ(test::matrix_of(planned.plan->data(), plan.experts[3].down),
            floats_of(model.tensor("blk.1.ffn_down_exps.weight"), 3));
  for (const char* name : {"blk.1.ffn_latent_up.weight", "blk.1.exp_probs_b.bias", "blk.1.ffn_up_shexp.weight"}) {
    TinyNemotron without;
    without.remove(name);
    EXPECT_EQ(test::plan_of_bytes(without.bytes()).error(), std::string("tiny.gguf: tensor '") + name + "' is missing");
  }
}

// Gemma 4 with experts beside the dense feed-forward, as GGUF.
struct TinyGemma4 : test::TinyLlama {
  TinyGemma4() {
    metadata = {};
    metadata.add("general.architecture", "gemma4");
    for (const auto& [key, value] :
         std::initializer_list<std::pair<const char*, uint32_t>>{{"block_count", 2},
                                                                 {"context_length", 128},
                                                                 {"embedding_length", kHidden},
                                                                 {"feed_forward_length", 96},
                                                                 {"attention.head_count", 4},
                                                                 {"attention.head_count_kv", 2},
                                                                 {"attention.key_length", 16},
                                                                 {"attention.key_length_swa", 16},
                                                                 {"attention.sliding_window", 8},
                                                                 {"attention.sliding_window_pattern", 2},
                                                                 {"expert_count", kExperts},
                                                                 {"expert_used_count", 2},
                                                                 {"expert_feed_forward_length", kWidth}})
      metadata.add(std::string("gemma4.") + key, value);
    metadata.add("gemma4.attention.layer_norm_rms_epsilon", 1e-6f);
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      const auto add = [&](const char* name, const Shape& shape) {
        tensors.push_back(test::random_tensor(layer + name, shape));
      };
      for (const char* name : {"post_attention_norm.weight", "post_ffw_norm.weight", "post_ffw_norm_1.weight",
                               "pre_ffw_norm_2.weight", "post_ffw_norm_2.weight", "ffn_gate_inp.scale"})
        add(name, {kHidden});
      add("attn_q_norm.weight", {16});
      add("attn_k_norm.weight", {16});
      add("ffn_gate_inp.weight", {kExperts, kHidden});
      add("ffn_gate_up_exps.weight", {kExperts, 2 * kWidth, kHidden});
      add("ffn_down_exps.weight", {kExperts, kHidden, kWidth});
    }
  }
};

// llama.cpp's converter writes router.per_expert_scale so.
TEST(Experts, Gemma4HasAScaleOfEachExpert) {
  for (const bool quantized : {false, true}) {
    TinyGemma4 model;
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      model.tensors.push_back(test::values_tensor(layer + "ffn_down_exps.scale", {1, 1.25f, 0.9f, 1.1f}));
      for (const char* name : {"ffn_gate_up_exps.weight", "ffn_down_exps.weight"}) {
        TinyTensor& tensor = model.tensor(layer + name);
        tensor = test::encoded(tensor, quantized ? DType::kQ8_0 : DType::kF16);
      }
    }
    const Planned planned = test::plan_of_bytes(model.bytes());
    ASSERT_EQ(planned.error(), "");
    ASSERT_EQ(planned.spec->layers[1].ffn_kind, FfnKind::kDenseAndExperts);
    const BlockTensors& block = planned.plan->data().tensors.layers[1].ffn;
    EXPECT_EQ(test::vector_of(block.vectors[arch::kExpertScale]), (std::vector<float>{1, 1.25f, 0.9f, 1.1f}));
    EXPECT_EQ(block.vectors[arch::kExpertsPostNorm].pieces[0].tensor->name, "blk.1.post_ffw_norm_2.weight");
    const quant::WeightFormat format = quantized ? quant::WeightFormat::kQ8_0 : quant::WeightFormat::kF16;
    EXPECT_EQ(experts_of(planned, 1).slab.gate_up.format, format);
    EXPECT_EQ(experts_of(planned, 1).slab.down.format, format);
  }
}

// A Hugging Face folder of one layer.
struct TinyFolder {
  json config;
  std::vector<TinyTensor> tensors;

  explicit TinyFolder(const char* type) {
    config = {{"model_type", type},
              {"hidden_size", kHidden},
              {"num_hidden_layers", 1},
              {"num_attention_heads", 4},
              {"num_key_value_heads", 2},
              {"head_dim", 16},
              {"vocab_size", 80},
              {"intermediate_size", kWidth},
              {"moe_intermediate_size", kWidth},
              {"num_local_experts", 4},
              {"num_experts", 4},
              {"num_experts_per_tok", 2},
              {"attention_bias", false}};
    add("model.embed_tokens.weight", {80, kHidden});
    add("lm_head.weight", {80, kHidden});
    add("model.norm.weight", {kHidden});
    layer("input_layernorm.weight", {kHidden});
    layer("post_attention_layernorm.weight", {kHidden});
    layer("self_attn.q_proj.weight", {64, kHidden});
    layer("self_attn.k_proj.weight", {32, kHidden});
    layer("self_attn.v_proj.weight", {32, kHidden});
    layer("self_attn.o_proj.weight", {kHidden, 64});
  }
  TinyTensor& add(const std::string& name, const Shape& shape) {
    tensors.push_back(test::random_tensor(name, shape));
    return tensors.back();
  }
  TinyTensor& layer(const std::string& name, const Shape& shape) { return add("model.layers.0." + name, shape); }

  Planned plan(const test::TemporaryFolder& folder) const {
    test::write_folder(folder.path(), config, tensors);
    Planned planned;
    planned.source = std::move(ModelSource::open(folder.path())).value();
    planned.finish();
    return planned;
  }
};

TEST(Experts, TransposedTensorsWithGateAndUpInTurns) {
  TinyFolder model("gpt_oss");
  model.layer("self_attn.sinks", {4});
  model.layer("mlp.router.weight", {kExperts, kHidden});
  model.layer("mlp.router.bias", {kExperts});
  model.layer("mlp.experts.gate_up_proj_bias", {kExperts, 2 * kWidth});
  model.layer("mlp.experts.down_proj_bias", {kExperts, kHidden});
  model.layer("mlp.experts.down_proj", {kExperts, kWidth, kHidden});
  const TinyTensor all = model.layer("mlp.experts.gate_up_proj", {kExperts, kHidden, 2 * kWidth});
  const test::TemporaryFolder folder;
  const Planned planned = model.plan(folder);
  ASSERT_EQ(planned.error(), "");
  const ExpertPlan& expert = experts_of(planned).experts[2];
  const auto up = test::matrix_of(planned.plan->data(), expert.up);
  const auto file = floats_of(all, 2);  // [hidden, 2 width]
  for (uint32_t r = 0; r < kWidth; ++r)
    for (uint32_t c = 0; c < kHidden; ++c) {
      ASSERT_EQ(up[r * kHidden + c], file[c * 2 * kWidth + 2 * r]);
      ASSERT_EQ(up[(kWidth + r) * kHidden + c], file[c * 2 * kWidth + 2 * r + 1]);
    }
  std::vector<float> bias;
  ASSERT_TRUE(read_vector(expert.up.bias, bias).ok());
  const auto file_bias = floats_of(test::random_tensor("model.layers.0.mlp.experts.gate_up_proj_bias", {4, 2 * kWidth}), 2);
  EXPECT_EQ(bias[1], file_bias[2]);
  EXPECT_EQ(bias[kWidth], file_bias[1]);
  const ExpertSlab& slab = experts_of(planned).slab;
  EXPECT_EQ(slab.gate_up.bias, 3 * kWidth * kHidden * sizeof(float));
  EXPECT_EQ(slab.down.bias, slab.gate_up.bias + 2 * kWidth * sizeof(float));
}

TEST(Experts, Mxfp4BlocksKeepTheirBits) {
  TinyFolder model("gpt_oss");
  model.layer("self_attn.sinks", {4});
  model.layer("mlp.router.weight", {kExperts, kHidden});
  model.layer("mlp.router.bias", {kExperts});
  model.layer("mlp.experts.gate_up_proj_bias", {kExperts, 2 * kWidth});
  model.layer("mlp.experts.down_proj_bias", {kExperts, kHidden});
  const auto add_bytes = [&](const std::string& name, const Shape& shape, auto value) {
    TinyTensor t{"model.layers.0.mlp.experts." + name, DType::kU8, shape, {}};
    for (uint64_t i = 0; i < *shape.elements(); ++i) t.data.push_back(static_cast<std::byte>(value(i)));
    model.tensors.push_back(std::move(t));
  };
  const auto quant = [](uint64_t i) { return (i * 37 + 11) % 251; };
  add_bytes("gate_up_proj_blocks", {kExperts, 2 * kWidth, kHidden / 32, 16}, quant);
  add_bytes("gate_up_proj_scales", {kExperts, 2 * kWidth, kHidden / 32}, [](uint64_t i) { return 120 + i % 8; });
  add_bytes("down_proj_blocks", {kExperts, kHidden, kWidth / 32, 16}, quant);
  add_bytes("down_proj_scales", {kExperts, kHidden, kWidth / 32}, [](uint64_t) { return 127; });
  const test::TemporaryFolder folder;
  const Planned planned = model.plan(folder);
  ASSERT_EQ(planned.error(), "");
  const LayerExpertsPlan& plan = experts_of(planned);
  EXPECT_EQ(plan.slab.gate_up.format, quant::WeightFormat::kMXFP4);
  const auto up = test::matrix_of(planned.plan->data(), plan.experts[1].up);
  constexpr float kValues[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (uint32_t r : {0u, 5u, kWidth, kWidth + 7}) {
    const uint64_t file_row = 2 * kWidth + (r < kWidth ? 2 * r : 2 * (r - kWidth) + 1);  // of expert 1
    for (uint32_t c = 0; c < kHidden; ++c) {
      const uint64_t n = quant(file_row * kHidden / 2 + c / 2) >> 4 * (c % 2) & 15;
      const float value = std::ldexp(kValues[n & 7], static_cast<int>((file_row * 2 + c / 32) % 8) - 7);
      ASSERT_EQ(up[r * kHidden + c], n >= 8 ? -value : value) << r << " " << c;
    }
  }
}

// transformers keeps [experts, 2 width, hidden] in memory and may save it so.
TEST(Experts, FusedOrOneByOneIsTheSame) {
  const auto base = [] {
    TinyFolder model("mixtral");
    model.layer("block_sparse_moe.gate.weight", {kExperts, kHidden});
    return model;
  };
  TinyFolder fused = base(), single = base();
  const TinyTensor up = fused.layer("block_sparse_moe.experts.gate_up_proj", {kExperts, 2 * kWidth, kHidden});
  const TinyTensor down = fused.layer("block_sparse_moe.experts.down_proj", {kExperts, kHidden, kWidth});
  for (uint32_t e = 0; e < kExperts; ++e) {
    const std::string name = "block_sparse_moe.experts." + std::to_string(e);
    const auto cut = [&](const char* suffix, const Shape& shape, const TinyTensor& all, size_t first) {
      TinyTensor& t = single.layer(name + suffix, shape);
      std::memcpy(t.data.data(), all.data.data() + first * sizeof(float), t.data.size());
    };
    cut(".w1.weight", {kWidth, kHidden}, up, size_t{e} * 2 * kWidth * kHidden);
    cut(".w3.weight", {kWidth, kHidden}, up, (size_t{e} * 2 + 1) * kWidth * kHidden);
    cut(".w2.weight", {kHidden, kWidth}, down, size_t{e} * kWidth * kHidden);
  }
  const test::TemporaryFolder first, second;
  const Planned a = fused.plan(first), b = single.plan(second);
  ASSERT_EQ(a.error(), "");
  ASSERT_EQ(b.error(), "");
  for (uint32_t e = 0; e < kExperts; ++e) {
    EXPECT_EQ(test::matrix_of(a.plan->data(), experts_of(a).experts[e].up),
              test::matrix_of(b.plan->data(), experts_of(b).experts[e].up));
    EXPECT_EQ(test::matrix_of(a.plan->data(), experts_of(a).experts[e].down),
              test::matrix_of(b.plan->data(), experts_of(b).experts[e].down));
  }
}

}  // namespace

}  // namespace lahar
