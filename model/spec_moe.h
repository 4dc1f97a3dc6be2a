// A feed-forward block of experts: what ModelSpec says of it.
#pragma once

#include <cstdint>

#include "ops/activation.h"
#include "ops/moe.h"

namespace lahar {

// Logits are Wr x (+ bias), soft-capped. Scores follow `score`; the `chosen` experts with the highest score (plus selection
// bias) are taken, within the groups_chosen best groups; their weights are the scores without that bias, renormalised to sum
// to 1 where `normalize`, times `scale`, and times a factor of the expert's own where the file has some. y = sum of weight *
// expert(x) + shared(x), where the shared expert may be gated by sigmoid(Wg x).
struct MoeSpec {
  uint32_t experts = 0, chosen = 0;  // 1 <= chosen <= 16, chosen <= experts <= 512
  uint32_t width = 0;                // of one expert
  ops::RouterScore score = ops::RouterScore::kSoftmax;
  bool router_bias = false;     // added to the logits
  bool selection_bias = false;  // added to the scores for the choice alone
  uint32_t groups = 1, groups_chosen = 1;
  ops::GroupScore group_score = ops::GroupScore::kHighest;
  bool normalize = false;
  float scale = 1;
  float softcap = 0;            // of the logits; 0: none
  bool weighted_input = false;  // the weight scales the expert's input, not its output (llama4)

  bool gated = true;
  ops::Activation activation = ops::Activation::kSilu;
  bool up_bias = false, down_bias = false;
  // Above 0, the gate is clamped to at most clamp and up to [-clamp, clamp], and the product is
  // (up + 1) * gate * sigmoid(alpha * gate) (gpt-oss).
  float clamp = 0, alpha = 1;

  uint32_t shared_width = 0;                      // 0: no shared expert; gated and activated as the others are
  bool shared_gate = false, shared_bias = false;  // biases in all its products: not with a gate

  // Above 0, what the experts read and write has that width: y = Wout(sum of weight * expert(Win x)) + shared(x). Router and
  // shared expert read x itself (Nemotron-H).
  uint32_t latent = 0;
  bool latent_bias = false;
};

}  // namespace lahar
