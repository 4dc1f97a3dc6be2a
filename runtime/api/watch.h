// What an application may look at while an engine generates: the engine's thread leaves copies here, others take them.
// Any thread.
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "engine/engine.h"
#include "lahar/lahar.h"

namespace lahar::api {

class Watch {
 public:
  void set_kv(const KvView& view);
  std::vector<lahar_kv_page> kv_pages() const;

  void request_trace() { trace_wanted_ = true; }
  // Whether a trace has been asked for since the last call.
  bool take_trace_request() { return trace_wanted_.exchange(false); }
  // `context`: tokens that the step's row saw.
  void set_trace(const StepTrace& trace, uint32_t context, const ModelSpec& spec, const KvPageLayout& layout);
  struct Trace {
    lahar_trace info{};
    std::vector<lahar_trace_node> nodes;
  };
  Trace trace() const;

 private:
  mutable std::mutex mutex_;
  std::vector<kv::PageId> pages_;
  uint32_t tokens_ = 0, pool_pages_ = 0;
  Trace trace_;
  std::atomic<bool> trace_wanted_ = false;
};

// The `count` largest of `logits` with their log probabilities, the largest first.
std::vector<lahar_alternative> likeliest(std::span<const float> logits, uint32_t count);

}  // namespace lahar::api
