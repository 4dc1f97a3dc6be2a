#include "engine/open.h"

#include "engine/offload.h"
#include "engine/tuning.h"

namespace lahar {
namespace {

struct Prepared {
  ModelSpec spec;
  WeightPlan weights;
  OffloadPlan offload;
};

Result<Prepared> prepare(const gpu::Device& device, const ModelSource& source, const OpenOptions& options) {
  LAHAR_ASSIGN(ModelSpec spec, read_model_spec(source, options.engine.context, options.engine.log));
  const StreamingOptions& streaming = options.engine.streaming;
  const uint32_t context = streaming.on() ? streaming.context() : options.engine.context;
  LAHAR_TRY(choose_rope(spec, options.engine.rope, context, streaming.on(), options.engine.log));
  LAHAR_ASSIGN(WeightPlan weights, WeightPlan::make(source, spec, options.quantize, options.engine.log));
  LAHAR_ASSIGN(const OffloadPlan offload, plan_offload(device, spec, weights.memory(), options.engine));
  LAHAR_TRY(set_context(spec, offload.memory.context));
  return Prepared{std::move(spec), std::move(weights), offload};
}

}  // namespace

Result<MemoryPlan> plan_engine(const gpu::Device& device, const ModelSource& source, const OpenOptions& options) {
  LAHAR_ASSIGN(const Prepared prepared, prepare(device, source, options));
  return prepared.offload.memory;
}

Result<std::unique_ptr<Engine>> open_engine(std::shared_ptr<gpu::Device> device, const ModelSource& source,
                                            const OpenOptions& options) {
  LAHAR_ASSIGN(Prepared prepared, prepare(*device, source, options));
  const MemoryPlan& memory = prepared.offload.memory;
  if (options.on_plan) options.on_plan(memory);
  if (!memory.fits())
    return Error{ErrorCode::kOutOfMemory, source.name() + " does not fit: it " + memory.describe() +
                                              "; a smaller context or quantized weights need less"};
  LoadOptions load = options.load;
  load.placement = prepared.offload.placement;
  LAHAR_ASSIGN(ModelWeights weights, load_weights(*device, source, prepared.spec, prepared.weights, load));
  auto model = std::make_shared<const Model>(Model{std::move(prepared.spec), std::move(weights)});
  EngineOptions engine = options.engine;
  engine.context = memory.context;
  engine.expert_cache = prepared.offload.expert_cache;
  engine.expert_cache_may_shrink = !options.engine.expert_cache.has_value();
  if (options.use_tuning && engine.tuning == nullptr && tune::tuning_wanted()) {
    tune::Database database = tune::Database::open(*device);
    tune_first(*device, *model, engine.precision, options.first_tuning_seconds, database, engine.log);
    engine.tuning = database.tuning();
  }
  return Engine::create(std::move(device), std::move(model), engine);
}

}  // namespace lahar
