// From a model's files to an engine: reads the configuration, plans the memory, loads, opens.
#pragma once

#include <functional>
#include <memory>

#include "engine/engine.h"
#include "format/model_source.h"
#include "weights.h"

namespace lahar {

struct OpenOptions {
  EngineOptions engine;
  Quantize quantize = Quantize::kNone;
  // Kernels take the forms that were measured on the device (EngineOptions::tuning, where it is null), unless LAHAR_TUNING
  // is off.
  bool use_tuning = true;
  double first_tuning_seconds = 0;  // on a GPU of which nothing is known for this model: measure the hottest kernels so long
  // Called once, before anything is loaded, also when the plan does not fit (which then is the error).
  std::function<void(const MemoryPlan&)> on_plan;
  LoadOptions load;
};

// What opening would need on the device. Errors: those of read_model_spec, choose_rope, WeightPlan::make and Engine::plan.
Result<MemoryPlan> plan_engine(const gpu::Device& device, const ModelSource& source, const OpenOptions& options);

// `source` may be closed afterwards. Errors: those of plan_engine, load_weights and Engine::create;
// kOutOfMemory with the plan's text where it does not fit.
Result<std::unique_ptr<Engine>> open_engine(std::shared_ptr<gpu::Device> device, const ModelSource& source,
                                            const OpenOptions& options);

}  // namespace lahar
