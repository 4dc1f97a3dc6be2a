// What a step has to read and to compute at least, for rates: counted from the model, not from what kernels do.
#pragma once

#include <cstdint>

#include "engine/kv_storage.h"
#include "model.h"

namespace lahar {

// Bytes of weights that a step of one row with logits reads: the projections, the norms, the head, and of experts those
// that a row chooses. Of the embedding only rows are read.
uint64_t step_weight_bytes(const ModelSpec& spec, const ModelWeights& weights);

// Bytes of keys and values that a row reads in one layer; as row_kv_bytes().
uint64_t layer_kv_bytes(const ModelSpec& spec, const KvPageLayout& layout, size_t layer, uint64_t context);

// Bytes of keys and values that a row reads which sees `context` tokens, sliding windows considered.
uint64_t row_kv_bytes(const ModelSpec& spec, const KvPageLayout& layout, uint64_t context);

// Operations (a multiply-add counts as two) of a prompt of `tokens` after `depth` tokens, with the logits of its last row.
double prefill_flops(const ModelSpec& spec, const ModelWeights& weights, uint64_t tokens, uint64_t depth);

}  // namespace lahar
