// A model that is ready to run: its description and its weights on a device.
#pragma once

#include "spec.h"
#include "weights.h"

namespace lahar {

// Immutable once made, so engines may share it.
struct Model {
  ModelSpec spec;
  ModelWeights weights;
};

}  // namespace lahar
