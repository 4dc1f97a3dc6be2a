// RWKV-7: time mixing with a state matrix a head, and channel mixing, each with a token shift of its own.
#pragma once

#include "blocks/block_kinds.h"

namespace lahar {

// Indices of the blocks' weights in their roles. The first layer has no value mix: its v is what later layers mix in.
enum Rwkv7Linear : uint32_t {
  kRwkv7Receptance = 0,  // [hidden, hidden]
  kRwkv7Key,             // [hidden, hidden]
  kRwkv7Value,           // [hidden, hidden]
  kRwkv7DecayDown,       // [rank, hidden]; and so on for each pair
  kRwkv7DecayUp,         // [hidden, rank]
  kRwkv7RateDown,
  kRwkv7RateUp,
  kRwkv7MixDown,  // absent in the first layer
  kRwkv7MixUp,
  kRwkv7GateDown,
  kRwkv7GateUp,
  kRwkv7Output,  // [hidden, hidden]
};
enum Rwkv7Vector : uint32_t {
  kRwkv7Mixes = 0,  // [hidden] each, of r, w, k, v, a and g; or the first holds all of them
  kRwkv7W0 = 6,     // [hidden], as all that follow
  kRwkv7A0,
  kRwkv7V0,  // absent in the first layer
  kRwkv7KK,
  kRwkv7KA,
  kRwkv7RK,
  kRwkv7Norm,
  kRwkv7NormBias,
};
enum Rwkv7FfnLinear : uint32_t {
  kRwkv7FfnK = 0,  // [width, hidden]
  kRwkv7FfnV = 1,  // [hidden, width]
};
enum Rwkv7FfnVector : uint32_t { kRwkv7FfnMix = 0 };  // [hidden]

extern const BlockKind kRwkv7Block, kRwkv7FfnBlock;

}  // namespace lahar
