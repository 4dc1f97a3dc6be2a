#include "engine/memory_plan.h"

#include <algorithm>
#include <cstdio>

#include "step.h"

namespace lahar {
namespace {

constexpr uint32_t kShortestContext = 512;
constexpr uint64_t kCheckpointShare = 4;  // of the memory that is left, one in so many

uint64_t pool_bytes(const MemoryRequest& request, uint32_t context) {
  const uint64_t pages = (uint64_t{context} + params::kPageTokens - 1) / params::kPageTokens * request.slots;
  return pages * request.page_bytes;
}

}  // namespace

MemoryPlan plan_memory(const MemoryRequest& request) {
  MemoryPlan plan{.weights = request.weights,
                  .expert_cache = request.expert_cache,
                  .kv_pool = pool_bytes(request, request.context),
                  .states = request.state_bytes * request.least_states,
                  .scratch = request.scratch,
                  .available = request.available,
                  .context = request.context,
                  .asked_context = request.context,
                  .state_slots = request.state_bytes == 0 ? 0 : request.least_states};
  while (!request.context_is_fixed && !plan.fits() && plan.context > kShortestContext) {
    plan.context = std::max(kShortestContext, plan.context / 2);
    plan.kv_pool = pool_bytes(request, plan.context);
  }
  if (request.state_bytes > 0 && plan.fits()) {
    const uint64_t room = (plan.available - plan.total()) / kCheckpointShare / request.state_bytes;
    const uint32_t more = request.most_states - std::min(request.most_states, request.least_states);
    plan.state_slots += static_cast<uint32_t>(std::min<uint64_t>(more, room));
    plan.states = request.state_bytes * plan.state_slots;
  }
  return plan;
}

uint64_t available_memory(const gpu::Device& device, uint64_t cap) {
  const gpu::MemoryUse use = device.memory_use();
  const uint64_t taken = use.used + use.lent;
  const uint64_t room = use.budget - std::min(use.budget, taken);
  return cap == 0 ? room : std::min(room, cap - std::min(cap, use.used));
}

std::string format_bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) value /= 1024, ++unit;
  char text[32];
  std::snprintf(text, sizeof(text), value < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", value, kUnits[unit]);
  return text;
}

std::string MemoryPlan::describe() const {
  std::string text = "needs " + format_bytes(total()) + " (weights " + format_bytes(weights) +
                     (expert_cache > 0 ? ", copies of experts " + format_bytes(expert_cache) : "") + ", KV cache " +
                     format_bytes(kv_pool) + " for " + std::to_string(context) + " tokens, " +
                     (states > 0 ? "recurrent states " + format_bytes(states) + ", " : "") + "scratch " +
                     format_bytes(scratch) + "); " + format_bytes(available) + " are free";
  if (host_weights > 0)
    text += "; " + format_bytes(host_weights) + " of weights stay in the host's memory, which has " +
            format_bytes(host_available);
  if (context < asked_context)
    text += "; the context was shortened from " + std::to_string(asked_context) + " tokens to fit";
  return text;
}

}  // namespace lahar
