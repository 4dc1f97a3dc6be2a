// One part of a GGUF file, read from its bytes; gguf.h is the public face.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/result.h"
#include "format/gguf.h"

namespace lahar::detail {

// Reads a part into `file`: the metadata of the first part is kept, those of others can be asked for with metadata().
// Messages start with the part's name and end with the offset.
class GgufParser {
 public:
  // `bytes` and `name` outlive the parser.
  GgufParser(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  Status parse();

  uint32_t version() const { return version_; }
  GgufMetadata& metadata() { return metadata_; }
  std::vector<TensorView>& tensors() { return tensors_; }

 private:
  Status parse_header();
  Status parse_metadata();
  Status parse_tensors();
  Status parse_tensor(TensorView* tensor, uint64_t* offset);
  Status place_tensors(std::span<const uint64_t> offsets);
  Status check_overlaps() const;

  Status read_value(GgufType type, GgufValue* value);
  Status read_array(GgufArray* array, int depth);
  Status skip_strings(uint64_t count);
  Status read_string(std::string_view* text, const char* what);
  Status read_type(GgufType* type);
  template <typename T>
  Status read(T* value, const char* what) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (remaining() < sizeof(T)) return truncated(sizeof(T), what);
    std::memcpy(value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return {};
  }
  uint64_t remaining() const { return bytes_.size() - position_; }

  // "NAME: ITEM: TEXT at offset N"
  Error error_at(std::string_view text, uint64_t offset, ErrorCode code = ErrorCode::kFormat) const;
  Error error(std::string_view text, ErrorCode code = ErrorCode::kFormat) const { return error_at(text, position_, code); }
  Error truncated(uint64_t needed, const char* what) const;

  std::span<const std::byte> bytes_;
  const std::string& name_;
  uint64_t position_ = 0;    // <= bytes_.size()
  std::string_view key_;     // of the entry that is being read, for messages
  std::string_view tensor_;  // of the tensor that is being read, for messages

  uint32_t version_ = 0;
  uint64_t tensor_count_ = 0;
  uint64_t entry_count_ = 0;
  GgufMetadata metadata_;
  std::vector<TensorView> tensors_;
};

}  // namespace lahar::detail
