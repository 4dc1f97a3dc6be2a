// Inside of moe: what its paths share.
#pragma once

#include "ops/matmul_paths.h"
#include "ops/moe_variants.h"
#include "params_moe.h"

namespace lahar::ops::detail {

constexpr uint32_t kMoeDecodeRows = 16;  // of the step

// Where everything lies in MoeParams::scratch.
struct MoeScratch {
  Activations h;               // [pairs, width]: what the down projection takes
  Activations wide;            // [pairs, 2 width or width]: gate and up before the activation
  Activations out;             // [pairs, hidden], in the memory of `wide`
  gpu::BufferRange converted;  // of matmul
  gpu::BufferRange pairs;      // params::StepState: the pairs as the rows of a step of their own
  gpu::BufferRange counts, sorted, up_tiles, down_tiles;
  uint64_t bytes = 0;
};
// `scratch` may be empty: then only bytes counts.
MoeScratch moe_scratch(const ExpertsRef& experts, uint32_t chosen, uint32_t bucket, const gpu::BufferRange& scratch);

inline uint32_t moe_pairs(const MoeParams& p) { return p.step.bucket * p.chosen; }
// True where gate and up are two matrices.
inline bool moe_mixed(const ExpertsRef& e) { return e.up.rows > 0; }
inline bool has_bias(const ExpertMatrix& m) { return m.bias != ExpertMatrix::kNoBias; }
inline quant::Matrix shape_of(const ExpertMatrix& m) {
  return {.format = m.format, .rows = m.rows, .cols = m.cols, .group = m.group, .planes = {}};
}
// The kernels' flags for the first product (with its activation), and for the second (with the sum).
uint32_t moe_up_flags(const MoeParams& p);
uint32_t moe_down_flags(const MoeParams& p);

// What every kernel reads of the experts, and the ranges of the routes that it uses.
Ranges expert_reads(const MoeParams& p);

struct MoePathOps {
  bool (*can)(const gpu::Caps& caps, const MoeParams& p, const MoeForm& form);
  void (*list)(const gpu::Caps& caps, const MoeParams& p, std::vector<MoeForm>& out);
  Status (*record)(gpu::Recorder& recorder, const MoeParams& p, const MoeForm& form);
};
extern const MoePathOps kMoeDecodeOps, kMoeLoopOps, kMoeGroupedOps;
void list_moe_route_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_moe_decode_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_moe_grouped_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_moe_loop_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);

// The part of MoePush and MoeLoopPush that they have in common.
template <typename Push>
Push moe_push(const MoeParams& p, const ExpertMatrix& m, bool down) {
  const MoeScratch s = moe_scratch(*p.experts, p.chosen, p.step.bucket, p.scratch);
  Push push{};
  const Activations &x = down ? s.h : p.x, &y = down ? p.y : s.h;
  push.table = p.experts->table.address(), push.x = x.range.address(), push.y = y.range.address();
  push.residual = down ? p.residual.range.address() : 0;
  push.ids = p.routes.ids.address(), push.weights = p.routes.weights.address(), push.step = p.step.state.address();
  push.plane0 = static_cast<uint32_t>(m.planes[0]), push.plane1 = static_cast<uint32_t>(m.planes[1]);
  push.plane2 = static_cast<uint32_t>(m.planes[2]), push.bias = has_bias(m) ? static_cast<uint32_t>(m.bias) : 0;
  push.rows = down ? p.experts->hidden() : p.experts->width();
  push.x_stride = x.stride, push.y_stride = y.stride, push.residual_stride = p.residual.stride;
  push.bucket = p.step.bucket, push.chosen = p.chosen, push.experts = p.experts->experts;
  push.factor = down ? p.residual_scale : p.clamp, push.alpha = p.alpha;
  return push;
}
// Records one of the two dispatches of kDecode and kLoop.
void record_moe(gpu::Recorder& recorder, const MoeParams& p, bool down, const gpu::KernelDesc& kernel,
                std::span<const std::byte> push, gpu::GroupCount groups);

}  // namespace lahar::ops::detail
