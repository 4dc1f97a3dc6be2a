#include "lahar/pumice.h"

#include <cstddef>

extern "C" {
extern const unsigned char lahar_pumice_begin[];
extern const unsigned char lahar_pumice_end[];

const void* lahar_pumice_data(size_t* size) {
  if (size) *size = static_cast<size_t>(lahar_pumice_end - lahar_pumice_begin);
  return lahar_pumice_begin;
}
}

namespace lahar {

std::span<const std::byte> pumice_gguf() {
  size_t size = 0;
  const void* data = lahar_pumice_data(&size);
  return {static_cast<const std::byte*>(data), size};
}

}  // namespace lahar
