// Mixture of experts: which experts each row goes to, and what they compute.
//
// Expert weights lie in slabs, one for each expert of a layer, which hold everything of that expert at offsets that are the
// same for all experts of the layer. Kernels reach a slab through a table of 64-bit device addresses in device memory, so
// that it may lie in any memory that the device can read, and may move between steps: whoever moves it rewrites its entry.
#pragma once

#include <array>
#include <span>

#include "ops/common.h"
#include "ops/tuning.h"
#include "quant/matrix.h"

namespace lahar::ops {

constexpr uint32_t kMaxExperts = 512, kMaxChosen = 16;

enum class RouterScore : uint32_t {
  kSoftmax = 0,          // of all logits, before the choice
  kSoftmaxOfChosen = 1,  // of the chosen logits, after the choice
  kSigmoid = 2,
};
// How a group of experts is ranked where groups are chosen first.
enum class GroupScore : uint32_t { kHighest = 0, kSumOfTwo = 1 };

// Where a row of the step goes: for row t and j < chosen, expert ids[t][j] with the factor weights[t][j], the best first.
struct MoeRoutes {
  gpu::BufferRange ids;      // uint32 [bucket][chosen], base of 16 bytes
  gpu::BufferRange weights;  // fp32 [bucket][chosen], base of 16 bytes
};
// Bytes of either range, a multiple of 16.
uint64_t moe_route_bytes(uint32_t bucket, uint32_t chosen);

// Scores follow `score` (kSoftmaxOfChosen: the logits themselves); the `chosen` experts with the highest score plus
// selection_bias are taken, of equal ones the lower index first, within the groups_chosen best of `groups` groups of
// neighbours (ranked by the same sums). Their weights are the scores without the bias, divided by their sum where
// `normalize`, times `scale` and the expert's own expert_scale. The router's own bias and soft cap belong to the matmul that
// makes the logits.
// Rows with a logit that is NaN or +infinity get weights that are all NaN, and ids in range: what follows stays NaN as far
// as that row's logits, and other rows are not touched.
struct MoeRouteParams {
  Activations logits;  // [bucket, experts]
  uint32_t experts = 0, chosen = 0;
  RouterScore score = RouterScore::kSoftmax;
  gpu::BufferRange selection_bias;         // fp32 [experts]; optional
  uint32_t groups = 1, groups_chosen = 1;  // experts is a multiple of groups
  GroupScore group_score = GroupScore::kHighest;
  bool normalize = false;
  float scale = 1;
  gpu::BufferRange expert_scale;  // fp32 [experts]; optional
  MoeRoutes routes;               // written
  gpu::BufferRange uses;          // uint32 [experts]; optional: how many rows of the step chose each expert is added
  StepRef step;
  std::string_view label;
};
// Errors: kInvalidArgument (shapes that do not fit together, with the label).
Status moe_route(gpu::Recorder& recorder, const MoeRouteParams& params);

// One matrix of every slab: y = W x + bias.
struct ExpertMatrix {
  quant::WeightFormat format = quant::WeightFormat::kF32;
  uint32_t rows = 0, cols = 0;
  uint32_t group = 0;                // as quant::Matrix::group
  std::array<uint64_t, 3> planes{};  // where each begins in the slab, laid out as quant::layout() says; multiples of 16
  static constexpr uint64_t kNoBias = ~uint64_t{0};
  uint64_t bias = kNoBias;  // where fp32 [rows] begins in the slab, a multiple of 4
};

// The experts of one layer. A slab is smaller than 4 GiB.
struct ExpertsRef {
  gpu::BufferRange table;                   // uint64 [experts]: the slabs' addresses, multiples of 16
  std::span<const gpu::BufferRange> slabs;  // memory that slabs may lie in, for the declared reads
  uint32_t experts = 0;
  bool gated = true;
  // Gated: gate then up, [2 width, hidden]; else up alone, [width, hidden]. Where gate and up have different formats, this
  // is the gate, [width, hidden], and `up` is up; else `up` has no rows.
  ExpertMatrix gate_up, up;
  ExpertMatrix down;  // [hidden, width]
  uint32_t width() const { return down.cols; }
  uint32_t hidden() const { return down.rows; }
};

// For every row t and its experts e = ids[t][j] with w = weights[t][j] (where weighted_input, the expert gets w * x_t and
// its output is taken as it is):
//   h = f(gate x_t + b) * (up x_t + b), or f(up x_t + b) without a gate; with clamp > 0 instead
//       g * sigmoid(alpha * g) * (u + 1) with g = min(gate, clamp), u = up within [-clamp, clamp];
//   y_t = residual_t + residual_scale * sum over j of w * (down h + b).
// Deterministic: nothing depends on the order in which a device runs its workgroups.
struct MoeParams {
  const ExpertsRef* experts = nullptr;
  MoeRoutes routes;
  uint32_t chosen = 0;
  Activations x;         // [bucket, hidden]
  Activations y;         // [bucket, hidden]; may be the residual's own memory, not x's
  Activations residual;  // [bucket, hidden]; optional; the same memory as y or apart from it
  float residual_scale = 1;
  Activation activation = Activation::kSilu;  // f
  float clamp = 0, alpha = 1;
  bool weighted_input = false;
  gpu::BufferRange scratch;  // moe_scratch_bytes() on a base of 16 bytes, free for this op alone
  StepRef step;
  Precision precision = Precision::kDefault;
  const Tuning* tuning = nullptr;
  std::string_view label;
};
// Two dispatches for a few rows; for more, rows are sorted by expert on the device and the products run over ragged groups
// of them, a fixed number of dispatches whatever the number of experts. Errors: kInvalidArgument (shapes that do not fit
// together, with the label).
Status moe(gpu::Recorder& recorder, const MoeParams& params);
// Enough for every form, and monotonic in the bucket. The experts' table and slabs are not looked at.
uint64_t moe_scratch_bytes(const ExpertsRef& experts, uint32_t chosen, uint32_t bucket);

// h_t *= sigmoid(gate . x_t): the gate of a shared expert, applied to what its down projection takes.
struct MoeSharedGateParams {
  Activations x;          // [bucket, hidden]
  gpu::BufferRange gate;  // fp32 [hidden]
  uint32_t hidden = 0;
  Activations h;  // [bucket, width], read and written
  uint32_t width = 0;
  StepRef step;
  std::string_view label;
};
Status moe_shared_gate(gpu::Recorder& recorder, const MoeSharedGateParams& params);

}  // namespace lahar::ops
