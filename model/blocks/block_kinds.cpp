#include "blocks/block_kinds.h"

#include "blocks/delta_net.h"
#include "blocks/dense_and_experts.h"
#include "blocks/mamba.h"
#include "blocks/mamba2.h"
#include "blocks/mla.h"
#include "blocks/moe_ffn.h"
#include "blocks/rg_lru.h"
#include "blocks/rwkv4.h"
#include "blocks/rwkv7.h"
#include "blocks/short_conv.h"

namespace lahar {

const BlockKind* block_kind(Mixer mixer) {
  switch (mixer) {
    case Mixer::kDeltaNet: return &kDeltaNetBlock;
    case Mixer::kShortConv: return &kShortConvBlock;
    case Mixer::kRgLru: return &kRgLruBlock;
    case Mixer::kRwkv4: return &kRwkv4Block;
    case Mixer::kRwkv7: return &kRwkv7Block;
    case Mixer::kMla: return &kMlaBlock;
    case Mixer::kMamba: return &kMambaBlock;
    case Mixer::kMamba2: return &kMamba2Block;
    case Mixer::kAttentionMamba2: return &kAttentionMamba2Block;
    default: return nullptr;
  }
}

const BlockKind* block_kind(FfnKind ffn) {
  switch (ffn) {
    case FfnKind::kExperts: return &kExpertsBlock;
    case FfnKind::kDenseAndExperts: return &kDenseAndExpertsBlock;
    case FfnKind::kRwkv4: return &kRwkv4FfnBlock;
    case FfnKind::kRwkv7: return &kRwkv7FfnBlock;
    default: return nullptr;
  }
}

LayerStateBytes state_bytes(const ModelSpec& spec, const LayerSpec& layer) {
  const auto of = [&](const BlockKind* kind) -> uint64_t {
    return kind != nullptr && kind->state_bytes != nullptr ? kind->state_bytes(spec, layer) : 0;
  };
  return {of(block_kind(layer.mixer)), of(block_kind(layer.ffn_kind))};
}

}  // namespace lahar
