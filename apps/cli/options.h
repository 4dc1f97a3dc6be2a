// Options that several subcommands share.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "engine/open.h"
#include "engine/sampling_params.h"

namespace lahar::cli {

struct ModelOptions {
  std::string model;  // empty: the built-in one
  std::string device;
  std::string quantize, precision = "default", kv;
  uint32_t context = 0, chunk = 0;
  std::vector<uint32_t> streaming;  // sinks and window in tokens; empty: none. Has its option in some commands alone
  std::string rope_scaling;         // empty: the model's own
  std::optional<double> rope_scale;
  std::optional<uint32_t> yarn_orig_ctx;
  uint64_t gpu_memory = 0;            // bytes; 0: what there is
  std::optional<uint64_t> moe_cache;  // bytes
  uint32_t slots = 1;                 // sequences at once; no option of its own
  bool no_tuning = false;
  bool verbose = false;
};

// What a command takes where no model is named.
constexpr std::string_view kBuiltInModel = "the built-in model";

// The model's path alone. `otherwise`: what is taken without one; empty: it must be there.
void add_model_path(CLI::App& command, std::string& path, std::string_view otherwise);
// What an engine is opened with: the device, sizes, formats and memory.
void add_engine_options(CLI::App& command, ModelOptions& options);
// All of it, for commands that run a model.
void add_model_options(CLI::App& command, ModelOptions& options, std::string_view otherwise = kBuiltInModel);
void add_streaming_option(CLI::App& command, ModelOptions& options);
Result<OpenOptions> open_options(const ModelOptions& options);

struct SamplingOptions {
  std::optional<float> temperature, top_p, min_p;
  std::optional<uint32_t> top_k;
  std::optional<uint64_t> seed;
};
void add_sampling_options(CLI::App& command, SamplingOptions& options);
// What the user said, else what the model's makers advise, else the defaults; a random seed where none was given.
SamplingParams sampling_params(const SamplingOptions& options, const SamplingDefaults& advised);

// "1,2,3" or "1 2 3" as numbers. Error: kInvalidArgument, with the piece that is none.
Result<std::vector<int32_t>> parse_ids(std::string_view text);

}  // namespace lahar::cli
