#include "engine/offload.h"

#include <algorithm>

#include "gpu/heaps.h"

namespace lahar {
namespace {

constexpr uint32_t kDecentContext = 4096;  // rather less on the device than a context below
// Of the room for copies of experts, one byte in so many is left to what nobody counts: pipelines, and the ends of the
// blocks that the allocator takes.
constexpr uint64_t kUncountedShare = 32;

bool good(const MemoryPlan& plan) {
  return plan.total() <= plan.available && plan.context >= std::min(plan.asked_context, kDecentContext);
}

// Of the host's own; none where there is none.
std::optional<uint64_t> free_host_memory(const gpu::Device& device) {
  std::optional<uint64_t> bytes;
  for (const gpu::Heap& heap : device.heaps())
    if (!heap.device_local) bytes = bytes.value_or(0) + heap.budget - std::min(heap.budget, heap.used);
  return bytes;
}

class Planner {
 public:
  Planner(const gpu::Device& device, const ModelSpec& spec, const MemoryNeed& need, const EngineOptions& options)
      : device_(device), spec_(spec), need_(need), options_(options), on_device_(need.total()) {}

  Result<OffloadPlan> plan();

 private:
  Status replan();
  Status move_experts();
  Status move_layers();
  void count_host();
  uint64_t room_for_copies() const;

  const gpu::Device& device_;
  const ModelSpec& spec_;
  const MemoryNeed& need_;
  EngineOptions options_;
  uint64_t on_device_;  // bytes of weights
  OffloadPlan out_;
};

Status Planner::replan() {
  options_.expert_cache = out_.expert_cache;
  LAHAR_ASSIGN(out_.memory, Engine::plan(device_, spec_, on_device_, options_));
  return {};
}

Status Planner::move_experts() {
  out_.placement.host_experts = true;
  on_device_ -= need_.experts;
  const std::optional<uint64_t> asked = options_.expert_cache;
  out_.expert_cache = std::min(asked.value_or(0), need_.experts);
  LAHAR_TRY(replan());
  if (asked || !good(out_.memory)) return {};
  out_.expert_cache = std::min(room_for_copies(), need_.experts);
  return replan();
}

// Bytes. The plan counts what is allocated after the copies, but for their tables.
uint64_t Planner::room_for_copies() const {
  uint64_t experts = 0;
  for (const LayerSpec& layer : spec_.layers) experts += layer.moe.experts;
  const uint64_t left = out_.memory.available - out_.memory.total();
  const uint64_t kept = ExpertCache::table_bytes(experts) + left / kUncountedShare;
  return left - std::min(left, kept);
}

Status Planner::move_layers() {
  auto layer = static_cast<uint32_t>(need_.layers.size());
  while (layer > 0 && !good(out_.memory)) {
    on_device_ -= need_.layers[--layer];
    LAHAR_TRY(replan());
  }
  if (layer < need_.layers.size()) out_.placement.device_layers = layer;
  return {};
}

void Planner::count_host() {
  MemoryPlan& memory = out_.memory;
  memory.host_weights = need_.total() - on_device_;
  const gpu::MemoryUse use = device_.memory_use();
  const uint64_t taken = use.used + use.lent + memory.total();
  memory.host_available = free_host_memory(device_).value_or(use.budget - std::min(use.budget, taken));
}

Result<OffloadPlan> Planner::plan() {
  const bool asked = options_.expert_cache.has_value();
  if (asked && need_.experts == 0)
    return Error{ErrorCode::kInvalidArgument, "a cache for experts was asked for, but the model has none"};
  EngineOptions resident = options_;
  resident.expert_cache.reset();
  LAHAR_ASSIGN(out_.memory, Engine::plan(device_, spec_, on_device_, resident));
  const bool helps = options_.memory_cap != 0 || free_host_memory(device_).has_value();
  if (!asked && (good(out_.memory) || !helps)) return std::move(out_);
  if (need_.experts > 0) LAHAR_TRY(move_experts());
  if (!good(out_.memory) && helps) LAHAR_TRY(move_layers());
  count_host();
  return std::move(out_);
}

}  // namespace

Result<OffloadPlan> plan_offload(const gpu::Device& device, const ModelSpec& spec, const MemoryNeed& need,
                                 const EngineOptions& options) {
  return Planner(device, spec, need, options).plan();
}

}  // namespace lahar
