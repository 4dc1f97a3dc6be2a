// A safetensors file from anywhere: reading it must end in views inside the file or in an error.
#include <cstddef>
#include <cstdint>
#include <span>

#include "format/safetensors.h"

namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto tensors = lahar::read_safetensors(bytes, "fuzz");
  if (!tensors.ok()) {
    require(tensors.error().message.starts_with("fuzz: ") && tensors.error().message.find('\n') == std::string::npos);
    return 0;
  }
  const std::string* previous = nullptr;
  for (const lahar::TensorView& tensor : *tensors) {
    require(previous == nullptr || *previous < tensor.name);
    previous = &tensor.name;
    require(lahar::byte_size(tensor.dtype, tensor.shape.elements().value()) == tensor.data.size());
    require(tensor.data.data() >= bytes.data() && tensor.data.data() + tensor.data.size() <= bytes.data() + bytes.size());
  }
  return 0;
}
