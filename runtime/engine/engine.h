// Generates text with a loaded model, one sequence at a time: schedules steps, keeps several of them under way, and hands
// out tokens as they arrive.
// Thread rule: one thread at a time, but for cancel flags that callbacks read.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "blocks/transformer.h"
#include "core/log.h"
#include "core/result.h"
#include "engine/expert_cache.h"
#include "engine/kv_storage.h"
#include "engine/memory_plan.h"
#include "engine/sampling_params.h"
#include "engine/saved_sequence.h"
#include "engine/state_storage.h"
#include "engine/step_runner.h"
#include "engine/streaming.h"
#include "gpu/device.h"
#include "kv/block_table.h"
#include "kv/page_pool.h"
#include "kv/state_slots.h"
#include "model.h"
#include "rope_choice.h"

namespace lahar {

struct EngineOptions {
  uint32_t context = 0;  // tokens; 0: the model's own, at most kDefaultContext, shortened where memory is short
  uint32_t chunk = 0;    // prefill rows a step; 0: kDefaultChunk
  ops::Precision precision = ops::Precision::kDefault;
  std::optional<ops::KvType> kv;  // what the KV cache holds; none: F16, or F32 with Precision::kF32
  uint64_t memory_cap = 0;        // bytes of device memory for everything; 0: no cap
  // Bytes of device memory for copies of experts, which then stay in the host's memory. None: as much as is left, and only
  // where the weights do not fit.
  std::optional<uint64_t> expert_cache;
  bool expert_cache_may_shrink = false;  // that many bytes at most: where the device has less, what it gives
  uint32_t steps_in_flight = 2;          // decode steps submitted ahead of the host
  uint32_t slots = 1;                    // sequences that one step can carry; generate() uses the first, a StepBench all
  bool all_logits = false;               // logits() will be called
  // Recurrent states are kept every so many tokens, and at the ends of turns, for prompts that begin alike.
  uint32_t checkpoint_tokens = 512;
  bool sampled_logits = false;                // GenerateRequest::on_logits will be set
  std::shared_ptr<const ops::Tuning> tuning;  // what was measured on the device; null: default forms
  // Where on, neither the prompt nor what is generated has an end: the cache holds sinks and window, and `context` is what
  // they need. Where all layers are recurrent there is no cache, and sinks and window mean nothing.
  StreamingOptions streaming;
  RopeChoice rope;  // for open_engine, which reads the spec
  Log log;

  static constexpr uint32_t kDefaultContext = 8192;
  static constexpr uint32_t kDefaultChunk = 512;
};

// What one generate() did. Times in seconds.
struct GenerateStats {
  uint32_t prompt_tokens = 0;  // computed; those reused from the cache are not counted
  uint32_t reused_tokens = 0;
  uint32_t generated_tokens = 0;
  double prefill_seconds = 0;  // from the call to the first token
  double decode_seconds = 0;   // from the first token to the last
  ExpertStats experts;         // of experts in the host's memory
};

enum class StopReason {
  kStopToken,  // one of the stop tokens was sampled (it is not handed out)
  kLength,     // max_tokens
  kContext,    // the context or the KV pool is full; never while streaming
  kCancelled,  // the callback said so
};

struct GenerateRequest {
  std::span<const int32_t> prompt;  // at least one token, all in the vocabulary
  uint32_t max_tokens = UINT32_MAX;
  SamplingParams sampling;
  std::span<const int32_t> stop_tokens;
  // Read between the chunks of the prompt: set, the generation ends with kCancelled. Null: never.
  const std::atomic<bool>* cancel = nullptr;
  // Where set: called before on_token with the logits that the token was sampled from [vocabulary]. Needs
  // EngineOptions::sampled_logits.
  std::function<void(std::span<const float> logits)> on_logits;
  // Where set: called after each step that has finished.
  std::function<void()> on_step;
  // Where set: asked before each step but those of the prompt; true: it is run alone and timed, node by node, and on_trace
  // is told. `context`: tokens that its row saw.
  std::function<bool()> want_trace;
  std::function<void(const StepTrace& trace, uint32_t context)> on_trace;
  // Called for each token in order; false ends the generation.
  std::function<bool(int32_t token, const params::SampleRecord& record)> on_token;
};

// The pages of the sequence, as the host knows them.
struct KvView {
  std::span<const kv::PageId> pages;  // in the order of the sequence
  uint32_t tokens = 0;                // that are in them, or on their way
  uint32_t pool_pages = 0;
};

struct GenerateOutcome {
  StopReason reason = StopReason::kLength;
  std::vector<int32_t> tokens;  // without the stop token
  GenerateStats stats;
};

class Engine {
 public:
  // Allocates everything that generation needs. `model` is shared. Errors: kOutOfMemory (with the memory plan's text),
  // kInvalidArgument, kDeviceLost.
  static Result<std::unique_ptr<Engine>> create(std::shared_ptr<gpu::Device> device, std::shared_ptr<const Model> model,
                                                EngineOptions options);
  // What create() would need beside `weight_bytes` that are still to be loaded.
  static Result<MemoryPlan> plan(const gpu::Device& device, const ModelSpec& spec, uint64_t weight_bytes,
                                 const EngineOptions& options);
  ~Engine();

  uint32_t context() const { return plan_.context; }
  bool streaming() const { return options_.streaming.on(); }
  const MemoryPlan& memory() const { return plan_; }
  const ModelSpec& spec() const { return model_->spec; }
  std::shared_ptr<const ops::Tuning> tuning() const { return options_.tuning; }  // null: default forms

  // The prompt's longest prefix that is still in the KV cache from the call before is reused; with recurrent layers, up to
  // the last checkpoint in it. While streaming, a prompt that parts ways within the window goes on from there, with a window
  // that is so much shorter at first. Errors: kLimit (the prompt does not fit into the context), kInvalidArgument,
  // kDeviceLost. After an error the cache is empty and the engine usable.
  Result<GenerateOutcome> generate(const GenerateRequest& request);

  // The sequence that the cache holds after generate(), for an engine of the same model and KV type to go on with: its
  // tokens, keys, values and recurrent states. Blocking.
  //
  // Bytes that save_sequence() writes now. Errors: kUnsupported (tokens have left the cache, while streaming).
  Result<uint64_t> sequence_bytes() const;
  // out.size() is sequence_bytes(). Errors: as that, kInvalidArgument, kOutOfMemory, kDeviceLost.
  Status save_sequence(std::span<std::byte> out) const;
  // Takes the place of what the cache holds: a prompt that begins alike goes on from it. Errors: those of read_saved() and
  // kLimit (it does not fit into the context), and nothing has changed then; kOutOfMemory, kDeviceLost, and the cache is
  // empty then.
  Status restore_sequence(std::span<const std::byte> bytes);

  // Logits of every position, chunk by chunk: on_rows(first position, logits [rows, stride], stride in floats). Needs
  // EngineOptions::all_logits. The tokens must fit into the context.
  using OnLogits = std::function<Status(uint32_t first, uint32_t rows, std::span<const float> logits, uint32_t stride)>;
  Status logits(std::span<const int32_t> tokens, const OnLogits& on_rows);

  StepRunner& steps() { return *steps_; }
  KvView kv_view() const { return {table_->pages(), position_, pool_->size()}; }
  const Transformer& transformer() const { return *transformer_; }
  const Model& model() const { return *model_; }
  const KvStorage& kv() const { return *kv_; }
  const ExpertCache* experts() const { return experts_.get(); }
  StateStorage& recurrent() const { return *recurrent_; }
  gpu::Device& device() const { return *device_; }
  uint32_t chunk() const { return options_.chunk; }  // prefill rows of a step at most
  uint32_t slots() const { return options_.slots; }  // sequences that one step can carry
  ops::Precision precision() const { return options_.precision; }
  uint32_t steps_in_flight() const { return options_.steps_in_flight; }  // decode steps ahead of the host
  uint64_t weight_bytes() const { return model_->weights.device_bytes; }
  uint64_t staging_peak() const { return model_->weights.staging_peak; }  // bytes
  void forget() { cached_.clear(); }                                      // drops the cache's contents

 private:
  Engine() = default;
  using OnStep = std::function<Status(const StepTicket&, const StepRunner::Outcome&)>;
  Status check_tokens(std::span<const int32_t> tokens) const;
  Result<GenerateOutcome> run(const GenerateRequest& request);
  // The sequence goes on behind its first `tokens`, which reusable() gave, and the device's state of it starts afresh.
  void begin(uint32_t tokens, const SamplingParams& sampling);
  // The device's state of the sequence, from position_ on.
  void set_state(int32_t last_token, uint32_t sampled);
  // While streaming without a cache: nothing fills up.
  bool runs_on() const { return streaming() && !streaming_; }
  // No row is of this position or beyond.
  uint32_t limit() const { return runs_on() ? UINT32_MAX : plan_.context; }
  bool has_room(uint32_t tokens);
  // While streaming: the window's oldest tokens leave the cache. Nothing may be under way.
  Status roll(int32_t last_token, uint32_t sampled);
  // Tokens of the sequence so far, those that have left the cache counted.
  uint32_t fed() const { return position_ + offset(); }
  uint32_t offset() const { return streaming_ ? streaming_->offset() : 0; }
  // How much of the sequence that many tokens of the prompt share can go on: with recurrent layers there must be a state,
  // and while streaming it must reach into the window.
  uint32_t reusable(uint32_t matching) const;
  // What saved sequences must have in common with this engine.
  SequenceShape shape() const;
  // States that go with cached_: the newest, and checkpoints.
  std::vector<kv::StateSlots::State> states_to_save() const;
  // Rows of the next step of a prompt that has `left` to go.
  uint32_t next_rows(size_t left) const;
  void checkpoint(uint32_t tokens);
  // A step of the sequence's next rows. Counts them as submitted.
  StepPlan next_step(std::span<const int32_t> tokens, LogitMode mode);
  Result<StepTicket> submit(std::span<const int32_t> tokens, LogitMode mode);
  // Submits the tokens chunk by chunk and waits for all; on_step sees every step. kSampled samples the last row alone.
  // Where `cancel` is set meanwhile, position_ tells how far it came.
  Status prefill(std::span<const int32_t> tokens, LogitMode mode, const OnStep& on_step,
                 const std::atomic<bool>* cancel = nullptr);

  std::shared_ptr<gpu::Device> device_;
  std::shared_ptr<const Model> model_;
  EngineOptions options_;
  MemoryPlan plan_;
  std::unique_ptr<Transformer> transformer_;
  std::unique_ptr<KvStorage> kv_;
  std::unique_ptr<StateStorage> recurrent_;
  std::unique_ptr<ExpertCache> experts_;  // null: all experts are where they stay
  std::unique_ptr<kv::PagePool> pool_;
  std::unique_ptr<kv::BlockTable> table_;
  std::optional<kv::StateSlots> trail_;  // of the recurrent states, by tokens of the sequence; none where it has none
  std::unique_ptr<StepRunner> steps_;
  std::optional<Streaming> streaming_;  // of the cache; none where it does not roll
  SamplingParams sampling_;             // of the sequence

  std::vector<int32_t> cached_;   // tokens whose keys and values are in the cache, or were while streaming
  uint32_t position_ = 0;         // of the next row to submit, in the cache
  uint32_t announced_pages_ = 0;  // of table_, sent to the device
  std::vector<params::StateUpdate> pending_states_;
};

}  // namespace lahar
