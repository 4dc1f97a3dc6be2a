// Writes small GGUF files for tests, true or lying.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lahar::test {

class GgufBytes {
 public:
  GgufBytes& string(std::string_view key, std::string_view value) {
    begin(key, 8);
    put_string(value);
    return *this;
  }
  GgufBytes& u32(std::string_view key, uint32_t value) {
    begin(key, 4);
    put(value);
    return *this;
  }
  GgufBytes& boolean(std::string_view key, bool value) {
    begin(key, 7);
    put(static_cast<uint8_t>(value));
    return *this;
  }
  GgufBytes& strings(std::string_view key, const std::vector<std::string>& values) {
    begin_array(key, 8, values.size());
    for (const auto& value : values) put_string(value);
    return *this;
  }
  GgufBytes& i32s(std::string_view key, const std::vector<int32_t>& values) {
    begin_array(key, 5, values.size());
    for (int32_t value : values) put(value);
    return *this;
  }
  GgufBytes& f32s(std::string_view key, const std::vector<float>& values) {
    begin_array(key, 6, values.size());
    for (float value : values) put(value);
    return *this;
  }
  // The whole file; version 3, no tensors.
  std::string bytes() const {
    GgufBytes head;
    head.body_ = "GGUF";
    head.put(uint32_t{3});
    head.put(uint64_t{0});
    head.put(count_);
    return head.body_ + body_;
  }

 private:
  template <typename T>
  void put(T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof raw);
    body_.append(raw, sizeof raw);
  }
  void put_string(std::string_view text) {
    put(uint64_t{text.size()});
    body_.append(text);
  }
  void begin(std::string_view key, uint32_t type) {
    ++count_;
    put_string(key);
    put(type);
  }
  void begin_array(std::string_view key, uint32_t type, uint64_t count) {
    begin(key, 9);
    put(type);
    put(count);
  }

  std::string body_;
  uint64_t count_ = 0;
};

}  // namespace lahar::test
