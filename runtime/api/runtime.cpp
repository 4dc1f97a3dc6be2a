// The runtime: a log and the Vulkan instance.
#include <cstdio>

#include "api/state.h"

using namespace lahar;
using namespace lahar::api;

namespace lahar::api {
namespace {

// The sink of the library's log that calls a C function.
Log::Sink log_sink(lahar_log_callback callback, void* user) {
  return [callback, user](LogLevel level, std::string_view text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
    try {
      callback(user, static_cast<lahar_log_level>(level), std::string(text).c_str());
    } catch (...) {
      // Nobody above could do anything about a log line that is lost.
    }
  };
}
static_assert(static_cast<int>(LogLevel::kDebug) == LAHAR_LOG_DEBUG &&
              static_cast<int>(LogLevel::kError) == LAHAR_LOG_ERROR);

lahar_device_type device_type(gpu::DeviceType type) {
  switch (type) {
    case gpu::DeviceType::kDiscrete: return LAHAR_DEVICE_DISCRETE;
    case gpu::DeviceType::kIntegrated: return LAHAR_DEVICE_INTEGRATED;
    case gpu::DeviceType::kVirtual: return LAHAR_DEVICE_VIRTUAL;
    case gpu::DeviceType::kCpu: return LAHAR_DEVICE_CPU;
    case gpu::DeviceType::kOther: return LAHAR_DEVICE_OTHER;
  }
  return LAHAR_DEVICE_OTHER;
}

lahar_device describe(const gpu::DeviceInfo& info) {
  lahar_device device{};
  device.index = info.index;
  device.type = device_type(info.type);
  copy_text(device.name, info.name);
  copy_text(device.uuid, info.uuid);
  copy_text(device.driver, info.driver_info.empty() ? info.driver_name : info.driver_name + " " + info.driver_info);
  copy_text(device.refusal, info.refusal);
  device.memory_bytes = info.device_memory;
  device.available_bytes = info.available_memory;
  return device;
}

Status list_devices(RuntimeState& runtime, lahar_device* devices, size_t capacity, size_t* count) {
  size_t stride = sizeof(lahar_device);
  if (capacity > 0) {
    if (devices == nullptr) return null_argument("devices");
    LAHAR_ASSIGN(stride, struct_size(devices, sizeof(lahar_device), "lahar_device"));
  }
  const auto element = [&](size_t i) { return reinterpret_cast<char*>(devices) + i * stride; };
  for (size_t i = 1; i < capacity; ++i) {
    LAHAR_ASSIGN(const size_t size, struct_size(element(i), sizeof(lahar_device), "lahar_device"));
    if (size != stride)
      return Error{ErrorCode::kInvalidArgument, "devices[" + std::to_string(i) + "].size is " + std::to_string(size) +
                                                    ", that of devices[0] is " + std::to_string(stride)};
  }
  LAHAR_ASSIGN(const auto instance, runtime.instance());
  const std::vector<gpu::DeviceInfo> found = instance->devices();
  *count = found.size();
  for (size_t i = 0; i < std::min(capacity, found.size()); ++i) write_struct(element(i), stride, describe(found[i]));
  return {};
}

Status create_runtime(const lahar_runtime_options* options, lahar_runtime** out) {
  lahar_runtime_options o = LAHAR_RUNTIME_OPTIONS_INIT;
  if (options != nullptr) LAHAR_TRY(read_struct(options, "lahar_runtime_options", o));
  const auto level = static_cast<LogLevel>(std::clamp<int>(raw_value(o.log_level), LAHAR_LOG_DEBUG, LAHAR_LOG_ERROR));
  const Log log = o.log == nullptr ? Log() : Log(log_sink(o.log, o.log_user), level);
  *out = new lahar_runtime{std::make_shared<RuntimeState>(log)};
  return {};
}

}  // namespace

// Not under the lock while it is being made: that may call the application's log, which may call back here.
Result<std::shared_ptr<gpu::Instance>> RuntimeState::instance() {
  {
    const std::lock_guard lock(mutex_);
    if (instance_) return instance_;
  }
  LAHAR_ASSIGN(std::shared_ptr<gpu::Instance> made, gpu::Instance::create({.log = log}));
  const std::lock_guard lock(mutex_);
  if (!instance_) instance_ = std::move(made);
  return instance_;
}

gpu::DeviceRequirements& RuntimeState::keep(std::unique_ptr<gpu::DeviceRequirements> requirements) {
  const std::lock_guard lock(mutex_);
  return *requirements_.emplace_back(std::move(requirements));
}

}  // namespace lahar::api

const char* lahar_status_name(lahar_status status) {
  switch (status) {
    case LAHAR_OK: return "ok";
    case LAHAR_INVALID_ARGUMENT: return "invalid argument";
    case LAHAR_NOT_FOUND: return "not found";
    case LAHAR_IO: return "i/o error";
    case LAHAR_FORMAT: return "bad format";
    case LAHAR_UNSUPPORTED: return "unsupported";
    case LAHAR_LIMIT: return "limit reached";
    case LAHAR_OUT_OF_MEMORY: return "out of memory";
    case LAHAR_DEVICE_LOST: return "device lost";
    case LAHAR_CANCELLED: return "cancelled";
    case LAHAR_REFUSED: return "refused";
    case LAHAR_INTERNAL: return "internal error";
  }
  return "unknown status";
}

const char* lahar_version(void) { return LAHAR_VERSION; }

lahar_status lahar_runtime_create(const lahar_runtime_options* options, lahar_runtime** out) {
  if (out == nullptr) return LAHAR_INVALID_ARGUMENT;
  *out = nullptr;
  return guard(nullptr, [&] { return create_runtime(options, out); });
}

void lahar_runtime_destroy(lahar_runtime* runtime) { delete runtime; }

const char* lahar_runtime_error(const lahar_runtime* runtime) { return runtime ? runtime->state->error.text() : ""; }

lahar_status lahar_list_devices(lahar_runtime* runtime, lahar_device* devices, size_t capacity, size_t* count) {
  if (count != nullptr) *count = 0;
  if (runtime == nullptr) return LAHAR_INVALID_ARGUMENT;
  const auto state = runtime->state;
  return guard(&state->error, [&]() -> Status {
    if (count == nullptr) return null_argument("count");
    return list_devices(*state, devices, capacity, count);
  });
}
