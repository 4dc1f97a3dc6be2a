#include "engine/engine.h"

#include <algorithm>
#include <bit>
#include <chrono>

#include "params_sample.h"

namespace lahar {
namespace {

constexpr uint32_t kSlot = 0;
// Logits of every row are read back in pieces of at most so many bytes.
constexpr uint64_t kAllLogitsBytes = 256ull << 20;

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

std::vector<KvLayerGeometry> kv_geometry(const ModelSpec& spec) {
  std::vector<KvLayerGeometry> layers;
  for (const LayerSpec& layer : spec.layers)
    layers.push_back({.kv_heads = layer.attention.kv_heads,
                      .head_dim = layer.attention.head_dim,
                      .shared_dim = layer.mixer == Mixer::kMla ? layer.mla.latent_dim : 0,
                      .source = layer.attention.kv_source});
  return layers;
}

ops::KvType kv_type(const EngineOptions& options) {
  return options.kv.value_or(options.precision == ops::Precision::kF32 ? ops::KvType::kF32 : ops::KvType::kF16);
}

uint32_t wanted_context(const ModelSpec& spec, const EngineOptions& options) {
  if (must_roll(spec, options.streaming)) return options.streaming.context();
  if (options.context != 0) return options.context;
  return std::min(spec.context_length, EngineOptions::kDefaultContext);
}

// Rows of a prefill step: what was asked for, no more than the context, and with all logits no more than can be read back.
uint32_t chunk_rows(const ModelSpec& spec, const EngineOptions& options, uint32_t context) {
  uint64_t rows = std::min(options.chunk == 0 ? EngineOptions::kDefaultChunk : options.chunk, context);
  if (must_roll(spec, options.streaming))
    rows = std::min<uint64_t>(rows, uint64_t{options.streaming.step_pages()} * params::kPageTokens);
  if (options.all_logits) rows = std::min(rows, kAllLogitsBytes / (uint64_t{spec.vocabulary} * sizeof(float)));
  return static_cast<uint32_t>(std::max<uint64_t>(rows, 1));
}

uint32_t max_bucket(const ModelSpec& spec, const EngineOptions& options, uint32_t context) {
  return std::bit_ceil(std::max(chunk_rows(spec, options, context), options.slots));
}

// States that must be there whatever happens: those that steps under way can be taken back to, and two for each sequence of
// a StepBench.
uint32_t recent_states(const EngineOptions& options) { return std::max(options.steps_in_flight, 1u) + 1; }
uint32_t least_states(const EngineOptions& options) { return std::max(recent_states(options), 2 * options.slots); }

// Enough for a checkpoint in every stretch of the context and for the ends of the last turns.
uint32_t most_states(const gpu::Caps& caps, const StateLayout& layout, const EngineOptions& options, uint32_t context) {
  constexpr uint32_t kTurnEnds = 8;
  const uint64_t regular = options.checkpoint_tokens == 0 ? 0 : context / options.checkpoint_tokens;
  return static_cast<uint32_t>(std::min<uint64_t>(least_states(options) + regular + kTurnEnds,
                                                  std::max(StateStorage::most_slots(caps, layout), least_states(options))));
}

Error no_numbers(uint32_t position) {
  return {ErrorCode::kFormat,
          "the model's output is not a number (NaN) at position " + std::to_string(position) +
              ": its weights are damaged, or values overflow (fp32 instead of the default precision would "
              "show that)"};
}

TransformerOptions transformer_options(const gpu::Device&, const ModelSpec& spec, const EngineOptions& options,
                                       uint32_t context) {
  const uint32_t rows = max_bucket(spec, options, context);
  return {.max_bucket = rows,
          .max_logit_rows = options.all_logits ? rows : options.slots,
          .max_context = context,
          .precision = options.precision,
          .tuning = options.tuning.get()};
}

}  // namespace

Result<MemoryPlan> Engine::plan(const gpu::Device& device, const ModelSpec& spec, uint64_t weight_bytes,
                                const EngineOptions& options) {
  if (options.streaming.on()) LAHAR_TRY(check_streaming(spec, options.streaming));
  const uint32_t context = wanted_context(spec, options);
  if (context == 0) return Error{ErrorCode::kInvalidArgument, "the context must hold at least one token"};
  if (options.slots == 0 || options.slots > params::kMaxRuns)
    return Error{ErrorCode::kInvalidArgument, std::to_string(options.slots) + " sequences at once; 1 to " +
                                                  std::to_string(params::kMaxRuns) + " are possible"};
  const StateLayout states = StateLayout::make(spec);
  const uint64_t page_bytes = KvPageLayout::make(kv_geometry(spec), kv_type(options)).page_bytes;
  const bool rolls = must_roll(spec, options.streaming);
  const uint64_t spare_bytes = rolls ? options.streaming.sink_pages() * page_bytes : 0;
  return plan_memory(
      {.weights = weight_bytes,
       .expert_cache = options.expert_cache.value_or(0),
       .page_bytes = page_bytes,
       .state_bytes = states.slot_bytes,
       .least_states = least_states(options),
       .most_states = most_states(device.caps(), states, options, context),
       .scratch = Transformer::scratch_bytes(device.caps(), spec, transformer_options(device, spec, options, context)) +
                  StepRunner::device_bytes({.max_bucket = max_bucket(spec, options, context), .slots = options.slots},
                                           spec.vocabulary) +
                  spare_bytes,
       .context = context,
       .context_is_fixed = options.context != 0 || rolls,
       .slots = options.slots,
       .available = available_memory(device, options.memory_cap)});
}

Result<std::unique_ptr<Engine>> Engine::create(std::shared_ptr<gpu::Device> device, std::shared_ptr<const Model> model,
                                               EngineOptions options) {
  const ModelSpec& spec = model->spec;
  LAHAR_ASSIGN(const MemoryPlan plan, Engine::plan(*device, spec, 0, options));
  if (!plan.fits())
    return Error{ErrorCode::kOutOfMemory, "the model does not fit beside its weights: it " + plan.describe()};
  if (plan.context < plan.asked_context) options.log.warning("the model " + plan.describe());

  auto engine = std::unique_ptr<Engine>(new Engine);
  engine->plan_ = plan;
  engine->plan_.weights = model->weights.device_bytes;  // allocated already: what was free before counts
  engine->plan_.available += model->weights.device_bytes;
  LAHAR_ASSIGN(engine->transformer_, Transformer::create(*device, spec, model->weights,
                                                         transformer_options(*device, spec, options, plan.context)));
  const uint32_t pages = pages_of(plan.context);
  const bool rolls = must_roll(spec, options.streaming);
  const uint32_t spare = rolls ? options.streaming.sink_pages() : 0;
  LAHAR_ASSIGN(engine->kv_, KvStorage::create(*device, KvPageLayout::make(kv_geometry(spec), kv_type(options)),
                                              pages * options.slots + spare, options.slots, pages));
  LAHAR_ASSIGN(engine->recurrent_, StateStorage::create(*device, StateLayout::make(spec), plan.state_slots));
  if (plan.state_slots > 0) engine->trail_.emplace(plan.state_slots, recent_states(options));
  options.chunk = chunk_rows(spec, options, plan.context);
  const uint32_t ring = std::max(options.steps_in_flight, 1u) + 1;
  if (model->weights.placement.host_experts) {
    const uint64_t bytes = options.expert_cache.value_or(0);
    LAHAR_ASSIGN(engine->experts_,
                 ExpertCache::create(device, model->weights,
                                     {.bytes = bytes, .may_shrink = options.expert_cache_may_shrink, .ring = ring}));
    if (engine->experts_->shrunk()) {
      engine->plan_.expert_cache = engine->experts_->bytes();
      options.log.warning("the device has less memory than it said: of " + format_bytes(bytes) +
                          " for copies of experts, there are " + format_bytes(engine->experts_->bytes()));
    }
  }
  LAHAR_ASSIGN(engine->steps_, StepRunner::create(device, *engine->transformer_, *engine->kv_, *engine->recurrent_,
                                                  {.max_bucket = max_bucket(spec, options, plan.context),
                                                   .ring = ring,
                                                   .slots = options.slots,
                                                   .all_logits = options.all_logits,
                                                   .sampled_logits = options.sampled_logits,
                                                   .experts = engine->experts_.get()}));
  engine->pool_ = std::make_unique<kv::PagePool>(pages + spare);
  engine->table_ = std::make_unique<kv::BlockTable>(*engine->pool_, params::kPageTokens);
  if (rolls) {
    LAHAR_ASSIGN(Streaming streaming,
                 Streaming::create(options.streaming, *device, spec, model->weights, *engine->kv_, *engine->pool_));
    engine->streaming_ = std::move(streaming);
  }
  engine->device_ = std::move(device);
  engine->model_ = std::move(model);
  engine->options_ = std::move(options);
  return engine;
}

Engine::~Engine() = default;

Status Engine::check_tokens(std::span<const int32_t> tokens) const {
  if (tokens.empty()) return Error{ErrorCode::kInvalidArgument, "there are no tokens to start from"};
  if (tokens.size() > plan_.context && !streaming())
    return Error{ErrorCode::kLimit, "the prompt has " + std::to_string(tokens.size()) +
                                        " tokens, more than the context of " + std::to_string(plan_.context)};
  for (const int32_t token : tokens)
    if (token < 0 || static_cast<uint32_t>(token) >= spec().vocabulary)
      return Error{ErrorCode::kInvalidArgument,
                   "token " + std::to_string(token) + " is not in the vocabulary of " + std::to_string(spec().vocabulary)};
  return {};
}

void Engine::begin(uint32_t tokens, const SamplingParams& sampling) {
  if (streaming_ && tokens == 0) streaming_->reset();
  position_ = tokens - offset(), sampling_ = sampling;
  // What the sequence held beyond is given back, for use at once: steps run on the device in their order.
  if (!streaming_) {
    table_->truncate(position_, 0);
    pool_->collect(0);
    announced_pages_ = std::min(announced_pages_, static_cast<uint32_t>(table_->pages().size()));
  }
  if (trail_) trail_->rewind(tokens);
  set_state(0, 0);
}

void Engine::set_state(int32_t last_token, uint32_t sampled) {
  pending_states_ = {{.slot = kSlot,
                      .state = {.position = position_,
                                .last_token = last_token,
                                .counter = sampled,
                                .limit = limit(),
                                .temperature = sampling_.temperature,
                                .top_k = sampling_.top_k,
                                .top_p = sampling_.top_p,
                                .min_p = sampling_.min_p,
                                .seed_low = static_cast<uint32_t>(sampling_.seed),
                                .seed_high = static_cast<uint32_t>(sampling_.seed >> 32),
                                .sequence = 0,
                                .rope_offset = offset()}}};
}

Status Engine::roll(int32_t last_token, uint32_t sampled) {
  LAHAR_ASSIGN(const uint32_t moved, streaming_->roll(*table_));
  position_ -= moved;
  announced_pages_ = 0;
  if (trail_) trail_->forget(streaming_->lost());
  set_state(last_token, sampled);
  return {};
}

bool Engine::has_room(uint32_t tokens) {
  return tokens <= limit() - position_ && (runs_on() || table_->reserve(uint64_t{position_} + tokens));
}

StepPlan Engine::next_step(std::span<const int32_t> tokens, LogitMode mode) {
  StepPlan step;
  step.logits = mode;
  const auto rows = static_cast<uint32_t>(tokens.size());
  const auto state = trail_ ? trail_->advance(rows) : kv::StateSlots::Step{{}, params::kNoState};
  step.runs = {{.slot = kSlot,
                .first_row = 0,
                .rows = rows,
                .sampled = mode == LogitMode::kSampled ? 1u : 0u,
                .state_read = state.read.value_or(params::kNoState),
                .state_write = state.write}};
  step.tokens.assign(tokens.begin(), tokens.end());
  step.states = std::exchange(pending_states_, {});
  const auto pages = table_->pages();
  for (; announced_pages_ < pages.size(); ++announced_pages_)
    step.pages.push_back({.slot = kSlot, .index = announced_pages_, .page = pages[announced_pages_]});
  position_ += rows;
  if (options_.checkpoint_tokens != 0 && fed() % options_.checkpoint_tokens == 0) checkpoint(fed());
  return step;
}

Result<StepTicket> Engine::submit(std::span<const int32_t> tokens, LogitMode mode) {
  return steps_->submit(next_step(tokens, mode));
}

uint32_t Engine::next_rows(size_t left) const {
  const auto rows = static_cast<uint32_t>(std::min<size_t>(options_.chunk, left));
  if (!trail_ || options_.checkpoint_tokens == 0) return rows;
  return std::min(rows, options_.checkpoint_tokens - fed() % options_.checkpoint_tokens);
}

uint32_t Engine::reusable(uint32_t matching) const {
  const uint32_t tokens = trail_ ? trail_->longest(matching) : matching;
  return streaming_ && tokens <= streaming_->lost() ? 0 : tokens;
}

void Engine::checkpoint(uint32_t tokens) {
  if (trail_) trail_->keep(tokens);
}

Status Engine::prefill(std::span<const int32_t> tokens, LogitMode mode, const OnStep& on_step,
                       const std::atomic<bool>* cancel) {
  std::deque<StepTicket> tickets;
  const auto finish_oldest = [&]() -> Status {
    LAHAR_ASSIGN(const StepRunner::Outcome outcome, steps_->wait(tickets.front()));
    LAHAR_TRY(on_step(tickets.front(), outcome));
    tickets.pop_front();
    return {};
  };
  for (size_t done = 0; done < tokens.size();) {
    if (cancel != nullptr && *cancel) break;
    const uint32_t rows = next_rows(tokens.size() - done);
    if (!has_room(rows) && streaming_) {
      while (!tickets.empty()) LAHAR_TRY(finish_oldest());
      LAHAR_TRY(roll(0, 0));
    }
    if (!has_room(rows)) return Error{ErrorCode::kLimit, "the KV pool has no page left for the prompt"};
    if (tickets.size() == steps_->ring() - 1) LAHAR_TRY(finish_oldest());
    const bool last = done + rows == tokens.size();
    LAHAR_ASSIGN(StepTicket ticket,
                 submit(tokens.subspan(done, rows), mode == LogitMode::kSampled && !last ? LogitMode::kNone : mode));
    tickets.push_back(ticket);
    done += rows;
  }
  while (!tickets.empty()) LAHAR_TRY(finish_oldest());
  return {};
}

Result<GenerateOutcome> Engine::generate(const GenerateRequest& request) {
  LAHAR_TRY(check_tokens(request.prompt));
  LAHAR_TRY(request.sampling.check());
  auto outcome = run(request);
  if (!outcome.ok()) forget();
  return outcome;
}

Result<GenerateOutcome> Engine::run(const GenerateRequest& request) {
  const auto mismatch = std::mismatch(cached_.begin(), cached_.end(), request.prompt.begin(), request.prompt.end() - 1);
  const uint32_t reused = reusable(static_cast<uint32_t>(mismatch.first - cached_.begin()));
  begin(reused, request.sampling);
  const ExpertStats experts_before = experts_ ? experts_->stats() : ExpertStats{};

  GenerateOutcome result;
  result.stats.reused_tokens = reused;
  result.stats.prompt_tokens = static_cast<uint32_t>(request.prompt.size()) - reused;
  std::vector<int32_t> chain(request.prompt.begin(), request.prompt.end());  // what the device has been fed, and its answers
  bool stopped = false;
  Status numbers;
  const Stopwatch watch;

  // A token arrived from the device, wanted or not: steps under way when the end is seen go on for a little.
  const auto take = [&](const StepRunner::Outcome& step) {
    const params::SampleRecord& record = step.records[0];
    if (record.token == params::kNoNumbers && numbers.ok()) numbers = no_numbers(record.position), stopped = true;
    if (!numbers.ok()) return;
    chain.push_back(record.token);
    if (request.on_step) request.on_step();
    if (stopped) return;
    if (result.stats.generated_tokens == 0) result.stats.prefill_seconds = watch.seconds();
    ++result.stats.generated_tokens;
    result.stats.decode_seconds = watch.seconds() - result.stats.prefill_seconds;
    const auto stop = [&](StopReason reason) { stopped = true, result.reason = reason; };
    if (std::find(request.stop_tokens.begin(), request.stop_tokens.end(), record.token) != request.stop_tokens.end())
      return stop(StopReason::kStopToken);
    result.tokens.push_back(record.token);
    if (request.on_logits) request.on_logits(step.logits.first(std::min<size_t>(step.logits.size(), spec().vocabulary)));
    if (request.on_token && !request.on_token(record.token, record)) return stop(StopReason::kCancelled);
    if (result.tokens.size() >= request.max_tokens) stop(StopReason::kLength);
  };

  cached_.clear();  // until it is known what the cache holds
  if (request.max_tokens == 0) stopped = true;
  const OnStep on_prefill = [&](const StepTicket&, const StepRunner::Outcome& step) -> Status {
    if (step.records[0].token != -1) take(step);
    else if (request.on_step) request.on_step();
    return {};
  };
  LAHAR_TRY(prefill(request.prompt.subspan(reused), LogitMode::kSampled, on_prefill, request.cancel));
  checkpoint(fed());
  if (fed() < request.prompt.size()) {
    stopped = true;
    result.reason = StopReason::kCancelled;
    result.stats.prompt_tokens = fed() - reused;
  }

  std::deque<StepTicket> tickets;
  const int32_t from_device = -1;
  uint64_t asked = 1;  // tokens that submitted steps will give
  const auto finish_oldest = [&]() -> Status {
    LAHAR_ASSIGN(const StepRunner::Outcome step, steps_->wait(tickets.front()));
    tickets.pop_front();
    take(step);
    return {};
  };
  while (!stopped || !tickets.empty()) {
    if (!stopped && request.want_trace && request.want_trace()) {
      while (!tickets.empty()) LAHAR_TRY(finish_oldest());
      if (!stopped && asked < request.max_tokens && has_room(1)) {
        LAHAR_ASSIGN(const StepTrace trace, steps_->trace(next_step(std::span(&from_device, 1), LogitMode::kSampled)));
        ++asked;
        tickets.push_back(trace.ticket);
        if (request.on_trace) request.on_trace(trace, position_);
      }
    }
    while (!stopped && tickets.size() < options_.steps_in_flight && asked < request.max_tokens && has_room(1)) {
      LAHAR_ASSIGN(StepTicket ticket, submit(std::span(&from_device, 1), LogitMode::kSampled));
      tickets.push_back(ticket);
      ++asked;
    }
    if (tickets.empty() && streaming_ && !has_room(1)) {
      LAHAR_TRY(roll(chain.back(), static_cast<uint32_t>(chain.size() - request.prompt.size())));
      continue;
    }
    if (tickets.empty()) {
      if (!stopped) result.reason = StopReason::kContext;
      break;
    }
    LAHAR_TRY(finish_oldest());
  }
  LAHAR_TRY(numbers);
  // The next prompt goes on behind what was handed out, or behind the stop token.
  const uint32_t handed_out = static_cast<uint32_t>(request.prompt.size() + result.tokens.size());
  checkpoint(reusable(std::min(fed(), handed_out)));
  if (experts_) result.stats.experts = experts_->stats() - experts_before;
  chain.resize(std::min<size_t>(chain.size(), fed()));
  cached_ = std::move(chain);
  return result;
}

Status Engine::logits(std::span<const int32_t> tokens, const OnLogits& on_rows) {
  LAHAR_TRY(check_tokens(tokens));
  if (!options_.all_logits) return Error{ErrorCode::kInvalidArgument, "the engine was opened without all_logits"};
  forget();
  begin(0, {});
  uint32_t first = 0;
  return prefill(tokens, LogitMode::kAll, [&](const StepTicket& ticket, const StepRunner::Outcome& outcome) -> Status {
    LAHAR_TRY(on_rows(first, ticket.rows, outcome.logits, outcome.logits_stride));
    first += ticket.rows;
    return {};
  });
}

}  // namespace lahar
