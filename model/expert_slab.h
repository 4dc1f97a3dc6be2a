// How one expert's weights lie in memory: everything of it in one slab, at offsets that all experts of its layer share, so
// that a slab can be anywhere and can move. Kernels find it through a table of addresses (ops/moe.h).
#pragma once

#include <cstdint>

#include "core/result.h"
#include "ops/moe.h"

namespace lahar {

struct LinearPlan;

struct ExpertSlab {
  ops::ExpertMatrix gate_up, up, down;  // as ops::ExpertsRef has them
  uint64_t bytes = 0;                   // a multiple of kWeightAlignment

  // Of the first or second part of the projection up.
  const ops::ExpertMatrix& up_part(size_t part) const { return part == 0 ? gate_up : up; }
};

// Errors: kUnsupported (4 GiB or more).
Result<ExpertSlab> lay_out_slab(const LinearPlan& up, const LinearPlan& down);

}  // namespace lahar
