// Endless generation in constant device memory: the first tokens of a sequence (the sinks, which models attend to whatever
// they are) and a rolling window of the last ones stay in the cache. arXiv 2309.17453.
//
// The cache is a row of pages: those of the sinks, then the window's. When it is full, the window's oldest pages become its
// newest, and every token behind them moves down in the cache. Keys of the window keep the rotation that they have: only
// differences of positions count. The sinks alone must follow the window, so that their distance stays what the model knows:
// their keys are rotated from what was first computed, by all that the window has moved, and so never rounded twice.
// Positions in the cache and positions of RoPE are apart from then on, by `offset`.
//
// Recurrent states know nothing of it: they take in every token once, whatever the cache beside them still holds. A model of
// recurrent layers alone has no cache to roll, and its positions simply run on.
// Thread rule: one thread at a time.
#pragma once

#include <vector>

#include "core/result.h"
#include "engine/kv_storage.h"
#include "kv/block_table.h"
#include "spec.h"
#include "weights.h"

namespace lahar {

struct StreamingOptions {
  uint32_t sinks = 0;   // tokens; whole pages are kept
  uint32_t window = 0;  // tokens that at least stay; 0: no streaming

  bool on() const { return window > 0; }
  uint32_t sink_pages() const;
  uint32_t step_pages() const;  // that leave the window at a time; chunks of a prompt are no longer
  uint32_t context() const;     // tokens that the cache holds at most
  uint32_t pages() const;       // of the pool: those of the context, and the sinks' first ones
};

// Errors: kUnsupported (a model whose attention is not a matter of distances: learned positions, chunks, norms behind RoPE),
// kInvalidArgument (a window that one step cannot announce).
Status check_streaming(const ModelSpec& spec, const StreamingOptions& options);
// Whether streaming is on and the model has a cache that fills up.
bool must_roll(const ModelSpec& spec, const StreamingOptions& options);

class Streaming {
 public:
  // What is passed must outlive the result. Errors: kOutOfMemory (the pool has too few pages).
  static Result<Streaming> create(const StreamingOptions& options, gpu::Device& device, const ModelSpec& spec,
                                  const ModelWeights& weights, const KvStorage& kv, kv::PagePool& pool);

  uint32_t offset() const { return offset_; }  // of RoPE's positions to those in the cache
  // Of a sequence's first so many tokens the last ones have left the cache, so that it cannot go on behind so few; 0: all
  // are there.
  uint32_t lost() const { return offset_ == 0 ? 0 : options_.sink_pages() * params::kPageTokens + offset_; }
  // A sequence that begins afresh.
  void reset() { offset_ = 0; }
  // Makes room for step_pages() pages at the end of the table, with no step under way. Returns the tokens by
  // which positions in the cache have become less. Waits for the device. Errors: kDeviceLost, kOutOfMemory.
  Result<uint32_t> roll(kv::BlockTable& table);

 private:
  Streaming() = default;
  Status rotate_sinks(const kv::BlockTable& table) const;

  StreamingOptions options_;
  gpu::Device* device_ = nullptr;
  const ModelSpec* spec_ = nullptr;
  const ModelWeights* weights_ = nullptr;
  const KvStorage* kv_ = nullptr;
  uint32_t offset_ = 0;
  std::vector<kv::PageId> first_sinks_;  // as they were computed, from the first roll on; before, pages to spare
};

}  // namespace lahar
