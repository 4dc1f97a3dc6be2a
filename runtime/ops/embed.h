// The rows of an embedding table that a step's tokens name.
#pragma once

#include "ops/common.h"
#include "quant/matrix.h"

namespace lahar::ops {

// y_t = scale * table[token_t] (+ positions[position_t]); tokens and positions are clamped to their tables.
struct EmbedParams {
  const quant::Matrix* table = nullptr;      // [vocabulary, width], any format
  const quant::Matrix* positions = nullptr;  // [context, width], learned positions; optional
  float scale = 1;
  Activations y;  // [bucket, width]
  StepRef step;
};
Status embed(gpu::Recorder& recorder, const EmbedParams& params);

}  // namespace lahar::ops
