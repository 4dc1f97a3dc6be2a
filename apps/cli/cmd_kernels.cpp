// lahar kernels: builds every pipeline that the device would be given, and says what its compiler made of them.
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/session.h"
#include "ops/catalogue.h"

namespace lahar::cli {
namespace {

struct State {
  std::string device, only;
  bool json = false, all = false, verbose = false;
};

// "gemv", "q4_0 64x1x1 4 2": the shader's variant, the workgroup, the other constants.
std::string variant_name(const gpu::KernelDesc& desc) {
  std::string name(gpu::shader_info(desc.shader).variant);
  const auto values = desc.constants.values();
  for (size_t i = 0; i < values.size(); ++i)
    name += (i == 0 ? (name.empty() ? "" : " ") : i < 3 ? "x" : " ") + std::to_string(values[i]);
  return name;
}

template <typename T>
nlohmann::ordered_json or_null(const std::optional<T>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

std::string or_dash(const std::optional<uint64_t>& value) { return value ? std::to_string(*value) : "-"; }

Status run(const State& state) {
  LAHAR_ASSIGN(const auto device, open_device(state.device, stderr_log(state.verbose)));
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  size_t failed = 0;
  if (!state.json)
    std::printf("%-24s %-48s %9s %6s %7s %9s %9s\n", "kernel", "variant", "registers", "spills", "shared", "occupancy",
                "estimate");
  for (const gpu::KernelDesc& desc : ops::kernel_catalogue(device->caps())) {
    if (!gpu::shader_info(desc.shader).name.starts_with(state.only)) continue;
    const auto begin = std::chrono::steady_clock::now();
    const auto result = device->kernels().statistics(desc);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    const gpu::KernelStatistics statistics = result.ok() ? *result : gpu::KernelStatistics{};
    const std::string name(gpu::shader_info(desc.shader).name);
    const std::string status = result.ok() ? "ok" : result.error().message;
    failed += result.ok() ? 0 : 1;
    if (state.json) {
      list.push_back({{"name", name},
                      {"variant", variant_name(desc)},
                      {"status", status},
                      {"registers", or_null(statistics.registers)},
                      {"spills", or_null(statistics.spills)},
                      {"shared_memory", or_null(statistics.shared_memory)},
                      {"occupancy", or_null(statistics.occupancy)},
                      {"estimate", or_null(statistics.estimate)},
                      {"build_seconds", seconds.count()}});
      if (state.all) list.back()["driver"] = nlohmann::ordered_json::object();
      for (const auto& [key, value] : statistics.all)
        if (state.all) list.back()["driver"][key] = value;
    } else {
      std::printf("%-24s %-48s %9s %6s %7s %9s %9s%s\n", name.c_str(), variant_name(desc).c_str(),
                  or_dash(statistics.registers).c_str(), or_dash(statistics.spills).c_str(),
                  or_dash(statistics.shared_memory).c_str(), or_dash(statistics.occupancy).c_str(),
                  or_dash(statistics.estimate).c_str(), result.ok() ? "" : ("  " + status).c_str());
    }
  }
  if (state.json) std::printf("%s\n", list.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  if (failed > 0) return Error{ErrorCode::kInternal, std::to_string(failed) + " pipelines could not be built"};
  return {};
}

}  // namespace

void add_kernels(CLI::App& program, Action& chosen) {
  auto state = std::make_shared<State>();
  CLI::App* command =
      add_command(program, "kernels", "Build every pipeline and show what the driver's compiler says", chosen, run, state);
  command->add_option("--device", state->device, "Device: its number, UUID or a part of its name");
  command->add_option("--only", state->only, "Kernels alone whose names begin with this");
  command->add_flag("--json", state->json, "As JSON");
  command->add_flag("--all", state->all, "With --json: everything that the driver says, by its own names");
  command->add_flag("-v,--verbose", state->verbose, "Say what is being done");
}

}  // namespace lahar::cli
