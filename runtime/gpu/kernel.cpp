#include "gpu/kernel.h"

#include <algorithm>

#include "core/platform.h"
#include "gpu/device_state.h"
#include "gpu/error.h"
#include "gpu/kernel_state.h"
#include "gpu/shader_pack.h"
#include "gpu/shader_source.h"

namespace lahar::gpu {
namespace {

constexpr uint32_t kPushBytes = 128;

std::string display_name(const ShaderInfo& shader) {
  std::string name = "kernel ";
  name.append(shader.name);
  if (!shader.variant.empty()) name.append("_").append(shader.variant);
  return name;
}

// nullopt where the device can run it as asked.
std::optional<Error> refuse(const KernelDesc& desc, const ShaderInfo& shader, const Caps& caps) {
  const auto unsupported = [&](const std::string& why) {
    return Error{ErrorCode::kUnsupported, display_name(shader) + " " + why};
  };
  if (desc.shader >= ShaderId::kCount) return Error{ErrorCode::kInvalidArgument, "there is no such kernel"};
  if (!caps.has(shader.required_features))
    return unsupported("needs " + feature_names(shader.required_features & ~caps.features) + ", which " + caps.info.name +
                       " lacks");
  if (shader.spirv.empty()) return unsupported("was left out of this build: its shader compiler was too old");

  const std::span<const uint32_t> constants = desc.constants.values();
  uint64_t invocations = 1;
  for (size_t i = 0; i < std::min<size_t>(constants.size(), 3); ++i) {
    invocations *= constants[i];
    if (constants[i] == 0 || constants[i] > caps.max_workgroup_size[i])
      return unsupported("with a workgroup of " + std::to_string(constants[i]) + " in dimension " + std::to_string(i) +
                         ": the limit is " + std::to_string(caps.max_workgroup_size[i]));
  }
  if (invocations > caps.max_workgroup_invocations)
    return unsupported("with " + std::to_string(invocations) + " invocations in a workgroup: the limit is " +
                       std::to_string(caps.max_workgroup_invocations));

  const uint32_t subgroup = desc.subgroup_size;
  if (subgroup == 0) return std::nullopt;
  if (!caps.subgroup_size_control && subgroup != caps.subgroup_size)
    return unsupported("needs subgroups of " + std::to_string(subgroup) + "; the device has " +
                       std::to_string(caps.subgroup_size));
  if (caps.subgroup_size_control && (subgroup < caps.min_subgroup_size || subgroup > caps.max_subgroup_size))
    return unsupported("needs subgroups of " + std::to_string(subgroup) + "; the device has " +
                       std::to_string(caps.min_subgroup_size) + " to " + std::to_string(caps.max_subgroup_size));
  return std::nullopt;
}

}  // namespace

Result<VkPipeline> Kernel::pipeline() const { return built_.get(); }

Result<std::unique_ptr<KernelCache>> KernelCache::create(Device& device, const DeviceOptions& options) {
  std::unique_ptr<KernelCache> kernels(new KernelCache);
  kernels->state_ = std::make_unique<State>();
  State& state = *kernels->state_;
  state.device = &device;
  state.source_folder = shader_source_folder();

  VkPushConstantRange range{VK_SHADER_STAGE_COMPUTE_BIT, 0, kPushBytes};
  VkPipelineLayoutCreateInfo layout{VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO};
  layout.pushConstantRangeCount = 1;
  layout.pPushConstantRanges = &range;
  LAHAR_VK(device.fn().vkCreatePipelineLayout(device.handle(), &layout, nullptr, &state.layout), "vkCreatePipelineLayout");

  std::vector<std::byte> data;
  if (options.use_pipeline_cache) {
    const DeviceInfo& info = device.caps().info;
    state.key = {info.uuid, info.driver_version, device.caps().pipeline_cache_uuid, hash_shader_bank()};
    const std::filesystem::path folder =
        options.pipeline_cache_folder.empty() ? platform::cache_folder() : options.pipeline_cache_folder;
    if (!folder.empty()) {
      state.file = pipeline_cache_file(folder, state.key);
      data = read_pipeline_cache(state.file, state.key, device.log());
      state.saved_bytes = data.size();
    }
  }
  VkPipelineCacheCreateInfo cache{VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
  cache.initialDataSize = data.size();
  cache.pInitialData = data.data();
  LAHAR_VK(device.fn().vkCreatePipelineCache(device.handle(), &cache, nullptr, &state.cache), "vkCreatePipelineCache");
  return kernels;
}

KernelCache::~KernelCache() {
  const VolkDeviceTable& fn = state_->device->fn();
  const VkDevice device = state_->device->handle();
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    for (State::Job& job : state_->jobs) job.promise.set_value(Error{ErrorCode::kCancelled, "the device was closed"});
    state_->jobs.clear();
  }
  state_->work.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
  save();
  for (VkPipeline pipeline : state_->pipelines) fn.vkDestroyPipeline(device, pipeline, nullptr);
  if (state_->cache != VK_NULL_HANDLE) fn.vkDestroyPipelineCache(device, state_->cache, nullptr);
  if (state_->layout != VK_NULL_HANDLE) fn.vkDestroyPipelineLayout(device, state_->layout, nullptr);
}

const Kernel* KernelCache::get(const KernelDesc& desc) {
  const std::lock_guard lock(state_->mutex);
  std::unique_ptr<Kernel>& kernel = state_->kernels[desc];
  if (kernel) return kernel.get();
  kernel = std::make_unique<Kernel>();
  kernel->desc_ = desc;
  State::Job job{desc, {}};
  kernel->built_ = job.promise.get_future().share();
  state_->in_order.push_back(kernel.get());
  state_->jobs.push_back(std::move(job));
  const size_t most = std::clamp<size_t>(std::thread::hardware_concurrency(), 2, 4);
  if (state_->workers.size() < most) state_->workers.emplace_back([state = state_.get()] { state->run_worker(); });
  state_->work.notify_one();
  return kernel.get();
}

void KernelCache::State::run_worker() {
  platform::set_thread_name("lahar-kernels");
  std::unique_lock lock(mutex);
  for (;;) {
    work.wait(lock, [this] { return stopping || !jobs.empty(); });
    if (stopping) return;
    Job job = std::move(jobs.front());
    jobs.pop_front();
    lock.unlock();
    Result<VkPipeline> built = build(job.desc, 0, cache);
    if (!built.ok() && built.error().code != ErrorCode::kUnsupported) device->log().error(built.error().message);
    lock.lock();
    if (built.ok()) pipelines.push_back(*built);
    job.promise.set_value(std::move(built));
  }
}

Result<VkPipeline> KernelCache::State::build(const KernelDesc& desc, VkPipelineCreateFlags flags,
                                             VkPipelineCache pipeline_cache) const {
  const ShaderInfo shader = shader_info(desc.shader);
  const Caps& caps = device->caps();
  if (const std::optional<Error> error = refuse(desc, shader, caps)) return *error;
  std::vector<uint32_t> spirv;
  if (source_folder) {
    LAHAR_ASSIGN(spirv, compile_shader(*source_folder, shader));
  } else if (auto unpacked = unpack_spirv(shader.spirv)) {
    spirv = std::move(*unpacked);
  } else {
    return Error{ErrorCode::kInternal, display_name(shader) + ": its code in this library is damaged"};
  }

  VkShaderModuleCreateInfo module_info{VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO};
  module_info.codeSize = spirv.size() * sizeof(uint32_t);
  module_info.pCode = spirv.data();
  VkShaderModule module = VK_NULL_HANDLE;
  LAHAR_VK(device->fn().vkCreateShaderModule(device->handle(), &module_info, nullptr, &module), display_name(shader));

  std::array<VkSpecializationMapEntry, SpecConstants::kMax> entries{};
  const std::span<const uint32_t> constants = desc.constants.values();
  for (uint32_t i = 0; i < constants.size(); ++i) entries[i] = {i, i * 4, 4};
  const VkSpecializationInfo specialization{static_cast<uint32_t>(constants.size()), entries.data(), constants.size_bytes(),
                                            constants.data()};
  VkPipelineShaderStageRequiredSubgroupSizeCreateInfo required{
      VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO, nullptr, desc.subgroup_size};
  VkComputePipelineCreateInfo info{VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO};
  info.flags = flags;
  info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module;
  info.stage.pName = "main";
  info.stage.pSpecializationInfo = &specialization;
  info.layout = layout;
  if (desc.subgroup_size != 0 && caps.subgroup_size_control) {
    info.stage.pNext = &required;
    if (caps.full_subgroups && !constants.empty() && constants[0] % desc.subgroup_size == 0)
      info.stage.flags |= VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
  }
  VkPipeline pipeline = VK_NULL_HANDLE;
  const VkResult result =
      device->fn().vkCreateComputePipelines(device->handle(), pipeline_cache, 1, &info, nullptr, &pipeline);
  device->fn().vkDestroyShaderModule(device->handle(), module, nullptr);
  LAHAR_VK(result, display_name(shader) + ": the driver did not compile it");
  device->set_name(VK_OBJECT_TYPE_PIPELINE, reinterpret_cast<uint64_t>(pipeline), display_name(shader));
  return pipeline;
}

Status KernelCache::wait_all() {
  for (const Kernel* kernel : kernels()) LAHAR_TRY(kernel->pipeline());
  return {};
}

VkPipelineLayout KernelCache::layout() const { return state_->layout; }

std::vector<const Kernel*> KernelCache::kernels() const {
  const std::lock_guard lock(state_->mutex);
  return state_->in_order;
}

void KernelCache::save() {
  if (state_->file.empty() || state_->cache == VK_NULL_HANDLE) return;
  const std::lock_guard lock(state_->save_mutex);
  const Device& device = *state_->device;
  size_t size = 0;
  if (device.fn().vkGetPipelineCacheData(device.handle(), state_->cache, &size, nullptr) != VK_SUCCESS) return;
  if (size <= state_->saved_bytes) return;
  std::vector<std::byte> data(size);
  if (device.fn().vkGetPipelineCacheData(device.handle(), state_->cache, &size, data.data()) != VK_SUCCESS) return;
  data.resize(size);
  const Status written = write_pipeline_cache(state_->file, state_->key, data);
  if (!written.ok()) device.log().warning("the pipeline cache was not saved: " + written.error().message);
  else state_->saved_bytes = size;
}

}  // namespace lahar::gpu
