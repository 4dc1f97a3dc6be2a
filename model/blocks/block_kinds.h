// Blocks of other kinds than attention and the dense feed-forward: one row each in block_kinds.cpp.
#pragma once

#include "blocks/forward.h"
#include "ops/state.h"

namespace lahar {

// Where a layer's experts are, where that changes from step to step.
struct ExpertView {
  gpu::BufferRange table, uses;             // as ops::ExpertsRef::table and ops::MoeRouteParams::uses
  std::span<const gpu::BufferRange> slabs;  // memory that they may lie in
};

// What a layer has outside its weights: what it keeps of the sequences, and experts that come and go.
struct LayerMemory {
  ops::KvRef kv;                         // attention's
  ops::StateRef mixer_state, ffn_state;  // of recurrent blocks
  ExpertView experts;                    // empty: they stay where the weights have them
};

struct BlockKind {
  // Bytes of Scratch::block that a step of `rows` rows takes; null: none.
  uint64_t (*scratch_bytes)(const gpu::Caps& caps, const ModelSpec& spec, const LayerSpec& layer, uint32_t rows);
  // Floats of the widest x that its products take, beside hidden; null: none.
  uint32_t (*widest_input)(const LayerSpec& layer);
  // Bytes of recurrent state that a sequence keeps for the layer, a multiple of 16; null: none.
  uint64_t (*state_bytes)(const ModelSpec& spec, const LayerSpec& layer);
  // x += multiplier * post(block(normed)), where the post norm is the mixer's or the ffn's. Reads `normed` and x; writes x,
  // `other` where there is a post norm, and Scratch::block, wide, q and mid as it likes.
  Status (*record)(const Forward& f, const LayerSpec& layer, const LayerWeights& weights, const ops::Activations& normed,
                   const LayerMemory& memory);
};

// Null for kinds that add nothing and for those that transformer.cpp records itself.
const BlockKind* block_kind(Mixer mixer);
const BlockKind* block_kind(FfnKind ffn);

// Of a layer's mixer and of its feed-forward block, which lie one behind the other in a state slot.
struct LayerStateBytes {
  uint64_t mixer = 0, ffn = 0;
};
LayerStateBytes state_bytes(const ModelSpec& spec, const LayerSpec& layer);

}  // namespace lahar
