// What the handles of the C API hold. A handle is a pointer to shared state: a call that is under way, or a handle made from
// another, keeps the state alive when the handle is destroyed.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "api/boundary.h"
#include "core/log.h"
#include "core/result.h"
#include "format/model_source.h"
#include "gpu/device.h"
#include "gpu/instance.h"
#include "gpu/requirements.h"
#include "text/chat_format.h"
#include "text/tokenizer.h"

namespace lahar::api {

struct RuntimeState {
  explicit RuntimeState(Log log_to) : log(std::move(log_to)) {}

  // Made by the first call that needs Vulkan. Any thread.
  Result<std::shared_ptr<gpu::Instance>> instance();
  // Keeps what an application was told a device needs, for as long as this lives. Any thread.
  gpu::DeviceRequirements& keep(std::unique_ptr<gpu::DeviceRequirements> requirements);

  const Log log;
  ErrorText error;

 private:
  std::mutex mutex_;
  std::shared_ptr<gpu::Instance> instance_;
  std::vector<std::unique_ptr<gpu::DeviceRequirements>> requirements_;
};

// Errors: kInvalidArgument, kUnsupported.
Result<std::shared_ptr<gpu::Device>> import_device(RuntimeState& runtime, const lahar_vulkan_device& given);

// Immutable but for `error`.
struct ModelState {
  static Result<std::shared_ptr<ModelState>> make(std::shared_ptr<RuntimeState> runtime,
                                                  std::unique_ptr<ModelSource> source);

  // The errors with which a model was read without them: no tokenizer, one that is not supported, a damaged template.
  Result<const Tokenizer*> need_tokenizer() const;
  Result<const ChatFormat*> need_chat() const;

  std::shared_ptr<RuntimeState> runtime;
  std::unique_ptr<ModelSource> source;
  std::unique_ptr<Tokenizer> tokenizer;  // null where tokenizer_error is set
  std::unique_ptr<ChatFormat> chat;      // null where one of the errors is set
  std::optional<Error> tokenizer_error, chat_error;
  ErrorText error;
};

class EngineState;

}  // namespace lahar::api

struct lahar_runtime {
  std::shared_ptr<lahar::api::RuntimeState> state;
};

struct lahar_model {
  std::shared_ptr<lahar::api::ModelState> state;
};

struct lahar_engine {
  std::shared_ptr<lahar::api::EngineState> state;
};
