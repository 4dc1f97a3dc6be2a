#include "tune/tuner.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "tune/timed.h"

namespace lahar::tune {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kHopeless = 8;       // times as long as the fastest form: not timed
constexpr double kShortest = 0.0005;  // seconds of a first run under which it says nothing about being hopeless
constexpr uint32_t kRuns = 5;
constexpr int kFinalRuns = 5, kLeastFinalRuns = 3;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Contender {
  const Candidate* candidate = nullptr;
  double estimate = 0, seconds = 0;
};

Result<RepeatedCall> repeated(gpu::Device& device, const Case& c, const Contender& contender) {
  return RepeatedCall::create(device, contender.candidate->record, c.copies, contender.estimate);
}

// Runs `work` with the form marked as being tried, and blames it for a lost device.
Status while_trying(Database& database, const std::string& form, const std::function<Status()>& work) {
  LAHAR_TRY(database.trying(form));
  const Status status = work();
  if (!status.ok() && status.error().code == ErrorCode::kDeviceLost)
    LAHAR_TRY(database.quarantine(form, "lost the device: " + status.error().message));
  LAHAR_TRY(database.trying(""));
  return status;
}

// The best one and the default again, in turns, so that a clock that changed meanwhile favours neither. The least time of
// each counts: other work on the machine can only add to it.
Status run_off(gpu::Device& device, const Case& c, Contender& best, Contender& usual, double limit) {
  LAHAR_ASSIGN(RepeatedCall a, repeated(device, c, best));
  LAHAR_ASSIGN(RepeatedCall b, repeated(device, c, usual));
  std::vector<double> best_seconds, usual_seconds;
  const auto start = Clock::now();
  for (int i = 0; i <= kFinalRuns && (i <= kLeastFinalRuns || seconds_since(start) < 2 * limit); ++i) {
    LAHAR_ASSIGN(const double first, a.run());
    LAHAR_ASSIGN(const double second, b.run());
    if (i > 0) best_seconds.push_back(first), usual_seconds.push_back(second);
  }
  best.seconds = *std::min_element(best_seconds.begin(), best_seconds.end());
  usual.seconds = *std::min_element(usual_seconds.begin(), usual_seconds.end());
  return {};
}

}  // namespace

Result<TunedCase> tune_case(gpu::Device& device, const Case& c, Database& database, const TuneOptions& options) {
  TunedCase tuned{.name = c.name, .label = c.label, .default_form = {}, .form = {}, .note = {}};
  tuned.bytes = c.bytes, tuned.flops = c.flops;
  LAHAR_ASSIGN(const auto checked,
               check_case(device, c, &database, {.hopeless = 4 * kHopeless, .on_form = options.on_form}));
  double fastest = std::numeric_limits<double>::infinity();
  for (const FormResult& r : checked)
    if (r.status == FormResult::Status::kOk) fastest = std::min(fastest, r.check_seconds);
  std::vector<Contender> contenders;
  for (size_t i = 0; i < checked.size(); ++i) {
    const FormResult& r = checked[i];
    tuned.forms += r.status == FormResult::Status::kOk ? 1 : 0;
    tuned.wrong += r.status == FormResult::Status::kWrong ? 1 : 0;
    if (r.status != FormResult::Status::kOk) continue;
    Contender contender{&c.candidates[i], r.check_seconds, 0};
    // The first run of a form may have been disturbed: another one decides.
    const auto hopeless = [&] { return contender.estimate > kShortest && contender.estimate > kHopeless * fastest; };
    if (hopeless())
      LAHAR_TRY(while_trying(database, r.form, [&]() -> Status {
        LAHAR_ASSIGN(RepeatedCall call, repeated(device, c, contender));
        LAHAR_ASSIGN(const double again, call.run());
        contender.estimate = std::min(contender.estimate, again);
        return {};
      }));
    // The default is what the others are measured against.
    if (hopeless() && !contenders.empty()) ++tuned.slow;
    else contenders.push_back(contender);
  }
  if (contenders.empty()) {
    tuned.note = tuned.wrong > 0 ? "no form is right: " + checked.front().reason : "no form can run";
    return tuned;
  }
  for (Contender& contender : contenders) {
    if (options.on_form && !options.on_form(contender.candidate->form)) return Error{ErrorCode::kCancelled, "cancelled"};
    LAHAR_TRY(while_trying(database, contender.candidate->form, [&]() -> Status {
      LAHAR_ASSIGN(RepeatedCall call, repeated(device, c, contender));
      LAHAR_ASSIGN(contender.seconds, call.measure(kRuns, options.form_seconds));
      return {};
    }));
    contender.estimate = std::min(contender.estimate, contender.seconds);
  }
  // The candidates begin with the default; where that one is out, with what ops take instead.
  Contender usual = contenders.front();
  Contender best = *std::min_element(contenders.begin(), contenders.end(),
                                     [](const Contender& a, const Contender& b) { return a.seconds < b.seconds; });
  if (best.candidate != usual.candidate)
    LAHAR_TRY(
        while_trying(database, best.candidate->form, [&] { return run_off(device, c, best, usual, options.form_seconds); }));
  if (best.seconds > usual.seconds * (1 - options.least_gain)) best = usual;
  tuned.default_form = usual.candidate->form, tuned.default_seconds = usual.seconds;
  tuned.form = best.candidate->form, tuned.seconds = best.seconds;
  database.choose(c.name, {tuned.form, tuned.default_form, tuned.seconds, tuned.default_seconds});
  return tuned;
}

Status tune_all(gpu::Device& device, const TunePlan& plan, Database& database, const TuneOptions& options,
                const OnTuned& on_tuned) {
  LAHAR_TRY(prove_device(device));
  LAHAR_TRY(database.begin_trials());
  const auto start = Clock::now();
  size_t done = 0;
  const size_t all = plan.cases();
  bool stop = false;
  const auto tune = [&](const Result<Case>& made) -> Status {
    if (!made.ok()) return made.error();
    LAHAR_ASSIGN(const TunedCase tuned, tune_case(device, *made, database, options));
    LAHAR_TRY(database.save());
    stop = (on_tuned && !on_tuned(++done, all, tuned)) || seconds_since(start) > options.seconds;
    return {};
  };
  const auto run = [&]() -> Status {
    for (const TunePlan::Matmul& m : plan.matmuls) {
      if (stop) break;
      LAHAR_ASSIGN(SampleMatrix matrix, SampleMatrix::create(device, m.shape.matrix, options.cold_bytes));
      const auto shared = std::make_shared<const SampleMatrix>(std::move(matrix));
      for (size_t i = 0; i < m.buckets.size() && !stop; ++i)
        LAHAR_TRY(tune(make_matmul_case(device, shared, m.shape, m.buckets[i])));
    }
    for (const TunePlan::Attention& a : plan.attentions)
      if (!stop) LAHAR_TRY(tune(make_attention_case(device, a.shape, a.step, options.cold_bytes)));
    for (const TunePlan::Experts& e : plan.experts)
      for (size_t i = 0; i < e.buckets.size() && !stop; ++i)
        LAHAR_TRY(tune(make_experts_case(device, e.shape, e.buckets[i], options.cold_bytes)));
    return {};
  };
  const Status status = run();
  database.end_trials();
  return status;
}

}  // namespace lahar::tune
