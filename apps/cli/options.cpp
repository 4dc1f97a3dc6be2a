#include "cli/options.h"

#include <charconv>
#include <random>

#include "ops/kv_type.h"

namespace lahar::cli {
namespace {

RopeScaling chosen_scaling(std::string_view name) {
  if (name == "linear") return RopeScaling::kLinear;
  return name == "yarn" ? RopeScaling::kYarn : RopeScaling::kNone;
}

}  // namespace

void add_model_path(CLI::App& command, std::string& path, std::string_view otherwise) {
  std::string help = "GGUF file or Hugging Face folder";
  if (!otherwise.empty()) help += " (default: " + std::string(otherwise) + ")";
  command.add_option("MODEL", path, help)->required(otherwise.empty());
}

void add_engine_options(CLI::App& command, ModelOptions& options) {
  command.add_option("--device", options.device, "Device: its number, UUID or a part of its name (see lahar devices)");
  command.add_option("-c,--context", options.context, "Context in tokens (default: the model's, at most 8192)");
  command.add_option("--chunk", options.chunk, "Prompt tokens computed in one step (default 512)")
      ->check(CLI::Range(1u, 4096u));
  command.add_option("--quantize", options.quantize, "Convert F32, F16 and BF16 weights while loading")
      ->check(CLI::IsMember({"int8", "int4", "fp8"}));
  command.add_option("--precision", options.precision, "f32 keeps everything in fp32")
      ->check(CLI::IsMember({"default", "f32"}));
  command.add_option("--kv", options.kv, "What the KV cache holds (default f16; with --precision f32, f32)")
      ->check(CLI::IsMember({"f16", "bf16", "f32", "int8", "fp8", "int4"}));
  const CLI::AsSizeValue size(false);
  command
      .add_option("--gpu-memory", options.gpu_memory,
                  "Device memory to use at most (6G, 800M); weights beyond it are read from the host's memory")
      ->transform(size);
  command
      .add_option("--moe-cache", options.moe_cache,
                  "Keep experts in the host's memory, with copies of those in use in so much device memory (default: only "
                  "where they do not fit, in what is left)")
      ->transform(size);
  command.add_flag("-v,--verbose", options.verbose, "Say what is being done");
}

void add_model_options(CLI::App& command, ModelOptions& options, std::string_view otherwise) {
  add_model_path(command, options.model, otherwise);
  add_engine_options(command, options);
  command
      .add_option(
          "--rope-scaling", options.rope_scaling,
          "Stretch RoPE over a longer context: none, linear or yarn (default: the model's own; with --streaming, yarn "
          "where the cache is longer than what the model was trained on)")
      ->check(CLI::IsMember({"none", "linear", "yarn"}));
  command
      .add_option("--rope-scale", options.rope_scale,
                  "The factor of that: the context is so many times as long as what the model was trained on (default: what "
                  "the context needs)")
      ->check(CLI::Range(1.0, 1e6));
  command
      .add_option("--yarn-orig-ctx", options.yarn_orig_ctx,
                  "Tokens of the sequences that the model was trained on (default: what its file says)")
      ->check(CLI::Range(1u, UINT32_MAX));
  command.add_flag("--no-tuning", options.no_tuning,
                   "Kernels take their default forms, whatever was measured (see lahar tune)");
}

void add_streaming_option(CLI::App& command, ModelOptions& options) {
  command
      .add_option("--streaming", options.streaming,
                  "SINKS,WINDOW: never run out of context, by keeping the first SINKS tokens and the last WINDOW (4,1024)")
      ->delimiter(',')
      ->expected(2)
      ->check(CLI::Range(0u, 65536u));
}

Result<OpenOptions> open_options(const ModelOptions& options) {
  constexpr double kFirstTuning = 2;  // seconds
  OpenOptions open;
  open.use_tuning = !options.no_tuning;
  open.first_tuning_seconds = kFirstTuning;
  open.engine.context = options.context;
  open.engine.chunk = options.chunk;
  if (!options.streaming.empty()) {
    open.engine.streaming = {.sinks = options.streaming[0], .window = options.streaming[1]};
    if (!open.engine.streaming.on()) return Error{ErrorCode::kInvalidArgument, "--streaming: a window of 0 tokens"};
  }
  if (!options.rope_scaling.empty()) open.engine.rope.scaling = chosen_scaling(options.rope_scaling);
  open.engine.rope.factor = options.rope_scale.value_or(0);
  open.engine.rope.original_context = options.yarn_orig_ctx.value_or(0);
  open.engine.slots = options.slots;
  open.engine.precision = options.precision == "f32" ? ops::Precision::kF32 : ops::Precision::kDefault;
  if (!options.kv.empty()) open.engine.kv = ops::kv_type_from_name(options.kv);
  open.engine.memory_cap = options.gpu_memory;
  open.engine.expert_cache = options.moe_cache;
  if (!options.quantize.empty()) open.quantize = quantize_from_name(options.quantize).value_or(Quantize::kNone);
  return open;
}

void add_sampling_options(CLI::App& command, SamplingOptions& options) {
  command.add_option("--temp", options.temperature, "Temperature; 0 always takes the likeliest token")
      ->check(CLI::Range(0.0f, 100.0f));
  command.add_option("--top-k", options.top_k, "Keep the k likeliest tokens; 0: all");
  command.add_option("--top-p", options.top_p, "Keep the likeliest tokens that make up this probability")
      ->check(CLI::Range(0.0f, 1.0f));
  command.add_option("--min-p", options.min_p, "Keep tokens at least this likely, relative to the likeliest")
      ->check(CLI::Range(0.0f, 1.0f));
  command.add_option("--seed", options.seed, "Seed: the same one gives the same text (default: random)");
}

SamplingParams sampling_params(const SamplingOptions& options, const SamplingDefaults& advised) {
  SamplingParams params;
  const bool greedy = advised.do_sample.has_value() && !*advised.do_sample;
  params.temperature = options.temperature.value_or(greedy ? 0.0f : advised.temperature.value_or(params.temperature));
  params.top_k = options.top_k.value_or(advised.top_k.value_or(params.top_k));
  params.top_p = options.top_p.value_or(advised.top_p.value_or(params.top_p));
  params.min_p = options.min_p.value_or(advised.min_p.value_or(params.min_p));
  params.seed = options.seed.value_or((uint64_t{std::random_device{}()} << 32) | std::random_device{}());
  return params;
}

Result<std::vector<int32_t>> parse_ids(std::string_view text) {
  std::vector<int32_t> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    if (*at == ',' || *at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') {
      ++at;
      continue;
    }
    int32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc{})
      return Error{ErrorCode::kInvalidArgument, "'" + std::string(at, std::min<size_t>(20, static_cast<size_t>(end - at))) +
                                                    "' is not a token id; ids are numbers separated by commas or spaces"};
    ids.push_back(id);
    at = next;
  }
  return ids;
}

}  // namespace lahar::cli
