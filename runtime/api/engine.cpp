// The engine: plan, open, generate, save and restore.
#include <random>

#include "api/chat_json.h"
#include "api/engine_state.h"
#include "engine/open.h"

using namespace lahar;
using namespace lahar::api;

namespace lahar::api {
namespace {

constexpr uint32_t kMaxChunk = 4096;

// ---- plan and open ----

Result<OpenOptions> open_options(const lahar_engine_options& o, const Log& log) {
  OpenOptions open;
  if (o.chunk > kMaxChunk)
    return Error{ErrorCode::kInvalidArgument, "lahar_engine_options.chunk is " + std::to_string(o.chunk) +
                                                  ", expected at most " + std::to_string(kMaxChunk)};
  open.engine.context = o.context;
  open.engine.chunk = o.chunk;
  open.engine.streaming = {.sinks = o.streaming_sinks, .window = o.streaming_window};
  open.engine.precision = o.full_precision ? ops::Precision::kF32 : ops::Precision::kDefault;
  open.engine.memory_cap = o.memory_cap;
  if (o.expert_cache > 0) open.engine.expert_cache = o.expert_cache;
  const int quantize = raw_value(o.quantize);
  switch (quantize) {
    case LAHAR_QUANTIZE_NONE: open.quantize = Quantize::kNone; break;
    case LAHAR_QUANTIZE_INT8: open.quantize = Quantize::kInt8; break;
    case LAHAR_QUANTIZE_INT4: open.quantize = Quantize::kInt4; break;
    case LAHAR_QUANTIZE_FP8: open.quantize = Quantize::kFp8; break;
    default:
      return Error{ErrorCode::kInvalidArgument,
                   "lahar_engine_options.quantize is " + std::to_string(quantize) + ", which is none of lahar_quantize"};
  }
  const int kv = raw_value(o.kv);
  switch (kv) {
    case LAHAR_KV_DEFAULT: break;
    case LAHAR_KV_F16: open.engine.kv = ops::KvType::kF16; break;
    case LAHAR_KV_BF16: open.engine.kv = ops::KvType::kBF16; break;
    case LAHAR_KV_F32: open.engine.kv = ops::KvType::kF32; break;
    case LAHAR_KV_INT8: open.engine.kv = ops::KvType::kI8; break;
    case LAHAR_KV_FP8: open.engine.kv = ops::KvType::kF8; break;
    case LAHAR_KV_INT4: open.engine.kv = ops::KvType::kI4; break;
    default:
      return Error{ErrorCode::kInvalidArgument,
                   "lahar_engine_options.kv is " + std::to_string(kv) + ", which is none of lahar_kv"};
  }
  const int rope = raw_value(o.rope_scaling);
  switch (rope) {
    case LAHAR_ROPE_DEFAULT: break;
    case LAHAR_ROPE_NONE: open.engine.rope.scaling = RopeScaling::kNone; break;
    case LAHAR_ROPE_LINEAR: open.engine.rope.scaling = RopeScaling::kLinear; break;
    case LAHAR_ROPE_YARN: open.engine.rope.scaling = RopeScaling::kYarn; break;
    default:
      return Error{ErrorCode::kInvalidArgument,
                   "lahar_engine_options.rope_scaling is " + std::to_string(rope) + ", which is none of lahar_rope_scaling"};
  }
  open.engine.rope.factor = o.rope_scale;
  open.engine.rope.original_context = o.rope_original_context;
  if (o.alternatives > LAHAR_MOST_ALTERNATIVES)
    return Error{ErrorCode::kInvalidArgument, "lahar_engine_options.alternatives is " + std::to_string(o.alternatives) +
                                                  ", expected at most " + std::to_string(LAHAR_MOST_ALTERNATIVES)};
  open.engine.sampled_logits = o.alternatives > 0;
  LAHAR_TRY(slice_seconds(o.time_slice));
  open.engine.log = open.load.log = log;
  if (o.progress != nullptr) {
    open.load.progress = [progress = o.progress, user = o.progress_user](uint64_t done, uint64_t total) {
      return progress(user, done, total) == 0;
    };
  }
  return open;
}

Result<std::shared_ptr<gpu::Device>> open_device(RuntimeState& runtime, const lahar_engine_options& o) {
  if (o.vulkan != nullptr && o.device != nullptr)
    return Error{ErrorCode::kInvalidArgument, "lahar_engine_options has both device and vulkan, expected one of them"};
  if (o.vulkan != nullptr) return import_device(runtime, *o.vulkan);
  LAHAR_ASSIGN(auto instance, runtime.instance());
  return gpu::Device::open(std::move(instance), {.selector = o.device ? o.device : ""});
}

Status plan(const ModelState& model, const lahar_engine_options* options, lahar_memory_plan* out) {
  if (out == nullptr) return null_argument("plan");
  LAHAR_ASSIGN(const size_t size, struct_size(out, sizeof(*out), "lahar_memory_plan"));
  write_struct(out, size, lahar_memory_plan{});
  lahar_engine_options o = LAHAR_ENGINE_OPTIONS_INIT;
  if (options != nullptr) LAHAR_TRY(read_struct(options, "lahar_engine_options", o));
  LAHAR_ASSIGN(const OpenOptions open, open_options(o, model.runtime->log));
  LAHAR_ASSIGN(const auto device, open_device(*model.runtime, o));
  LAHAR_ASSIGN(const MemoryPlan memory, plan_engine(*device, *model.source, open));
  lahar_memory_plan result{};
  result.weights_bytes = memory.weights;
  result.kv_bytes = memory.kv_pool + memory.states;
  result.scratch_bytes = memory.scratch;
  result.available_bytes = memory.available;
  result.context = memory.context;
  result.fits = memory.fits() ? 1 : 0;
  result.expert_cache_bytes = memory.expert_cache;
  result.host_bytes = memory.host_weights;
  write_struct(out, size, result);
  return {};
}

Status open(const std::shared_ptr<ModelState>& model, const lahar_engine_options* options, lahar_engine** out) {
  if (out == nullptr) return null_argument("out");
  const Log& log = model->runtime->log;
  lahar_engine_options o = LAHAR_ENGINE_OPTIONS_INIT;
  if (options != nullptr) LAHAR_TRY(read_struct(options, "lahar_engine_options", o));
  LAHAR_ASSIGN(OpenOptions open, open_options(o, log));
  open.on_plan = [&](const MemoryPlan& memory) { log.info(model->source->name() + " " + memory.describe()); };
  LAHAR_ASSIGN(auto device, open_device(*model->runtime, o));
  if (device->caps().is_cpu() && o.device == nullptr && o.vulkan == nullptr)
    log.warning("no GPU was found: " + device->caps().info.name + " computes on the processor, slowly");
  LAHAR_ASSIGN(auto engine, open_engine(std::move(device), *model->source, open));
  LAHAR_ASSIGN(const double slice, slice_seconds(o.time_slice));
  engine->steps().set_time_slice(slice);
  auto handle = std::make_unique<lahar_engine>();
  handle->state = std::make_shared<EngineState>(model, std::move(engine), o.alternatives);
  handle->state->start();
  *out = handle.release();
  return {};
}

// ---- generate ----

uint64_t random_seed() {
  std::random_device random;
  return (uint64_t{random()} << 32) | random();
}

SamplingParams default_sampling(const SamplingDefaults& advised) {
  SamplingParams params;
  const bool greedy = advised.do_sample.has_value() && !*advised.do_sample;
  params.temperature = greedy ? 0.0f : advised.temperature.value_or(params.temperature);
  params.top_k = advised.top_k.value_or(params.top_k);
  params.top_p = advised.top_p.value_or(params.top_p);
  params.min_p = advised.min_p.value_or(params.min_p);
  params.seed = random_seed();
  return params;
}

Result<SamplingParams> sampling_of(const lahar_generate_options& o, const SamplingDefaults& advised) {
  if (o.sampling == nullptr) return default_sampling(advised);
  lahar_sampling s{};
  LAHAR_TRY(read_struct(o.sampling, "lahar_sampling", s));
  const SamplingParams params{.temperature = s.temperature,
                              .top_k = s.top_k,
                              .top_p = s.top_p == 0 ? 1.0f : s.top_p,
                              .min_p = s.min_p,
                              .seed = s.seed};
  LAHAR_TRY(params.check());
  return params;
}

Result<std::vector<int32_t>> prompt_of(const lahar_generate_options& o, const ModelState& model) {
  const int given = (o.tokens != nullptr) + (o.chat_json != nullptr) + (o.text != nullptr);
  if (given != 1)
    return Error{ErrorCode::kInvalidArgument,
                 "lahar_generate_options needs exactly one of tokens, chat_json and text, found " + std::to_string(given) +
                     " of them"};
  if (o.tokens != nullptr) return std::vector<int32_t>(o.tokens, o.tokens + o.token_count);
  if (o.text != nullptr) {
    LAHAR_ASSIGN(const Tokenizer* tokenizer, model.need_tokenizer());
    return tokenizer->encode(std::string_view(o.text), {.add_bos = tokenizer->add_bos_default()});
  }
  LAHAR_ASSIGN(const ChatFormat* chat, model.need_chat());
  LAHAR_ASSIGN(ChatInput input, parse_chat(o.chat_json, true));
  LAHAR_ASSIGN(const Rendering rendering, chat->render(std::move(input)));
  return chat->encode(rendering);
}

lahar_stop_reason stop_reason(StopReason reason) {
  switch (reason) {
    case StopReason::kStopToken: return LAHAR_STOP_TOKEN;
    case StopReason::kLength: return LAHAR_STOP_LENGTH;
    case StopReason::kContext: return LAHAR_STOP_CONTEXT;
    case StopReason::kCancelled: return LAHAR_STOP_CANCELLED;
  }
  return LAHAR_STOP_CANCELLED;
}

Status generate(EngineState& engine, const lahar_generate_options* options, lahar_generate_result* result) {
  if (options == nullptr) return null_argument("options");
  lahar_generate_options o = LAHAR_GENERATE_OPTIONS_INIT;
  LAHAR_TRY(read_struct(options, "lahar_generate_options", o));
  size_t result_size = 0;
  if (result != nullptr) {
    LAHAR_ASSIGN(result_size, struct_size(result, sizeof(*result), "lahar_generate_result"));
    write_struct(result, result_size, lahar_generate_result{});
  }
  LAHAR_ASSIGN(const GenerateOutcome outcome, engine.generate([&]() -> Result<GenerateCall> {
    GenerateCall call;
    LAHAR_ASSIGN(call.sampling, sampling_of(o, engine.sampling_defaults()));
    LAHAR_ASSIGN(call.prompt, prompt_of(o, engine.model()));
    if (o.reply_tokens == nullptr && o.reply_count > 0) return null_argument("lahar_generate_options.reply_tokens");
    call.prompt.insert(call.prompt.end(), o.reply_tokens, o.reply_tokens + o.reply_count);
    call.reply_count = o.reply_count;
    if (o.max_tokens != 0) call.max_tokens = o.max_tokens;
    call.ignore_stop_tokens = o.ignore_stop_tokens != 0;
    call.callback = o.callback;
    call.user = o.user;
    return call;
  }));
  if (result == nullptr) return {};
  lahar_generate_result r{};
  r.reason = stop_reason(outcome.reason);
  r.prompt_tokens = outcome.stats.prompt_tokens;
  r.reused_tokens = outcome.stats.reused_tokens;
  r.generated_tokens = outcome.stats.generated_tokens;
  r.prefill_seconds = outcome.stats.prefill_seconds;
  r.decode_seconds = outcome.stats.decode_seconds;
  r.expert_reads = outcome.stats.experts.reads;
  r.expert_hits = outcome.stats.experts.hits;
  r.expert_bytes_copied = outcome.stats.experts.copied_bytes;
  write_struct(result, result_size, r);
  return {};
}

// ---- save and restore ----

Status save_sequence(EngineState& state, void* data, size_t capacity, size_t* size) {
  if (size == nullptr) return null_argument("size");
  if (data == nullptr && capacity > 0) return null_argument("data");
  return state.run([&](Engine& engine) -> Status {
    LAHAR_ASSIGN(const uint64_t bytes, engine.sequence_bytes());
    if (bytes <= capacity) LAHAR_TRY(engine.save_sequence({static_cast<std::byte*>(data), static_cast<size_t>(bytes)}));
    *size = static_cast<size_t>(bytes);
    if (bytes <= capacity) return {};
    return Error{ErrorCode::kLimit, "the saved sequence has " + std::to_string(bytes) + " bytes, there is room for " +
                                        std::to_string(capacity)};
  });
}

Status restore_sequence(EngineState& state, const void* data, size_t size) {
  if (data == nullptr) return null_argument("data");
  return state.run([&](Engine& engine) {
    const Status status = engine.restore_sequence({static_cast<const std::byte*>(data), size});
    state.watch().set_kv(engine.kv_view());
    return status;
  });
}

}  // namespace
}  // namespace lahar::api

lahar_status lahar_plan(lahar_model* model, const lahar_engine_options* options, lahar_memory_plan* plan) {
  if (model == nullptr) return LAHAR_INVALID_ARGUMENT;
  const auto state = model->state;
  return guard(&state->error, [&] { return lahar::api::plan(*state, options, plan); });
}

lahar_status lahar_engine_open(lahar_model* model, const lahar_engine_options* options, lahar_engine** out) {
  if (out != nullptr) *out = nullptr;
  if (model == nullptr) return LAHAR_INVALID_ARGUMENT;
  const auto state = model->state;
  return guard(&state->error, [&] { return open(state, options, out); });
}

void lahar_engine_destroy(lahar_engine* engine) {
  if (engine == nullptr) return;
  const auto state = engine->state;
  // Whoever closes a state may be the last to hold it: errors of locks and threads have nowhere to go.
  guard(&state->error, [&]() -> Status {
    state->close();
    return {};
  });
  delete engine;
}

const char* lahar_engine_error(const lahar_engine* engine) { return engine ? engine->state->error.text() : ""; }

uint32_t lahar_engine_context(const lahar_engine* engine) { return engine ? engine->state->context() : 0; }

void lahar_default_sampling(lahar_engine* engine, lahar_sampling* sampling) {
  if (sampling == nullptr) return;
  guard(nullptr, [&]() -> Status {
    LAHAR_ASSIGN(const size_t size, struct_size(sampling, sizeof(*sampling), "lahar_sampling"));
    const SamplingParams params = default_sampling(engine ? engine->state->sampling_defaults() : lahar::SamplingDefaults());
    lahar_sampling s{};
    s.temperature = params.temperature;
    s.top_k = params.top_k;
    s.top_p = params.top_p;
    s.min_p = params.min_p;
    s.seed = params.seed;
    write_struct(sampling, size, s);
    return {};
  });
}

lahar_status lahar_generate(lahar_engine* engine, const lahar_generate_options* options, lahar_generate_result* result) {
  if (engine == nullptr) return LAHAR_INVALID_ARGUMENT;
  const auto state = engine->state;
  return guard(&state->error, [&] { return generate(*state, options, result); });
}

void lahar_cancel(lahar_engine* engine) {
  if (engine == nullptr) return;
  const auto state = engine->state;
  guard(&state->error, [&]() -> Status {
    state->cancel();
    return {};
  });
}

lahar_status lahar_save_sequence(lahar_engine* engine, void* data, size_t capacity, size_t* size) {
  if (size != nullptr) *size = 0;
  if (engine == nullptr) return LAHAR_INVALID_ARGUMENT;
  const auto state = engine->state;
  return guard(&state->error, [&] { return save_sequence(*state, data, capacity, size); });
}

lahar_status lahar_restore_sequence(lahar_engine* engine, const void* data, size_t size) {
  if (engine == nullptr) return LAHAR_INVALID_ARGUMENT;
  const auto state = engine->state;
  return guard(&state->error, [&] { return restore_sequence(*state, data, size); });
}
