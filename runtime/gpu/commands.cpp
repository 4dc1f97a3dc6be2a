#include "gpu/commands.h"

#include <algorithm>
#include <atomic>
#include <random>

#include "gpu/device.h"
#include "gpu/device_state.h"
#include "gpu/error.h"

namespace lahar::gpu {
namespace {

constexpr size_t kPushBytes = 128;

void barrier(const VolkDeviceTable& fn, VkCommandBuffer commands, VkPipelineStageFlags2 from, VkAccessFlags2 written,
             VkPipelineStageFlags2 to, VkAccessFlags2 used) {
  VkMemoryBarrier2 memory{VK_STRUCTURE_TYPE_MEMORY_BARRIER_2, nullptr, from, written, to, used};
  VkDependencyInfo info{VK_STRUCTURE_TYPE_DEPENDENCY_INFO};
  info.memoryBarrierCount = 1;
  info.pMemoryBarriers = &memory;
  fn.vkCmdPipelineBarrier2(commands, &info);
}

constexpr VkPipelineStageFlags2 kWork = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT;

void work_barrier(const VolkDeviceTable& fn, VkCommandBuffer commands) {
  barrier(fn, commands, kWork, VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT,
          kWork | VK_PIPELINE_STAGE_2_DRAW_INDIRECT_BIT,
          VK_ACCESS_2_SHADER_STORAGE_READ_BIT | VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT | VK_ACCESS_2_TRANSFER_READ_BIT |
              VK_ACCESS_2_TRANSFER_WRITE_BIT | VK_ACCESS_2_INDIRECT_COMMAND_READ_BIT);
}

// The order in which nodes are recorded: as given, or changed between barriers. barrier_before stays with the first place.
struct Place {
  size_t node = 0;
  bool barrier = false;
};
std::vector<Place> arrange(std::span<const Node> nodes, const RecordOptions& options) {
  std::vector<Place> places;
  for (size_t i = 0; i < nodes.size(); ++i) places.push_back({i, nodes[i].barrier_before});
  if (options.order == RecordOptions::Order::kAsGiven) return places;
  std::mt19937_64 random(options.shuffle_seed);
  for (size_t first = 0; first < places.size();) {
    size_t last = first + 1;
    while (last < places.size() && !places[last].barrier) ++last;
    const bool before = places[first].barrier;
    places[first].barrier = false;
    const auto begin = places.begin() + static_cast<ptrdiff_t>(first), end = places.begin() + static_cast<ptrdiff_t>(last);
    if (options.order == RecordOptions::Order::kReversed) std::reverse(begin, end);
    else std::shuffle(begin, end, random);
    places[first].barrier = before;
    first = last;
  }
  return places;
}

Status check(const Node& node, const Caps& caps) {
  const auto wrong = [&](const std::string& why) { return Error{ErrorCode::kInvalidArgument, node.label + ": " + why}; };
  const auto inside = [](const BufferRange& r) {
    return r.buffer->size() >= r.offset && r.buffer->size() - r.offset >= r.size;
  };
  for (const std::vector<BufferRange>* ranges : {&node.reads, &node.writes})
    for (const BufferRange& r : *ranges)
      if (r && !inside(r)) return wrong("a declared range lies outside its buffer");
  switch (node.kind) {
    case Node::Kind::kDispatch:
      if (node.kernel == nullptr) return wrong("no kernel");
      if (node.push.size() > kPushBytes || node.push.size() % 4 != 0) return wrong("push constants of a wrong size");
      if (node.indirect && (node.indirect.size < 12 || node.indirect.offset % 4 != 0 || !inside(node.indirect)))
        return wrong("the indirect group counts need 12 bytes at a multiple of 4");
      if (!node.indirect && (node.groups.x > caps.max_workgroup_count[0] || node.groups.y > caps.max_workgroup_count[1] ||
                             node.groups.z > caps.max_workgroup_count[2]))
        return wrong("more workgroups than the device takes: " + std::to_string(node.groups.x) + ", " +
                     std::to_string(node.groups.y) + ", " + std::to_string(node.groups.z));
      return {};
    case Node::Kind::kCopy:
      if (!node.source || !node.destination || node.source.size != node.destination.size || node.source.size == 0 ||
          !inside(node.source) || !inside(node.destination))
        return wrong("a copy needs two ranges of the same size inside their buffers");
      return {};
    case Node::Kind::kFill:
      if (!node.destination || node.destination.offset % 4 != 0 || node.destination.size % 4 != 0 ||
          node.destination.size == 0 || !inside(node.destination))
        return wrong("a fill needs a range of whole words inside its buffer");
      return {};
  }
  return {};
}

}  // namespace

struct CommandList::State {
  std::shared_ptr<Device> device;
  VkCommandBuffer commands = VK_NULL_HANDLE;
  VkQueryPool queries = VK_NULL_HANDLE;
  std::vector<std::string> labels;  // of the timed nodes, in recorded order
  uint32_t dispatches = 0, barriers = 0;
  std::atomic<uint64_t> submitted{0};  // the timeline's value of the last submission; 0: none yet

  ~State();
};

CommandList::State::~State() {
  if (!device) return;
  device->retire([d = device.get(), commands = commands, queries = queries] {
    if (commands != VK_NULL_HANDLE) {
      const std::lock_guard lock(d->state_->pool_mutex);
      d->fn().vkFreeCommandBuffers(d->handle(), d->state_->pool, 1, &commands);
    }
    if (queries != VK_NULL_HANDLE) d->fn().vkDestroyQueryPool(d->handle(), queries, nullptr);
  });
}

CommandList::CommandList(CommandList&&) noexcept = default;
CommandList& CommandList::operator=(CommandList&&) noexcept = default;
CommandList::~CommandList() = default;

VkCommandBuffer CommandList::handle() const { return state_->commands; }
uint32_t CommandList::dispatches() const { return state_->dispatches; }
uint32_t CommandList::barriers() const { return state_->barriers; }

Result<std::vector<CommandList::Timing>> CommandList::timings() const {
  std::vector<Timing> timings;
  if (state_->queries == VK_NULL_HANDLE || state_->labels.empty()) return timings;
  const Device& device = *state_->device;
  LAHAR_ASSIGN(const uint64_t completed, device.completed());
  if (state_->submitted == 0 || completed < state_->submitted)
    return Error{ErrorCode::kInvalidArgument, "timings of a list that has not finished"};
  std::vector<uint64_t> ticks(state_->labels.size() * 2);
  const VkResult result = device.fn().vkGetQueryPoolResults(
      device.handle(), state_->queries, 0, static_cast<uint32_t>(ticks.size()), ticks.size() * sizeof(uint64_t),
      ticks.data(), sizeof(uint64_t), VK_QUERY_RESULT_64_BIT);
  LAHAR_VK(result, "vkGetQueryPoolResults");
  const uint64_t mask = device.state_->timestamp_mask;
  const double period = device.caps().timestamp_period;
  for (size_t i = 0; i < state_->labels.size(); ++i) {
    const uint64_t begin = (ticks[2 * i] - ticks[0]) & mask, duration = (ticks[2 * i + 1] - ticks[2 * i]) & mask;
    timings.push_back({state_->labels[i], static_cast<double>(begin) * period, static_cast<double>(duration) * period});
  }
  return timings;
}

void CommandList::set_submitted(uint64_t value) const { state_->submitted = value; }

void Recorder::dispatch(const Dispatch& d) {
  Node& node = nodes_.emplace_back();
  node.kind = Node::Kind::kDispatch;
  node.label = scope_ + std::string(d.label);
  node.kernel = d.kernel;
  node.push.assign(d.push.begin(), d.push.end());
  node.groups = d.groups;
  node.indirect = d.indirect;
  node.reads.assign(d.reads.begin(), d.reads.end());
  node.writes.assign(d.writes.begin(), d.writes.end());
}

void Recorder::copy(std::string_view label, BufferRange source, BufferRange destination) {
  Node& node = nodes_.emplace_back();
  node.kind = Node::Kind::kCopy;
  node.label = scope_ + std::string(label);
  node.source = source;
  node.destination = destination;
}

void Recorder::fill(std::string_view label, BufferRange destination, uint32_t value) {
  Node& node = nodes_.emplace_back();
  node.kind = Node::Kind::kFill;
  node.label = scope_ + std::string(label);
  node.destination = destination;
  node.fill_value = value;
}

Result<CommandList> Recorder::finish(const RecordOptions& options) { return finish(0, nodes_.size(), options); }

Result<CommandList> Recorder::finish(size_t first, size_t last, const RecordOptions& options) {
  if (first > last || last > nodes_.size()) return Error{ErrorCode::kInvalidArgument, "there are no such nodes to record"};
  const std::span<Node> nodes = std::span(nodes_).subspan(first, last - first);
  place_barriers(nodes);
  std::vector<VkPipeline> pipelines(nodes.size(), VK_NULL_HANDLE);
  for (size_t i = 0; i < nodes.size(); ++i) {
    LAHAR_TRY(check(nodes[i], device_.caps()));
    if (nodes[i].kind != Node::Kind::kDispatch) continue;
    Result<VkPipeline> pipeline = nodes[i].kernel->pipeline();
    if (!pipeline.ok()) return annotate(pipeline.error(), nodes[i].label);
    pipelines[i] = *pipeline;
  }
  const std::vector<Place> places = arrange(nodes, options);

  const VolkDeviceTable& fn = device_.fn();
  const InstanceState& instance = *device_.state_->instance;
  CommandList list;
  list.state_ = std::make_unique<CommandList::State>();
  CommandList::State& state = *list.state_;
  state.device = device_.shared_from_this();
  if (options.timestamps && device_.caps().timestamp_period > 0 && !nodes.empty()) {
    VkQueryPoolCreateInfo queries{VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO};
    queries.queryType = VK_QUERY_TYPE_TIMESTAMP;
    queries.queryCount = static_cast<uint32_t>(2 * nodes.size());
    LAHAR_VK(fn.vkCreateQueryPool(device_.handle(), &queries, nullptr, &state.queries), "vkCreateQueryPool");
  }

  const std::lock_guard lock(device_.state_->pool_mutex);
  VkCommandBufferAllocateInfo allocate{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
  allocate.commandPool = device_.state_->pool;
  allocate.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  allocate.commandBufferCount = 1;
  LAHAR_VK(fn.vkAllocateCommandBuffers(device_.handle(), &allocate, &state.commands), "vkAllocateCommandBuffers");
  const VkCommandBuffer commands = state.commands;
  const VkCommandBufferBeginInfo begin{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  LAHAR_VK(fn.vkBeginCommandBuffer(commands, &begin), "vkBeginCommandBuffer");
  if (state.queries != VK_NULL_HANDLE)
    fn.vkCmdResetQueryPool(commands, state.queries, 0, static_cast<uint32_t>(2 * nodes.size()));
  barrier(fn, commands, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, VK_ACCESS_2_MEMORY_WRITE_BIT,
          VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, VK_ACCESS_2_MEMORY_READ_BIT | VK_ACCESS_2_MEMORY_WRITE_BIT);

  VkPipeline bound = VK_NULL_HANDLE;
  uint32_t query = 0;
  for (const Place& place : places) {
    const Node& node = nodes[place.node];
    if (place.barrier) {
      work_barrier(fn, commands);
      ++state.barriers;
    }
    if (instance.labels) {
      VkDebugUtilsLabelEXT label{VK_STRUCTURE_TYPE_DEBUG_UTILS_LABEL_EXT};
      label.pLabelName = node.label.c_str();
      instance.fn.vkCmdBeginDebugUtilsLabelEXT(commands, &label);
    }
    if (state.queries != VK_NULL_HANDLE) {
      state.labels.push_back(node.label);
      fn.vkCmdWriteTimestamp2(commands, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, state.queries, query++);
    }
    switch (node.kind) {
      case Node::Kind::kDispatch: {
        const VkPipeline pipeline = pipelines[place.node];
        if (pipeline != bound) fn.vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
        bound = pipeline;
        if (!node.push.empty())
          fn.vkCmdPushConstants(commands, device_.kernels().layout(), VK_SHADER_STAGE_COMPUTE_BIT, 0,
                                static_cast<uint32_t>(node.push.size()), node.push.data());
        if (node.indirect) fn.vkCmdDispatchIndirect(commands, node.indirect.buffer->handle(), node.indirect.offset);
        else fn.vkCmdDispatch(commands, node.groups.x, node.groups.y, node.groups.z);
        ++state.dispatches;
        break;
      }
      case Node::Kind::kCopy: {
        const VkBufferCopy region{node.source.offset, node.destination.offset, node.source.size};
        fn.vkCmdCopyBuffer(commands, node.source.buffer->handle(), node.destination.buffer->handle(), 1, &region);
        break;
      }
      case Node::Kind::kFill:
        fn.vkCmdFillBuffer(commands, node.destination.buffer->handle(), node.destination.offset, node.destination.size,
                           node.fill_value);
        break;
    }
    if (state.queries != VK_NULL_HANDLE)
      fn.vkCmdWriteTimestamp2(commands, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, state.queries, query++);
    if (instance.labels) instance.fn.vkCmdEndDebugUtilsLabelEXT(commands);
  }

  barrier(fn, commands, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, VK_ACCESS_2_MEMORY_WRITE_BIT, VK_PIPELINE_STAGE_2_HOST_BIT,
          VK_ACCESS_2_HOST_READ_BIT);
  LAHAR_VK(fn.vkEndCommandBuffer(commands), "vkEndCommandBuffer");
  device_.set_name(VK_OBJECT_TYPE_COMMAND_BUFFER, reinterpret_cast<uint64_t>(commands), scope_.empty() ? "list" : scope_);
  return list;
}

}  // namespace lahar::gpu
