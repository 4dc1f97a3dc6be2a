// What a model asks of the tuner: its shapes, and a first tuning of the hottest ones while it is opened.
#pragma once

#include "engine/engine.h"
#include "tune/tuner.h"

namespace lahar {

// What the engine's steps ask for of its model's matrices, largest first, its attention and its experts; each shape once.
// Those of an engine with all_logits that computes the head for every row are not among them.
tune::TunePlan tune_plan(const Engine& engine);

// Times the forms of decoding's largest products, for at most about `seconds`, where the device is a real GPU and the
// database knows nothing of them yet. What goes wrong is a line in the log: the defaults stay.
void tune_first(gpu::Device& device, const Model& model, ops::Precision precision, double seconds, tune::Database& database,
                const Log& log);

}  // namespace lahar
