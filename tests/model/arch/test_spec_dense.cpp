// Checkpoints in Hugging Face's form of dense architectures without golden data: their names, what the specs say, and that
// the reference runs on them.
#include <gtest/gtest.h>

#include <cmath>

#include "reference_model.h"
#include "tiny_model.h"
#include "weight_plan.h"

namespace lahar {

namespace {

using nlohmann::json;
using Tensors = std::vector<std::pair<std::string, Shape>>;

// Hidden 48, 6 heads of 8, 2 KV heads, feed-forward 56, vocabulary 40, 4 layers.
json sizes(const char* type) {
  return {{"model_type", type},       {"hidden_size", 48},       {"num_hidden_layers", 4}, {"num_attention_heads", 6},
          {"num_key_value_heads", 2}, {"intermediate_size", 56}, {"vocab_size", 40},       {"max_position_embeddings", 128}};
}

struct Model {
  ModelSpec spec;
  std::vector<double> logits;  // of 12 tokens
};

// "{}" in a name stands for the layer. `biased`: each tensor whose name ends so has a bias of its rows.
Result<Model> make(const json& config, const Tensors& tensors, const std::vector<std::string>& biased = {}) {
  test::TemporaryFolder folder;
  std::vector<test::TinyTensor> all;
  const auto add = [&](const std::string& name, const Shape& shape) {
    all.push_back(test::random_tensor(name + ".weight", shape));
    for (const std::string& end : biased)
      if (name.ends_with(end)) all.push_back(test::random_tensor(name + ".bias", Shape{shape[0]}));
  };
  for (const auto& [name, shape] : tensors) {
    const size_t at = name.find("{}");
    for (int i = 0; i < (at == std::string::npos ? 1 : 4); ++i) {
      std::string numbered = name;
      if (at != std::string::npos) numbered.replace(at, 2, std::to_string(i));
      add(numbered, shape);
    }
  }
  test::write_folder(folder.path(), config, all);
  LAHAR_ASSIGN(const auto source, ModelSource::open(folder.path()));
  Model model;
  LAHAR_ASSIGN(model.spec, read_model_spec(*source));
  LAHAR_ASSIGN(const WeightPlan plan, WeightPlan::make(*source, model.spec));
  LAHAR_ASSIGN(model.logits, test::reference_logits(*source, model.spec, plan, {1, 7, 3, 39, 0, 12, 5, 5, 21, 30, 2, 17}));
  for (double v : model.logits)
    if (!std::isfinite(v)) return Error{ErrorCode::kFormat, "logits that are not finite"};
  return model;
}

const std::string kLayer = "model.layers.{}.";

Tensors llama_like(const std::vector<std::string>& norms, bool head = true) {
  Tensors t = {{"model.embed_tokens", {40, 48}},        {"model.norm", {48}},
               {kLayer + "self_attn.q_proj", {48, 48}}, {kLayer + "self_attn.k_proj", {16, 48}},
               {kLayer + "self_attn.v_proj", {16, 48}}, {kLayer + "self_attn.o_proj", {48, 48}},
               {kLayer + "mlp.gate_proj", {56, 48}},    {kLayer + "mlp.up_proj", {56, 48}},
               {kLayer + "mlp.down_proj", {48, 56}}};
  if (head) t.push_back({"lm_head", {40, 48}});
  for (const std::string& norm : norms) t.push_back({kLayer + norm, {48}});
  return t;
}

#define EXPECT_MADE(model) ASSERT_TRUE(model.ok()) << model.error().message

TEST(DenseSpec, GptNeoX) {
  json config = sizes("gpt_neox");
  config.update({{"rotary_pct", 0.5}, {"rotary_emb_base", 5000}, {"layer_norm_eps", 1e-4}});
  const std::string l = "gpt_neox.layers.{}.";
  const Tensors tensors = {{"gpt_neox.embed_in", {40, 48}},
                           {"gpt_neox.final_layer_norm", {48}},
                           {"embed_out", {40, 48}},
                           {l + "input_layernorm", {48}},
                           {l + "post_attention_layernorm", {48}},
                           {l + "attention.query_key_value", {144, 48}},
                           {l + "attention.dense", {48, 48}},
                           {l + "mlp.dense_h_to_4h", {56, 48}},
                           {l + "mlp.dense_4h_to_h", {48, 56}}};
  const auto model = make(config, tensors, {"norm", "query_key_value", "dense", "4h", "to_h"});
  EXPECT_MADE(model);
  EXPECT_TRUE(model->spec.layers[0].parallel && !model->spec.layers[0].shared_norm);
  EXPECT_EQ(model->spec.ropes[0].dims, 4u);
  EXPECT_EQ(model->spec.ropes[0].config.base, 5000);
  EXPECT_EQ(model->spec.layers[0].attention.kv_heads, 6u);
}

TEST(DenseSpec, StableLm) {
  json config = sizes("stablelm");
  config.update({{"qk_layernorm", true}, {"use_parallel_residual", true}, {"partial_rotary_factor", 0.5}});
  Tensors tensors = llama_like({"input_layernorm"});
  for (int h = 0; h < 6; ++h) tensors.push_back({kLayer + "self_attn.q_layernorm.norms." + std::to_string(h), {8}});
  for (int h = 0; h < 2; ++h) tensors.push_back({kLayer + "self_attn.k_layernorm.norms." + std::to_string(h), {8}});
  const auto model = make(config, tensors, {"model.norm", "input_layernorm"});
  EXPECT_MADE(model);
  const LayerSpec& layer = model->spec.layers[2];
  EXPECT_TRUE(layer.parallel && layer.shared_norm);
  EXPECT_EQ(layer.attention.qk_norm, ops::QkNorm::kEachHead);
  EXPECT_EQ(layer.attention.qk_norm_kind, ops::NormKind::kLayer);
}

TEST(DenseSpec, Bloom) {
  const json config = {{"model_type", "bloom"}, {"hidden_size", 48}, {"n_layer", 4}, {"n_head", 6}, {"vocab_size", 40}};
  const std::string l = "transformer.h.{}.";
  const Tensors tensors = {{"transformer.word_embeddings", {40, 48}},
                           {"transformer.word_embeddings_layernorm", {48}},
                           {"transformer.ln_f", {48}},
                           {l + "input_layernorm", {48}},
                           {l + "post_attention_layernorm", {48}},
                           {l + "self_attention.query_key_value", {144, 48}},
                           {l + "self_attention.dense", {48, 48}},
                           {l + "mlp.dense_h_to_4h", {192, 48}},
                           {l + "mlp.dense_4h_to_h", {48, 192}}};
  const auto model = make(config, tensors, {"norm", "ln_f", "query_key_value", "dense", "4h", "to_h"});
  EXPECT_MADE(model);
  EXPECT_TRUE(model->spec.embedding_norm && model->spec.tied_head);
  EXPECT_EQ(model->spec.layers[0].attention.alibi, 8);
  EXPECT_EQ(model->spec.layers[0].attention.rope, -1);
}

TEST(DenseSpec, Mpt) {
  const json config = {{"model_type", "mpt"}, {"d_model", 48},    {"n_layers", 4},
                       {"n_heads", 6},        {"vocab_size", 40}, {"attn_config", {{"clip_qkv", 0.5}}}};
  const std::string l = "transformer.blocks.{}.";
  const Tensors tensors = {{"transformer.wte", {40, 48}},  {"transformer.norm_f", {48}},    {l + "norm_1", {48}},
                           {l + "norm_2", {48}},           {l + "attn.Wqkv", {144, 48}},    {l + "attn.out_proj", {48, 48}},
                           {l + "ffn.up_proj", {192, 48}}, {l + "ffn.down_proj", {48, 192}}};
  const auto model = make(config, tensors);
  EXPECT_MADE(model);
  EXPECT_EQ(model->spec.layers[0].attention.clamp, 0.5f);
  EXPECT_EQ(model->spec.layers[0].attention.alibi, 8);
  EXPECT_FALSE(model->spec.norm.bias);
}

// An option that changes the result is refused where it is not there, by its name.
TEST(DenseSpec, RefusesWhatIsNotThere) {
  const Tensors some = llama_like({});  // enough for the layers to be believed
  const auto message_of = [&](json config, const char* key, const json& value) {
    config[key] = value;
    const auto model = make(config, some);
    return model.ok() ? std::string() : model.error().message;
  };
  const auto has = [](const std::string& message, const char* text) { return message.find(text) != std::string::npos; };
  std::string message = message_of(sizes("llama"), "hidden_act", "quick_gelu");
  EXPECT_TRUE(has(message, "hidden_act: activation 'quick_gelu' is not supported")) << message;
  message = message_of(sizes("bloom"), "apply_residual_connection_post_layernorm", true);
  EXPECT_TRUE(has(message, "apply_residual_connection_post_layernorm is not supported")) << message;
  const json mpt = {{"model_type", "mpt"}, {"d_model", 48}, {"n_layers", 4}, {"n_heads", 6}};
  message = message_of(mpt, "attn_config", json::object({{"qk_ln", true}}));
  EXPECT_TRUE(has(message, "attn_config: qk_ln is not supported")) << message;
}

TEST(DenseSpec, Cohere) {
  json config = sizes("cohere");
  config["use_qk_norm"] = true;
  Tensors tensors = llama_like({"input_layernorm"}, false);
  tensors.push_back({kLayer + "self_attn.q_norm", {6, 8}});
  tensors.push_back({kLayer + "self_attn.k_norm", {2, 8}});
  auto model = make(config, tensors);
  EXPECT_MADE(model);
  EXPECT_EQ(model->spec.logit_scale, 0.0625f);
  EXPECT_EQ(model->spec.ropes[0].pairing, ops::RopePairing::kInterleaved);
  config = sizes("cohere2");
  config["sliding_window"] = 4;
  model = make(config, llama_like({"input_layernorm"}, false));
  EXPECT_MADE(model);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(model->spec.layers[i].attention.window, i == 3 ? 0u : 4u);
    EXPECT_EQ(model->spec.layers[i].attention.rope, i == 3 ? -1 : 0);
  }
}

TEST(DenseSpec, Glm4) {
  json config = sizes("glm4");
  config["head_dim"] = 8;
  Tensors tensors =
      llama_like({"input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm"});
  tensors.push_back({kLayer + "mlp.gate_up_proj", {112, 48}});
  std::erase_if(tensors, [](const auto& t) { return t.first.ends_with("gate_proj") || t.first.ends_with(".up_proj"); });
  const auto model = make(config, tensors, {"q_proj", "k_proj", "v_proj"});
  EXPECT_MADE(model);
  EXPECT_EQ(model->spec.ropes[0].dims, 4u);
  EXPECT_EQ(model->spec.ropes[0].pairing, ops::RopePairing::kInterleaved);
  EXPECT_TRUE(model->spec.layers[0].post_attention_norm && model->spec.layers[0].pre_ffn_norm);
}

TEST(DenseSpec, Exaone4) {
  json config = sizes("exaone4");
  config.update({{"sliding_window", 4}, {"sliding_window_pattern", "LLLG"}});
  Tensors tensors = llama_like({"post_attention_layernorm", "post_feedforward_layernorm"});
  for (const char* norm : {"self_attn.q_norm", "self_attn.k_norm"}) tensors.push_back({kLayer + norm, {8}});
  auto model = make(config, tensors);
  EXPECT_MADE(model);
  EXPECT_EQ(model->spec.layers[3].attention.rope, -1);
  EXPECT_EQ(model->spec.layers[2].attention.window, 4u);
  config["sliding_window"] = nullptr;
  model = make(config, tensors);
  EXPECT_MADE(model);
  EXPECT_EQ(model->spec.layers[3].attention.rope, 0);
}

TEST(DenseSpec, SeedOssHunyuanErnie) {
  json config = sizes("seed_oss");
  config["head_dim"] = 8;
  const std::vector<std::string> norms = {"input_layernorm", "post_attention_layernorm"};
  auto model = make(config, llama_like(norms), {"q_proj", "k_proj", "v_proj"});
  EXPECT_MADE(model);
  config = sizes("ernie4_5");
  config["head_dim"] = 8;
  model = make(config, llama_like(norms, false));
  EXPECT_MADE(model);
  EXPECT_EQ(model->spec.ropes[0].config.base, 500000);
  config = sizes("hunyuan_v1_dense");
  config["rope_scaling"] = {{"type", "dynamic"}, {"alpha", 1000.0}, {"factor", 1.0}};
  Tensors tensors = llama_like(norms);
  for (const char* norm : {"self_attn.query_layernorm", "self_attn.key_layernorm"}) tensors.push_back({kLayer + norm, {8}});
  model = make(config, tensors);
  EXPECT_MADE(model);
  EXPECT_TRUE(model->spec.layers[0].attention.qk_norm_after_rope);
  EXPECT_NEAR(model->spec.ropes[0].config.base, 1e4 * std::pow(1000.0, 8.0 / 6), 1);
  EXPECT_FALSE(model->spec.rope_depends_on_context());
}

// null says what the class would derive, a missing key what the class sets.
TEST(DenseSpec, NullIsNotMissing) {
  json config = sizes("ernie4_5");
  config.update({{"head_dim", nullptr}, {"num_key_value_heads", nullptr}});
  Tensors tensors = llama_like({"input_layernorm", "post_attention_layernorm"}, false);
  tensors[3].second = tensors[4].second = {48, 48};
  const auto model = make(config, tensors);
  EXPECT_MADE(model);
  EXPECT_EQ(model->spec.layers[0].attention.kv_heads, 6u);
  EXPECT_EQ(model->spec.layers[0].attention.head_dim, 8u);
}

TEST(DenseSpec, PartOfTheHeadIsInTheObject) {
  json config = sizes("glm");
  config.update({{"head_dim", 8},
                 {"attention_bias", false},
                 {"partial_rotary_factor", 0.5},
                 {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 1e4}, {"partial_rotary_factor", 0.75}}}});
  Tensors tensors = llama_like({"input_layernorm", "post_attention_layernorm"});
  tensors.push_back({kLayer + "mlp.gate_up_proj", {112, 48}});
  const auto model = make(config, tensors);
  EXPECT_MADE(model);
  EXPECT_EQ(model->spec.ropes[0].dims, 6u);
}

// A head that is another than the embedding table counts, whatever the flag says.
TEST(DenseSpec, HeadsThatDiffer) {
  for (const bool tied : {false, true}) {
    json config = sizes("granite");
    config["tie_word_embeddings"] = tied;
    const std::vector<std::string> norms = {"input_layernorm", "post_attention_layernorm"};
    const auto with = make(config, llama_like(norms)), without = make(config, llama_like(norms, false));
    EXPECT_MADE(with);
    EXPECT_MADE(without);
    EXPECT_FALSE(with->spec.tied_head);
    EXPECT_TRUE(without->spec.tied_head);
  }
}

TEST(DenseSpec, UnknownOptionsAreRefused) {
  const auto refused = [](json config, const char* key, const json& value) {
    config[key] = value;
    Tensors tensors = llama_like({"input_layernorm", "post_attention_layernorm"});
    const auto model = make(config, tensors);
    ASSERT_FALSE(model.ok()) << key;
    EXPECT_EQ(model.error().code, ErrorCode::kUnsupported) << model.error().message;
    EXPECT_NE(model.error().message.find(key), std::string::npos) << model.error().message;
  };
  for (const char* type : {"cohere", "cohere2", "ernie4_5", "exaone4", "glm", "glm4", "granite", "hunyuan_v1_dense", "olmo2",
                           "seed_oss", "smollm3"})
    refused(sizes(type), "hidden_act", "mish");
  for (const char* type : {"gemma2", "gemma3_text"}) {
    refused(sizes(type), "hidden_activation", "mish");
    refused(sizes(type), "use_bidirectional_attention", true);
  }
  refused(sizes("gemma3n_text"), "hidden_activation", "silu");
  const json types = {"linear_attention", "full_attention", "full_attention", "full_attention"};
  for (const char* type : {"cohere2", "exaone4", "gemma2", "gemma3_text", "gemma3n_text", "llama4_text"})
    refused(sizes(type), "layer_types", types);
}

}  // namespace

}  // namespace lahar
