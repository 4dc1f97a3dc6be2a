#include "api/engine_state.h"

#include <algorithm>

#include "core/platform.h"
#include "text/stream_decoder.h"

namespace lahar::api {
namespace {

thread_local const CallbackFrame* innermost = nullptr;

bool inside_callback_of(const EngineState* engine) {
  for (const CallbackFrame* frame = innermost; frame != nullptr; frame = frame->outer)
    if (frame->engine == engine) return true;
  return false;
}

std::vector<int32_t> all_stop_tokens(const ModelSpec& spec, const Tokenizer* tokenizer) {
  std::vector<int32_t> ids = spec.stop_tokens;
  if (tokenizer != nullptr) {
    const auto more = tokenizer->end_of_generation();
    ids.insert(ids.end(), more.begin(), more.end());
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

Error closed() { return {ErrorCode::kCancelled, "the engine was destroyed"}; }

GenerateOutcome cancelled_outcome() {
  GenerateOutcome outcome;
  outcome.reason = StopReason::kCancelled;
  return outcome;
}

// Turns tokens into calls of the application's callback.
class TokenStream {
 public:
  TokenStream(const GenerateCall& call, const Tokenizer* tokenizer)
      : call_(call), position_(static_cast<uint32_t>(call.prompt.size())) {
    if (tokenizer == nullptr) return;
    decoder_.emplace(*tokenizer);
    for (size_t i = call.prompt.size() - call.reply_count; i < call.prompt.size(); ++i) decoder_->push(call.prompt[i]);
  }

  void set_alternatives(std::vector<lahar_alternative> alternatives) { alternatives_ = std::move(alternatives); }

  // False where the callback wants no more.
  bool push(int32_t id, const params::SampleRecord& record) {
    const std::string text = decoder_ ? decoder_->push(id) : std::string();
    lahar_token token{.id = id, .logprob = record.logprob, .entropy = record.entropy, .position = position_++};
    token.alternatives = alternatives_.empty() ? nullptr : alternatives_.data();
    token.alternative_count = static_cast<uint32_t>(alternatives_.size());
    return deliver(token, text);
  }
  // What is left of an unfinished character.
  void finish() {
    const std::string text = decoder_ ? decoder_->flush() : std::string();
    if (!text.empty()) deliver({.id = -1, .position = position_}, text);
  }
  bool threw() const { return threw_; }

 private:
  bool deliver(lahar_token token, const std::string& text) {
    if (call_.callback == nullptr) return true;
    token.size = sizeof(token);
    token.text = text.c_str();
    token.text_length = text.size();
    try {
      return call_.callback(call_.user, &token) == 0;
    } catch (...) {
      // Steps may be under way on the device: the generation has to end in its own order.
      threw_ = true;
      return false;
    }
  }

  const GenerateCall& call_;
  std::optional<StreamDecoder> decoder_;
  uint32_t position_;
  std::vector<lahar_alternative> alternatives_;  // of the token that comes
  bool threw_ = false;
};

}  // namespace

EngineState::EngineState(std::shared_ptr<ModelState> model, std::unique_ptr<Engine> engine, uint32_t alternatives)
    : model_(std::move(model)),
      context_(engine->context()),
      sampling_defaults_(engine->spec().sampling),
      alternatives_(alternatives),
      stop_tokens_(all_stop_tokens(engine->spec(), model_->tokenizer.get())),
      engine_(std::move(engine)) {
  watch_.set_kv(engine_->kv_view());
}

EngineState::~EngineState() = default;

void EngineState::start() {
  thread_ = std::thread([this] { work(); });
}

Result<GenerateOutcome> EngineState::generate(const std::function<Result<GenerateCall>()>& prepare) {
  if (inside_callback_of(this))
    return Error{
        ErrorCode::kInvalidArgument,
        "a call that waits for the engine was made inside a callback of the same engine, which would wait for itself"};
  Job job;
  job.waiter = innermost;
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return closed();
    calls_.push_back(&job);
  }
  // Whatever happens, nobody may find the job after this call.
  struct Leave {
    EngineState& state;
    Job& job;
    ~Leave() { state.remove(job); }
  } const leave{*this, job};
  LAHAR_ASSIGN(job.call, prepare());
  return wait_for(job);
}

Result<GenerateOutcome> EngineState::wait_for(Job& job) {
  std::thread orphan;
  {
    std::unique_lock lock(mutex_);
    if (closing_) return closed();
    queue_.push_back(&job);
    wake_.notify_one();
    finished_.wait(lock, [&] { return job.result.has_value(); });
    if (orphaned_) orphan.swap(thread_);
  }
  if (orphan.joinable()) orphan.join();
  return std::move(*job.result);
}

Status EngineState::run(const std::function<Status(Engine&)>& task) {
  LAHAR_TRY(generate([&]() -> Result<GenerateCall> {
    GenerateCall call;
    call.task = task;
    return call;
  }));
  return {};
}

Status EngineState::with_engine(const std::function<void(Engine&)>& read) const {
  const std::lock_guard lock(mutex_);
  if (engine_ == nullptr) return closed();
  read(*engine_);
  return {};
}

void EngineState::remove(Job& job) {
  const std::lock_guard lock(mutex_);
  std::erase(calls_, &job);
}

size_t EngineState::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_.size();
}

void EngineState::cancel() {
  const std::lock_guard lock(mutex_);
  Job* const job = running_ != nullptr ? running_ : calls_.empty() ? nullptr : calls_.front();
  if (job != nullptr) job->cancelled = true;
}

void EngineState::close() {
  std::thread thread;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    for (Job* job : calls_) job->cancelled = true;
    wake_.notify_one();
    if (inside_callback_of(this)) orphaned_ = true;
    else thread.swap(thread_);
  }
  if (thread.joinable()) thread.join();
}

void EngineState::work() {
  platform::set_thread_name("lahar-engine");
  CallbackFrame frame{this, nullptr};
  innermost = &frame;
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return closing_ || !queue_.empty(); });
    if (closing_) break;
    Job& job = *queue_.front();
    queue_.pop_front();
    running_ = &job;
    frame.outer = job.waiter;
    lock.unlock();
    std::optional<Result<GenerateOutcome>> result;
    try {
      result.emplace(compute(job));
    } catch (...) { result.emplace(current_exception_error()); }
    lock.lock();
    frame.outer = nullptr;
    running_ = nullptr;
    job.result.emplace(closing_ ? Result<GenerateOutcome>(closed()) : std::move(*result));
    finished_.notify_all();
  }
  for (Job* job : queue_) job->result.emplace(closed());
  queue_.clear();
  finished_.notify_all();
  std::unique_ptr<Engine> last = std::move(engine_);
  lock.unlock();
  last.reset();
}

Result<GenerateOutcome> EngineState::compute(Job& job) {
  if (job.call.task) {  // lahar_cancel is for generations alone
    LAHAR_TRY(job.call.task(*engine_));
    return GenerateOutcome{};
  }
  if (job.cancelled) return cancelled_outcome();
  TokenStream stream(job.call, model_->tokenizer.get());
  GenerateRequest request{.prompt = job.call.prompt, .max_tokens = job.call.max_tokens, .sampling = job.call.sampling};
  request.cancel = &job.cancelled;
  if (!job.call.ignore_stop_tokens) request.stop_tokens = stop_tokens_;
  request.on_token = [&](int32_t id, const params::SampleRecord& record) {
    return stream.push(id, record) && !job.cancelled;
  };
  if (alternatives_ > 0 && job.call.callback != nullptr)
    request.on_logits = [&](std::span<const float> logits) { stream.set_alternatives(likeliest(logits, alternatives_)); };
  request.on_step = [&] { watch_.set_kv(engine_->kv_view()); };
  request.want_trace = [&] { return watch_.take_trace_request(); };
  request.on_trace = [&](const StepTrace& trace, uint32_t context) {
    watch_.set_trace(trace, context, engine_->spec(), engine_->kv().layout());
  };
  LAHAR_ASSIGN(GenerateOutcome outcome, engine_->generate(request));
  // Nothing is delivered to a callback that has said that it wants no more.
  if (outcome.reason != StopReason::kCancelled) stream.finish();
  if (stream.threw()) return Error{ErrorCode::kInternal, "the token callback threw an exception; callbacks must not"};
  return outcome;
}

}  // namespace lahar::api
