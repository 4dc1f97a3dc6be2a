// Small models with seeded random weights, made to be damaged.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"
#include "format/gguf_writer.h"
#include "format/model_source.h"
#include "temporary_folder.h"

namespace lahar::test {

struct TinyTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<std::byte> data;
};

// Values are uniform in [-0.1, 0.1], and the same for the same name. Types: F32, F16, BF16.
TinyTensor random_tensor(const std::string& name, const Shape& shape, DType dtype = DType::kF32);

// F32 [values].
TinyTensor values_tensor(const std::string& name, const std::vector<float>& values);
// An F32 tensor's values as another type that quant::can_encode().
TinyTensor encoded(const TinyTensor& tensor, DType type);

// Llama of 2 layers, hidden 64, 4 heads of 16, 2 KV heads, feed-forward 96, vocabulary 80, as GGUF.
struct TinyLlama {
  std::vector<TinyTensor> tensors;
  GgufWriter metadata;
  explicit TinyLlama(DType dtype = DType::kF32);
  TinyTensor& tensor(const std::string& name);
  void remove(const std::string& name);
  // The file's bytes.
  std::vector<std::byte> bytes();
};

// The same with 4 experts of 32 instead of its feed-forward, the metadata telling of `experts` and `chosen`.
struct TinyMoe : TinyLlama {
  static constexpr uint32_t kExperts = 4, kWidth = 32;
  TinyMoe(uint32_t experts, uint32_t chosen, DType dtype = DType::kF32);
};

// The tensors of a Hugging Face checkpoint for a config.json of any of the architectures without golden data.
void write_folder(const std::filesystem::path& folder, const nlohmann::json& config, const std::vector<TinyTensor>& tensors);

}  // namespace lahar::test
