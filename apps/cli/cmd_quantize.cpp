// lahar quantize: a GGUF with its matrices in another type.
#include <algorithm>
#include <cstdio>
#include <map>

#include "cli/command.h"
#include "cli/terminal.h"
#include "core/platform.h"
#include "core/quote.h"
#include "engine/memory_plan.h"
#include "quantize/quantize_file.h"

namespace lahar::cli {
namespace {

struct State {
  std::string in, out, type, importance;
  std::vector<std::string> rules;  // PATTERN=TYPE
  unsigned threads = 0;
  bool dry_run = false;
};

std::string type_list() {
  std::string text;
  for (const std::string_view name : quantize_types()) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

Result<DType> parse_type(std::string_view name) {
  if (const auto type = quantize_type(name)) return *type;
  return Error{ErrorCode::kInvalidArgument, "unknown type " + quote(name) + ", there are " + type_list()};
}

Result<std::vector<TypeRule>> parse_rules(const std::vector<std::string>& texts) {
  std::vector<TypeRule> rules;
  for (const std::string& text : texts) {
    const size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0)
      return Error{ErrorCode::kInvalidArgument, "--type-for " + quote(text) + ": PATTERN=TYPE expected"};
    LAHAR_ASSIGN(const DType type, parse_type(std::string_view(text).substr(equals + 1)));
    rules.push_back({text.substr(0, equals), type});
  }
  return rules;
}

void print_table(const QuantizePlan& plan) {
  for (const TensorConversion& c : plan.tensors)
    std::printf("%-44s %-16s %-6s -> %-6s %10s -> %10s%s%s\n", c.tensor->name.c_str(), c.tensor->shape.to_string().c_str(),
                std::string(quantize_type_name(c.tensor->dtype)).c_str(), std::string(quantize_type_name(c.type)).c_str(),
                format_bytes(c.source_bytes()).c_str(), format_bytes(c.bytes).c_str(), c.note.empty() ? "" : "  ",
                c.note.c_str());
}

// What the user did not ask for.
void print_notes(const QuantizePlan& plan, const ImportanceMatrix* importance) {
  std::map<std::string, std::pair<uint64_t, std::string>> fallbacks;
  uint64_t matrices = 0, weighted = 0;
  for (const TensorConversion& c : plan.tensors) {
    if (c.fell_back) {
      auto& [count, first] = fallbacks[std::string(quantize_type_name(c.type)) + ": " + c.note];
      if (count++ == 0) first = c.tensor->name;
    }
    if (c.type == c.tensor->dtype || c.tensor->shape.rank() < 2) continue;
    ++matrices;
    if (importance != nullptr && importance->has(c.tensor->name)) ++weighted;
  }
  for (const auto& [what, where] : fallbacks)
    std::fprintf(stderr, "%llu matrices become %s (%s%s)\n", static_cast<unsigned long long>(where.first), what.c_str(),
                 where.second.c_str(), where.first > 1 ? ", ..." : "");
  if (importance != nullptr)
    std::fprintf(stderr, "%s%llu of %llu matrices have an importance\n", weighted == 0 ? "warning: " : "",
                 static_cast<unsigned long long>(weighted), static_cast<unsigned long long>(matrices));
  if (plan.requantized > 0)
    std::fprintf(stderr, "%llu matrices were quantized before; what they lost then stays lost\n",
                 static_cast<unsigned long long>(plan.requantized));
}

Status write(const State& state, const ModelSource& source, const QuantizePlan& plan, QuantizeOptions& options) {
  ProgressBar bar("Writing " + state.out);
  platform::InterruptGuard interrupts;
  options.progress = [&](uint64_t done, uint64_t total) {
    bar.update(done, total);
    return !platform::InterruptGuard::interrupted();
  };
  return quantize_file(source, plan, state.out, options);
}

Status run(const State& state) {
  LAHAR_ASSIGN(const DType type, parse_type(state.type));
  LAHAR_ASSIGN(const auto rules, parse_rules(state.rules));
  LAHAR_ASSIGN(const auto source, ModelSource::open(state.in));
  LAHAR_ASSIGN(const QuantizePlan plan, plan_quantization(*source, type, rules));
  std::optional<ImportanceMatrix> importance;
  if (!state.importance.empty()) { LAHAR_ASSIGN(importance, ImportanceMatrix::open(state.importance)); }
  QuantizeOptions options;
  options.importance = importance ? &*importance : nullptr;
  options.threads = state.threads;
  LAHAR_ASSIGN(const GgufWriter writer, quantized_file(*source, plan, options));
  LAHAR_ASSIGN(const uint64_t size, writer.file_size());
  print_notes(plan, options.importance);
  if (state.dry_run) print_table(plan);
  else LAHAR_TRY(write(state, *source, plan, options));
  std::printf("%zu tensors, %s -> %s; the file %s %s\n", plan.tensors.size(), format_bytes(plan.source_bytes).c_str(),
              format_bytes(plan.bytes).c_str(), state.dry_run ? "would have" : "has", format_bytes(size).c_str());
  return {};
}

constexpr const char* kFooter =
    "Linear layers and embeddings become TYPE; with a type of four bits (Q4_0, Q4_K, IQ4_NL, MXFP4) the output matrix, "
    "which "
    "may be the token embedding too, becomes Q6_K. Norms, biases and other vectors are F32. Where rows are not whole "
    "blocks, "
    "Q4_K becomes IQ4_NL, Q6_K becomes Q8_0, and rows that 32 does not divide become F16. F8 is Lahar's own (fp8 e4m3, a "
    "scale for 128 columns); other programs cannot read it.";

}  // namespace

void add_quantize(CLI::App& program, Action& chosen) {
  auto state = std::make_shared<State>();
  CLI::App* command =
      add_command(program, "quantize", "Write a GGUF model with its weights in another type", chosen, run, state);
  command->add_option("IN", state->in, "GGUF file, or the first of its parts")->required();
  command->add_option("OUT", state->out, "File to write")->required();
  command->add_option("TYPE", state->type, type_list())->required();
  command
      ->add_option("--type-for", state->rules,
                   "PATTERN=TYPE, another type for tensors in whose names the regular expression is found; the first that "
                   "fits decides; repeatable")
      ->take_all()
      ->allow_extra_args(false);
  command->add_option("--imatrix", state->importance, "Importance matrix from llama-imatrix (GGUF or .dat)");
  command->add_option("--threads", state->threads, "0: one for each processor")->capture_default_str();
  command->add_flag("--dry-run", state->dry_run, "Show every tensor's type and size, write nothing");
  command->footer(kFooter);
}

}  // namespace lahar::cli
