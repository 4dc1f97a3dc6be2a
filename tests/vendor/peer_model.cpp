// peer_model RECIPE OUT: a tiny model with random weights, as OUT.gguf, and its logits by llama.cpp on the CPU, as
// OUT.logits.bin (int32 n_prompt, 0, n_vocab; int32 tokens; float32 logits). llama.cpp itself says which tensors the
// metadata call for. Built and run in the testbench's root by compare_architectures.
//
// A recipe has a line for each metadata key: TYPE KEY VALUE... with TYPE u32, f32, bool, str, u32s, bools; and besides
// `tokens N`, `seed N`, and `drop NAME`: an optional tensor of every layer (or of the model) that is left
// out, or one layer's ("blk.2.attn_v.weight"); *TEXT: all whose names end with TEXT.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "ggml-backend.h"
#include "ggml.h"
#include "gguf.h"
#include "llama.h"

namespace {

struct Recipe {
  std::vector<std::vector<std::string>> keys;  // type, key, values
  std::vector<std::string> drop;
  int tokens = 48;
  unsigned seed = 1;
};

struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

struct Made {
  unsigned seed;
  std::map<std::string, Tensor> tensors;
};

Recipe read_recipe(const char* path) {
  Recipe recipe;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::vector<std::string> parts;
    for (std::string word; words >> word;) parts.push_back(word);
    if (parts.size() < 2) continue;
    if (parts[0] == "tokens") recipe.tokens = std::stoi(parts[1]);
    else if (parts[0] == "seed") recipe.seed = static_cast<unsigned>(std::stoul(parts[1]));
    else if (parts[0] == "drop") recipe.drop.push_back(parts[1]);
    else recipe.keys.push_back(parts);
  }
  return recipe;
}

gguf_context* metadata_of(const Recipe& recipe) {
  gguf_context* meta = gguf_init_empty();
  for (const auto& parts : recipe.keys) {
    const std::string &type = parts[0], &value = parts.size() > 2 ? parts[2] : parts[1];
    const char* key = parts[1].c_str();
    if (type == "u32") gguf_set_val_u32(meta, key, static_cast<uint32_t>(std::stoul(value)));
    if (type == "f32") gguf_set_val_f32(meta, key, std::stof(value));
    if (type == "bool") gguf_set_val_bool(meta, key, value == "true");
    if (type == "str") gguf_set_val_str(meta, key, value.c_str());
    std::vector<uint32_t> numbers;
    std::vector<int8_t> flags;
    if (type == "u32s" || type == "bools")
      for (size_t i = 2; i < parts.size(); ++i) {
        numbers.push_back(static_cast<uint32_t>(std::stoul(parts[i])));
        flags.push_back(parts[i] != "0");
      }
    if (type == "u32s") gguf_set_arr_data(meta, key, GGUF_TYPE_UINT32, numbers.data(), numbers.size());
    if (type == "bools") gguf_set_arr_data(meta, key, GGUF_TYPE_BOOL, flags.data(), flags.size());
  }
  return meta;
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

// "blk.3.attn_q.bias": "attn_q.bias".
std::string without_layer(const std::string& name) {
  return name.rfind("blk.", 0) == 0 ? name.substr(name.find('.', 4) + 1) : name;
}

bool is_dropped(const Recipe& recipe, const std::string& name) {
  return std::any_of(recipe.drop.begin(), recipe.drop.end(), [&](const std::string& text) {
    if (text[0] != '*') return name == text;
    return name.size() >= text.size() - 1 && name.compare(name.size() - (text.size() - 1), std::string::npos, text, 1) == 0;
  });
}

// Weights large enough that every part of the model shows in the logits.
void fill(ggml_tensor* tensor, void* data) {
  Made& made = *static_cast<Made*>(data);
  const std::string name = tensor->name;
  std::mt19937 random(static_cast<unsigned>(std::hash<std::string>()(name)) + made.seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  float scale = 0.2f, shift = 0;
  if (ggml_n_dims(tensor) > 1) scale = 1.5f / std::sqrt(static_cast<float>(tensor->ne[0]));
  if (contains(name, "token_embd.weight") || contains(name, "position_embd") || contains(name, "per_layer_token_embd"))
    scale = 0.7f;
  if (contains(name, "norm") && contains(name, ".weight")) scale = 0.2f, shift = 1;
  if (contains(name, "layer_output_scale")) scale = 0.1f, shift = 0.9f;
  if (contains(name, "ssm_a") || contains(name, "rope_f")) scale = 0.3f;
  Tensor& made_tensor = made.tensors[name];
  made_tensor.shape.clear();  // what several layers share comes once for each
  for (int d = 0; d < ggml_n_dims(tensor); ++d) made_tensor.shape.push_back(tensor->ne[d]);
  std::vector<float>& values = made_tensor.values;
  values.resize(static_cast<size_t>(ggml_nelements(tensor)));
  for (float& v : values) {
    v = shift + scale * normal(random);
    if (contains(name, "ssm_a")) v = -std::exp(v);  // decays
    if (contains(name, "rope_f")) v = std::exp(v);  // divisors
  }
  if (tensor->type == GGML_TYPE_F16) {
    std::vector<ggml_fp16_t> halves(values.size());
    ggml_fp32_to_fp16_row(values.data(), halves.data(), static_cast<int64_t>(values.size()));
    ggml_backend_tensor_set(tensor, halves.data(), 0, ggml_nbytes(tensor));
  } else {
    ggml_backend_tensor_set(tensor, values.data(), 0, ggml_nbytes(tensor));
  }
}

bool write_gguf(const Recipe& recipe, const Made& made, const std::string& path) {
  gguf_context* meta = metadata_of(recipe);
  size_t bytes = 0;
  for (const auto& [name, tensor] : made.tensors) bytes += tensor.values.size() * sizeof(float) + 2 * ggml_tensor_overhead();
  ggml_context* context = ggml_init({bytes + (1 << 20), nullptr, false});
  for (const auto& [name, made_tensor] : made.tensors) {
    if (is_dropped(recipe, without_layer(name)) || is_dropped(recipe, name)) continue;
    ggml_tensor* tensor =
        ggml_new_tensor(context, GGML_TYPE_F32, static_cast<int>(made_tensor.shape.size()), made_tensor.shape.data());
    ggml_set_name(tensor, name.c_str());
    std::memcpy(tensor->data, made_tensor.values.data(), ggml_nbytes(tensor));
    gguf_add_tensor(meta, tensor);
  }
  const bool written = gguf_write_to_file(meta, path.c_str(), false);
  ggml_free(context);
  gguf_free(meta);
  return written;
}

llama_model_params on_cpu() {
  static ggml_backend_dev_t none[] = {nullptr};
  llama_model_params params = llama_model_default_params();
  params.devices = none;
  params.n_gpu_layers = 0;
  return params;
}

int write_logits(const Recipe& recipe, const std::string& gguf, const std::string& path) {
  llama_model* model = llama_model_load_from_file(gguf.c_str(), on_cpu());
  if (model == nullptr) return std::fprintf(stderr, "cannot be loaded again\n"), 1;
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 0;
  params.n_threads = params.n_threads_batch = 2;
  params.type_k = params.type_v = GGML_TYPE_F32;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) return std::fprintf(stderr, "no context\n"), 1;
  const int32_t vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
  std::mt19937 random(recipe.seed);
  std::vector<int32_t> tokens;
  for (int i = 0; i < recipe.tokens; ++i)
    tokens.push_back(static_cast<int32_t>(random() % static_cast<unsigned>(vocabulary)));
  llama_batch batch = llama_batch_init(recipe.tokens, 0, 1);
  batch.n_tokens = recipe.tokens;
  for (int i = 0; i < recipe.tokens; ++i) {
    batch.token[i] = tokens[static_cast<size_t>(i)];
    batch.pos[i] = i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  if (llama_decode(context, batch) != 0) return std::fprintf(stderr, "decoding failed\n"), 1;
  std::ofstream out(path, std::ios::binary);
  const int32_t head[] = {recipe.tokens, 0, vocabulary};
  out.write(reinterpret_cast<const char*>(head), sizeof head);
  out.write(reinterpret_cast<const char*>(tokens.data()), static_cast<std::streamsize>(tokens.size() * sizeof(int32_t)));
  for (int i = 0; i < recipe.tokens; ++i)
    out.write(reinterpret_cast<const char*>(llama_get_logits_ith(context, i)),
              static_cast<std::streamsize>(static_cast<size_t>(vocabulary) * sizeof(float)));
  return out ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: peer_model RECIPE OUT\n"), 2;
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level >= GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  ggml_backend_load_all();
  const Recipe recipe = read_recipe(argv[1]);
  const std::string out = argv[2];
  Made made{recipe.seed, {}};
  gguf_context* meta = metadata_of(recipe);
  // Room for tensors that are used twice is reserved by how many the metadata name.
  for (int i = 0; i < 64; ++i) {
    ggml_tensor unused{};
    unused.type = GGML_TYPE_F16;
    ggml_format_name(&unused, "unused.%d", i);
    gguf_add_tensor(meta, &unused);
  }
  llama_model* model = llama_model_init_from_user(meta, fill, &made, on_cpu());
  if (model == nullptr) return std::fprintf(stderr, "the metadata make no model\n"), 1;
  llama_model_free(model);
  gguf_free(meta);
  if (!write_gguf(recipe, made, out + ".gguf")) return std::fprintf(stderr, "%s.gguf: not written\n", out.c_str()), 1;
  return write_logits(recipe, out + ".gguf", out + ".logits.bin");
}
