#include "quantize/importance.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>

#include "core/platform.h"
#include "core/quote.h"
#include "format/gguf.h"

namespace lahar {
namespace {

constexpr std::string_view kSums = ".in_sum2";
constexpr int32_t kMostNameBytes = 65535;
constexpr double kLeastWeight = 1e-4;  // so that a column that the text left silent keeps its scale

}  // namespace

Result<ImportanceMatrix> ImportanceMatrix::open(const std::filesystem::path& path) {
  LAHAR_ASSIGN(const auto file, platform::MappedFile::open(path));
  return from_bytes(file.bytes(), path.string());
}

Result<ImportanceMatrix> ImportanceMatrix::from_bytes(std::span<const std::byte> bytes, const std::string& name) {
  ImportanceMatrix out;
  out.name_ = name;
  const bool gguf = bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0;
  LAHAR_TRY(gguf ? out.read_gguf(bytes) : out.read_legacy(bytes));
  if (out.sums_.empty()) return Error{ErrorCode::kFormat, name + ": not an importance matrix, it has no sums of inputs"};
  return out;
}

Status ImportanceMatrix::add(std::string name, std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  for (const float v : values)
    if (!std::isfinite(v) || v < 0)
      return Error{ErrorCode::kFormat, name_ + ": entry " + quote(name) + ": a sum of squares is " + std::to_string(v)};
  if (!sums_.emplace(name, std::move(values)).second)
    return Error{ErrorCode::kFormat, name_ + ": entry " + quote(name) + " is there twice"};
  return {};
}

Status ImportanceMatrix::read_gguf(std::span<const std::byte> bytes) {
  LAHAR_ASSIGN(const GgufFile file, GgufFile::from_memory(bytes, name_));
  for (const TensorView& tensor : file.tensors()) {
    if (!tensor.name.ends_with(kSums)) continue;
    if (tensor.dtype != DType::kF32)
      return Error{ErrorCode::kFormat, name_ + ": tensor " + quote(tensor.name) + ": F32 expected, found " +
                                           std::string(to_string(tensor.dtype))};
    LAHAR_TRY(add(tensor.name.substr(0, tensor.name.size() - kSums.size()), tensor.data));
  }
  return {};
}

Status ImportanceMatrix::read_legacy(std::span<const std::byte> bytes) {
  size_t at = 0;
  const auto bad = [&](const std::string& what) {
    return Error{ErrorCode::kFormat, name_ + ": not an importance matrix: " + what + " at offset " + std::to_string(at)};
  };
  const auto take = [&](int64_t size, std::span<const std::byte>* out) {
    if (size < 0 || static_cast<uint64_t>(size) > bytes.size() - at) return false;
    *out = bytes.subspan(at, static_cast<size_t>(size));
    at += static_cast<size_t>(size);
    return true;
  };
  const auto number = [&](int32_t* out) {
    std::span<const std::byte> raw;
    if (!take(sizeof(*out), &raw)) return false;
    std::memcpy(out, raw.data(), sizeof(*out));
    return true;
  };
  int32_t entries = 0;
  if (!number(&entries) || entries < 1) return bad("a number of entries expected");
  for (int32_t i = 0; i < entries; ++i) {
    int32_t length = 0, calls = 0, values = 0;
    std::span<const std::byte> name, sums;
    if (!number(&length) || length < 1 || length > kMostNameBytes || !take(length, &name)) return bad("a name expected");
    if (!number(&calls) || !number(&values) || values < 1) return bad("a number of values expected");
    if (!take(int64_t{values} * static_cast<int64_t>(sizeof(float)), &sums)) return bad("the file ends within the values");
    LAHAR_TRY(add(std::string(reinterpret_cast<const char*>(name.data()), name.size()), sums));
  }
  return {};
}

Result<std::vector<float>> ImportanceMatrix::weights(const std::string& name, uint64_t matrices, uint32_t cols) const {
  const auto found = sums_.find(name);
  if (found == sums_.end()) return std::vector<float>();
  std::vector<float> out = found->second;
  if (out.size() == cols && matrices > 1) {  // the same for all
    for (uint64_t m = 1; m < matrices; ++m) out.insert(out.end(), found->second.begin(), found->second.end());
  }
  if (out.size() != matrices * cols)
    return Error{ErrorCode::kFormat, name_ + ": entry " + quote(name) + ": " + std::to_string(matrices * cols) +
                                         " values expected for this model, found " + std::to_string(out.size())};
  for (size_t at = 0; at < out.size(); at += cols) {
    const auto part = std::span(out).subspan(at, cols);
    double sum = 0;
    for (const float v : part) sum += v;
    const double mean = sum / cols;
    for (float& v : part) v = mean > 0 ? static_cast<float>(std::max(v / mean, kLeastWeight)) : 1.0f;
  }
  return out;
}

}  // namespace lahar
