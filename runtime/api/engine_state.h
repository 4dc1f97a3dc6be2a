// An engine with the thread that runs its generations, one after the other, in the order in which they come.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "api/boundary.h"
#include "api/state.h"
#include "api/watch.h"
#include "engine/engine.h"

namespace lahar::api {

// Engines inside whose callbacks (of tokens, or of the log from their thread) the current thread runs, the innermost first.
// A callback of one engine may wait for another one: `outer` is then what the waiting thread is inside of.
struct CallbackFrame {
  const EngineState* engine = nullptr;
  const CallbackFrame* outer = nullptr;
};

struct GenerateCall {
  std::vector<int32_t> prompt;
  size_t reply_count = 0;  // of the prompt's last tokens, which the reply begins with
  uint32_t max_tokens = UINT32_MAX;
  SamplingParams sampling;
  bool ignore_stop_tokens = false;
  lahar_token_callback callback = nullptr;
  void* user = nullptr;
  std::function<Status(Engine&)> task;  // where set, this is done instead
};

// Any thread, but for start(). Whoever calls a method holds the state alive meanwhile.
class EngineState {
 public:
  // alternatives: told with each token.
  EngineState(std::shared_ptr<ModelState> model, std::unique_ptr<Engine> engine, uint32_t alternatives);
  ~EngineState();

  // Once, before anything else: starts the thread. Throws std::system_error.
  void start();

  // Blocks. `prepare` makes the call on the calling thread (it can be cancelled already). Errors: those of `prepare` and of
  // Engine::generate; kInvalidArgument inside one of this engine's callbacks; kCancelled when the engine is closed.
  Result<GenerateOutcome> generate(const std::function<Result<GenerateCall>()>& prepare);
  // Runs `task` on the engine's thread, in turn with the generations. Errors as generate().
  Status run(const std::function<Status(Engine&)>& task);
  // Calls `read` with the engine, for what any thread may do with it. Errors: kCancelled when the engine is closed.
  Status with_engine(const std::function<void(Engine&)>& read) const;
  Watch& watch() { return watch_; }
  void cancel();
  // Ends what is running and what waits, and the thread. Waits for that, unless inside one of this engine's callbacks: then
  // the thread that waits in generate() does it.
  void close();

  size_t calls() const;  // of generate() that have not returned
  const ModelState& model() const { return *model_; }
  uint32_t context() const { return context_; }
  const SamplingDefaults& sampling_defaults() const { return sampling_defaults_; }
  ErrorText error;

 private:
  // A call of generate(); lives on its stack. Guarded by mutex_, but for what is said otherwise.
  struct Job {
    std::atomic<bool> cancelled = false;    // any thread
    GenerateCall call;                      // of the thread that prepares it, then of the engine's
    const CallbackFrame* waiter = nullptr;  // what the waiting thread is inside of
    std::optional<Result<GenerateOutcome>> result;
  };

  void work();
  Result<GenerateOutcome> compute(Job& job);
  Result<GenerateOutcome> wait_for(Job& job);
  void remove(Job& job);

  const std::shared_ptr<ModelState> model_;
  const uint32_t context_;
  const SamplingDefaults sampling_defaults_;
  const uint32_t alternatives_;
  Watch watch_;
  std::vector<int32_t> stop_tokens_;  // the spec's and the tokenizer's

  std::unique_ptr<Engine> engine_;  // the thread's once it runs, which alone lets go of it, under mutex_

  mutable std::mutex mutex_;
  std::condition_variable wake_;      // there is a job, or closing_
  std::condition_variable finished_;  // a job has a result
  std::deque<Job*> calls_;            // all that have not returned, in the order in which they came
  std::deque<Job*> queue_;            // of these, prepared and not yet begun
  Job* running_ = nullptr;
  bool closing_ = false;
  bool orphaned_ = false;  // closed inside a callback: the first generate() that returns joins the thread
  std::thread thread_;
};

// Errors: kInvalidArgument.
Result<double> slice_seconds(float milliseconds);

}  // namespace lahar::api
