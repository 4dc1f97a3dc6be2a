// The model and its engine, on a thread of their own: loads, generates, measures, and tells what happens through events.
// Thread rule: every function from any thread; none waits for the engine but the destructor.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "demo/conversation.h"
#include "lahar/lahar.hpp"

namespace lahar::demo {

struct TokenEvent {
  TokenInfo token;
  double seconds = 0;  // of a steady clock
  uint32_t position = 0;
};
struct DoneEvent {
  Reply reply;
};
struct LoadedEvent {
  std::string path;  // empty: the built-in model
};
// Something failed; what was there before goes on.
struct FailedEvent {
  std::string text;
  bool loading = false;
};
using Event = std::variant<TokenEvent, DoneEvent, LoadedEvent, FailedEvent>;

// A model with the engine that runs it.
struct Loaded {
  std::string path;
  std::shared_ptr<Model> model;
  std::shared_ptr<Engine> engine;
  lahar_engine_info info{};
  std::vector<lahar_layer_info> layers;
};

struct LoadProgress {
  bool loading = false;
  std::string path;
  uint64_t done = 0, total = 0;  // bytes
};

struct SessionOptions {
  const lahar_vulkan_device* vulkan = nullptr;  // outlives the session; null: the library's own device
  std::string device;                           // where vulkan is null
  uint32_t context = 0;
  float time_slice = 2;  // milliseconds
};

class Session {
 public:
  Session(std::shared_ptr<Runtime> runtime, SessionOptions options);
  ~Session();  // stops what is running and waits for it

  // Stops what is running, then loads. The model at hand stays where this one fails.
  void load(std::string path);
  void cancel_load() { load_cancelled_ = true; }
  struct Request {
    std::vector<Message> messages;
    std::vector<int32_t> begun;  // tokens that the reply begins with
    Sampling sampling;
    uint32_t max_tokens = 0;
  };
  void generate(Request request);
  void stop();
  void set_time_slice(float milliseconds);

  // What has happened since the last call.
  std::vector<Event> take_events();
  std::shared_ptr<const Loaded> loaded() const;
  LoadProgress progress() const;
  bool generating() const { return generating_; }
  bool busy() const;
  double copy_rate() const { return copy_rate_; }  // bytes a second; 0: not measured yet
  // The text of a token after another one (-1: at the start). Empty where it has none of its own.
  std::string piece(int32_t before, int32_t id) const;

 private:
  void work();
  void enqueue(std::function<void()> task);
  void do_load(const std::string& path);
  std::shared_ptr<Loaded> open(const std::string& path);
  void do_generate(const Request& request);
  void tell(Event event);

  const std::shared_ptr<Runtime> runtime_;
  const SessionOptions options_;
  std::atomic<float> time_slice_;
  std::atomic<bool> load_cancelled_ = false, stop_ = false, generating_ = false;
  std::atomic<double> copy_rate_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool working_ = false, closing_ = false;
  std::vector<Event> events_;
  std::shared_ptr<const Loaded> loaded_;
  LoadProgress progress_;
  std::thread thread_;
};

}  // namespace lahar::demo
