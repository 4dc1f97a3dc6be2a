#include "format/gguf_parser.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <numeric>
#include <optional>

#include "core/quote.h"
#include "format/gguf_types.h"

namespace lahar::detail {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read as it lies in memory");

constexpr uint32_t kDefaultAlignment = 32;
constexpr uint64_t kLeastAlignment = 8;
constexpr uint64_t kMostAlignment = 1 << 20;
constexpr uint32_t kMaxRank = 4;
constexpr int kMaxArrayDepth = 8;
constexpr uint64_t kMaxNameBytes = 65535;
// The fewest bytes that one of these takes in a file; counts are held against them before anything is allocated.
constexpr uint64_t kLeastEntryBytes = 8 + 1 + 4 + 1;       // length, key, type, value
constexpr uint64_t kLeastTensorBytes = 8 + 1 + 4 + 4 + 8;  // length, name, rank, type, offset
constexpr uint64_t kLeastStringBytes = 8;
constexpr uint64_t kLeastArrayBytes = 4 + 8;

// 0 for what has no fixed size
uint64_t size_of(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool: return 1;
    case GgufType::kU16:
    case GgufType::kI16: return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32: return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64: return 8;
    case GgufType::kString:
    case GgufType::kArray: return 0;
  }
  return 0;
}

// The indices of `items`, sorted by what `name` says of an item.
template <typename T, typename F>
std::vector<uint32_t> sorted_indices(const std::vector<T>& items, const F& name) {
  std::vector<uint32_t> indices(items.size());
  std::iota(indices.begin(), indices.end(), 0u);
  std::sort(indices.begin(), indices.end(), [&](uint32_t a, uint32_t b) { return name(items[a]) < name(items[b]); });
  return indices;
}

}  // namespace

Error GgufParser::error_at(std::string_view text, uint64_t offset, ErrorCode code) const {
  std::string message = name_ + ": ";
  if (!key_.empty()) message += "key " + quote(key_) + ": ";
  if (!tensor_.empty()) message += "tensor " + quote(tensor_) + ": ";
  message += text;
  return {code, message + " at offset " + std::to_string(offset)};
}

Error GgufParser::truncated(uint64_t needed, const char* what) const {
  return error("the file ends within " + std::string(what) + " (" + std::to_string(needed) + " bytes needed, " +
               std::to_string(remaining()) + " left)");
}

Status GgufParser::parse() {
  LAHAR_TRY(parse_header());
  LAHAR_TRY(parse_metadata());
  return parse_tensors();
}

Status GgufParser::parse_header() {
  char magic[4];
  if (bytes_.size() < sizeof(magic)) return error("not a GGUF file (only " + std::to_string(bytes_.size()) + " bytes)");
  LAHAR_TRY(read(&magic, "the magic number"));
  if (std::string_view(magic, 4) != "GGUF") return error_at("not a GGUF file (it starts with " + quote({magic, 4}) + ")", 0);
  LAHAR_TRY(read(&version_, "the version"));
  if (version_ != 0 && (version_ & 0xffff) == 0)
    return error_at("a big-endian GGUF file, only little-endian ones are read: version field", 4, ErrorCode::kUnsupported);
  if (version_ != 2 && version_ != 3)
    return error_at("GGUF version " + std::to_string(version_) + ", only 2 and 3 are read: version field", 4,
                    ErrorCode::kUnsupported);
  LAHAR_TRY(read(&tensor_count_, "the number of tensors"));
  LAHAR_TRY(read(&entry_count_, "the number of metadata entries"));
  const uint64_t room = remaining();
  if (entry_count_ > std::min<uint64_t>(room / kLeastEntryBytes, UINT32_MAX))
    return error_at(std::to_string(entry_count_) + " metadata entries cannot fit into the remaining " +
                        std::to_string(room) + " bytes: count",
                    16);
  if (tensor_count_ > std::min<uint64_t>(room / kLeastTensorBytes, UINT32_MAX))
    return error_at(
        std::to_string(tensor_count_) + " tensors cannot fit into the remaining " + std::to_string(room) + " bytes: count",
        8);
  return {};
}

Status GgufParser::read_string(std::string_view* text, const char* what) {
  uint64_t length = 0;
  LAHAR_TRY(read(&length, what));
  if (length > remaining()) return truncated(length, what);
  *text = {reinterpret_cast<const char*>(bytes_.data() + position_), static_cast<size_t>(length)};
  position_ += length;
  return {};
}

Status GgufParser::read_type(GgufType* type) {
  uint32_t number = 0;
  LAHAR_TRY(read(&number, "a value's type"));
  if (number > static_cast<uint32_t>(GgufType::kF64))
    return error_at("unknown value type " + std::to_string(number), position_ - sizeof(number));
  *type = static_cast<GgufType>(number);
  return {};
}

Status GgufParser::parse_metadata() {
  auto& entries = metadata_.entries_;
  entries.reserve(entry_count_);
  for (uint64_t i = 0; i < entry_count_; ++i) {
    GgufEntry entry;
    key_ = {};
    const uint64_t start = position_;
    LAHAR_TRY(read_string(&entry.key, "a key"));
    if (entry.key.empty() || entry.key.size() > kMaxNameBytes)
      return error_at("a key of " + std::to_string(entry.key.size()) + " bytes, 1 to 65535 expected", start);
    key_ = entry.key;
    LAHAR_TRY(read_type(&entry.type));
    const uint64_t value_start = position_;
    LAHAR_TRY(read_value(entry.type, &entry.value));
    entry.encoded = bytes_.subspan(value_start, position_ - value_start);
    entries.push_back(std::move(entry));
  }
  key_ = {};
  metadata_.sorted_ = sorted_indices(entries, [](const GgufEntry& e) { return e.key; });
  const auto& sorted = metadata_.sorted_;
  for (size_t i = 1; i < sorted.size(); ++i)
    if (entries[sorted[i - 1]].key == entries[sorted[i]].key)
      return Error{ErrorCode::kFormat, name_ + ": key " + quote(entries[sorted[i]].key) + " is there twice"};
  return {};
}

Status GgufParser::read_value(GgufType type, GgufValue* value) {
  const auto number = [&]<typename T, typename Wide>(T raw, Wide) -> Status {
    LAHAR_TRY(read(&raw, "a value"));
    *value = static_cast<Wide>(raw);
    return {};
  };
  switch (type) {
    case GgufType::kU8: return number(uint8_t{}, uint64_t{});
    case GgufType::kI8: return number(int8_t{}, int64_t{});
    case GgufType::kU16: return number(uint16_t{}, uint64_t{});
    case GgufType::kI16: return number(int16_t{}, int64_t{});
    case GgufType::kU32: return number(uint32_t{}, uint64_t{});
    case GgufType::kI32: return number(int32_t{}, int64_t{});
    case GgufType::kU64: return number(uint64_t{}, uint64_t{});
    case GgufType::kI64: return number(int64_t{}, int64_t{});
    case GgufType::kF32: return number(float{}, double{});
    case GgufType::kF64: return number(double{}, double{});
    case GgufType::kBool: {
      uint8_t byte = 0;
      LAHAR_TRY(read(&byte, "a value"));
      if (byte > 1) return error_at("a boolean that is " + std::to_string(byte) + ", 0 or 1 expected", position_ - 1);
      *value = byte == 1;
      return {};
    }
    case GgufType::kString: {
      std::string_view text;
      LAHAR_TRY(read_string(&text, "a string"));
      *value = text;
      return {};
    }
    case GgufType::kArray: {
      GgufArray array;
      LAHAR_TRY(read_array(&array, 0));
      *value = std::move(array);
      return {};
    }
  }
  return Error{ErrorCode::kInternal, "a GGUF value type without a reader"};
}

Status GgufParser::read_array(GgufArray* array, int depth) {
  LAHAR_TRY(read_type(&array->element));
  uint64_t count = 0;
  LAHAR_TRY(read(&count, "an array's length"));
  const uint64_t fixed = size_of(array->element);
  const uint64_t least = fixed != 0 ? fixed : array->element == GgufType::kString ? kLeastStringBytes : kLeastArrayBytes;
  if (count > remaining() / least)
    return error_at("an array of " + std::to_string(count) + " elements cannot fit into the remaining " +
                        std::to_string(remaining()) + " bytes: length",
                    position_ - sizeof(count));
  if (fixed != 0) {
    array->count = count;
    array->bytes = bytes_.subspan(position_, count * fixed);
    position_ += count * fixed;
    return {};
  }
  if (array->element == GgufType::kString) {
    if (depth > 0) return skip_strings(count);
    array->count = count;
    array->strings.resize(count);
    for (std::string_view& text : array->strings) LAHAR_TRY(read_string(&text, "an array's string"));
    return {};
  }
  if (depth == kMaxArrayDepth) return error("arrays are nested too deep");
  for (uint64_t i = 0; i < count; ++i) {
    GgufArray inner;
    LAHAR_TRY(read_array(&inner, depth + 1));
  }
  *array = {};
  return {};
}

Status GgufParser::skip_strings(uint64_t count) {
  std::string_view text;
  for (uint64_t i = 0; i < count; ++i) LAHAR_TRY(read_string(&text, "an array's string"));
  return {};
}

Status GgufParser::parse_tensors() {
  tensors_.reserve(tensor_count_);
  std::vector<uint64_t> offsets;
  offsets.reserve(tensor_count_);
  for (uint64_t i = 0; i < tensor_count_; ++i) {
    TensorView tensor;
    uint64_t offset = 0;
    LAHAR_TRY(parse_tensor(&tensor, &offset));
    tensors_.push_back(std::move(tensor));
    offsets.push_back(offset);
  }
  tensor_ = {};
  if (tensors_.empty()) return {};
  LAHAR_TRY(place_tensors(offsets));
  tensor_ = {};
  return check_overlaps();
}

Status GgufParser::parse_tensor(TensorView* tensor, uint64_t* offset) {
  tensor_ = {};
  const uint64_t start = position_;
  std::string_view name;
  LAHAR_TRY(read_string(&name, "a tensor's name"));
  if (name.empty() || name.size() > kMaxNameBytes)
    return error_at("a tensor's name of " + std::to_string(name.size()) + " bytes, 1 to 65535 expected", start);
  tensor_ = name;
  tensor->name = std::string(name);

  uint32_t rank = 0;
  LAHAR_TRY(read(&rank, "the rank"));
  if (rank > kMaxRank)
    return error_at("rank " + std::to_string(rank) + ", at most 4 expected", position_ - sizeof(rank), ErrorCode::kFormat);
  uint64_t extents[kMaxRank] = {};
  for (uint32_t d = 0; d < rank; ++d) {
    LAHAR_TRY(read(&extents[d], "the shape"));
    if (extents[d] == 0) return error_at("an extent of 0", position_ - sizeof(uint64_t));
  }
  for (uint32_t d = rank; d > 0; --d) tensor->shape.push_back(extents[d - 1]);

  uint32_t type = 0;
  LAHAR_TRY(read(&type, "the tensor's type"));
  const auto dtype = dtype_of_gguf(type);
  if (!dtype)
    return error_at("unknown tensor type " + std::to_string(type), position_ - sizeof(type), ErrorCode::kUnsupported);
  tensor->dtype = *dtype;
  return read(offset, "the tensor's offset");
}

Status GgufParser::place_tensors(std::span<const uint64_t> offsets) {
  uint64_t alignment = kDefaultAlignment;
  if (const GgufEntry* entry = metadata_.find("general.alignment")) {
    const auto value = metadata_.unsigned_integer("general.alignment");
    if (!value || !std::has_single_bit(*value) || *value < kLeastAlignment || *value > kMostAlignment)
      return Error{ErrorCode::kFormat, name_ +
                                           ": key 'general.alignment': a power of two from 8 to 1048576 expected, found " +
                                           (value ? std::to_string(*value) : std::string(to_string(entry->type)))};
    alignment = *value;
  }
  // No overflow: both are far below 2^63.
  const uint64_t base = (position_ + alignment - 1) / alignment * alignment;
  if (base > bytes_.size()) return error("the file ends before the tensors' data, which is due");
  const uint64_t room = bytes_.size() - base;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    TensorView& tensor = tensors_[i];
    tensor_ = tensor.name;
    const DTypeTraits& type = traits(tensor.dtype);
    const auto values = tensor.shape.elements();
    if (!values) return error_at("shape " + tensor.shape.to_string() + " has more than 2^64 values, data", offsets[i]);
    if (tensor.shape.back() % type.block_values != 0)
      return error_at("a row of " + std::to_string(tensor.shape.back()) + " values is not a multiple of " +
                          std::string(type.name) + "'s block of " + std::to_string(type.block_values) + ", data",
                      offsets[i]);
    const auto size = byte_size(tensor.dtype, *values);
    if (!size) return error_at("shape " + tensor.shape.to_string() + " has more than 2^64 bytes, data", offsets[i]);
    if (offsets[i] % alignment != 0)
      return error_at("data is not aligned to " + std::to_string(alignment) + " bytes", offsets[i]);
    if (offsets[i] > room || *size > room - offsets[i])
      return error_at("data of " + std::to_string(*size) + " bytes goes beyond the end of the data section, which has " +
                          std::to_string(room) + ",",
                      offsets[i]);
    tensor.data = bytes_.subspan(base + offsets[i], *size);
  }
  return {};
}

// Two tensors on the same bytes would let a small file ask for any amount of device memory.
Status GgufParser::check_overlaps() const {
  const auto order = sorted_indices(tensors_, [](const TensorView& t) { return t.data.data(); });
  for (size_t i = 1; i < order.size(); ++i) {
    const TensorView& before = tensors_[order[i - 1]];
    const TensorView& after = tensors_[order[i]];
    if (before.data.data() + before.data.size() > after.data.data())
      return error_at("tensors " + quote(before.name) + " and " + quote(after.name) + " share bytes",
                      static_cast<uint64_t>(after.data.data() - bytes_.data()));
  }
  return {};
}

}  // namespace lahar::detail
