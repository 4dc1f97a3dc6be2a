// Files put together by hand, with a note of where each length and each type lies, so that tests can make them lie.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lahar::test {

struct ByteBuilder {
  std::string bytes;
  std::vector<size_t> lengths;  // offsets of 64-bit counts, lengths, extents and offsets
  std::vector<size_t> types;    // offsets of 32-bit types and ranks

  template <typename T>
  ByteBuilder& put(T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    bytes.append(raw, sizeof(T));
    return *this;
  }
  ByteBuilder& length(uint64_t value) {
    lengths.push_back(bytes.size());
    return put(value);
  }
  ByteBuilder& type(uint32_t value) {
    types.push_back(bytes.size());
    return put(value);
  }
  ByteBuilder& string(std::string_view text) {
    length(text.size());
    bytes += text;
    return *this;
  }
  ByteBuilder& pad(size_t alignment) {
    while (bytes.size() % alignment != 0) bytes += '\0';
    return *this;
  }
};

template <typename T>
void patch(std::string& bytes, size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

template <typename T>
T peek(const std::string& bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// A copy of exactly this size, so that a read beyond its end is one beyond an allocation.
class ExactCopy {
 public:
  explicit ExactCopy(std::string_view text) : data_(new std::byte[text.size()]), size_(text.size()) {
    if (size_ != 0) std::memcpy(data_.get(), text.data(), size_);
  }
  std::span<const std::byte> bytes() const { return {data_.get(), size_}; }

 private:
  std::unique_ptr<std::byte[]> data_;
  size_t size_;
};

inline void write_file(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary).write(text.data(), static_cast<std::streamsize>(text.size()));
}

}  // namespace lahar::test
