// lahar tune: which form of each kernel is the fastest here, on a model's shapes or a standard set, remembered for later
// runs.
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/session.h"
#include "core/platform.h"
#include "engine/tuning.h"

namespace lahar::cli {
namespace {

struct State {
  ModelOptions model;
  bool json = false, forget = false, dry_run = false;
  double limit = 0;
};

struct Prepared {
  std::shared_ptr<gpu::Device> device;
  tune::TunePlan plan;
};

Result<Prepared> prepare(const State& state) {
  Prepared p;
  if (state.model.model.empty()) {
    LAHAR_ASSIGN(p.device, open_device(state.model.device, stderr_log(state.model.verbose)));
    p.plan = tune::standard_plan(
        p.device->caps(), {.rows = state.model.chunk == 0 ? EngineOptions::kDefaultChunk : state.model.chunk,
                           .context = state.model.context == 0 ? EngineOptions::kDefaultContext : state.model.context});
    return p;
  }
  ModelOptions untuned = state.model;
  untuned.no_tuning = true;
  LAHAR_ASSIGN(const Session session, Session::open(untuned, false));
  p.device = session.device;
  p.plan = tune_plan(*session.engine);
  return p;
}

std::string microseconds(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", seconds * 1e6);
  return text;
}

double gain(const tune::TunedCase& t) { return t.seconds > 0 ? t.default_seconds / t.seconds : 1; }

void print_header(const gpu::Device& device) {
  std::printf("%s\n\n| case | default | us | chosen | us | gain | GB/s | forms |\n|---|---|---:|---|---:|---:|---:|---:|\n",
              device.caps().info.name.c_str());
}

void print(const tune::TunedCase& t) {
  if (t.form.empty()) {
    std::printf("| %s | - | - | - | - | - | - | %s |\n", t.label.c_str(), t.note.c_str());
    return;
  }
  std::string forms = std::to_string(t.forms);
  if (t.slow > 0) forms += ", " + std::to_string(t.slow) + " slow";
  if (t.wrong > 0) forms += ", " + std::to_string(t.wrong) + " WRONG";
  const bool same = t.form == t.default_form;
  std::printf("| %s | %s | %s | %s | %s | %s | %.1f | %s |\n", t.label.c_str(), t.default_form.c_str(),
              microseconds(t.default_seconds).c_str(), same ? "the default" : t.form.c_str(),
              microseconds(t.seconds).c_str(), same ? "" : (std::to_string(gain(t)).substr(0, 4) + "x").c_str(),
              t.bytes / t.seconds / 1e9, forms.c_str());
}

nlohmann::ordered_json to_json(const tune::TunedCase& t) {
  return {{"case", t.name},
          {"default", t.default_form},
          {"default_seconds", t.default_seconds},
          {"form", t.form},
          {"seconds", t.seconds},
          {"bytes", t.bytes},
          {"flops", t.flops},
          {"forms", t.forms},
          {"slow", t.slow},
          {"wrong", t.wrong},
          {"note", t.note}};
}

void print_plan(const tune::TunePlan& plan) {
  for (const tune::TunePlan::Matmul& m : plan.matmuls) {
    std::printf("%s %ux%u%s%s, rows", std::string(to_string(m.shape.matrix.format)).c_str(), m.shape.matrix.rows,
                m.shape.matrix.cols, m.shape.glu != ops::Activation::kNone ? ", gated" : "",
                m.shape.gathered ? ", gathered" : "");
    for (const uint32_t bucket : m.buckets) std::printf(" %u", bucket);
    std::printf("\n");
  }
  for (const tune::TunePlan::Attention& a : plan.attentions)
    std::printf("attention of %u heads over %u of %u, %u rows at the end of %u tokens, context %u\n", a.shape.heads,
                a.shape.cache.kv_heads, a.shape.cache.head_dim, a.step.bucket, a.step.tokens, a.step.context);
  for (const tune::TunePlan::Experts& e : plan.experts) {
    std::printf("%u of %u experts, %s %ux%u and %s %ux%u, rows", e.shape.chosen, e.shape.experts,
                std::string(to_string(e.shape.gate_up.format)).c_str(), e.shape.gate_up.rows, e.shape.gate_up.cols,
                std::string(to_string(e.shape.down.format)).c_str(), e.shape.down.rows, e.shape.down.cols);
    for (const uint32_t bucket : e.buckets) std::printf(" %u", bucket);
    std::printf("\n");
  }
}

// What a line of the terminal has room for.
std::string fit(const std::string& text) {
  const auto most = static_cast<size_t>(std::max(platform::terminal_columns() - 1, 20));
  return text.size() <= most ? text : text.substr(0, most);
}

Status run(const State& state) {
  LAHAR_ASSIGN(const Prepared prepared, prepare(state));
  if (state.dry_run) {
    print_plan(prepared.plan);
    return {};
  }
  tune::Database database = tune::Database::open(*prepared.device);
  if (database.file().empty())
    return Error{ErrorCode::kNotFound, "there is no cache folder to remember anything in: set HOME"};
  if (state.forget) database.forget_choices(), database.forget_quarantined();

  platform::InterruptGuard interrupts;
  const bool progress = platform::stderr_is_terminal();
  std::string at = "0/" + std::to_string(prepared.plan.cases());
  tune::TuneOptions options;
  if (state.limit > 0) options.seconds = state.limit;
  const auto start = std::chrono::steady_clock::now();
  options.on_form = [&](const std::string& form) {
    if (progress) std::fprintf(stderr, "\r\033[K%s", fit(at + " " + form).c_str());
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return !platform::InterruptGuard::interrupted() && seconds < options.seconds;
  };
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  if (!state.json) print_header(*prepared.device);
  Status status = tune::tune_all(*prepared.device, prepared.plan, database, options,
                                 [&](size_t done, size_t all, const tune::TunedCase& tuned) {
                                   at = std::to_string(done) + "/" + std::to_string(all);
                                   if (progress) std::fprintf(stderr, "\r\033[K");
                                   if (state.json) list.push_back(to_json(tuned));
                                   else print(tuned);
                                   std::fflush(stdout);
                                   return !platform::InterruptGuard::interrupted();
                                 });
  if (progress) std::fprintf(stderr, "\r\033[K");
  if (state.json) std::printf("%s\n", list.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  for (const auto& [form, reason] : database.quarantined())
    std::fprintf(stderr, "in quarantine: %s (%s)\n", form.c_str(), reason.c_str());
  if (!status.ok() && status.error().code == ErrorCode::kDeviceLost)
    return annotate(status.error(), "the form that ran is in quarantine; run this again to go on");
  if (!status.ok() && status.error().code != ErrorCode::kCancelled) return status;
  std::fprintf(stderr, "%s %zu choices in %s\n", status.ok() ? "Kept" : "Stopped early; kept", database.choices().size(),
               database.file().string().c_str());
  return {};
}

}  // namespace

void add_tune(CLI::App& program, Action& chosen) {
  auto state = std::make_shared<State>();
  CLI::App* command = add_command(
      program, "tune",
      "Measure which form of each kernel is the fastest here, for steps of a model's shapes or of common ones, and remember "
      "it for engines of the same --context, --kv and --precision",
      chosen, run, state);
  add_model_path(*command, state->model.model, "shapes of common models");
  add_engine_options(*command, state->model);
  command->add_option("--limit", state->limit, "Stop after so many seconds, with what there is")->check(CLI::PositiveNumber);
  command->add_flag("--forget", state->forget, "Forget earlier choices and quarantines first");
  command->add_flag("--dry-run", state->dry_run, "Show what would be measured");
  command->add_flag("--json", state->json, "As JSON");
}

}  // namespace lahar::cli
