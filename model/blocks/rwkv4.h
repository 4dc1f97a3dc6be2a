// RWKV-4: time mixing (its attention) and channel mixing (its feed-forward), each with a token shift of its own.
#pragma once

#include "blocks/block_kinds.h"

namespace lahar {

// Indices of the blocks' weights in their roles. Mixes say how much of the previous token goes in.
enum Rwkv4Linear : uint32_t {
  kRwkv4K = 0,       // [inner, hidden]
  kRwkv4V = 1,       // [inner, hidden]
  kRwkv4R = 2,       // [inner, hidden]
  kRwkv4Output = 3,  // [hidden, inner]
};
enum Rwkv4Vector : uint32_t {
  kRwkv4Mixes = 0,  // and the two behind it: of k, v and r, [hidden]
  kRwkv4Decay = 3,  // [inner], negative
  kRwkv4First = 4,  // [inner]
};
enum Rwkv4FfnLinear : uint32_t {
  kRwkv4FfnK = 0,  // [width, hidden]
  kRwkv4FfnV = 1,  // [hidden, width]
  kRwkv4FfnR = 2,  // [hidden, hidden]
};
enum Rwkv4FfnVector : uint32_t { kRwkv4FfnMixes = 0 };  // and the one behind it: of k and r, [hidden]

extern const BlockKind kRwkv4Block, kRwkv4FfnBlock;

}  // namespace lahar
