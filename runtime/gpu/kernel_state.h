// What is inside a KernelCache, for the files of this layer.
#pragma once

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "gpu/device.h"
#include "gpu/kernel.h"
#include "gpu/pipeline_cache.h"

namespace lahar::gpu {

struct KernelDescHash {
  size_t operator()(const KernelDesc& desc) const {
    return hash_bytes(std::as_bytes(desc.constants.values()),
                      (uint64_t{desc.subgroup_size} << 16) | static_cast<uint16_t>(desc.shader));
  }
};

struct KernelCache::State {
  Device* device = nullptr;
  VkPipelineLayout layout = VK_NULL_HANDLE;
  VkPipelineCache cache = VK_NULL_HANDLE;
  std::optional<std::string> source_folder;

  PipelineCacheKey key;
  std::filesystem::path file;  // empty: nothing is kept on disk
  size_t saved_bytes = 0;
  std::mutex save_mutex;

  mutable std::mutex mutex;  // guards all below
  std::condition_variable work;
  std::unordered_map<KernelDesc, std::unique_ptr<Kernel>, KernelDescHash> kernels;
  std::vector<const Kernel*> in_order;
  struct Job {
    KernelDesc desc;
    std::promise<Result<VkPipeline>> promise;
  };
  std::deque<Job> jobs;
  std::vector<std::thread> workers;
  std::vector<VkPipeline> pipelines;
  bool stopping = false;

  // Checks what the device can do, compiles, and gives a pipeline that the caller owns.
  Result<VkPipeline> build(const KernelDesc& desc, VkPipelineCreateFlags flags, VkPipelineCache pipeline_cache) const;
  void run_worker();
};

}  // namespace lahar::gpu
