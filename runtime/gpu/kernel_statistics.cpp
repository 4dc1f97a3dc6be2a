// What drivers' compilers say of a pipeline, brought to common names.
#include <algorithm>
#include <cctype>

#include "gpu/error.h"
#include "gpu/kernel_state.h"

namespace lahar::gpu {
namespace {

std::optional<uint64_t> number(const VkPipelineExecutableStatisticKHR& s) {
  switch (s.format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: return s.value.b32 ? 1 : 0;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: return s.value.i64 < 0 ? 0 : static_cast<uint64_t>(s.value.i64);
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR: return s.value.u64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR:
      return s.value.f64 < 0 ? 0 : static_cast<uint64_t>(s.value.f64);
    default: return std::nullopt;
  }
}

std::string text(const VkPipelineExecutableStatisticKHR& s) {
  if (s.format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR) return std::to_string(s.value.f64);
  if (s.format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR) return std::to_string(s.value.i64);
  const std::optional<uint64_t> n = number(s);
  return n ? std::to_string(*n) : "";
}

struct KnownName {
  std::string_view name;  // the driver's, lower case
  std::optional<uint64_t> KernelStatistics::*field;
  enum Merge { kMost, kSum } merge;
};

// A name that several drivers share stands once. Several executables of one pipeline (subgroup sizes on Intel) are merged.
constexpr KnownName kKnown[] = {
    // AMD (RADV)
    {"vgprs", &KernelStatistics::registers, KnownName::kMost},
    {"spilled vgprs", &KernelStatistics::spills, KnownName::kSum},
    {"spilled sgprs", &KernelStatistics::spills, KnownName::kSum},
    {"lds size", &KernelStatistics::shared_memory, KnownName::kMost},
    {"subgroups per simd", &KernelStatistics::occupancy, KnownName::kMost},
    {"inverse throughput", &KernelStatistics::estimate, KnownName::kMost},
    // Intel (ANV): its registers are a fixed file, so what is live at most says more than "GRF registers"
    {"max live registers", &KernelStatistics::registers, KnownName::kMost},
    {"spills", &KernelStatistics::spills, KnownName::kSum},
    {"workgroup memory size", &KernelStatistics::shared_memory, KnownName::kMost},
    {"cycles", &KernelStatistics::estimate, KnownName::kMost},
    // NVIDIA (NVK): "SLM size" is scratch of a thread, not of a workgroup
    {"number of gprs", &KernelStatistics::registers, KnownName::kMost},
    {"spills to memory", &KernelStatistics::spills, KnownName::kSum},
    {"max warps/sm", &KernelStatistics::occupancy, KnownName::kMost},
    {"static cycle count", &KernelStatistics::estimate, KnownName::kMost},
    // NVIDIA's own driver
    {"register count", &KernelStatistics::registers, KnownName::kMost},
    {"shared memory size", &KernelStatistics::shared_memory, KnownName::kMost},
    // Adreno (Turnip): STP stores to a thread's private memory
    {"registers used", &KernelStatistics::registers, KnownName::kMost},
    {"stp count", &KernelStatistics::spills, KnownName::kSum},
    {"max waves per core", &KernelStatistics::occupancy, KnownName::kMost},
    {"estimated cycles stalled on ss", &KernelStatistics::estimate, KnownName::kSum},
    {"estimated cycles stalled on sy", &KernelStatistics::estimate, KnownName::kSum},
    // Apple (Honeykrisp); "spills" as Intel's
    {"gprs", &KernelStatistics::registers, KnownName::kMost},
    {"threads", &KernelStatistics::occupancy, KnownName::kMost},
    {"alu", &KernelStatistics::estimate, KnownName::kMost},
};

void merge(KernelStatistics& to, const VkPipelineExecutableStatisticKHR& s) {
  std::string name(s.name);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const std::optional<uint64_t> value = number(s);
  for (const KnownName& known : kKnown) {
    if (known.name != name || !value) continue;
    std::optional<uint64_t>& field = to.*known.field;
    field = known.merge == KnownName::kSum ? field.value_or(0) + *value : std::max(field.value_or(0), *value);
  }
}

}  // namespace

Result<KernelStatistics> KernelCache::statistics(const KernelDesc& desc) {
  const Device& device = *state_->device;
  const VolkDeviceTable& fn = device.fn();
  const bool known = device.caps().executable_statistics;
  LAHAR_ASSIGN(const VkPipeline pipeline,
               state_->build(desc, known ? VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR : 0, VK_NULL_HANDLE));
  KernelStatistics statistics;
  if (known) {
    const VkPipelineInfoKHR info{VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, nullptr, pipeline};
    uint32_t n_executables = 0;
    fn.vkGetPipelineExecutablePropertiesKHR(device.handle(), &info, &n_executables, nullptr);
    for (uint32_t e = 0; e < n_executables; ++e) {
      const VkPipelineExecutableInfoKHR executable{VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, nullptr, pipeline, e};
      uint32_t n = 0;
      fn.vkGetPipelineExecutableStatisticsKHR(device.handle(), &executable, &n, nullptr);
      std::vector<VkPipelineExecutableStatisticKHR> all(n, {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR});
      fn.vkGetPipelineExecutableStatisticsKHR(device.handle(), &executable, &n, all.data());
      for (uint32_t i = 0; i < n; ++i) {
        statistics.all.emplace_back(all[i].name, text(all[i]));
        merge(statistics, all[i]);
      }
    }
  }
  fn.vkDestroyPipeline(device.handle(), pipeline, nullptr);
  return statistics;
}

}  // namespace lahar::gpu
