// Recording. A Recorder collects nodes (dispatches, copies, fills) that declare what they read and write; finish() puts
// the barriers between them and records a command buffer that can be submitted again and again.
//
// The barrier rule: a node that reads or writes bytes which a node since the last barrier has written, or writes bytes which
// one has read, gets a barrier (all compute and transfer work and its memory) in front of it. Each list begins with a full
// barrier against everything submitted before it, the host's writes included, and ends with one that makes its writes
// visible to the host.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "gpu/buffer.h"
#include "gpu/kernel.h"
#include "gpu/vulkan.h"

namespace lahar::gpu {

class Device;

struct GroupCount {
  uint32_t x = 1, y = 1, z = 1;
};

struct Node {
  enum class Kind { kDispatch, kCopy, kFill } kind = Kind::kDispatch;
  std::string label;  // debug label and profiler name, e.g. "L3 qkv"
  const Kernel* kernel = nullptr;
  std::vector<std::byte> push;
  GroupCount groups;
  BufferRange indirect;  // where set, three uint32 group counts are read from here instead (and it counts as read)
  BufferRange source, destination;  // kCopy (equal sizes), kFill (destination alone)
  uint32_t fill_value = 0;
  std::vector<BufferRange> reads, writes;
  bool barrier_before = false;  // set by the tracker
};

struct RecordOptions {
  enum class Order { kAsGiven, kReversed, kShuffled } order = Order::kAsGiven;  // of nodes between two barriers, for tests
  uint64_t shuffle_seed = 0;
  bool timestamps = false;  // one before and after each node
};

// A recorded command buffer. Keeps no buffer alive: those it names must outlive its last submission.
class CommandList {
 public:
  CommandList(CommandList&&) noexcept;
  CommandList& operator=(CommandList&&) noexcept;
  ~CommandList();

  VkCommandBuffer handle() const;
  uint32_t dispatches() const;
  uint32_t barriers() const;
  // Nanoseconds each node took in the last finished submission, in recorded order, with its label. Needs
  // RecordOptions::timestamps; empty where the queue has none.
  // Errors: kInvalidArgument (not submitted yet, or still running).
  struct Timing {
    std::string label;
    double begin_ns = 0, duration_ns = 0;  // begin counts from the list's first timestamp
  };
  Result<std::vector<Timing>> timings() const;

 private:
  friend class Device;
  friend class Recorder;
  CommandList() = default;
  void set_submitted(uint64_t value) const;  // by Device::submit()
  struct State;
  std::unique_ptr<State> state_;
};

// Typed push constants, at most 128 bytes.
template <typename T>
std::span<const std::byte> push_bytes(const T& params) {
  static_assert(sizeof(T) <= 128 && sizeof(T) % 4 == 0);
  return std::as_bytes(std::span<const T, 1>(&params, 1));
}

class Recorder {
 public:
  explicit Recorder(Device& device) : device_(device) {}

  struct Dispatch {
    std::string_view label;
    const Kernel* kernel = nullptr;
    std::span<const std::byte> push;
    GroupCount groups;
    BufferRange indirect = {};
    std::span<const BufferRange> reads;
    std::span<const BufferRange> writes;
  };
  void dispatch(const Dispatch& dispatch);
  void copy(std::string_view label, BufferRange source, BufferRange destination);
  void fill(std::string_view label, BufferRange destination, uint32_t value);  // offset and size multiples of 4

  Device& device() const { return device_; }
  std::span<const Node> nodes() const { return nodes_; }
  // A prefix for the labels that follow ("L3 ").
  void set_scope(std::string scope) { scope_ = std::move(scope); }

  // Records everything collected (or nodes [first, last) of it). Waits for the kernels to be built. Errors: those of
  // Kernel::pipeline(), kOutOfMemory. The recorder keeps its nodes and may finish again, with other options.
  Result<CommandList> finish(const RecordOptions& options = {});
  Result<CommandList> finish(size_t first, size_t last, const RecordOptions& options = {});
  void clear() { nodes_.clear(); }

 private:
  Device& device_;
  std::string scope_;
  std::vector<Node> nodes_;
};

// Sets Node::barrier_before by the rule above. Pure; tested by itself.
void place_barriers(std::span<Node> nodes);

}  // namespace lahar::gpu
