#include "expert_slab.h"

#include "weight_plan.h"

namespace lahar {
namespace {

// Planes, then biases, each aligned as weights elsewhere are, so that both take the same memory.
ops::ExpertMatrix place_matrix(const MatrixPlan& plan, uint64_t& bytes) {
  ops::ExpertMatrix matrix{.format = plan.format, .rows = plan.rows, .cols = plan.cols, .group = plan.group};
  for (uint32_t p = 0; p < plan.layout.planes; ++p) {
    matrix.planes[p] = bytes;
    bytes += align_weight(plan.layout.plane_bytes[p]);
  }
  return matrix;
}

}  // namespace

Result<ExpertSlab> lay_out_slab(const LinearPlan& up, const LinearPlan& down) {
  ExpertSlab slab;
  slab.gate_up = place_matrix(up.parts[0], slab.bytes);
  if (up.parts.size() > 1) slab.up = place_matrix(up.parts[1], slab.bytes);
  slab.down = place_matrix(down.parts[0], slab.bytes);
  if (up.bias.size > 0) {
    slab.gate_up.bias = slab.bytes;
    if (up.parts.size() > 1) slab.up.bias = slab.bytes + uint64_t{up.parts[0].rows} * sizeof(float);
    slab.bytes += align_weight(uint64_t{up.bias.size} * sizeof(float));
  }
  if (down.bias.size > 0) {
    slab.down.bias = slab.bytes;
    slab.bytes += align_weight(uint64_t{down.bias.size} * sizeof(float));
  }
  if (slab.bytes > UINT32_MAX)
    return Error{ErrorCode::kUnsupported,
                 "an expert of " + std::to_string(slab.bytes) + " bytes; less than 4 GiB are supported"};
  return slab;
}

}  // namespace lahar
