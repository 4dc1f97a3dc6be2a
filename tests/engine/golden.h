// Models with known logits: Hugging Face folders (expected.json, logits.npy) and GGUF files (x.gguf, x.logits.bin).
#pragma once

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lahar::test {

struct Golden {
  std::vector<int32_t> prompt, greedy;
  uint32_t vocabulary = 0;
  std::vector<float> logits;  // [prompt + greedy, vocabulary]

  std::vector<int32_t> tokens() const {
    std::vector<int32_t> all = prompt;
    all.insert(all.end(), greedy.begin(), greedy.end());
    return all;
  }
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline Golden read_hf_golden(const std::filesystem::path& folder) {
  const auto expected = nlohmann::json::parse(read_file(folder / "expected.json"));
  Golden golden;
  golden.prompt = expected.at("prompt").get<std::vector<int32_t>>();
  golden.greedy = expected.at("greedy").get<std::vector<int32_t>>();
  const std::string npy = read_file(folder / "logits.npy");
  const size_t header = 10 + static_cast<unsigned char>(npy[8]) + 256u * static_cast<unsigned char>(npy[9]);
  golden.logits.resize((npy.size() - header) / sizeof(float));
  std::memcpy(golden.logits.data(), npy.data() + header, golden.logits.size() * sizeof(float));
  golden.vocabulary = static_cast<uint32_t>(golden.logits.size() / golden.tokens().size());
  return golden;
}

// int32 n_prompt, n_greedy, n_vocab; int32 tokens; float32 logits.
inline Golden read_gguf_golden(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  int32_t counts[3];
  std::memcpy(counts, bytes.data(), sizeof(counts));
  Golden golden;
  golden.vocabulary = static_cast<uint32_t>(counts[2]);
  const auto* tokens = bytes.data() + sizeof(counts);
  golden.prompt.resize(static_cast<size_t>(counts[0]));
  golden.greedy.resize(static_cast<size_t>(counts[1]));
  std::memcpy(golden.prompt.data(), tokens, golden.prompt.size() * sizeof(int32_t));
  std::memcpy(golden.greedy.data(), tokens + golden.prompt.size() * sizeof(int32_t), golden.greedy.size() * sizeof(int32_t));
  golden.logits.resize(golden.tokens().size() * golden.vocabulary);
  const size_t offset = sizeof(counts) + golden.tokens().size() * sizeof(int32_t);
  std::memcpy(golden.logits.data(), bytes.data() + offset, golden.logits.size() * sizeof(float));
  return golden;
}

// Mean squared error over the mean square of what was expected.
inline double normalized_error(const std::vector<float>& got, const std::vector<float>& expected) {
  if (got.size() != expected.size()) return INFINITY;
  double error = 0, scale = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double difference = static_cast<double>(got[i]) - expected[i];
    error += difference * difference;
    scale += static_cast<double>(expected[i]) * expected[i];
  }
  return std::isfinite(error) ? error / scale : INFINITY;
}

}  // namespace lahar::test
