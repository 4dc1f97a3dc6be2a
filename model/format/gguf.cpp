#include "format/gguf.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <numeric>

#include "core/quote.h"
#include "format/gguf_parser.h"

namespace lahar {
namespace {

template <typename T>
T load(std::span<const std::byte> bytes, uint64_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

int64_t saturate(double value) {
  if (std::isnan(value)) return 0;
  if (value >= 0x1p63) return std::numeric_limits<int64_t>::max();
  if (value < -0x1p63) return std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(value);
}

int64_t saturate(uint64_t value) {
  return static_cast<int64_t>(std::min(value, static_cast<uint64_t>(std::numeric_limits<int64_t>::max())));
}

// Calls `use` with element i as a number of the widest type of its kind.
template <typename F>
auto visit_element(const GgufArray& array, uint64_t i, const F& use) {
  switch (array.element) {
    case GgufType::kU8: return use(uint64_t{load<uint8_t>(array.bytes, i)});
    case GgufType::kI8: return use(int64_t{load<int8_t>(array.bytes, i)});
    case GgufType::kU16: return use(uint64_t{load<uint16_t>(array.bytes, i)});
    case GgufType::kI16: return use(int64_t{load<int16_t>(array.bytes, i)});
    case GgufType::kU32: return use(uint64_t{load<uint32_t>(array.bytes, i)});
    case GgufType::kI32: return use(int64_t{load<int32_t>(array.bytes, i)});
    case GgufType::kU64: return use(load<uint64_t>(array.bytes, i));
    case GgufType::kI64: return use(load<int64_t>(array.bytes, i));
    case GgufType::kF32: return use(double{load<float>(array.bytes, i)});
    case GgufType::kF64: return use(load<double>(array.bytes, i));
    case GgufType::kBool: return use(uint64_t{load<uint8_t>(array.bytes, i) != 0});
    case GgufType::kString:
    case GgufType::kArray: break;
  }
  return use(uint64_t{0});
}

bool is_integer(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kU16:
    case GgufType::kI16:
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kU64:
    case GgufType::kI64: return true;
    default: return false;
  }
}

// "model-00001-of-00003.gguf" for part 0 of 3
std::string part_suffix(uint64_t part, uint64_t count) {
  char text[64];
  std::snprintf(text, sizeof(text), "-%05llu-of-%05llu.gguf", static_cast<unsigned long long>(part + 1),
                static_cast<unsigned long long>(count));
  return text;
}

constexpr uint64_t kMaxParts = 65535;

// How many parts the file belongs to (1 for a file of its own), and which it is.
struct Split {
  uint64_t count = 1;
  uint64_t number = 0;
};

Result<Split> split_of(const GgufMetadata& metadata, const std::string& name) {
  Split split;
  if (metadata.find("split.count") == nullptr) return split;
  const auto count = metadata.unsigned_integer("split.count");
  if (!count || *count > kMaxParts)
    return Error{ErrorCode::kFormat, name + ": key 'split.count': an integer from 0 to 65535 expected" +
                                         (count ? ", found " + std::to_string(*count) : "")};
  if (*count <= 1) return split;  // some writers put 0 where there is one file
  const auto number = metadata.unsigned_integer("split.no");
  if (!number || *number >= *count)
    return Error{ErrorCode::kFormat, name + ": key 'split.no': an integer below split.count (" + std::to_string(*count) +
                                         ") expected" + (number ? ", found " + std::to_string(*number) : "")};
  return Split{*count, *number};
}

}  // namespace

std::string_view to_string(GgufType type) {
  constexpr std::string_view kNames[] = {"uint8", "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
                                         "bool",  "string", "array",  "uint64", "int64",  "float64"};
  const auto index = static_cast<size_t>(type);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

double GgufArray::number(uint64_t i) const {
  return visit_element(*this, i, [](auto v) { return static_cast<double>(v); });
}

int64_t GgufArray::integer(uint64_t i) const {
  return visit_element(*this, i, [](auto v) -> int64_t {
    if constexpr (std::is_same_v<decltype(v), int64_t>) return v;
    else return saturate(v);
  });
}

const GgufEntry* GgufMetadata::find(std::string_view key) const {
  const auto at = std::lower_bound(sorted_.begin(), sorted_.end(), key,
                                   [&](uint32_t i, std::string_view k) { return entries_[i].key < k; });
  return at != sorted_.end() && entries_[*at].key == key ? &entries_[*at] : nullptr;
}

std::optional<uint64_t> GgufMetadata::unsigned_integer(std::string_view key) const {
  const GgufEntry* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  if (const auto* u = std::get_if<uint64_t>(&entry->value)) return *u;
  if (const auto* i = std::get_if<int64_t>(&entry->value); i != nullptr && *i >= 0) return static_cast<uint64_t>(*i);
  return std::nullopt;
}

std::optional<int64_t> GgufMetadata::integer(std::string_view key) const {
  const GgufEntry* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  if (const auto* i = std::get_if<int64_t>(&entry->value)) return *i;
  if (const auto* u = std::get_if<uint64_t>(&entry->value); u != nullptr && *u <= INT64_MAX) return static_cast<int64_t>(*u);
  return std::nullopt;
}

std::optional<double> GgufMetadata::number(std::string_view key) const {
  const GgufEntry* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  if (const auto* d = std::get_if<double>(&entry->value)) return *d;
  if (const auto* u = std::get_if<uint64_t>(&entry->value)) return static_cast<double>(*u);
  if (const auto* i = std::get_if<int64_t>(&entry->value)) return static_cast<double>(*i);
  return std::nullopt;
}

std::optional<bool> GgufMetadata::boolean(std::string_view key) const {
  const GgufEntry* entry = find(key);
  const auto* b = entry != nullptr ? std::get_if<bool>(&entry->value) : nullptr;
  return b != nullptr ? std::optional<bool>(*b) : std::nullopt;
}

std::optional<std::string_view> GgufMetadata::string(std::string_view key) const {
  const GgufEntry* entry = find(key);
  const auto* s = entry != nullptr ? std::get_if<std::string_view>(&entry->value) : nullptr;
  return s != nullptr ? std::optional<std::string_view>(*s) : std::nullopt;
}

const GgufArray* GgufMetadata::array(std::string_view key) const {
  const GgufEntry* entry = find(key);
  return entry != nullptr ? std::get_if<GgufArray>(&entry->value) : nullptr;
}

std::optional<uint64_t> GgufMetadata::per_layer(std::string_view key, uint64_t layer) const {
  const GgufArray* values = array(key);
  if (values == nullptr) return unsigned_integer(key);
  if (layer >= values->count || !is_integer(values->element)) return std::nullopt;
  const int64_t value = values->integer(layer);
  return value >= 0 ? std::optional<uint64_t>(static_cast<uint64_t>(value)) : std::nullopt;
}

Status GgufFile::index_tensors() {
  by_name_.resize(tensors_.size());
  std::iota(by_name_.begin(), by_name_.end(), 0u);
  std::sort(by_name_.begin(), by_name_.end(), [&](uint32_t a, uint32_t b) { return tensors_[a].name < tensors_[b].name; });
  for (size_t i = 1; i < by_name_.size(); ++i)
    if (tensors_[by_name_[i - 1]].name == tensors_[by_name_[i]].name)
      return Error{ErrorCode::kFormat, name_ + ": tensor " + quote(tensors_[by_name_[i]].name) + " is there twice"};
  return {};
}

const TensorView* GgufFile::find_tensor(std::string_view name) const {
  const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                   [&](uint32_t i, std::string_view n) { return tensors_[i].name < n; });
  return at != by_name_.end() && tensors_[*at].name == name ? &tensors_[*at] : nullptr;
}

Result<GgufFile> GgufFile::from_memory(std::span<const std::byte> bytes, std::string name) {
  GgufFile file;
  file.name_ = std::move(name);
  detail::GgufParser parser(bytes, file.name_);
  LAHAR_TRY(parser.parse());
  LAHAR_ASSIGN(const Split split, split_of(parser.metadata(), file.name_));
  if (split.count > 1)
    return Error{ErrorCode::kUnsupported, file.name_ + ": part " + std::to_string(split.number + 1) + " of " +
                                              std::to_string(split.count) + ", parts are read from files only"};
  file.version_ = parser.version();
  file.metadata_ = std::move(parser.metadata());
  file.tensors_ = std::move(parser.tensors());
  LAHAR_TRY(file.index_tensors());
  return file;
}

Result<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  GgufFile file;
  file.name_ = path.string();
  LAHAR_ASSIGN(platform::MappedFile first, platform::MappedFile::open(path));
  detail::GgufParser parser(first.bytes(), file.name_);
  LAHAR_TRY(parser.parse());
  LAHAR_ASSIGN(const Split split, split_of(parser.metadata(), file.name_));
  file.version_ = parser.version();
  file.metadata_ = std::move(parser.metadata());
  file.tensors_ = std::move(parser.tensors());
  file.files_.push_back(std::move(first));
  file.paths_.push_back(path);
  if (split.count > 1) LAHAR_TRY(file.open_other_parts(path, split.count, split.number));
  LAHAR_TRY(file.index_tensors());
  return file;
}

Status GgufFile::open_other_parts(const std::filesystem::path& first, uint64_t count, uint64_t number) {
  const std::string file_name = first.filename().string();
  if (number != 0)
    return Error{ErrorCode::kInvalidArgument, name_ + ": part " + std::to_string(number + 1) + " of " +
                                                  std::to_string(count) + ", open the first part instead"};
  const std::string suffix = part_suffix(0, count);
  if (!file_name.ends_with(suffix))
    return Error{ErrorCode::kFormat,
                 name_ + ": the first of " + std::to_string(count) + " parts, its name must end with \"" + suffix + "\""};
  const std::string stem = file_name.substr(0, file_name.size() - suffix.size());
  for (uint64_t part = 1; part < count; ++part) {
    const std::filesystem::path path = first.parent_path() / (stem + part_suffix(part, count));
    const std::string part_name = path.string();
    auto mapped = platform::MappedFile::open(path);
    if (!mapped)
      return annotate(std::move(mapped).error(), "part " + std::to_string(part + 1) + " of " + std::to_string(count));
    detail::GgufParser parser(mapped->bytes(), part_name);
    LAHAR_TRY(parser.parse());
    LAHAR_ASSIGN(const Split split, split_of(parser.metadata(), part_name));
    if (split.count != count || split.number != part)
      return Error{ErrorCode::kFormat, part_name + ": part " + std::to_string(part + 1) + " of " + std::to_string(count) +
                                           " expected, the file says " + std::to_string(split.number + 1) + " of " +
                                           std::to_string(split.count)};
    std::move(parser.tensors().begin(), parser.tensors().end(), std::back_inserter(tensors_));
    files_.push_back(std::move(mapped).value());
    paths_.push_back(path);
  }
  if (metadata_.find("split.tensors.count") != nullptr &&
      metadata_.unsigned_integer("split.tensors.count") != std::optional<uint64_t>(tensors_.size()))
    return Error{ErrorCode::kFormat, name_ + ": the " + std::to_string(count) + " parts have " +
                                         std::to_string(tensors_.size()) +
                                         " tensors, which is not what key 'split.tensors.count' says"};
  return {};
}

}  // namespace lahar
