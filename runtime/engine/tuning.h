// What a model asks of the tuner: its shapes, and a first tuning of the hottest ones while it is opened.
#pragma once

#include <memory>

#include "model.h"
#include "ops/tuning.h"
#include "tune/tuner.h"

namespace lahar {

struct TunedShapes {
  std::vector<uint32_t> buckets = {1, 2, 4, 8, 16, 64, 512};  // rows of a step
  std::vector<uint32_t> contexts = {1024, 4096};              // for steps of few rows
  ops::KvType kv = ops::KvType::kF16;
  ops::Precision precision = ops::Precision::kDefault;
};
// The matrices of a model, largest first, its attention and its experts; each shape once.
tune::TunePlan tune_plan(const Model& model, const TunedShapes& shapes);

// Times the forms of decoding's largest products, for at most about `seconds`, where the device is a real GPU and the
// database knows nothing of them yet. What goes wrong is a line in the log: the defaults stay.
void tune_first(gpu::Device& device, const Model& model, ops::Precision precision, double seconds, tune::Database& database,
                const Log& log);

}  // namespace lahar
