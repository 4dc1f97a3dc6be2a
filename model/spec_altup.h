// AltUp's residual streams: what ModelSpec says of them.
#pragma once

#include <cstdint>

namespace lahar {

// The embedding becomes `streams` streams. Each layer predicts all of them, runs on the active one, and corrects the others
// by what it changed; the head reads their mean. Beside attention runs LAuReL, a projection through laurel_rank.
struct AltUpSpec {
  uint32_t streams = 0, active = 0;  // streams 0: one ordinary residual stream
  uint32_t laurel_rank = 0;
  bool scaled = true;  // what the inputs of a layer's own are added by is scaled first
  float limit = 0;     // of the coefficients by which streams are corrected; 0: none
};

// Inputs that each layer has of its own, from the token and the embedding: gated by the layer's output, projected, added.
struct LayerInputsSpec {
  uint32_t width = 0;       // 0: none
  uint32_t vocabulary = 0;  // rows of their table
};

// Indices of the weights in ModelWeights::extra (roles from arch/altup_roles.h).
namespace altup {
enum ModelLinear : size_t { kInputsTable, kInputsProjection, kExpand, kMerge };  // kMerge and on: one a stream but the first
enum ModelVector : size_t { kInputsNorm };
// In the mixer's BlockWeights of a layer.
enum LayerLinear : size_t { kInputsGate, kInputsOutput, kLaurelLeft, kLaurelRight };
enum LayerVector : size_t {
  kInputsPostNorm,
  kOutputScale,
  kLaurelNorm,
  kRouterNorm,
  kRouter,
  kPredict,
  kCorrect,
  kCorrectScale
};
}  // namespace altup

}  // namespace lahar
