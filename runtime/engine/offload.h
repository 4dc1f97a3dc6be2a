// Where the weights go when the device has no room for all of them.
#pragma once

#include "core/result.h"
#include "engine/engine.h"
#include "weights.h"

namespace lahar {

struct OffloadPlan {
  WeightPlacement placement;
  uint64_t expert_cache = 0;  // bytes of device memory for copies of experts
  MemoryPlan memory;
};

// Everything into device memory where it fits with a context of decent length and nobody asked for less
// (EngineOptions::expert_cache). Else experts stay in the host's memory, with copies of as many as there is room for; then
// the projections of layers, from the last on: every step reads all of a dense layer, so that copies of some in turn would
// only move bytes twice. Where the host's memory is the device's own, that helps against a cap (memory_cap) alone.
// Errors: Engine::plan's; kInvalidArgument (a cache for a model without experts). A plan may not fit().
Result<OffloadPlan> plan_offload(const gpu::Device& device, const ModelSpec& spec, const MemoryNeed& need,
                                 const EngineOptions& options);

}  // namespace lahar
