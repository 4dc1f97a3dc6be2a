#include "cli/session.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "core/platform.h"
#include "lahar/pumice.h"

namespace lahar::cli {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

std::string software_device_notice(const std::string& name) {
  return "No GPU was found: " + name +
         " computes on the processor, slowly. If there is a GPU in this machine, install its Vulkan driver "
         "(mesa-vulkan-drivers for AMD and Intel, NVIDIA's own for GeForce); lahar devices shows what is found.";
}

Result<std::unique_ptr<ModelSource>> open_source(const std::string& path) {
  if (!path.empty()) return ModelSource::open(path);
  size_t size = 0;
  const auto* data = static_cast<const std::byte*>(lahar_pumice_data(&size));
  return ModelSource::from_memory({data, size}, "the built-in model");
}

Result<std::shared_ptr<gpu::Device>> open_device(const std::string& selector, const Log& log) {
  LAHAR_ASSIGN(auto instance, gpu::Instance::create({.log = log}));
  LAHAR_ASSIGN(auto device, gpu::Device::open(std::move(instance), {.selector = selector}));
  if (device->caps().is_cpu() && selector.empty() && (platform::stderr_is_terminal() || log.enabled(LogLevel::kInfo)))
    std::fprintf(stderr, "%s\n", software_device_notice(device->caps().info.name).c_str());
  return device;
}

Result<Session> Session::open(const ModelOptions& options, bool need_tokenizer, bool all_logits) {
  const Log log = stderr_log(options.verbose);
  const auto start = std::chrono::steady_clock::now();
  Session session;
  LAHAR_ASSIGN(session.source, open_source(options.model));
  auto tokenizer = Tokenizer::from_source(*session.source, log);
  if (tokenizer.ok()) {
    session.tokenizer = std::move(tokenizer).value();
    LAHAR_ASSIGN(session.chat, ChatFormat::from_source(*session.source, *session.tokenizer));
  } else if (need_tokenizer ||
             (tokenizer.error().code != ErrorCode::kNotFound && tokenizer.error().code != ErrorCode::kUnsupported)) {
    // Whoever works on ids alone needs no tokenizer, or may have one of a kind that is not built here.
    return std::move(tokenizer).error();
  }
  LAHAR_ASSIGN(session.device, open_device(options.device, log));
  session.times.device = seconds_since(start);

  LAHAR_ASSIGN(OpenOptions open, open_options(options));
  open.engine.all_logits = all_logits;
  open.engine.log = open.load.log = log;
  open.on_plan = [&](const MemoryPlan& plan) { log.info(session.source->name() + " " + plan.describe()); };
  platform::InterruptGuard interrupts;
  ProgressBar bar("Loading");
  open.load.progress = [&](uint64_t done, uint64_t total) {
    bar.update(done, total);
    return !platform::InterruptGuard::interrupted();
  };
  LAHAR_ASSIGN(session.engine, open_engine(session.device, *session.source, open));
  session.times.load = seconds_since(start) - session.times.device;

  session.stop_tokens = session.engine->spec().stop_tokens;
  if (session.tokenizer)
    for (const int32_t id : session.tokenizer->end_of_generation()) session.stop_tokens.push_back(id);
  std::sort(session.stop_tokens.begin(), session.stop_tokens.end());
  session.stop_tokens.erase(std::unique(session.stop_tokens.begin(), session.stop_tokens.end()), session.stop_tokens.end());
  return session;
}

}  // namespace lahar::cli
