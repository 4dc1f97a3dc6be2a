// GGUF, version 2 and 3, little-endian: metadata and tensors of a memory-mapped file, or of its parts
// ("-00001-of-0000N.gguf"). Safe for untrusted input: every length and offset is checked against the file before use, and
// nothing is allocated from an unchecked field.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/platform.h"
#include "core/result.h"
#include "core/tensor_view.h"

namespace lahar {

namespace detail {
class GgufParser;
}

enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

std::string_view to_string(GgufType type);  // as the format's documentation spells it ("uint32", "array")

// An array keeps numbers as the file's bytes (unaligned, little-endian) and strings as views into the file.
struct GgufArray {
  GgufType element = GgufType::kU8;  // never kArray: an array of arrays is skipped over and kept empty (count 0)
  uint64_t count = 0;
  std::span<const std::byte> bytes;       // numbers
  std::vector<std::string_view> strings;  // strings

  bool is_numeric() const { return element != GgufType::kString && element != GgufType::kArray; }
  // Element i as a number (bool: 0 or 1); i < count and is_numeric() are the caller's to ensure. integer() saturates, and
  // cuts fractions off; a NaN is 0.
  double number(uint64_t i) const;
  int64_t integer(uint64_t i) const;
};

using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string_view, GgufArray>;

struct GgufEntry {
  std::string_view key;
  GgufType type = GgufType::kU8;
  GgufValue value;
  std::span<const std::byte> encoded;  // the value as the file has it, nested arrays included
};

// Key-value pairs in file order. Keys are unique. Views point into the file's bytes. Getters: nullopt where the key is
// missing or its type cannot be read as asked.
class GgufMetadata {
 public:
  const GgufEntry* find(std::string_view key) const;
  std::span<const GgufEntry> entries() const { return entries_; }

  std::optional<uint64_t> unsigned_integer(std::string_view key) const;  // any integer type that is not negative
  std::optional<int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;  // any integer or float
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string_view> string(std::string_view key) const;
  const GgufArray* array(std::string_view key) const;  // null where it is missing or no array
  // The value of the key, or, where it is an array (one value a layer), element `layer` of it.
  std::optional<uint64_t> per_layer(std::string_view key, uint64_t layer) const;

 private:
  friend class detail::GgufParser;
  std::vector<GgufEntry> entries_;  // sorted_ indexes it by key
  std::vector<uint32_t> sorted_;
};

class GgufFile {
 public:
  // Opens one file, or all parts when `path` names the first of several (the metadata is then that of the first part).
  // A vocabulary alone has no tensors. Errors: kNotFound, kIo, kFormat, kUnsupported.
  static Result<GgufFile> open(const std::filesystem::path& path);
  // Reads from memory that outlives the result; one part of several is refused. `name` stands in for the path in messages.
  static Result<GgufFile> from_memory(std::span<const std::byte> bytes, std::string name);

  GgufFile(GgufFile&&) = default;
  GgufFile& operator=(GgufFile&&) = default;

  uint32_t version() const { return version_; }
  const std::string& name() const { return name_; }
  const GgufMetadata& metadata() const { return metadata_; }
  // Shapes are outermost first (the reverse of the file's order), rank 0 to 4, no extent is 0. Names are unique, no two
  // tensors share bytes. Data has the alignment of the file's bytes; do not count on more than 1. In file order, parts in
  // sequence.
  std::span<const TensorView> tensors() const { return tensors_; }
  const TensorView* find_tensor(std::string_view name) const;
  // The mapped files, for MappedFile::release(); empty when read from memory.
  std::span<const platform::MappedFile> files() const { return files_; }
  std::span<const std::filesystem::path> paths() const { return paths_; }  // of files()

 private:
  friend class detail::GgufParser;
  GgufFile() = default;
  Status open_other_parts(const std::filesystem::path& first, uint64_t count, uint64_t number);
  Status index_tensors();

  uint32_t version_ = 0;
  std::string name_;
  GgufMetadata metadata_;
  std::vector<TensorView> tensors_;
  std::vector<uint32_t> by_name_;  // indices into tensors_, sorted by name
  std::vector<platform::MappedFile> files_;
  std::vector<std::filesystem::path> paths_;
};

}  // namespace lahar
