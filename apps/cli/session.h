// What the subcommands open: a model's files, its tokenizer and chat format, and an engine on a device.
#pragma once

#include <memory>
#include <string>

#include "cli/options.h"
#include "cli/terminal.h"
#include "engine/engine.h"
#include "format/model_source.h"
#include "gpu/device.h"
#include "text/chat_format.h"
#include "text/tokenizer.h"

namespace lahar::cli {

// A path, or the built-in model where it is empty.
Result<std::unique_ptr<ModelSource>> open_source(const std::string& path);

// Says so on stderr where only a software device is found and the user can read it.
Result<std::shared_ptr<gpu::Device>> open_device(const std::string& selector, const Log& log);

std::string software_device_notice(const std::string& name);

// Seconds that each part of starting took.
struct StartTimes {
  double device = 0, load = 0;
};

struct Session {
  std::unique_ptr<ModelSource> source;
  std::unique_ptr<Tokenizer> tokenizer;  // null where the model has none
  std::unique_ptr<ChatFormat> chat;      // null where there is no tokenizer
  std::shared_ptr<gpu::Device> device;
  std::unique_ptr<Engine> engine;
  StartTimes times;
  std::vector<int32_t> stop_tokens;  // the spec's and the tokenizer's

  // Says beforehand what the model needs, shows a progress bar, can be cancelled with Ctrl-C. `need_tokenizer`: a model
  // without one is an error.
  static Result<Session> open(const ModelOptions& options, bool need_tokenizer, bool all_logits = false);
};

}  // namespace lahar::cli
