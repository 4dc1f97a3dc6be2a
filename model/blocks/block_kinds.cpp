#include "blocks/block_kinds.h"

#include "blocks/moe_ffn.h"

namespace lahar {

const BlockKind* block_kind(Mixer mixer) {
  switch (mixer) {
    default: return nullptr;
  }
}

const BlockKind* block_kind(FfnKind ffn) {
  switch (ffn) {
    case FfnKind::kExperts: return &kExpertsBlock;
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
