// What the headers of the weight formats share. Each describes one format: the block as a file stores it, the piece of it
// that goes to each plane, and the scalar decode that everything else is measured against.
//
// A format is a struct with
//   kFormat, kFile      the format, and the file type whose bits it keeps
//   kValues, kBytes     values and bytes of a block in the file
//   kPieces             how a block is cut: bytes [from, from + bytes) of the block become bytes [to, ...) of the block's
//                       share of a plane
//   kPlaneBytes         bytes of a block's share of each plane
//   decode(block, out)  the block as it is in the file -> kValues floats
// and, where its scales come from elsewhere (FormatTraits::grouped),
//   apply(value, scale) the weight, with what plane 1 holds for it
// and, where all rows share a table,
//   kTable              what the last plane holds
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/dtype.h"
#include "quant/float_bits.h"
#include "quant/matrix.h"

namespace lahar::quant {

constexpr uint32_t kMaxPlanes = 3;

struct Piece {
  uint8_t plane;
  uint8_t from, to, bytes;
};

template <typename T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
inline uint32_t byte_at(const std::byte* block, uint32_t i) { return std::to_integer<uint32_t>(block[i]); }
inline float half_at(const std::byte* at) { return half_to_float(load<uint16_t>(at)); }

}  // namespace lahar::quant
