#include <algorithm>
#include <array>
#include <chrono>
#include <set>

#include "ops/kv_type.h"
#include "quant/formats.h"
#include "tune/doctor.h"

namespace lahar::tune {
namespace {

using quant::WeightFormat;

// Few, but with tails: no multiple of any tile, more rows than one workgroup has.
constexpr uint32_t kRows = 267, kCols = 512, kContext = 300;
constexpr uint64_t kOneCopy = 1;
constexpr std::array kCommon = {WeightFormat::kF16, WeightFormat::kQ8_0, WeightFormat::kQ4_0, WeightFormat::kQ4_K,
                                WeightFormat::kQ6_K};

// Keeps the first candidate of each path.
void keep_first_of_each_path(Case& c) {
  std::set<std::string> seen;
  std::erase_if(c.candidates, [&](const Candidate& k) { return !seen.insert(k.path).second; });
}

class Checks {
 public:
  Checks(gpu::Device& device, Database& database, const DoctorOptions& options, DoctorReport& report)
      : device_(device), database_(database), options_(options), report_(report) {}

  // Formats [first, last) of the common ones, or all others.
  Status common_matmuls(size_t first, size_t last) {
    for (size_t i = first; i < last && !stopped(); ++i) LAHAR_TRY(matmuls(kCommon[i], true));
    return {};
  }
  Status other_matmuls() {
    for (uint32_t i = 0; i < static_cast<uint32_t>(WeightFormat::kCount) && !stopped(); ++i) {
      const auto format = static_cast<WeightFormat>(i);
      if (std::find(kCommon.begin(), kCommon.end(), format) == kCommon.end()) LAHAR_TRY(matmuls(format, false));
    }
    return {};
  }
  Status gated() {
    MatmulShape shape{.matrix = {WeightFormat::kF16, 2 * kRows, kCols, 0}, .glu = ops::Activation::kSilu};
    if (stopped() || !wanted(WeightFormat::kF16)) return {};
    LAHAR_ASSIGN(SampleMatrix sample, SampleMatrix::create(device_, shape.matrix, kOneCopy));
    const auto matrix = std::make_shared<const SampleMatrix>(std::move(sample));
    for (const uint32_t bucket : {1u, 37u}) {
      LAHAR_ASSIGN(Case c, make_matmul_case(device_, matrix, shape, bucket));
      keep_first_of_each_path(c);
      LAHAR_TRY(check("gated matmul", c));
    }
    return {};
  }

  // Of the F16 cache, or of the others.
  Status attentions(bool first) {
    for (uint32_t type = 0; type < static_cast<uint32_t>(ops::KvType::kCount); ++type)
      for (const uint32_t dim : {64u, 128u})
        for (const uint32_t bucket : {1u, 37u}) {
          if (stopped() || (type == 0) != first || (!first && dim == 64) || (!options_.all_forms && dim == 128 && first))
            continue;
          const AttentionShape shape{.cache = {static_cast<ops::KvType>(type), 2, dim}, .heads = 6};
          LAHAR_ASSIGN(Case c, make_attention_case(device_, shape, {bucket, kContext, kContext}, kOneCopy));
          if (!options_.all_forms || !first) keep_first_of_each_path(c);
          LAHAR_TRY(check("attention", c));
        }
    return {};
  }

  // Keys that hold the values too.
  Status latents() {
    for (const uint32_t bucket : {1u, 37u}) {
      if (stopped()) break;
      const AttentionShape shape{.cache = {ops::KvType::kF16, 1, 160, 128}, .heads = 6};
      LAHAR_ASSIGN(Case c, make_attention_case(device_, shape, {bucket, kContext, kContext}, kOneCopy));
      keep_first_of_each_path(c);
      LAHAR_TRY(check("latent attention", c));
    }
    return {};
  }
  Status experts() {
    for (const WeightFormat format : {WeightFormat::kF16, WeightFormat::kQ8_0, WeightFormat::kQ4_0})
      for (const uint32_t bucket : {1u, 37u}) {
        if (stopped() || !wanted(format)) continue;
        const ExpertsShape shape{
            .gate_up = {format, 2 * 96, kCols, 0}, .down = {format, kCols, 96, 0}, .experts = 12, .chosen = 3};
        LAHAR_ASSIGN(Case c, make_experts_case(device_, shape, bucket, kOneCopy));
        keep_first_of_each_path(c);
        LAHAR_TRY(check("experts", c));
      }
    return {};
  }

  // Forms in quarantine that were right wherever they ran may be used again.
  Status release() {
    for (const std::string& form : right_)
      if (!wrong_.contains(form)) LAHAR_TRY(database_.release(form));
    return {};
  }

 private:
  Status matmuls(WeightFormat format, bool common) {
    if (!wanted(format)) return {};
    const MatmulShape shape{.matrix = {format, kRows, kCols, format == WeightFormat::kI4 ? 64u : 0u}};
    LAHAR_ASSIGN(SampleMatrix sample, SampleMatrix::create(device_, shape.matrix, kOneCopy));
    const auto matrix = std::make_shared<const SampleMatrix>(std::move(sample));
    for (const uint32_t bucket : {1u, 5u, 37u}) {
      if (bucket == 5 && !options_.all_forms) continue;
      LAHAR_ASSIGN(Case c, make_matmul_case(device_, matrix, shape, bucket));
      if (!options_.all_forms || !common) keep_first_of_each_path(c);
      LAHAR_TRY(check("matmul", c));
    }
    return {};
  }

  bool wanted(WeightFormat format) const {
    return options_.formats.empty() ||
           std::find(options_.formats.begin(), options_.formats.end(), format) != options_.formats.end();
  }

  bool stopped() {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    if (seconds > options_.seconds && report_.stopped.empty())
      report_.stopped = "the time was up; not everything was checked";
    return !report_.stopped.empty();
  }

  Status check(const std::string& op, const Case& c) {
    if (stopped()) return {};
    const auto on_form = [&](const std::string& form) {
      if (options_.on_check && !options_.on_check(c.label + ": " + form)) report_.stopped = "stopped on request";
      return !stopped();
    };
    const auto results = check_case(device_, c, &database_, {.retry = true, .on_form = on_form});
    if (!results.ok()) {
      if (results.error().code == ErrorCode::kCancelled) return {};
      return results.error();
    }
    for (const FormResult& r : *results) {
      KernelCheck& row = row_of(op + " " + r.path);
      switch (r.status) {
        case FormResult::Status::kOk: ++row.ok; break;
        case FormResult::Status::kWrong: ++row.wrong; break;
        case FormResult::Status::kUnavailable: ++row.unavailable; break;
        case FormResult::Status::kSkipped: ++row.skipped; break;
      }
      if (r.status == FormResult::Status::kOk) right_.insert(r.form);
      if (r.status == FormResult::Status::kWrong) wrong_.insert(r.form);
      if (r.status == FormResult::Status::kWrong) report_.failures.push_back(r.form + ": " + r.reason);
    }
    return {};
  }

  KernelCheck& row_of(const std::string& kernel) {
    for (KernelCheck& row : report_.checks)
      if (row.kernel == kernel) return row;
    return report_.checks.emplace_back(KernelCheck{.kernel = kernel});
  }

  gpu::Device& device_;
  Database& database_;
  const DoctorOptions& options_;
  DoctorReport& report_;
  std::set<std::string> right_, wrong_;  // forms, in one case at least
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

Status check_kernels(gpu::Device& device, Database& database, const DoctorOptions& options, DoctorReport& report) {
  if (const Status proof = prove_device(device); !proof.ok()) {
    if (proof.error().code != ErrorCode::kUnsupported) return proof;
    report.stopped = proof.error().message;
    return {};
  }
  LAHAR_TRY(database.begin_trials());
  Checks checks(device, database, options, report);
  const auto run = [&]() -> Status {
    // What matters most first: the time may be up.
    LAHAR_TRY(checks.common_matmuls(0, 1));
    LAHAR_TRY(checks.attentions(true));
    LAHAR_TRY(checks.common_matmuls(1, kCommon.size()));
    LAHAR_TRY(checks.gated());
    LAHAR_TRY(checks.experts());
    LAHAR_TRY(checks.attentions(false));
    LAHAR_TRY(checks.latents());
    LAHAR_TRY(checks.other_matmuls());
    return report.stopped.empty() ? checks.release() : Status{};
  };
  const Status status = run();
  database.end_trials();
  return status;
}

}  // namespace lahar::tune
