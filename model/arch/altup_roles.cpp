#include "arch/altup_roles.h"

namespace lahar::arch {

namespace {

LinearRole one(std::string name, uint32_t rows, uint32_t cols) {
  LinearRole role;
  role.stacked.push_back({.name = std::move(name), .rows = rows, .cols = cols});
  return role;
}

// The streams but the first: GGUF has one tensor of three dimensions, Hugging Face's files one for each.
LinearRole expand_role(const ModelSpec& spec, bool gguf) {
  const uint32_t others = spec.altup.streams - 1;
  if (gguf) return one("altup_proj", others * spec.hidden, spec.hidden);
  LinearRole role;
  for (uint32_t i = 0; i < others; ++i)
    role.stacked.push_back({.name = "altup_projections." + std::to_string(i), .rows = spec.hidden, .cols = spec.hidden});
  return role;
}

LinearRole merge_role(const ModelSpec& spec, bool gguf, uint32_t stream) {
  if (!gguf) return one("altup_unembed_projections." + std::to_string(stream - 1), spec.hidden, spec.hidden);
  LinearRole role = one("altup_unembd_proj", (spec.altup.streams - 1) * spec.hidden, spec.hidden);
  role.stacked[0].runs = {{(stream - 1) * spec.hidden, spec.hidden}};
  return role;
}

}  // namespace

LayerRoles altup_layer_roles(const ModelSpec& spec, uint32_t, const ModelSource& source) {
  const bool gguf = source.gguf() != nullptr;
  const auto name = [gguf](const char* in_gguf, const char* in_hf) { return std::string(gguf ? in_gguf : in_hf); };
  LayerRoles roles;
  auto& linears = roles.mixer.linears;
  auto& vectors = roles.mixer.vectors;
  linears.resize(altup::kLaurelRight + 1);
  vectors.resize(altup::kCorrectScale + 1);
  const uint32_t width = spec.layer_inputs.width, streams = spec.altup.streams, rank = spec.altup.laurel_rank;
  if (width != 0) {
    linears[altup::kInputsGate] = one(name("inp_gate", "per_layer_input_gate"), width, spec.hidden);
    linears[altup::kInputsOutput] = one(name("proj", "per_layer_projection"), spec.hidden, width);
    vectors[altup::kInputsPostNorm] = {name("post_norm.weight", "post_per_layer_input_norm.weight"), {spec.hidden}};
  }
  if (streams == 0) return roles;
  linears[altup::kLaurelLeft] = one(name("laurel_l", "laurel.linear_left"), rank, spec.hidden);
  linears[altup::kLaurelRight] = one(name("laurel_r", "laurel.linear_right"), spec.hidden, rank);
  vectors[altup::kLaurelNorm] = {name("laurel_post_norm.weight", "laurel.post_laurel_norm.weight"), {spec.hidden}};
  vectors[altup::kRouterNorm] = {name("altup_router_norm.weight", "altup.router_norm.weight"), {spec.hidden}};
  vectors[altup::kRouter] = {name("altup_router.weight", "altup.modality_router.weight"), {streams, spec.hidden}};
  vectors[altup::kPredict] = {name("altup_predict_coef.weight", "altup.prediction_coefs.weight"),
                              {uint64_t{streams} * streams, streams}};
  vectors[altup::kCorrect] = {name("altup_correct_coef.weight", "altup.correction_coefs.weight"), {streams, streams}};
  vectors[altup::kCorrect].limit = spec.altup.limit;
  if (spec.altup.scaled)
    vectors[altup::kCorrectScale] = {name("altup_correct_scale.weight", "altup.correct_output_scale"), {spec.hidden}};
  return roles;
}

BlockRoles altup_extra_roles(const ModelSpec& spec, const ModelSource& source) {
  const bool gguf = source.gguf() != nullptr;
  const auto layers = static_cast<uint32_t>(spec.layers.size());
  BlockRoles roles;
  roles.linears.resize(altup::kExpand + 1);
  roles.vectors.resize(altup::kInputsNorm + 1);
  if (const uint32_t width = spec.layer_inputs.width; width != 0) {
    roles.linears[altup::kInputsTable] =
        one(gguf ? "per_layer_token_embd" : "embed_tokens_per_layer", spec.layer_inputs.vocabulary, layers * width);
    roles.linears[altup::kInputsProjection] =
        one(gguf ? "per_layer_model_proj" : "per_layer_model_projection", layers * width, spec.hidden);
    roles.vectors[altup::kInputsNorm] = {gguf ? "per_layer_proj_norm.weight" : "per_layer_projection_norm.weight", {width}};
  }
  if (spec.altup.streams == 0) return roles;
  roles.linears[altup::kExpand] = expand_role(spec, gguf);
  for (uint32_t i = 1; i < spec.altup.streams; ++i) roles.linears.push_back(merge_role(spec, gguf, i));
  return roles;
}

void check_inputs_activation(Config& config, const ModelSpec& spec) {
  if (!config.gguf() && spec.layers[0].ffn.activation != ops::Activation::kGeluTanh)
    config.fail(ErrorCode::kUnsupported,
                "config.json: hidden_activation: with inputs of each layer's own gelu_pytorch_tanh alone is supported");
}

const TensorView* find_below_roots(const ModelSource& source, std::string_view name) {
  for (const char* root : {"", "model.", "language_model.model.", "model.language_model.", "language_model."})
    if (const TensorView* found = source.find_tensor(root + std::string(name)); found != nullptr) return found;
  return nullptr;
}

uint32_t table_rows(const ModelSource& source, std::string_view name) {
  const TensorView* table = find_below_roots(source, std::string(name) + ".weight");
  const bool fits = table != nullptr && table->shape.rank() == 2 && table->shape[0] <= kMaxVocabulary;
  return fits ? static_cast<uint32_t>(table->shape[0]) : 0;
}

}  // namespace lahar::arch
