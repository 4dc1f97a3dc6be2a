// Keys that move to another position without being computed again.
#pragma once

#include "ops/common.h"
#include "ops/rope.h"

namespace lahar::ops {

// Of one layer: the keys of all tokens in page `source`, rotated by `delta` positions more, are written to page `target`.
// Values are not touched, nor is what scales the keys apart from their rotation. With a norm behind the rotation that has
// weights for each dim, the result is not what the layer would have computed.
struct RotateKeysParams {
  gpu::BufferRange source, target;  // whole pages; apart from each other
  KvRef kv;                         // the layer's: where its keys lie in a page
  RopePairing pairing = RopePairing::kHalves;
  uint32_t first_dim = 0, rope_dims = 0;  // the dims that are rotated
  gpu::BufferRange inverse_frequencies;   // fp32 [rope_dims / 2]
  uint32_t delta = 0;                     // positions; modulo 2^32, so that steps back are possible
  std::string_view label;
};
Status rotate_keys(gpu::Recorder& recorder, const RotateKeysParams& params);

}  // namespace lahar::ops
