#include "format/safetensors.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "core/json.h"
#include "core/quote.h"

namespace lahar {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // as the reference implementation has it

struct NamedDType {
  std::string_view name;
  DType dtype;
};
constexpr NamedDType kDTypes[] = {
    {"F64", DType::kF64},        {"F32", DType::kF32},        {"F16", DType::kF16},   {"BF16", DType::kBF16},
    {"F8_E4M3", DType::kF8E4M3}, {"F8_E5M2", DType::kF8E5M2}, {"I64", DType::kI64},   {"I32", DType::kI32},
    {"I16", DType::kI16},        {"I8", DType::kI8},          {"U64", DType::kU64},   {"U32", DType::kU32},
    {"U16", DType::kU16},        {"U8", DType::kU8},          {"BOOL", DType::kBool},
};

std::optional<DType> dtype_of(std::string_view name) {
  for (const NamedDType& known : kDTypes)
    if (known.name == name) return known.dtype;
  return std::nullopt;
}

Result<TensorView> read_tensor(const std::string& tensor_name, const json& entry, std::span<const std::byte> data,
                               const std::string& file_name) {
  const std::string where = file_name + ": tensor " + quote(tensor_name);
  const auto error = [&](const std::string& text, ErrorCode code = ErrorCode::kFormat) {
    return Error{code, where + ": " + text};
  };
  if (!entry.is_object()) return error("an object expected in the header");
  const JsonReader reader(entry, where);
  TensorView tensor;
  tensor.name = tensor_name;

  LAHAR_ASSIGN(const std::string dtype_name, reader.string("dtype"));
  const auto dtype = dtype_of(dtype_name);
  if (!dtype) return error("unknown element type " + quote(dtype_name), ErrorCode::kUnsupported);
  tensor.dtype = *dtype;

  if (!reader.has("shape")) return error("key 'shape' is missing");
  LAHAR_ASSIGN(const std::vector<int64_t> shape, reader.integers("shape"));
  for (const int64_t extent : shape)
    if (!tensor.shape.push_back(static_cast<uint64_t>(extent)))
      return error("rank " + std::to_string(shape.size()) + ", at most " + std::to_string(Shape::kMaxRank) + " expected");
  const auto values = tensor.shape.elements();
  const auto size = values ? byte_size(tensor.dtype, *values) : std::nullopt;
  if (!size) return error("shape " + tensor.shape.to_string() + " has more than 2^64 bytes");

  LAHAR_ASSIGN(const std::vector<int64_t> offsets, reader.integers("data_offsets"));
  if (offsets.size() != 2)
    return error("key 'data_offsets': two integers expected, found " + std::to_string(offsets.size()));
  const auto begin = static_cast<uint64_t>(offsets[0]);
  const auto end = static_cast<uint64_t>(offsets[1]);
  const std::string range = "data at " + std::to_string(begin) + " to " + std::to_string(end);
  if (begin > end) return error(range + " ends before it begins");
  if (end > data.size())
    return error(range + " goes beyond the end of the data section, which has " + std::to_string(data.size()) + " bytes");
  if (end - begin != *size)
    return error(range + " has " + std::to_string(end - begin) + " bytes, shape " + tensor.shape.to_string() + " of " +
                 dtype_name + " needs " + std::to_string(*size));
  tensor.data = data.subspan(begin, *size);
  return tensor;
}

// Two tensors on the same bytes would let a small file ask for any amount of device memory.
Status check_overlaps(const std::vector<TensorView>& tensors, const std::string& name) {
  std::vector<const TensorView*> order;
  order.reserve(tensors.size());
  for (const TensorView& tensor : tensors)
    if (!tensor.data.empty()) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->data.data() < b->data.data(); });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i - 1]->data.data() + order[i - 1]->data.size() > order[i]->data.data())
      return Error{ErrorCode::kFormat,
                   name + ": tensors " + quote(order[i - 1]->name) + " and " + quote(order[i]->name) + " share bytes"};
  return {};
}

}  // namespace

Result<std::vector<TensorView>> read_safetensors(std::span<const std::byte> bytes, const std::string& name) {
  const auto error = [&](const std::string& text) { return Error{ErrorCode::kFormat, name + ": " + text}; };
  uint64_t header_size = 0;
  if (bytes.size() < sizeof(header_size))
    return error("not a safetensors file (only " + std::to_string(bytes.size()) + " bytes)");
  std::memcpy(&header_size, bytes.data(), sizeof(header_size));
  const auto rest = bytes.subspan(sizeof(header_size));
  if (header_size > rest.size())
    return error("a header of " + std::to_string(header_size) + " bytes is claimed at offset 0, but only " +
                 std::to_string(rest.size()) + " follow");
  if (header_size > kMaxHeaderBytes)
    return Error{ErrorCode::kLimit,
                 name + ": a header of " + std::to_string(header_size) + " bytes, at most 100000000 expected"};
  const std::string_view header(reinterpret_cast<const char*>(rest.data()), header_size);
  if (!header.starts_with('{')) return error("not a safetensors file (its header does not start with '{' at offset 8)");

  // The views that follow take memory too, hence less of it for the header.
  LAHAR_ASSIGN(const json root,
               parse_json(header, name + ": header", {.max_depth = 8, .memory_per_byte = 14, .refuse_repeated_keys = true}));
  const auto* entries = root.get_ptr<const json::object_t*>();
  if (entries == nullptr) return error("the header is no JSON object");
  std::vector<TensorView> tensors;
  tensors.reserve(entries->size());
  const auto data = rest.subspan(header_size);
  for (const auto& [tensor_name, entry] : *entries) {  // in the order of names
    if (tensor_name == "__metadata__") continue;
    LAHAR_ASSIGN(TensorView tensor, read_tensor(tensor_name, entry, data, name));
    tensors.push_back(std::move(tensor));
  }
  LAHAR_TRY(check_overlaps(tensors, name));
  return tensors;
}

}  // namespace lahar
