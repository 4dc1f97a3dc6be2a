#include "tiny_model.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>

#include "quant/encode.h"
#include "quant/float_bits.h"
#include "quant/replane.h"

namespace lahar::test {

TinyTensor random_tensor(const std::string& name, const Shape& shape, DType dtype) {
  TinyTensor tensor{name, dtype, shape, {}};
  std::mt19937 generator(static_cast<uint32_t>(std::hash<std::string>{}(name)));
  std::uniform_real_distribution<float> uniform(-0.1f, 0.1f);
  const size_t size = dtype == DType::kF32 ? 4 : 2;
  tensor.data.resize(*shape.elements() * size);
  for (size_t i = 0; i < *shape.elements(); ++i) {
    const float value = uniform(generator);
    uint16_t half = quant::float_to_half(value);
    if (dtype == DType::kBF16) half = static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
    std::memcpy(tensor.data.data() + i * size, size == 4 ? static_cast<const void*>(&value) : &half, size);
  }
  return tensor;
}

TinyLlama::TinyLlama(DType dtype) {
  metadata.add("general.architecture", "llama");
  metadata.add("llama.block_count", uint32_t{2});
  metadata.add("llama.context_length", uint32_t{128});
  metadata.add("llama.embedding_length", uint32_t{64});
  metadata.add("llama.feed_forward_length", uint32_t{96});
  metadata.add("llama.attention.head_count", uint32_t{4});
  metadata.add("llama.attention.head_count_kv", uint32_t{2});
  metadata.add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  const auto add = [&](const std::string& name, const Shape& shape) {
    tensors.push_back(random_tensor(name + ".weight", shape, shape.rank() == 1 ? DType::kF32 : dtype));
  };
  add("token_embd", {80, 64});
  add("output_norm", {64});
  add("output", {80, 64});
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    add(layer + "attn_norm", {64});
    add(layer + "attn_q", {64, 64});
    add(layer + "attn_k", {32, 64});
    add(layer + "attn_v", {32, 64});
    add(layer + "attn_output", {64, 64});
    add(layer + "ffn_norm", {64});
    add(layer + "ffn_gate", {96, 64});
    add(layer + "ffn_up", {96, 64});
    add(layer + "ffn_down", {64, 96});
  }
}

TinyMoe::TinyMoe(uint32_t experts, uint32_t chosen, DType dtype) : TinyLlama(dtype) {
  metadata.add("llama.expert_count", experts);
  metadata.add("llama.expert_used_count", chosen);
  metadata.add("llama.expert_feed_forward_length", kWidth);
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* name : {"ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"}) remove(layer + name);
    tensors.push_back(random_tensor(layer + "ffn_gate_inp.weight", {kExperts, 64}));
    tensors.push_back(random_tensor(layer + "ffn_gate_exps.weight", {kExperts, kWidth, 64}, dtype));
    tensors.push_back(random_tensor(layer + "ffn_up_exps.weight", {kExperts, kWidth, 64}, dtype));
    tensors.push_back(random_tensor(layer + "ffn_down_exps.weight", {kExperts, 64, kWidth}, dtype));
  }
}

TinyTensor values_tensor(const std::string& name, const std::vector<float>& values) {
  TinyTensor tensor{name, DType::kF32, {values.size()}, std::vector<std::byte>(values.size() * sizeof(float))};
  std::memcpy(tensor.data.data(), values.data(), tensor.data.size());
  return tensor;
}

TinyTensor encoded(const TinyTensor& tensor, DType type) {
  std::vector<float> values(tensor.data.size() / sizeof(float));
  std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  const auto cols = static_cast<uint32_t>(tensor.shape.back());
  TinyTensor out{tensor.name, type, tensor.shape, {}};
  out.data.resize(values.size() / cols * quant::file_row_bytes(type, cols));
  if (!quant::encode_rows(type, cols, values, {}, out.data).ok()) std::abort();
  return out;
}

TinyTensor& TinyLlama::tensor(const std::string& name) {
  return *std::find_if(tensors.begin(), tensors.end(), [&](const TinyTensor& t) { return t.name == name; });
}

void TinyLlama::remove(const std::string& name) {
  std::erase_if(tensors, [&](const TinyTensor& t) { return t.name == name; });
}

std::vector<std::byte> TinyLlama::bytes() {
  GgufWriter writer = metadata;
  for (const TinyTensor& t : tensors) writer.add_tensor(t.name, t.dtype, t.shape, t.data);
  std::vector<std::byte> out;
  const Status written = writer.write([&](std::span<const std::byte> piece) -> Status {
    out.insert(out.end(), piece.begin(), piece.end());
    return {};
  });
  if (!written.ok()) std::abort();
  return out;
}

void write_folder(const std::filesystem::path& folder, const nlohmann::json& config,
                  const std::vector<TinyTensor>& tensors) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "config.json") << config.dump();
  nlohmann::json header;
  uint64_t at = 0;
  for (const TinyTensor& t : tensors) {
    header[t.name] = {{"dtype", to_string(t.dtype)}, {"shape", t.shape.dims()}, {"data_offsets", {at, at + t.data.size()}}};
    at += t.data.size();
  }
  const std::string text = header.dump();
  const uint64_t size = text.size();
  std::ofstream file(folder / "model.safetensors", std::ios::binary);
  file.write(reinterpret_cast<const char*>(&size), 8);
  file << text;
  for (const TinyTensor& t : tensors)
    file.write(reinterpret_cast<const char*>(t.data.data()), static_cast<std::streamsize>(t.data.size()));
}

}  // namespace lahar::test
