// What the blocks of RWKV-4 and RWKV-7 share.
#pragma once

#include <span>
#include <string_view>

#include "blocks/block_kinds.h"
#include "ops/planes.h"

namespace lahar {

// A product without an epilogue.
Status record_rwkv_product(const Forward& f, const Linear& linear, const ops::Activations& x, const ops::Activations& y,
                           std::string_view label);

// How channel mixing begins: the token shift, as many planes of `mixed` as there are mixes, and the first of them through
// the key: up = relu(key mixed_0)^2.
Status record_rwkv_up(const Forward& f, const LayerSpec& layer, std::span<const gpu::BufferRange> mixes, const Linear& key,
                      const ops::Activations& normed, const LayerMemory& memory, const ops::Planes& mixed,
                      const ops::Activations& up);

}  // namespace lahar
