// What the tuner is to measure: the cases that an engine's steps ask for.
#pragma once

#include <vector>

#include "gpu/device.h"
#include "tune/cases.h"

namespace lahar::tune {

// The steps of an engine.
struct StepSizes {
  uint32_t rows = 0;     // of a step at most; programs are recorded for every power of two up to the one above it
  uint32_t context = 0;  // tokens of a sequence at most
};
std::vector<uint32_t> step_buckets(const StepSizes& sizes);

struct TunePlan {
  struct Matmul {
    MatmulShape shape;
    std::vector<uint32_t> buckets;
  };
  struct Attention {
    AttentionShape shape;
    AttentionStep step;
  };
  struct Experts {
    ExpertsShape shape;
    std::vector<uint32_t> buckets;
  };
  std::vector<Matmul> matmuls;
  std::vector<Attention> attentions;
  std::vector<Experts> experts;

  size_t cases() const;
  // Adds every case of the shape that steps ask for: one for each bucket and each context that ops tell apart.
  void add(const gpu::Caps& caps, const AttentionShape& shape, const StepSizes& sizes);
};

// Without a model: the shapes of an 8 B one on a GPU, of a 135 M one on a CPU.
TunePlan standard_plan(const gpu::Caps& caps, const StepSizes& sizes);

}  // namespace lahar::tune
