// Copies in device memory of the experts that are in use, for models whose experts stay in the host's memory. Kernels reach
// an expert through a table of addresses: one without a copy is read in place. After each step the host sees which experts
// it used, and copies those that were missed to where the ones used the longest ago were; no step waits for that.
//
// A copy's place changes hands in four steps: the table sends readers of the old expert back to the host's memory; the steps
// submitted before that end; the bytes are copied; the table points to them.
// Thread rule: one thread at a time, the one that submits steps.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "blocks/block_kinds.h"
#include "core/result.h"
#include "engine/expert_lru.h"
#include "gpu/commands.h"
#include "gpu/copy_queue.h"
#include "gpu/device.h"
#include "weights.h"

namespace lahar {

// Sums over all steps that have finished.
struct ExpertStats {
  uint64_t reads = 0;         // experts that steps used, each counted once a step
  uint64_t hits = 0;          // of those, from a copy in device memory
  uint64_t copied_bytes = 0;  // to device memory, behind the steps

  ExpertStats operator-(const ExpertStats& other) const {
    return {reads - other.reads, hits - other.hits, copied_bytes - other.copied_bytes};
  }
};

struct ExpertCacheOptions {
  uint64_t bytes = 0;  // of device memory for copies, rounded down to whole experts
  // Where the device has less, what it gives will do, but for the last block, which is left to what is allocated later.
  bool may_shrink = false;
  uint32_t ring = 1;                    // steps that may be under way
  uint64_t block_bytes = 256ull << 20;  // of the buffers that copies are in; one expert at least
  // Makes a block; empty: Device::create_buffer.
  std::function<Result<gpu::Buffer>(uint64_t bytes)> create_block;
};

class ExpertCache {
 public:
  // `weights` must outlive the result. Errors: kOutOfMemory (of the copies where they may not shrink), kDeviceLost.
  static Result<std::unique_ptr<ExpertCache>> create(std::shared_ptr<gpu::Device> device, const ModelWeights& weights,
                                                     const ExpertCacheOptions& options);
  // Bytes of device memory that it needs beside the copies.
  static uint64_t table_bytes(uint64_t experts) { return experts * (sizeof(uint64_t) + sizeof(uint32_t)); }

  // Empty where the layer has no experts.
  ExpertView layer(uint32_t index) const;
  // The nodes at the beginning and at the end of every step, for its place in the ring.
  void record_begin(gpu::Recorder& recorder, uint32_t place) const;
  void record_end(gpu::Recorder& recorder, uint32_t place) const;

  // Before a step of this place is submitted, and after the one before it has finished(): what the submission waits for.
  Result<std::optional<gpu::TimelineWait>> begin_step(uint32_t place);
  // The step of this place has finished on the device, and so have those before it. May be said more than once.
  Status finished(uint32_t place);

  uint64_t bytes() const { return bytes_; }  // of copies
  bool shrunk() const { return shrunk_; }    // fewer copies than were asked for
  const ExpertStats& stats() const { return stats_; }

 private:
  struct Expert {
    gpu::BufferRange home;
    uint32_t group = 0, index = 0;  // in the group
  };
  // Experts whose slabs are of one size.
  struct Group {
    uint64_t slab_bytes = 0;
    std::vector<uint32_t> experts;  // indices into experts_
    std::vector<gpu::BufferRange> slots;
    std::optional<ExpertLru> lru;
  };
  struct Layer {
    uint32_t first = 0, experts = 0;      // in experts_
    std::vector<gpu::BufferRange> slabs;  // homes, and what copies may lie in
  };
  struct Place {
    gpu::Buffer table, uses;     // written by the host; read by it
    std::vector<uint64_t> sent;  // what is in `table`
    uint64_t version = 0;        // of that
    uint64_t step = 0;           // that is under way; 0: none
  };
  struct Move {
    uint32_t expert = 0, slot = 0;
  };
  enum class Phase { kIdle, kChosen, kLeaving, kCopying };  // of moves_

  explicit ExpertCache(std::shared_ptr<gpu::Device> device) : device_(std::move(device)) {}
  void collect_experts(const ModelWeights& weights);
  Status allocate_slots(const ExpertCacheOptions& options);
  Status allocate_tables(uint32_t ring);
  void take_count(Place& place);
  void choose(uint64_t step, std::vector<uint32_t> missed);
  Status go_on();
  Status start_copies();

  std::shared_ptr<gpu::Device> device_;
  std::vector<Expert> experts_;  // of all layers
  std::vector<Layer> layers_;
  std::vector<Group> groups_;
  std::vector<gpu::Buffer> memory_;  // of copies
  uint64_t bytes_ = 0;
  bool shrunk_ = false;
  gpu::Buffer table_memory_, uses_memory_;  // uint64 and uint32 for each expert
  std::unique_ptr<gpu::CopyQueue> copies_;
  std::vector<Place> places_;

  std::vector<uint64_t> table_;   // for the next step
  uint64_t version_ = 1;          // of table_
  std::vector<uint32_t> counts_;  // uses so far, of steps that were counted
  uint64_t steps_ = 0;
  Phase phase_ = Phase::kIdle;
  std::vector<Move> moves_;
  uint32_t next_ = 0;         // the expert from which on places are handed out: layers take turns
  uint64_t leave_after_ = 0;  // of the device's timeline: then nobody reads from the places of moves_ any more
  ExpertStats stats_;
};

}  // namespace lahar
