#include "gpu/quirks.h"

namespace lahar::gpu {
namespace {

struct Row {
  Quirk quirk;
  bool (*holds)(const Caps& caps);
};
constexpr Row kRows[] = {
    {{"cpu-driver", "the device is of the type CPU",
      "workgroups of one subgroup; straight-line kernels; kernels with barriers last"},
     [](const Caps& c) { return c.is_cpu(); }},
    {{"uniform-loops", "lavapipe of Mesa 26 or later", "products by kernels whose loops have the same bounds in all lanes"},
     [](const Caps& c) { return c.uniform_loops; }},
    {{"narrow-subgroups", "subgroups can be chosen from 16 or less on",
      "kernels with many registers take subgroups of at most 16"},
     [](const Caps& c) {
       return c.subgroup_size_control && c.min_subgroup_size <= 16 && c.min_subgroup_size < c.max_subgroup_size;
     }},
    {{"small-registers", "subgroups can be chosen from 8 on, or the device is Apple's or an Adreno 6xx",
      "attention holds fewer keys and heads at a time"},
     [](const Caps& c) {
       return (c.subgroup_size_control && c.min_subgroup_size <= 8 && c.min_subgroup_size < c.max_subgroup_size) ||
              c.info.name.starts_with("Apple ") || c.info.name.find("Adreno (TM) 6") != std::string::npos;
     }},
    {{"fixed-subgroups", "the subgroup size cannot be chosen", "kernels take the device's own size"},
     [](const Caps& c) { return !c.subgroup_size_control; }},
    {{"partial-subgroups", "computeFullSubgroups is missing", "columns are not split over the subgroups of a workgroup"},
     [](const Caps& c) { return !c.full_subgroups; }},
    {{"slow-int8-dot", "integer dot products are emulated", "int8 forms are taken only where they measured faster"},
     [](const Caps& c) { return c.has(kInt8Dot) && !c.int8_dot_accelerated; }},
    {{"no-timestamps", "the queue has no timestamps", "kernels are timed by the wall clock"},
     [](const Caps& c) { return c.timestamp_period == 0; }},
    {{"no-memory-budget", "VK_EXT_memory_budget is missing", "free memory is taken to be all memory"},
     [](const Caps& c) { return !c.memory_budget; }},
};

}  // namespace

std::vector<Quirk> quirks_in_force(const Caps& caps) {
  std::vector<Quirk> all;
  for (const Row& row : kRows)
    if (row.holds(caps)) all.push_back(row.quirk);
  return all;
}

}  // namespace lahar::gpu
