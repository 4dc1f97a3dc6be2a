#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "arch/architecture.h"
#include "core/quote.h"
#include "hf_quantization.h"
#include "weight_tensors.h"

namespace lahar {

using arch::Architecture;
using nlohmann::json;

namespace arch {

namespace {

constexpr const Architecture* kAll[] = {
    &kBloom,          &kCohere, &kCohere2, &kDeepSeekV2,    &kDeepSeekV3, &kErnie45,  &kErnie45Moe, &kExaone4,   &kFalcon,
    &kFalconH1,       &kGemma2, &kGemma3,  &kGemma3n,       &kGemma4,     &kGlm,      &kGlm4,       &kGlm4Moe,   &kGpt2,
    &kGptNeox,        &kGptOss, &kGranite, &kGraniteHybrid, &kGraniteMoe, &kHunyuan,  &kLfm2,       &kLfm2Moe,   &kLlama,
    &kLlama4,         &kMamba,  &kMamba2,  &kMiniMaxM2,     &kMistral,    &kMixtral,  &kMpt,        &kNemotronH, &kOlmo2,
    &kOlmoe,          &kPhi3,   &kQwen2,   &kQwen2Moe,      &kQwen3,      &kQwen35,   &kQwen35Moe,  &kQwen3Moe,  &kQwen3Next,
    &kRecurrentGemma, &kRwkv4,  &kRwkv7,   &kSeedOss,       &kSmolLm3,    &kStableLm, &kStarcoder2};

constexpr TensorNames kGgufNames{.embedding = "token_embd",
                                 .embedding_norm = "token_embd_norm",
                                 .positions = "position_embd",
                                 .final_norm = "output_norm",
                                 .head = "output",
                                 .layer = "blk.",
                                 .pre_attention = "attn_norm",
                                 .post_attention = "post_attention_norm",
                                 .pre_ffn = "ffn_norm",
                                 .post_ffn = "post_ffw_norm",
                                 .q = "attn_q",
                                 .k = "attn_k",
                                 .v = "attn_v",
                                 .qkv = "attn_qkv",
                                 .q_norm = "attn_q_norm",
                                 .k_norm = "attn_k_norm",
                                 .attention_output = "attn_output",
                                 .sinks = "attn_sinks.weight",
                                 .gate = "ffn_gate",
                                 .up = "ffn_up",
                                 .gate_up = "",
                                 .down = "ffn_down"};

bool contains(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::span<const Architecture* const> architectures() { return kAll; }

const Architecture* find_architecture(std::string_view name, bool gguf) {
  for (const Architecture* a : kAll)
    if (contains(gguf ? a->gguf : a->hf, name)) return a;
  return nullptr;
}

TensorLayout tensor_layout(const Architecture& architecture, const ModelSpec& spec, bool gguf) {
  TensorLayout layout;
  if (gguf) layout.names = kGgufNames;
  if (architecture.adapt != nullptr) architecture.adapt(spec, gguf, layout);
  return layout;
}

}  // namespace arch

std::string supported_architectures() {
  std::vector<std::string_view> names;
  for (const Architecture* a : arch::architectures()) names.push_back(a->name);
  std::sort(names.begin(), names.end());
  std::string list;
  for (const std::string_view name : names) list += (list.empty() ? "" : ", ") + std::string(name);
  return list;
}

namespace {

Status check_dense(const ModelSource& source, const arch::Config& config) {
  const auto refuse = [&](std::string_view key) -> Status {
    return Error{ErrorCode::kUnsupported,
                 source.name() + ": mixture-of-experts models are not supported (" + std::string(key) + " is above 0)"};
  };
  if (source.gguf() != nullptr) {
    const std::string key = std::string(source.architecture()) + ".expert_count";
    if (source.gguf()->metadata().unsigned_integer(key).value_or(0) > 0) return refuse(key);
    return {};
  }
  for (const char* key : {"num_local_experts", "num_experts", "n_routed_experts"}) {
    auto found = config.json().find(key);
    if (found != config.json().end() && found->is_number() && found->get<double>() > 0) return refuse(key);
  }
  return {};
}

// What changes the result and is not in the spec.
Status refuse_gguf_options(const ModelSource& source, const ModelSpec& spec) {
  if (source.gguf() == nullptr) return {};
  const AttentionSpec& a = spec.layers[0].attention;
  for (const auto& [option, known] : {std::pair{".attention.max_alibi_bias", a.alibi}, {".attention.clamp_kqv", a.clamp}}) {
    const std::string key = std::string(source.architecture()) + option;
    if (known == 0 && source.gguf()->metadata().number(key).value_or(0) > 0)
      return Error{ErrorCode::kUnsupported, source.name() + ": " + key + " is not supported"};
  }
  return {};
}

// GGUF says by their presence which biases there are.
void find_gguf_biases(const ModelSource& source, ModelSpec& spec) {
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string layer = "blk." + std::to_string(i) + ".";
    const auto has = [&](const char* name) { return source.find_tensor(layer + name + ".bias") != nullptr; };
    LayerSpec& l = spec.layers[i];
    l.attention.qkv_bias = has("attn_qkv") || has("attn_q") || has("attn_k") || has("attn_v");
    l.attention.output_bias = has("attn_output");
    l.ffn.up_bias = has("ffn_up") || has("ffn_gate");
    l.ffn.down_bias = has("ffn_down");
  }
  spec.head_bias = source.find_tensor("output.bias") != nullptr;
}

void add_stop(ModelSpec& spec, const json& ids) {
  if (ids.is_array())
    for (const json& id : ids) add_stop(spec, id);
  if (ids.is_number_integer() && ids.get<int64_t>() >= 0 && ids.get<int64_t>() < spec.vocabulary)
    spec.stop_tokens.push_back(ids.get<int32_t>());
}

// Advice, not structure: what makes no sense is dropped, not refused.
template <typename Get>
void read_sampling(ModelSpec& spec, Get&& get) {
  const auto within = [](std::optional<double> value, double least, double most) -> std::optional<float> {
    if (!value || !(*value >= least && *value <= most)) return std::nullopt;
    return static_cast<float>(*value);
  };
  SamplingDefaults& s = spec.sampling;
  s.temperature = within(get("temperature", "temp"), 0, 100);
  s.top_p = within(get("top_p", "top_p"), 1e-6, 1);
  s.min_p = within(get("min_p", "min_p"), 0, 1);
  if (auto top_k = within(get("top_k", "top_k"), 0, 1e7)) s.top_k = static_cast<uint32_t>(*top_k);
}

void read_defaults_gguf(const GgufMetadata& metadata, ModelSpec& spec) {
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    auto id = metadata.unsigned_integer(key);
    if (id && *id < spec.vocabulary) spec.stop_tokens.push_back(static_cast<int32_t>(*id));
  }
  auto bos = metadata.unsigned_integer("tokenizer.ggml.bos_token_id");
  if (bos && *bos < spec.vocabulary) spec.bos_token = static_cast<int32_t>(*bos);
  spec.name = std::string(metadata.string("general.name").value_or(""));
  read_sampling(spec, [&](const char*, const char* key) { return metadata.number(std::string("general.sampling.") + key); });
}

void read_defaults_hf(const HfFolder& folder, const json& text_config, ModelSpec& spec) {
  const json& generation = folder.generation_config();
  for (const json* object : {&generation, &folder.config(), &text_config}) {
    auto eos = object->find("eos_token_id");
    // What is generated with knows best; the others only stand in.
    if (eos != object->end() && spec.stop_tokens.empty()) add_stop(spec, *eos);
    auto bos = object->find("bos_token_id");
    if (!spec.bos_token && bos != object->end() && bos->is_number_unsigned() && bos->get<uint64_t>() < spec.vocabulary)
      spec.bos_token = bos->get<int32_t>();
  }
  auto name = folder.config().find("_name_or_path");
  if (name != folder.config().end() && name->is_string()) spec.name = name->get<std::string>();
  if (spec.name.empty()) spec.name = folder.folder().filename().string();
  auto sample = generation.find("do_sample");
  if (sample != generation.end() && sample->is_boolean()) spec.sampling.do_sample = sample->get<bool>();
  read_sampling(spec, [&](const char* key, const char*) -> std::optional<double> {
    auto found = generation.find(key);
    if (found == generation.end() || !found->is_number()) return std::nullopt;
    return found->get<double>();
  });
}

}  // namespace

Result<ModelSpec> read_model_spec(const ModelSource& source, uint32_t context, const Log& log) {
  const bool gguf = source.gguf() != nullptr;
  const Architecture* architecture = arch::find_architecture(source.architecture(), gguf);
  if (architecture == nullptr)
    return Error{ErrorCode::kUnsupported, source.name() + ": architecture " + quote(source.architecture()) +
                                              " is not supported; these are: " + supported_architectures()};
  if (source.tensors().empty() && source.missing_files().empty())
    return Error{ErrorCode::kNotFound,
                 source.name() + ": holds no tensors (a vocabulary alone?), so there is nothing to run"};
  arch::Config config(source);
  LAHAR_TRY(read_hf_quantization(source));
  if (architecture->roles == nullptr) LAHAR_TRY(check_dense(source, config));

  ModelSpec spec;
  spec.architecture = architecture->name;
  architecture->read(config, spec);
  LAHAR_TRY(config.status());
  LAHAR_TRY(refuse_gguf_options(source, spec));
  if (gguf) find_gguf_biases(source, spec);

  const arch::TensorLayout layout = arch::tensor_layout(*architecture, spec, gguf);
  for (LayerSpec& layer : spec.layers)
    layer.attention.output_bias = layer.attention.output_bias && (!gguf || layout.gguf_output_bias);
  LAHAR_ASSIGN(const auto found, find_vocabulary(source, layout, spec.hidden));
  spec.vocabulary = found.vocabulary;
  if (!gguf) {
    const uint32_t stated = config.count({"vocab_size", ""}, 1, arch::kMaxVocabulary, spec.vocabulary);
    LAHAR_TRY(config.status());
    if (stated != spec.vocabulary)
      return Error{ErrorCode::kFormat, source.name() + ": config.json: vocab_size: expected the embedding's " +
                                           std::to_string(spec.vocabulary) + " rows, found " + std::to_string(stated)};
  }
  // As transformers since 5.0: a head that is not the table is used, whatever the flag says.
  if (!gguf && spec.tied_head && found.head_differs()) spec.tied_head = false;
  if (found.head == nullptr && !spec.tied_head) {
    spec.tied_head = true;
    if (!gguf) log.info(source.name() + ": no head of its own: the embedding table is used");
  }
  if (gguf) {
    read_defaults_gguf(source.gguf()->metadata(), spec);
  } else {
    read_defaults_hf(*source.hf(), config.json(), spec);
  }
  std::sort(spec.stop_tokens.begin(), spec.stop_tokens.end());
  spec.stop_tokens.erase(std::unique(spec.stop_tokens.begin(), spec.stop_tokens.end()), spec.stop_tokens.end());

  // Every width that the spec names is now backed by a tensor of that size.
  LAHAR_TRY(resolve_tensors(source, spec));
  Status tables = set_context(spec, context);
  if (!tables.ok()) return annotate(tables.error(), source.name());
  return spec;
}

}  // namespace lahar
