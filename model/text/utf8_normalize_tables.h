// Unicode data for utf8_normalize.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>

namespace lahar::utf8 {

// One step of a canonical decomposition: `code` is `first`, or `first` and `second` where that is not 0. Sorted by code;
// Hangul syllables are not listed, they are computed.
struct Decomposition {
  uint32_t code, first, second;
};
extern const Decomposition kDecompositions[];
extern const size_t kDecompositionCount;

// Indices of the decompositions that are also compositions, sorted by (first, second).
extern const uint16_t kCompositions[];
extern const size_t kCompositionCount;

// Codes [first, last] have this canonical combining class; all others have 0. Sorted.
struct CombiningRange {
  uint32_t first, last;
  uint8_t combining_class;
};
extern const CombiningRange kCombiningRanges[];
extern const size_t kCombiningRangeCount;

}  // namespace lahar::utf8
