// How the library keeps SPIR-V: words as numbers of variable length, seven bits a byte, the least first, compressed by zlib:
// not much more than a fifth of the space. The build packs (shaders/pack.cpp), Kernel unpacks.
//   packed:       number of bytes when unpacked, 4 of them, the least first; then zlib's stream of the numbers
//   numbers:      number of words, the header's 5 words, then each instruction
//   instruction:  opcode << 5 | n, where n is its number of words if below 32, else 0 and the number follows; its operands,
//                 each as what it differs by from the same operand of the last instruction with that opcode: ids of a kind
//                 grow from one to the next in steps that repeat
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace lahar::gpu {

namespace detail {

constexpr size_t kSpirvHeaderWords = 5;
constexpr size_t kSizeBytes = 4;       // in front of the stream
constexpr uint64_t kMostRatio = 1032;  // that deflate reaches: a size that lies is found before memory is taken for it

inline void put_number(std::vector<std::byte>& out, uint32_t v) {
  for (; v >= 128; v >>= 7) out.push_back(static_cast<std::byte>((v & 127) | 128));
  out.push_back(static_cast<std::byte>(v));
}

// False where the bytes end too early or the number has more than 32 bits.
inline bool take_number(std::span<const std::byte>& in, uint32_t& v) {
  uint64_t value = 0;
  for (uint32_t shift = 0; shift < 35 && !in.empty(); shift += 7) {
    const auto b = static_cast<uint64_t>(in.front());
    in = in.subspan(1);
    value |= (b & 127) << shift;
    if (b < 128) return v = static_cast<uint32_t>(value), value <= UINT32_MAX;
  }
  return false;
}

// The operands of the last instruction of each opcode.
class LastOperands {
 public:
  // At least n of them, zeros at first.
  std::vector<uint32_t>& of(uint32_t opcode, uint32_t n) {
    std::vector<uint32_t>& last = last_[opcode];
    if (last.size() < n) last.resize(n);
    return last;
  }

 private:
  std::unordered_map<uint32_t, std::vector<uint32_t>> last_;
};

// A difference as a number that is small where it is near zero, on either side.
inline uint32_t fold_sign(uint32_t d) { return (d << 1) ^ (d >> 31 != 0 ? UINT32_MAX : 0); }
inline uint32_t unfold_sign(uint32_t v) { return (v >> 1) ^ ((v & 1) != 0 ? UINT32_MAX : 0); }

// nullopt where the words are no SPIR-V: an instruction of no words or beyond the end.
inline std::optional<std::vector<std::byte>> spirv_to_numbers(std::span<const uint32_t> words) {
  if (words.size() < kSpirvHeaderWords) return std::nullopt;
  std::vector<std::byte> out;
  put_number(out, static_cast<uint32_t>(words.size()));
  for (size_t i = 0; i < kSpirvHeaderWords; ++i) put_number(out, words[i]);
  LastOperands operands;
  for (size_t at = kSpirvHeaderWords; at < words.size();) {
    const uint32_t n = words[at] >> 16, opcode = words[at] & 0xffff;
    if (n == 0 || n > words.size() - at) return std::nullopt;
    put_number(out, opcode << 5 | (n < 32 ? n : 0));
    if (n >= 32) put_number(out, n);
    std::vector<uint32_t>& last = operands.of(opcode, n);
    for (size_t i = 1; i < n; ++i) put_number(out, fold_sign(words[at + i] - last[i])), last[i] = words[at + i];
    at += n;
  }
  return out;
}

inline std::optional<std::vector<uint32_t>> numbers_to_spirv(std::span<const std::byte> packed) {
  uint32_t size = 0;
  // A word takes a byte at least: a number that lies is found before memory is taken for it.
  if (!take_number(packed, size) || size < kSpirvHeaderWords || size > packed.size()) return std::nullopt;
  std::vector<uint32_t> words(size);
  for (size_t i = 0; i < kSpirvHeaderWords; ++i)
    if (!take_number(packed, words[i])) return std::nullopt;
  LastOperands operands;
  for (size_t at = kSpirvHeaderWords; at < size;) {
    uint32_t first = 0;
    if (!take_number(packed, first)) return std::nullopt;
    uint32_t n = first & 31;
    if (n == 0 && !take_number(packed, n)) return std::nullopt;
    if (n == 0 || n > size - at || n > 0xffff || first >> 5 > 0xffff) return std::nullopt;
    words[at] = n << 16 | first >> 5;
    std::vector<uint32_t>& last = operands.of(first >> 5, n);
    for (size_t i = 1; i < n; ++i) {
      uint32_t difference = 0;
      if (!take_number(packed, difference)) return std::nullopt;
      words[at + i] = last[i] += unfold_sign(difference);
    }
    at += n;
  }
  if (!packed.empty()) return std::nullopt;
  return words;
}

}  // namespace detail

// nullopt where the words are no SPIR-V: an instruction of no words or beyond the end.
inline std::optional<std::vector<std::byte>> pack_spirv(std::span<const uint32_t> words) {
  const auto numbers = detail::spirv_to_numbers(words);
  if (!numbers || numbers->size() > UINT32_MAX) return std::nullopt;
  uLongf size = compressBound(static_cast<uLong>(numbers->size()));
  std::vector<std::byte> out(detail::kSizeBytes + size);
  for (size_t i = 0; i < detail::kSizeBytes; ++i) out[i] = static_cast<std::byte>(numbers->size() >> (8 * i));
  if (compress2(reinterpret_cast<Bytef*>(out.data() + detail::kSizeBytes), &size,
                reinterpret_cast<const Bytef*>(numbers->data()), static_cast<uLong>(numbers->size()), 9) != Z_OK)
    return std::nullopt;
  out.resize(detail::kSizeBytes + size);
  return out;
}

// nullopt where the bytes are damaged.
inline std::optional<std::vector<uint32_t>> unpack_spirv(std::span<const std::byte> packed) {
  if (packed.size() < detail::kSizeBytes) return std::nullopt;
  const auto stream = packed.subspan(detail::kSizeBytes);
  uint32_t bytes = 0;
  for (size_t i = 0; i < detail::kSizeBytes; ++i) bytes |= static_cast<uint32_t>(packed[i]) << (8 * i);
  if (bytes > detail::kMostRatio * stream.size()) return std::nullopt;
  std::vector<std::byte> numbers(bytes);
  uLongf size = bytes;
  auto used = static_cast<uLong>(stream.size());
  if (uncompress2(reinterpret_cast<Bytef*>(numbers.data()), &size, reinterpret_cast<const Bytef*>(stream.data()), &used) !=
          Z_OK ||
      size != bytes || used != stream.size())
    return std::nullopt;
  return detail::numbers_to_spirv(numbers);
}

}  // namespace lahar::gpu
