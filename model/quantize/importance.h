// An importance matrix: how large the inputs of a model's matrices are, column by column, measured on some text. The error
// of a weight counts by the mean square of what it is multiplied with. Both forms of llama-imatrix are read. The old one
// (.dat), little-endian: int32 entries, then for each int32 length, name, int32 calls, int32 values, the values in fp32
// (sums over calls); what follows is not needed. The new one is a GGUF with tensors NAME.in_sum2 (fp32 sums, a row for each
// expert) and NAME.counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace lahar {

class ImportanceMatrix {
 public:
  // Safe for untrusted input. Errors: kNotFound, kIo, kFormat.
  static Result<ImportanceMatrix> open(const std::filesystem::path& path);
  static Result<ImportanceMatrix> from_bytes(std::span<const std::byte> bytes, const std::string& name);

  bool has(std::string_view tensor) const { return sums_.find(tensor) != sums_.end(); }
  // For tensor `name`, which holds `matrices` matrices (experts) of `cols` columns: a positive weight for each column of
  // each, 1 on average; empty where nothing is known. Errors: kFormat (measured on a model of another shape).
  Result<std::vector<float>> weights(const std::string& name, uint64_t matrices, uint32_t cols) const;

 private:
  Status read_legacy(std::span<const std::byte> bytes);
  Status read_gguf(std::span<const std::byte> bytes);
  Status add(std::string name, std::span<const std::byte> values);

  std::string name_;
  std::map<std::string, std::vector<float>, std::less<>> sums_;  // finite, not negative
};

}  // namespace lahar
