// Configurations to specs: the golden models, and architectures without golden data.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "arch/architecture.h"
#include "test_data.h"
#include "tiny_model.h"
#include "weight_plan.h"

namespace lahar {

namespace {

using nlohmann::json;

Result<ModelSpec> spec_of(const std::filesystem::path& path, uint32_t context = 0) {
  auto source = ModelSource::open(path);
  if (!source.ok()) return source.error();
  return read_model_spec(**source, context);
}

// A folder with the tensors that `config` needs, as `names` lists them for one layer ("L." stands for the layer).
Result<ModelSpec> spec_of_config(const json& config, const std::vector<std::pair<std::string, Shape>>& names,
                                 const std::function<void(const WeightPlan&)>& look = {}) {
  test::TemporaryFolder folder;
  std::vector<test::TinyTensor> tensors;
  for (const auto& [name, shape] : names) {
    const size_t at = name.find("{}");
    if (at == std::string::npos) {
      tensors.push_back(test::random_tensor(name, shape));
      continue;
    }
    for (uint32_t i = 0; i < config["num_hidden_layers"].get<uint32_t>(); ++i) {
      std::string numbered = name;
      tensors.push_back(test::random_tensor(numbered.replace(at, 2, std::to_string(i)), shape));
    }
  }
  test::write_folder(folder.path(), config, tensors);
  auto source = ModelSource::open(folder.path());
  if (!source.ok()) return source.error();
  LAHAR_ASSIGN(ModelSpec spec, read_model_spec(**source));
  LAHAR_ASSIGN(const WeightPlan plan, WeightPlan::make(**source, spec));
  if (look) look(plan);
  return spec;
}

json sizes(const char* type, int layers) {
  return {{"model_type", type},
          {"hidden_size", 32},
          {"num_hidden_layers", layers},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"intermediate_size", 48},
          {"vocab_size", 40},
          {"max_position_embeddings", 256},
          {"tie_word_embeddings", true},
          {"rope_parameters", {{"rope_theta", 10000.0}, {"rope_type", "default"}}}};
}

const std::string kLayer = "model.layers.{}.";

// Attention and norms of llama-like checkpoints with hidden 32, 4 heads of 8, 2 KV heads.
std::vector<std::pair<std::string, Shape>> llama_like() {
  return {{"model.embed_tokens.weight", {40, 32}},        {"model.norm.weight", {32}},
          {kLayer + "self_attn.q_proj.weight", {32, 32}}, {kLayer + "self_attn.k_proj.weight", {16, 32}},
          {kLayer + "self_attn.v_proj.weight", {16, 32}}, {kLayer + "self_attn.o_proj.weight", {32, 32}},
          {kLayer + "mlp.gate_proj.weight", {48, 32}},    {kLayer + "mlp.up_proj.weight", {48, 32}},
          {kLayer + "mlp.down_proj.weight", {32, 48}}};
}

std::vector<std::pair<std::string, Shape>> with_norms(std::vector<std::string> norms) {
  auto names = llama_like();
  for (const std::string& norm : norms) names.push_back({kLayer + norm + ".weight", {32}});
  return names;
}

TEST(Spec, GoldenFolders) {
  LAHAR_NEED_DATA(folder, "golden/hf");
  for (const char* name : {"falcon-mqa", "gemma2", "gemma3", "gpt2", "llama-gqa", "llama-mha", "llama-mqa-tied",
                           "llama-yarn", "llama31-rope", "mistral-swa", "phi3", "qwen2", "qwen3"}) {
    const auto spec = spec_of(folder / name);
    ASSERT_TRUE(spec.ok()) << spec.error().message;
    EXPECT_EQ(spec->vocabulary, 256u) << name;
    EXPECT_EQ(spec->hidden, 64u) << name;
    EXPECT_EQ(spec->context_length, 512u) << name;
    EXPECT_EQ(spec->layers[0].attention.heads, 4u) << name;
    EXPECT_EQ(spec->layers[0].attention.head_dim, 16u) << name;
    EXPECT_EQ(spec->stop_tokens.size(), 1u) << name;
  }
}

TEST(Spec, FalconSharesItsNorm) {
  LAHAR_NEED_DATA(folder, "golden/hf/falcon-mqa");
  const auto spec = spec_of(folder);
  ASSERT_TRUE(spec.ok());
  const LayerSpec& layer = spec->layers[0];
  EXPECT_TRUE(layer.parallel && layer.shared_norm && !layer.pre_ffn_norm && !layer.ffn.gated);
  EXPECT_EQ(layer.attention.kv_heads, 1u);
  EXPECT_EQ(layer.ffn.width, 256u);
  EXPECT_EQ(layer.ffn.activation, ops::Activation::kGelu);
  EXPECT_EQ(spec->norm.kind, ops::NormKind::kLayer);
}

TEST(Spec, GemmaAlternatesItsWindows) {
  LAHAR_NEED_DATA(folder, "golden/hf");
  const auto gemma2 = spec_of(folder / "gemma2");
  ASSERT_TRUE(gemma2.ok());
  EXPECT_EQ(gemma2->embedding_scale, 8);
  EXPECT_EQ(gemma2->logit_softcap, 30);
  EXPECT_EQ(gemma2->layers[1].attention.softcap, 50);
  EXPECT_EQ(gemma2->layers[0].attention.window, 8u);
  EXPECT_EQ(gemma2->layers[1].attention.window, 0u);
  const auto gemma3 = spec_of(folder / "gemma3");
  ASSERT_TRUE(gemma3.ok());
  ASSERT_EQ(gemma3->ropes.size(), 2u);
  EXPECT_EQ(gemma3->layers[4].attention.window, 8u);
  EXPECT_EQ(gemma3->layers[5].attention.window, 0u);
  EXPECT_EQ(gemma3->ropes[gemma3->layers[4].attention.rope].config.base, 10000);
  EXPECT_EQ(gemma3->ropes[gemma3->layers[5].attention.rope].config.base, 1000000);
  EXPECT_EQ(gemma3->layers[5].attention.qk_norm, ops::QkNorm::kPerHead);
}

TEST(Spec, EveryKindOfModelIsKnown) {
  LAHAR_NEED_DATA(folder, "golden/hf");
  for (const char* name : {"deepseek-v2", "deepseek-v3", "gpt-oss", "granite-hybrid", "llama4", "mamba2", "mixtral",
                           "qwen2-moe", "qwen3-moe", "qwen3-next", "rwkv4"}) {
    const auto spec = spec_of(folder / name);
    EXPECT_TRUE(spec.ok()) << name << ": " << (spec.ok() ? "" : spec.error().message);
  }
  LAHAR_NEED_DATA(gguf, "golden/gguf");
  for (const char* name : {"gpt-oss-moe.gguf", "llama-moe.gguf", "qwen3moe-moe.gguf"}) {
    const auto spec = spec_of(gguf / name);
    ASSERT_TRUE(spec.ok()) << name << ": " << (spec.ok() ? "" : spec.error().message);
    EXPECT_EQ(spec->layers[1].ffn_kind, FfnKind::kExperts) << name;
  }
}

TEST(Spec, RealGgufs) {
  const auto pumice = spec_of(test::source_folder() / "model/default/pumice-q8_0.gguf");
  ASSERT_TRUE(pumice.ok()) << pumice.error().message;
  EXPECT_TRUE(pumice->tied_head);
  EXPECT_EQ(pumice->vocabulary, 1280u);
  EXPECT_EQ(pumice->ropes[0].pairing, ops::RopePairing::kInterleaved);
  EXPECT_EQ(pumice->stop_tokens, std::vector<int32_t>{2});
  LAHAR_NEED_DATA(stories, "models/stories260K.gguf");
  const auto spec = spec_of(stories);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->layers[0].attention.head_dim, 8u);
  EXPECT_FALSE(spec->tied_head);
}

TEST(Spec, Olmo2NormsAfterItsBlocks) {
  auto names = with_norms({"post_attention_layernorm", "post_feedforward_layernorm"});
  names.push_back({kLayer + "self_attn.q_norm.weight", {32}});
  names.push_back({kLayer + "self_attn.k_norm.weight", {16}});
  const auto spec = spec_of_config(sizes("olmo2", 2), names);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  const LayerSpec& layer = spec->layers[1];
  EXPECT_TRUE(!layer.pre_attention_norm && !layer.pre_ffn_norm && layer.post_attention_norm && layer.post_ffn_norm);
  EXPECT_EQ(layer.attention.qk_norm, ops::QkNorm::kFull);
  EXPECT_EQ(spec->ropes[0].pairing, ops::RopePairing::kHalves);
}

TEST(Spec, SmolLm3LeavesEveryFourthLayerWithoutPositions) {
  const auto names = with_norms({"input_layernorm", "post_attention_layernorm"});
  auto spec = spec_of_config(sizes("smollm3", 8), names);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  for (int i = 0; i < 8; ++i) EXPECT_EQ(spec->layers[i].attention.rope, i % 4 == 3 ? -1 : 0) << i;
  json config = sizes("smollm3", 3);
  config["no_rope_layers"] = {0, 1, 1};
  spec = spec_of_config(config, names);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(spec->layers[i].attention.rope, i == 0 ? -1 : 0) << i;
}

TEST(Spec, RecurrentLayersRefuseWhatTheyDoNotHave) {
  json mamba = sizes("mamba", 1);
  mamba["hidden_act"] = "gelu";
  const std::vector<std::pair<std::string, Shape>> names = {{"backbone.embeddings.weight", {40, 32}}};
  const auto found = spec_of_config(mamba, names);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(found.error().message.find("hidden_act"), std::string::npos) << found.error().message;
  json nemotron = sizes("nemotron_h", 1);
  nemotron["layers_block_type"] = {"convolution"};
  const auto kind = spec_of_config(nemotron, names);
  ASSERT_FALSE(kind.ok());
  EXPECT_NE(kind.error().message.find("'convolution'"), std::string::npos) << kind.error().message;
}

TEST(Spec, RwkvNormsAStreamThatIsNotHalved) {
  // The reference halves it behind every second layer: each time, eps counts four times as much.
  json config = sizes("rwkv", 5);
  config.update({{"rescale_every", 2}, {"layer_norm_epsilon", 1e-3}});
  std::vector<std::pair<std::string, Shape>> names = {{"rwkv.embeddings.weight", {40, 32}}};
  for (const char* part : {"weight", "bias"}) {
    for (const char* norm : {"blocks.0.pre_ln", "ln_out", "blocks.{}.ln1", "blocks.{}.ln2"})
      names.push_back({std::string("rwkv.") + norm + "." + part, {32}});
  }
  for (const char* mix :
       {"attention.time_mix_key", "attention.time_mix_value", "attention.time_mix_receptance", "attention.time_decay",
        "attention.time_first", "feed_forward.time_mix_key", "feed_forward.time_mix_receptance"})
    names.push_back({std::string("rwkv.blocks.{}.") + mix, {32}});
  for (const char* square :
       {"attention.key", "attention.value", "attention.receptance", "attention.output", "feed_forward.receptance"})
    names.push_back({std::string("rwkv.blocks.{}.") + square + ".weight", {32, 32}});
  names.push_back({"rwkv.blocks.{}.feed_forward.key.weight", {48, 32}});
  names.push_back({"rwkv.blocks.{}.feed_forward.value.weight", {32, 48}});
  const auto spec = spec_of_config(config, names);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_FLOAT_EQ(spec->layers[1].norm_eps, 1e-3f);
  EXPECT_FLOAT_EQ(spec->layers[2].norm_eps, 4e-3f);
  EXPECT_FLOAT_EQ(spec->layers[4].norm_eps, 16e-3f);
  EXPECT_FLOAT_EQ(spec->final_norm_eps, 16e-5f);
}

TEST(Spec, GraniteMultiplies) {
  json config = sizes("granite", 2);
  config.update({{"embedding_multiplier", 12.0},
                 {"logits_scaling", 8.0},
                 {"residual_multiplier", 0.22},
                 {"attention_multiplier", 0.015625}});
  const auto spec = spec_of_config(config, with_norms({"input_layernorm", "post_attention_layernorm"}));
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->embedding_scale, 12);
  EXPECT_EQ(spec->logit_scale, 0.125f);
  EXPECT_EQ(spec->layers[1].residual_multiplier, 0.22f);
  EXPECT_EQ(spec->layers[1].attention.scale, 0.015625f);
}

TEST(Spec, Starcoder2HasBiasesAndAWindow) {
  json config = sizes("starcoder2", 2);
  config.erase("intermediate_size");
  config.update({{"intermediate_size", 64}, {"sliding_window", 16}, {"norm_epsilon", 1e-5}});
  std::vector<std::pair<std::string, Shape>> names = {{"model.embed_tokens.weight", {40, 32}}};
  const auto both = [&](const std::string& name, uint64_t rows, uint64_t cols) {
    names.push_back({name + ".weight", cols == 0 ? Shape{rows} : Shape{rows, cols}});
    names.push_back({name + ".bias", {rows}});
  };
  both("model.norm", 32, 0);
  both(kLayer + "input_layernorm", 32, 0);
  both(kLayer + "post_attention_layernorm", 32, 0);
  both(kLayer + "self_attn.q_proj", 32, 32);
  both(kLayer + "self_attn.k_proj", 16, 32);
  both(kLayer + "self_attn.v_proj", 16, 32);
  both(kLayer + "self_attn.o_proj", 32, 32);
  both(kLayer + "mlp.c_fc", 64, 32);
  both(kLayer + "mlp.c_proj", 32, 64);
  const auto spec = spec_of_config(config, names);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  const LayerSpec& layer = spec->layers[0];
  EXPECT_TRUE(layer.attention.qkv_bias && layer.attention.output_bias && layer.ffn.up_bias && layer.ffn.down_bias);
  EXPECT_FALSE(layer.ffn.gated);
  EXPECT_EQ(layer.ffn.activation, ops::Activation::kGeluTanh);
  EXPECT_EQ(layer.attention.window, 16u);
}

TEST(Spec, RecurrentGemmaRefusesWhatItDoesNotKnow) {
  const auto error_with = [](const char* key, const json& value) {
    json config = sizes("recurrent_gemma", 1);
    config[key] = value;
    const auto spec = spec_of_config(config, {{"model.embed_tokens.weight", {40, 32}}});
    return spec.ok() ? std::string() : spec.error().message;
  };
  const std::string known = error_with("block_types", json::array({"recurrent"}));
  EXPECT_NE(known.find("is missing"), std::string::npos) << known;  // no more than a tensor
  for (const json& types : {json::array({"mamba"}), json::array(), json("attention")})
    EXPECT_NE(error_with("block_types", types).find("block_types: expected"), std::string::npos) << types;
  EXPECT_NE(error_with("lru_width", 36).find("lru_width: expected a multiple of 4"), std::string::npos);
  EXPECT_NE(error_with("hidden_activation", "mish").find("'mish'"), std::string::npos);
}

TEST(Spec, Qwen2SlidesOnlyWhereItIsSwitchedOn) {
  auto names = with_norms({"input_layernorm", "post_attention_layernorm"});
  for (const char* name : {"q", "k", "v"})
    names.push_back({kLayer + "self_attn." + name + "_proj.bias", {name[0] == 'q' ? 32u : 16u}});
  json config = sizes("qwen2", 4);
  config.update({{"sliding_window", 8}, {"max_window_layers", 2}, {"use_sliding_window", false}});
  auto spec = spec_of_config(config, names);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  for (const LayerSpec& layer : spec->layers) EXPECT_EQ(layer.attention.window, 0u);
  config["use_sliding_window"] = true;
  spec = spec_of_config(config, names);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  for (int i = 0; i < 4; ++i) EXPECT_EQ(spec->layers[i].attention.window, i < 2 ? 0u : 8u);
  config["layer_types"] = {"sliding_attention", "full_attention", "full_attention", "sliding_attention"};
  spec = spec_of_config(config, names);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  for (int i = 0; i < 4; ++i) EXPECT_EQ(spec->layers[i].attention.window, i % 3 == 0 ? 8u : 0u);
}

TEST(Spec, OldFormOfRopeScaling) {
  const auto names = with_norms({"input_layernorm", "post_attention_layernorm"});
  json config = sizes("llama", 2);
  config.erase("rope_parameters");
  config["rope_theta"] = 50000.0;
  config["rope_scaling"] = {{"type", "linear"}, {"factor", 3.0}};
  auto spec = spec_of_config(config, names);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->ropes[0].config.base, 50000);
  EXPECT_EQ(spec->ropes[0].config.scaling, RopeScaling::kLinear);
  EXPECT_FLOAT_EQ(spec->ropes[0].inverse_frequencies[0], 1.0f / 3);
  config["rope_scaling"] = {{"rope_type", "dynamic"}, {"factor", 2.0}};
  spec = spec_of_config(config, names);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->ropes[0].config.trained_context, 256u);
  EXPECT_TRUE(spec->rope_depends_on_context());
  config["rope_scaling"] = {{"rope_type", "mrope"}, {"factor", 2.0}};
  EXPECT_NE(spec_of_config(config, names).error().message.find("type 'mrope' is not supported"), std::string::npos);
  config["rope_scaling"] = {{"rope_type", "linear"}};
  EXPECT_NE(spec_of_config(config, names).error().message.find("factor: missing"), std::string::npos);
}

TEST(Spec, LengthThatTheModelWasTrainedOn) {
  const auto names = with_norms({"input_layernorm", "post_attention_layernorm"});
  json config = sizes("llama", 2);
  const auto in_folder = [&] {
    const auto spec = spec_of_config(config, names);
    EXPECT_TRUE(spec.ok()) << spec.error().message;
    return spec.ok() ? spec->ropes[0].config.original_context : 0;
  };
  EXPECT_EQ(in_folder(), 256u);
  config["original_max_position_embeddings"] = 64;
  EXPECT_EQ(in_folder(), 64u);
  config["rope_parameters"] = {{"rope_theta", 10000.0}, {"rope_type", "yarn"}, {"factor", 4.0}};
  EXPECT_EQ(in_folder(), 64u);

  test::TinyLlama model;
  const auto in_gguf = [&] {
    const std::vector<std::byte> bytes = model.bytes();
    const auto source = ModelSource::from_memory(bytes, "tiny");
    EXPECT_TRUE(source.ok());
    const auto spec = read_model_spec(**source);
    EXPECT_TRUE(spec.ok()) << spec.error().message;
    EXPECT_EQ(spec->ropes[0].config.scaling, RopeScaling::kNone);
    return std::pair{spec->context_length, spec->ropes[0].config.original_context};
  };
  const auto [context, trained] = in_gguf();
  EXPECT_EQ(trained, context);
  model.metadata.add("llama.rope.scaling.original_context_length", uint32_t{48});
  EXPECT_EQ(in_gguf(), (std::pair{context, 48u}));
}

TEST(Spec, BiasesOfLlama) {
  auto names = with_norms({"input_layernorm", "post_attention_layernorm"});
  json config = sizes("llama", 2);
  config["attention_bias"] = true;
  EXPECT_NE(spec_of_config(config, names).error().message.find("q_proj.bias' is missing"), std::string::npos);
  for (const char* name : {"q", "k", "v", "o"})
    names.push_back({kLayer + "self_attn." + name + "_proj.bias", {name[0] == 'q' || name[0] == 'o' ? 32u : 16u}});
  const auto spec = spec_of_config(config, names);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_TRUE(spec->layers[0].attention.qkv_bias && spec->layers[0].attention.output_bias && !spec->layers[0].ffn.up_bias);
}

TEST(Spec, FalconInItsOtherShapes) {
  json config = sizes("falcon", 2);
  config.update({{"num_kv_heads", 2}, {"new_decoder_architecture", true}, {"multi_query", true}, {"bias", false}});
  const std::string h = "transformer.h.{}.";
  std::vector<std::pair<std::string, Shape>> names = {{"transformer.word_embeddings.weight", {40, 32}},
                                                      {"transformer.ln_f.weight", {32}},
                                                      {"transformer.ln_f.bias", {32}},
                                                      {h + "self_attention.query_key_value.weight", {64, 32}},
                                                      {h + "self_attention.dense.weight", {32, 32}},
                                                      {h + "mlp.dense_h_to_4h.weight", {128, 32}},
                                                      {h + "mlp.dense_4h_to_h.weight", {32, 128}}};
  const auto with = [&](std::vector<std::string> norms) {
    auto all = names;
    for (const std::string& norm : norms)
      for (const char* part : {".weight", ".bias"}) all.push_back({h + norm + part, {32}});
    return all;
  };
  // Of each of the two KV groups: two query heads of 8 rows, a key, a value.
  const auto expect_groups = [](const WeightPlan& plan) {
    const auto& runs = plan.data().layers[1].qkv.parts[0].pieces[0].runs;
    const std::pair<uint32_t, uint32_t> expected[] = {{0, 16}, {32, 16}, {16, 8}, {48, 8}, {24, 8}, {56, 8}};
    ASSERT_EQ(runs.size(), 6u);
    for (size_t i = 0; i < 6; ++i) EXPECT_EQ(std::make_pair(runs[i].first, runs[i].rows), expected[i]) << i;
  };
  auto spec = spec_of_config(config, with({"ln_attn", "ln_mlp"}), expect_groups);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_TRUE(spec->layers[0].parallel && !spec->layers[0].shared_norm && spec->layers[0].pre_ffn_norm);
  EXPECT_EQ(spec->layers[0].attention.kv_heads, 2u);
  config["num_ln_in_parallel_attn"] = 1;
  spec = spec_of_config(config, with({"input_layernorm"}));
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_TRUE(spec->layers[0].shared_norm);
  // RW: as many KV heads as heads, one after the other.
  config.update(
      {{"new_decoder_architecture", false}, {"multi_query", false}, {"parallel_attn", false}, {"num_kv_heads", 4}});
  names[3].second = {96, 32};
  spec = spec_of_config(config, with({"input_layernorm", "post_attention_layernorm"}));
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_TRUE(!spec->layers[0].parallel && spec->layers[0].pre_ffn_norm);
  EXPECT_EQ(spec->layers[0].attention.alibi, 0);
  config["alibi"] = true;
  spec = spec_of_config(config, with({"input_layernorm", "post_attention_layernorm"}));
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_TRUE(spec->layers[0].attention.alibi == 8 && spec->layers[0].attention.alibi_scaled && spec->ropes.empty());
}

TEST(Spec, GenerationDefaults) {
  test::TemporaryFolder folder;
  json config = sizes("llama", 1);
  config["eos_token_id"] = 2;
  std::vector<test::TinyTensor> tensors;
  for (auto [name, shape] : with_norms({"input_layernorm", "post_attention_layernorm"})) {
    if (const size_t at = name.find("{}"); at != std::string::npos) name.replace(at, 2, "0");
    tensors.push_back(test::random_tensor(name, shape));
  }
  test::write_folder(folder.path(), config, tensors);
  std::ofstream(folder.path() / "generation_config.json")
      << json{{"eos_token_id", {7, 3, 400}}, {"bos_token_id", 1}, {"temperature", 0.6}, {"top_p", 7}, {"top_k", 20}};
  const auto spec = spec_of(folder.path());
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->stop_tokens, (std::vector<int32_t>{3, 7}));
  EXPECT_EQ(spec->bos_token, 1);
  EXPECT_EQ(spec->sampling.temperature, 0.6f);
  EXPECT_EQ(spec->sampling.top_k, 20u);
  EXPECT_FALSE(spec->sampling.top_p.has_value());
}

TEST(Spec, Gemma3InsideAMultimodalFolder) {
  json text = sizes("gemma3_text", 1);
  text["head_dim"] = 8;
  text["query_pre_attn_scalar"] = 8;
  text.erase("rope_parameters");
  const json config = {{"model_type", "gemma3"}, {"text_config", text}, {"num_hidden_layers", 1}};
  auto names =
      with_norms({"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"});
  names.push_back({kLayer + "self_attn.q_norm.weight", {8}});
  names.push_back({kLayer + "self_attn.k_norm.weight", {8}});
  for (auto& name : names) name.first = "language_model." + name.first;
  const auto spec = spec_of_config(config, names);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->architecture, "gemma3");
  EXPECT_EQ(spec->ropes[1].config.base, 10000);
  EXPECT_EQ(spec->ropes[0].config.base, 1000000);
}

// What an architecture reads from a nested text_config; of the tensors there are the tables alone.
Result<ModelSpec> nested_spec(const char* type, json text, uint32_t hidden) {
  text["model_type"] = std::string(type) + "_text";
  test::TemporaryFolder folder;
  std::vector<test::TinyTensor> tensors{
      test::random_tensor("model.language_model.embed_tokens.weight", {40, hidden}),
      test::random_tensor("model.language_model.embed_tokens_per_layer.weight", {40, 256})};
  // No fewer tensors than layers.
  for (int i = 0; i < 40; ++i) tensors.push_back(test::random_tensor("vision." + std::to_string(i), {1}));
  test::write_folder(folder.path(), {{"model_type", type}, {"text_config", text}}, tensors);
  auto source = ModelSource::open(folder.path());
  if (!source.ok()) return source.error();
  arch::Config config(**source);
  ModelSpec spec;
  arch::find_architecture((*source)->architecture(), false)->read(config, spec);
  LAHAR_TRY(config.status());
  return spec;
}

// All that its config.json says of the text model.
TEST(Spec, Gemma3Of4BLeavesOutWhatTheClassHas) {
  const auto spec = nested_spec("gemma3",
                                {{"hidden_size", 2560},
                                 {"intermediate_size", 10240},
                                 {"num_hidden_layers", 34},
                                 {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}},
                                 {"sliding_window", 1024}},
                                2560);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->hidden, 2560u);
  EXPECT_EQ(spec->context_length, 131072u);
  EXPECT_EQ(spec->norm.eps, 1e-6f);
  EXPECT_TRUE(spec->tied_head);
  EXPECT_EQ(spec->logit_softcap, 0);
  ASSERT_EQ(spec->layers.size(), 34u);
  for (size_t i = 0; i < 34; ++i) {
    const LayerSpec& layer = spec->layers[i];
    EXPECT_EQ(layer.attention.heads, 8u);
    EXPECT_EQ(layer.attention.kv_heads, 4u);
    EXPECT_EQ(layer.attention.head_dim, 256u);
    EXPECT_EQ(layer.attention.scale, 1.0f / 16);
    EXPECT_EQ(layer.attention.window, i % 6 == 5 ? 0u : 1024u);
    EXPECT_EQ(layer.ffn.width, 10240u);
    EXPECT_EQ(layer.ffn.activation, ops::Activation::kGeluTanh);
    const RopeConfig& rope = spec->ropes[layer.attention.rope].config;
    EXPECT_EQ(rope.base, i % 6 == 5 ? 1e6 : 1e4);
    EXPECT_EQ(rope.scaling, i % 6 == 5 ? RopeScaling::kLinear : RopeScaling::kNone);
  }
}

TEST(Spec, GemmasHaveTheirClassesSizes) {
  struct Sizes {
    const char* type;
    uint32_t hidden, layers, heads, kv_heads, width, window, context;
  };
  for (const Sizes& s :
       {Sizes{"gemma3", 2304, 26, 8, 4, 9216, 4096, 131072}, Sizes{"gemma3n", 2048, 35, 8, 2, 16384, 512, 32768},
        Sizes{"gemma4", 2304, 30, 8, 4, 9216, 512, 131072}}) {
    SCOPED_TRACE(s.type);
    const auto spec = nested_spec(s.type, json::object(), s.hidden);
    ASSERT_TRUE(spec.ok()) << spec.error().message;
    EXPECT_EQ(spec->hidden, s.hidden);
    EXPECT_EQ(spec->context_length, s.context);
    ASSERT_EQ(spec->layers.size(), s.layers);
    const LayerSpec& layer = spec->layers[0];
    EXPECT_EQ(layer.attention.heads, s.heads);
    EXPECT_EQ(layer.attention.kv_heads, s.kv_heads);
    EXPECT_EQ(layer.attention.head_dim, 256u);
    EXPECT_EQ(layer.attention.window, s.window);
    EXPECT_EQ(layer.ffn.width, s.width);
  }
}

}  // namespace

}  // namespace lahar
