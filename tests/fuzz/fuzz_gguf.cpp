// A GGUF file from anywhere: reading it must end in views inside the file or in an error.
#include <cstddef>
#include <cstdint>
#include <span>

#include "format/gguf.h"

namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

// Reads everything that a value points to.
uint64_t touch(const lahar::GgufEntry& entry) {
  uint64_t sum = 0;
  if (const auto* text = std::get_if<std::string_view>(&entry.value))
    for (const char c : *text) sum += static_cast<unsigned char>(c);
  const auto* array = std::get_if<lahar::GgufArray>(&entry.value);
  if (array == nullptr) return sum;
  for (const std::string_view text : array->strings)
    if (!text.empty()) sum += static_cast<unsigned char>(text.front()) + static_cast<unsigned char>(text.back());
  if (!array->is_numeric()) return sum;
  for (uint64_t i = 0; i < array->count; ++i)
    sum += static_cast<uint64_t>(array->integer(i)) + (array->number(i) > 0 ? 1 : 0);
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = lahar::GgufFile::from_memory(bytes, "fuzz");
  if (!file.ok()) {
    require(file.error().message.starts_with("fuzz: ") && file.error().message.find('\n') == std::string::npos);
    return 0;
  }
  const lahar::GgufMetadata& metadata = file->metadata();
  uint64_t sum = 0;
  for (const lahar::GgufEntry& entry : metadata.entries()) {
    require(metadata.find(entry.key) == &entry);
    sum += touch(entry) + metadata.per_layer(entry.key, 1).value_or(0) + metadata.unsigned_integer(entry.key).value_or(0);
  }
  for (const lahar::TensorView& tensor : file->tensors()) {
    require(file->find_tensor(tensor.name) == &tensor);
    require(lahar::byte_size(tensor.dtype, tensor.shape.elements().value()) == tensor.data.size());
    require(tensor.data.data() >= bytes.data() && tensor.data.data() + tensor.data.size() <= bytes.data() + bytes.size());
    sum += std::to_integer<uint64_t>(tensor.data.front()) + std::to_integer<uint64_t>(tensor.data.back());
  }
  volatile uint64_t sink = sum;  // so that the reads stay
  (void)sink;
  return 0;
}
