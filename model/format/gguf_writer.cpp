#include "format/gguf_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>

#include "core/quote.h"
#include "format/gguf_types.h"

namespace lahar {
namespace {

template <typename T>
void put(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void put_string(std::string& out, std::string_view text) {
  put<uint64_t>(out, text.size());
  out += text;
}

template <typename T>
void put_array(std::string& out, GgufType element, std::span<const T> values) {
  put(out, static_cast<uint32_t>(element));
  put<uint64_t>(out, values.size());
  out.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

uint64_t aligned(uint64_t size, uint64_t alignment) { return (size + alignment - 1) / alignment * alignment; }

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text.data(), text.size())); }

// The first name that is there twice
const std::string* repeated(std::vector<const std::string*>& names) {
  std::sort(names.begin(), names.end(), [](const auto* a, const auto* b) { return *a < *b; });
  const auto at = std::adjacent_find(names.begin(), names.end(), [](const auto* a, const auto* b) { return *a == *b; });
  return at == names.end() ? nullptr : *at;
}

}  // namespace

void GgufWriter::begin_entry(std::string_view key, GgufType type) {
  keys_.emplace_back(key);
  put_string(entries_, key);
  put(entries_, static_cast<uint32_t>(type));
}

void GgufWriter::add(std::string_view key, uint32_t value) {
  begin_entry(key, GgufType::kU32);
  put(entries_, value);
}

void GgufWriter::add(std::string_view key, uint64_t value) {
  begin_entry(key, GgufType::kU64);
  put(entries_, value);
}

void GgufWriter::add(std::string_view key, int32_t value) {
  begin_entry(key, GgufType::kI32);
  put(entries_, value);
}

void GgufWriter::add(std::string_view key, float value) {
  begin_entry(key, GgufType::kF32);
  put(entries_, value);
}

void GgufWriter::add(std::string_view key, bool value) {
  begin_entry(key, GgufType::kBool);
  put<uint8_t>(entries_, value ? 1 : 0);
}

void GgufWriter::add(std::string_view key, std::string_view value) {
  begin_entry(key, GgufType::kString);
  put_string(entries_, value);
}

void GgufWriter::add(std::string_view key, std::span<const std::string> values) {
  begin_entry(key, GgufType::kArray);
  put(entries_, static_cast<uint32_t>(GgufType::kString));
  put<uint64_t>(entries_, values.size());
  for (const std::string& value : values) put_string(entries_, value);
}

void GgufWriter::add(std::string_view key, std::span<const int32_t> values) {
  begin_entry(key, GgufType::kArray);
  put_array(entries_, GgufType::kI32, values);
}

void GgufWriter::add(std::string_view key, std::span<const float> values) {
  begin_entry(key, GgufType::kArray);
  put_array(entries_, GgufType::kF32, values);
}

void GgufWriter::add_raw(std::string_view key, GgufType type, std::span<const std::byte> encoded) {
  begin_entry(key, type);
  entries_.append(reinterpret_cast<const char*>(encoded.data()), encoded.size());
}

void GgufWriter::set_alignment(uint32_t alignment) {
  alignment_ = alignment;
  add("general.alignment", alignment);
}

void GgufWriter::add_tensor(std::string name, DType dtype, const Shape& shape, Producer producer) {
  tensors_.push_back({std::move(name), dtype, shape, std::move(producer)});
}

void GgufWriter::add_tensor(std::string name, DType dtype, const Shape& shape, std::span<const std::byte> data) {
  auto copy = std::make_shared<std::vector<std::byte>>(data.begin(), data.end());
  add_tensor(std::move(name), dtype, shape, [copy](const Sink& sink) { return sink(*copy); });
}

Result<std::string> GgufWriter::header(std::vector<uint64_t>* sizes) const {
  std::vector<const std::string*> names;
  for (const std::string& key : keys_) names.push_back(&key);
  if (const auto* twice = repeated(names))
    return Error{ErrorCode::kInvalidArgument, "key " + quote(*twice) + " is given twice"};
  names.clear();
  for (const Tensor& tensor : tensors_) names.push_back(&tensor.name);
  if (const auto* twice = repeated(names))
    return Error{ErrorCode::kInvalidArgument, "tensor " + quote(*twice) + " is given twice"};

  std::string out = "GGUF";
  put<uint32_t>(out, 3);
  put<uint64_t>(out, tensors_.size());
  put<uint64_t>(out, keys_.size());
  out += entries_;
  uint64_t offset = 0;
  sizes->clear();
  for (const Tensor& tensor : tensors_) {
    const auto error = [&](ErrorCode code, const std::string& text) {
      return Error{code, "tensor " + quote(tensor.name) + ": " + text};
    };
    const auto type = detail::gguf_id_of(tensor.dtype);
    const std::string type_name(to_string(tensor.dtype));
    if (!type) return error(ErrorCode::kUnsupported, "GGUF has no element type " + type_name);
    const auto values = tensor.shape.elements();
    const auto size = values ? byte_size(tensor.dtype, *values) : std::nullopt;
    if (tensor.shape.rank() < 1 || tensor.shape.rank() > 4 || !size || *size == 0 || *size > (uint64_t{1} << 60))
      return error(ErrorCode::kInvalidArgument, "shape " + tensor.shape.to_string() + " cannot be written as " + type_name);
    if (tensor.shape.back() % traits(tensor.dtype).block_values != 0)
      return error(ErrorCode::kInvalidArgument, "a row of " + std::to_string(tensor.shape.back()) +
                                                    " values is not a multiple of " + type_name + "'s block of " +
                                                    std::to_string(traits(tensor.dtype).block_values));
    put_string(out, tensor.name);
    put(out, static_cast<uint32_t>(tensor.shape.rank()));
    for (size_t i = tensor.shape.rank(); i > 0; --i) put<uint64_t>(out, tensor.shape[i - 1]);
    put(out, *type);
    put(out, offset);
    sizes->push_back(*size);
    offset += aligned(*size, alignment_);
  }
  if (!tensors_.empty()) out.resize(aligned(out.size(), alignment_), '\0');
  return out;
}

Result<uint64_t> GgufWriter::file_size() const {
  std::vector<uint64_t> sizes;
  LAHAR_ASSIGN(const std::string head, header(&sizes));
  uint64_t total = head.size();
  for (const uint64_t size : sizes) total += aligned(size, alignment_);
  return total;
}

Status GgufWriter::write(const Sink& sink) const {
  std::vector<uint64_t> sizes;
  LAHAR_ASSIGN(const std::string head, header(&sizes));
  LAHAR_TRY(sink(bytes_of(head)));
  for (size_t i = 0; i < tensors_.size(); ++i) {
    uint64_t written = 0;
    LAHAR_TRY(tensors_[i].producer([&](std::span<const std::byte> bytes) -> Status {
      written += bytes.size();
      if (written > sizes[i]) return {};  // reported below
      return sink(bytes);
    }));
    if (written != sizes[i])
      return Error{ErrorCode::kInvalidArgument, "tensor " + quote(tensors_[i].name) + ": " + std::to_string(sizes[i]) +
                                                    " bytes expected, " + std::to_string(written) + " were produced"};
    const std::string padding(aligned(sizes[i], alignment_) - sizes[i], '\0');
    LAHAR_TRY(sink(bytes_of(padding)));
  }
  return {};
}

Status GgufWriter::write_file(const std::filesystem::path& path, const std::function<bool(uint64_t)>& wrote) const {
  const std::filesystem::path temporary = path.string() + ".partial";
  LAHAR_ASSIGN(const uint64_t size, file_size());
  std::error_code ec;
  const auto space = std::filesystem::space(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."), ec);
  if (!ec && space.available < size)
    return Error{ErrorCode::kIo, path.string() + ": " + std::to_string(size) + " bytes needed, " +
                                     std::to_string(space.available) + " free"};
  Status status;
  {
    std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
    const auto failed = [&] {
      return Error{ErrorCode::kIo, temporary.string() + ": cannot be written: " + std::strerror(errno)};
    };
    if (!out) return failed();
    status = write([&](std::span<const std::byte> bytes) -> Status {
      out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
      if (!out) return failed();
      if (wrote && !wrote(bytes.size())) return Error{ErrorCode::kCancelled, path.string() + ": cancelled"};
      return {};
    });
    out.close();
    if (status.ok() && !out) status = failed();
  }
  if (status.ok()) {
    std::filesystem::rename(temporary, path, ec);
    if (!ec) return {};
    status = Error{ErrorCode::kIo, path.string() + ": " + ec.message()};
  }
  std::filesystem::remove(temporary, ec);
  return status;
}

}  // namespace lahar
