// lahar devices: what --device can name.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/session.h"

namespace lahar::cli {
namespace {

struct State {
  bool json = false, verbose = false;
};

std::string version_text(uint32_t version) {
  return std::to_string(VK_API_VERSION_MAJOR(version)) + "." + std::to_string(VK_API_VERSION_MINOR(version)) + "." +
         std::to_string(VK_API_VERSION_PATCH(version));
}

nlohmann::ordered_json to_json(const gpu::DeviceInfo& d) {
  nlohmann::ordered_json j;
  j["index"] = d.index;
  j["name"] = d.name;
  j["type"] = gpu::to_string(d.type);
  j["uuid"] = d.uuid;
  j["vendor_id"] = d.vendor_id;
  j["device_id"] = d.device_id;
  j["vulkan"] = version_text(d.api_version);
  j["driver"] = d.driver_name;
  j["driver_info"] = d.driver_info;
  j["device_memory"] = d.device_memory;
  j["available_memory"] = d.available_memory;
  j["usable"] = d.refusal.empty();
  j["refusal"] = d.refusal.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(d.refusal);
  return j;
}

Status run(const State& state) {
  LAHAR_ASSIGN(const auto instance, gpu::Instance::create({.log = stderr_log(state.verbose)}));
  const std::vector<gpu::DeviceInfo> devices = instance->devices();
  if (state.json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const gpu::DeviceInfo& d : devices) list.push_back(to_json(d));
    std::printf("%s\n", list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
    return {};
  }
  if (devices.empty())
    return Error{
        ErrorCode::kNotFound,
        "no Vulkan device was found; install your GPU's driver, or mesa-vulkan-drivers to compute on the processor"};
  bool real = false;
  for (const gpu::DeviceInfo& d : devices) {
    real = real || (d.type != gpu::DeviceType::kCpu && d.refusal.empty());
    std::printf("%u  %s (%s), %s, %s free of %s\n   Vulkan %s, %s %s\n", d.index, d.name.c_str(),
                std::string(gpu::to_string(d.type)).c_str(), d.uuid.c_str(), format_bytes(d.available_memory).c_str(),
                format_bytes(d.device_memory).c_str(), version_text(d.api_version).c_str(), d.driver_name.c_str(),
                d.driver_info.c_str());
    if (!d.refusal.empty()) std::printf("   cannot be used: %s\n", d.refusal.c_str());
  }
  if (!real) std::fprintf(stderr, "%s\n", software_device_notice(devices[0].name).c_str());
  return {};
}

}  // namespace

void add_devices(CLI::App& program, Action& chosen) {
  auto state = std::make_shared<State>();
  CLI::App* command = add_command(program, "devices", "List the devices", chosen, run, state);
  command->add_flag("--json", state->json, "As JSON");
  command->add_flag("-v,--verbose", state->verbose, "Say what is being done");
}

}  // namespace lahar::cli
