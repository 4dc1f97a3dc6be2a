// lahar bench --ops: each kernel by itself, in the form that models take, on the shapes of a model or of a standard one,
// with weights and caches that no cache of the device still holds.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/bench.h"
#include "engine/tuning.h"
#include "ops/kv_type.h"
#include "ops/norm.h"
#include "ops/rope.h"
#include "tune/database.h"
#include "tune/timed.h"

namespace lahar::cli {
namespace {

constexpr uint64_t kColdBytes = 256ull << 20;  // larger than any last-level cache

// One line of the table.
struct Line {
  std::string op, shape, form;
  uint32_t rows = 0;
  double seconds = 0, bytes = 0, flops = 0;  // of one call
};

// What is measured, and how the kernels are chosen.
struct Subject {
  std::shared_ptr<gpu::Device> device;
  std::shared_ptr<const ops::Tuning> tuning;  // null: default forms
  tune::TunePlan plan;
  uint32_t hidden = 0;
};

std::vector<uint32_t> without_repeats(std::vector<uint32_t> numbers) {
  std::vector<uint32_t> kept;
  for (const uint32_t n : numbers)
    if (n > 0 && std::find(kept.begin(), kept.end(), n) == kept.end()) kept.push_back(n);
  return kept;
}

// Rows of a step: of sequences decoded together, or of a prompt.
std::vector<uint32_t> rows_of(const BenchOptions& options) {
  std::vector<uint32_t> rows = options.batches;
  rows.insert(rows.end(), options.prompts.begin(), options.prompts.end());
  return without_repeats(std::move(rows));
}

// The plan's shapes with the rows and contexts that the options name: one row at the end of each context, and prompts.
// `capacity`: of the programs that steps run in, in tokens; 0 where they are recorded for the context that is in use.
void set_sizes(tune::TunePlan& plan, const BenchOptions& options, ops::KvType kv, uint32_t capacity) {
  for (tune::TunePlan::Matmul& m : plan.matmuls)
    m.buckets = m.shape.gathered ? without_repeats(options.batches) : rows_of(options);
  for (tune::TunePlan::Experts& e : plan.experts) e.buckets = rows_of(options);
  std::vector<tune::AttentionShape> shapes;
  for (tune::TunePlan::Attention& a : plan.attentions) {
    a.shape.cache.type = kv;
    if (std::find(shapes.begin(), shapes.end(), a.shape) == shapes.end()) shapes.push_back(a.shape);
  }
  std::vector<uint32_t> contexts = without_repeats(options.depths);
  if (contexts.empty()) contexts = {4096};
  plan.attentions.clear();
  for (const tune::AttentionShape& shape : shapes) {
    for (const uint32_t n : contexts) plan.attentions.push_back({shape, {1, std::max(n, capacity), n}});
    for (const uint32_t n : without_repeats(options.prompts))
      if (n > 1) plan.attentions.push_back({shape, {n, std::max(n, capacity), n}});
  }
}

Result<Subject> subject_of(const BenchOptions& options) {
  Subject subject;
  LAHAR_ASSIGN(const OpenOptions open, open_options(options.model));
  if (options.model.model.empty()) {
    LAHAR_ASSIGN(subject.device, open_device(options.model.device, stderr_log(options.model.verbose)));
    if (open.use_tuning && tune::tuning_wanted()) subject.tuning = tune::Database::open(*subject.device).tuning();
    const tune::StepSizes usual{.rows = EngineOptions::kDefaultChunk, .context = EngineOptions::kDefaultContext};
    subject.plan = tune::standard_plan(subject.device->caps(), usual);
    subject.hidden = subject.plan.matmuls.front().shape.matrix.cols;
    set_sizes(subject.plan, options, open.engine.kv.value_or(ops::KvType::kF16),
              subject.device->caps().is_cpu() ? 0 : usual.context);
    return subject;
  }
  LAHAR_ASSIGN(const Session session, Session::open(options.model, false));
  const ops::KvType kv = session.engine->kv().layout().type;
  subject.device = session.device;
  subject.tuning = session.engine->tuning();
  subject.plan = tune_plan(*session.engine);
  subject.hidden = session.engine->spec().hidden;
  set_sizes(subject.plan, options, kv, subject.device->caps().is_cpu() ? 0 : session.engine->context());
  return subject;
}

std::string dims(const tune::MatrixShape& m) { return std::to_string(m.rows) + "x" + std::to_string(m.cols); }

std::string name_of(quant::WeightFormat format) { return std::string(to_string(format)); }

class OpsBench {
 public:
  // `subject` outlives the object.
  OpsBench(const Subject& subject, uint32_t repetitions) : subject_(subject), repetitions_(repetitions) {}
  // Calls `show` with each line as it is measured.
  Status run(const std::vector<uint32_t>& rows, const std::function<void(const Line&)>& show) const;

 private:
  Status matmuls(const std::function<void(const Line&)>& show) const;
  Result<Line> attention(const tune::TunePlan::Attention& a) const;
  Result<Line> experts(const tune::ExpertsShape& shape, uint32_t rows) const;
  // Takes the line's numbers from the case.
  Result<Line> measured(Line line, const Result<tune::Case>& made) const;
  Result<Line> rope(const tune::AttentionShape& shape, uint32_t rows) const;
  Result<Line> norm(uint32_t rows) const;
  Result<gpu::Buffer> buffer(uint32_t rows, uint64_t stride, const char* name) const {
    return device().create_buffer(rows * stride * 4, gpu::Memory::kDevice, name);
  }
  gpu::Device& device() const { return *subject_.device; }
  uint64_t cold_bytes() const;

  const Subject& subject_;
  uint32_t repetitions_;
};

uint64_t OpsBench::cold_bytes() const {
  const gpu::MemoryUse use = device().memory_use();
  return std::min(kColdBytes, use.budget > use.used ? (use.budget - use.used) / 2 : 0);
}

Result<Line> OpsBench::measured(Line line, const Result<tune::Case>& made) const {
  if (!made.ok()) return made.error();
  const tune::Candidate& taken = tune::taken_candidate(*made, subject_.tuning.get());
  line.form = taken.form, line.rows = made->rows;
  line.bytes = made->bytes, line.flops = made->flops;
  LAHAR_ASSIGN(line.seconds, tune::measure_call(device(), taken.record, made->copies, repetitions_));
  return line;
}

Status OpsBench::matmuls(const std::function<void(const Line&)>& show) const {
  for (const tune::TunePlan::Matmul& m : subject_.plan.matmuls) {
    const tune::MatrixShape& matrix = m.shape.matrix;
    const std::string gated = m.shape.glu != ops::Activation::kNone ? "gated matmul " : "matmul ";
    LAHAR_ASSIGN(tune::SampleMatrix sample, tune::SampleMatrix::create(device(), matrix, cold_bytes()));
    const auto shared = std::make_shared<const tune::SampleMatrix>(std::move(sample));
    for (const uint32_t rows : m.buckets) {
      LAHAR_ASSIGN(const Line line, measured({(m.shape.gathered ? "head " : gated) + name_of(matrix.format), dims(matrix)},
                                             tune::make_matmul_case(device(), shared, m.shape, rows)));
      show(line);
    }
  }
  return {};
}

Result<Line> OpsBench::attention(const tune::TunePlan::Attention& a) const {
  const tune::AttentionShape& s = a.shape;
  const std::string shape = std::to_string(s.heads) + "/" + std::to_string(s.cache.kv_heads) + "x" +
                            std::to_string(s.cache.head_dim) + ", context " + std::to_string(a.step.tokens);
  const std::string window = s.window > 0 ? ", window " + std::to_string(s.window) : "";
  return measured({"attention " + std::string(ops::to_string(s.cache.type)), shape + window},
                  tune::make_attention_case(device(), s, a.step, cold_bytes()));
}

Result<Line> OpsBench::experts(const tune::ExpertsShape& shape, uint32_t rows) const {
  return measured({"experts " + name_of(shape.gate_up.format) + " and " + name_of(shape.down.format),
                   std::to_string(shape.chosen) + " of " + std::to_string(shape.experts) + ", " + dims(shape.gate_up) +
                       " and " + dims(shape.down)},
                  tune::make_experts_case(device(), shape, rows, cold_bytes()));
}

// One dispatch reads the projections and writes queries, keys and values.
Result<Line> OpsBench::rope(const tune::AttentionShape& shape, uint32_t rows) const {
  const tune::CacheShape& cache = shape.cache;
  const uint32_t q_width = shape.heads * cache.head_dim, kv_width = cache.kv_heads * cache.head_dim;
  const uint32_t wide = q_width + 2 * kv_width;
  LAHAR_ASSIGN(const tune::SampleCache kv, tune::SampleCache::create(device(), cache, rows, rows, 1));
  LAHAR_ASSIGN(const tune::SampleRows qkv, tune::SampleRows::create(device(), rows, wide));
  LAHAR_ASSIGN(const gpu::Buffer q, buffer(rows, q_width, "q"));
  LAHAR_ASSIGN(const tune::SampleRows frequencies, tune::SampleRows::create(device(), 1, cache.head_dim));
  LAHAR_ASSIGN(const tune::TimedStep step, tune::TimedStep::create(device(), rows));
  Line line{"rope and KV write", std::to_string(wide), {}, rows};
  const auto record = [&](gpu::Recorder& recorder, uint32_t) {
    return ops::rope_kv(recorder, {.qkv = {qkv.buffer(), qkv.stride()},
                                   .k_offset = q_width,
                                   .v_offset = q_width + kv_width,
                                   .q = {q, q_width},
                                   .heads = shape.heads,
                                   .kv = kv.copy(0),
                                   .rope_dims = cache.head_dim,
                                   .inverse_frequencies = frequencies.buffer(),
                                   .step = step.ref(),
                                   .label = "rope"});
  };
  LAHAR_ASSIGN(line.seconds, tune::measure_call(device(), record, 1, repetitions_));
  const double cached = static_cast<double>(ops::kv_layer_bytes(cache.type, cache.kv_heads, cache.head_dim).end) /
                        params::kPageTokens;  // bytes of a token
  line.bytes = rows * (4.0 * (wide + q_width) + cached);
  return line;
}

Result<Line> OpsBench::norm(uint32_t rows) const {
  const uint32_t width = subject_.hidden;
  LAHAR_ASSIGN(const tune::SampleRows x, tune::SampleRows::create(device(), rows, width));
  LAHAR_ASSIGN(const tune::SampleRows weight, tune::SampleRows::create(device(), 1, width));
  LAHAR_ASSIGN(const gpu::Buffer y, buffer(rows, x.stride(), "y"));
  LAHAR_ASSIGN(const tune::TimedStep step, tune::TimedStep::create(device(), rows));
  Line line{"norm", std::to_string(width), {}, rows};
  const auto record = [&](gpu::Recorder& recorder, uint32_t) {
    return ops::norm(recorder, {.x = {x.buffer(), x.stride()},
                                .y = {y, x.stride()},
                                .width = width,
                                .weight = weight.buffer(),
                                .step = step.ref(),
                                .label = "norm"});
  };
  LAHAR_ASSIGN(line.seconds, tune::measure_call(device(), record, 1, repetitions_));
  line.bytes = 8.0 * rows * width;
  return line;
}

Status OpsBench::run(const std::vector<uint32_t>& rows, const std::function<void(const Line&)>& show) const {
  const auto show_if = [&](const Result<Line>& line) -> Status {
    if (!line.ok()) return line.error();
    show(*line);
    return {};
  };
  const tune::TunePlan& plan = subject_.plan;
  LAHAR_TRY(matmuls(show));
  for (const tune::TunePlan::Attention& a : plan.attentions) LAHAR_TRY(show_if(attention(a)));
  for (const tune::TunePlan::Experts& e : plan.experts)
    for (const uint32_t n : e.buckets) LAHAR_TRY(show_if(experts(e.shape, n)));
  // Latent attention writes its cache with kernels of its own.
  const auto plain = std::find_if(plan.attentions.begin(), plan.attentions.end(),
                                  [](const tune::TunePlan::Attention& a) { return a.shape.cache.shared_dim == 0; });
  for (const uint32_t n : rows) {
    if (plain != plan.attentions.end()) LAHAR_TRY(show_if(rope(plain->shape, n)));
    LAHAR_TRY(show_if(norm(n)));
  }
  return {};
}

nlohmann::ordered_json to_json(const Line& line, const gpu::Device& device, const tune::DeviceRates& most) {
  return {{"gpu_info", device.caps().info.name},
          {"op", line.op},
          {"shape", line.shape},
          {"rows", line.rows},
          {"form", line.form},
          {"ns", line.seconds * 1e9},
          {"bytes_per_second", line.bytes / line.seconds},
          {"flops_per_second", line.flops / line.seconds},
          {"device_copy_bytes_per_second", most.copy},
          {"device_matrix_flops_per_second", most.matrix}};
}

void print(const Line& line, const tune::DeviceRates& most) {
  const double bytes = line.bytes / line.seconds, flops = line.flops / line.seconds;
  std::printf("| %s | %s | %u | %.1f | %.2f | %s | %.4f | %s | %s |\n", line.op.c_str(), line.shape.c_str(), line.rows,
              line.seconds * 1e6, bytes / 1e9, share_of(bytes, most.copy).c_str(), flops / 1e12,
              line.flops > 0 ? share_of(flops, most.matrix).c_str() : "-", line.form.c_str());
}

void print_head(const gpu::Device& device, const tune::DeviceRates& most) {
  std::printf(
      "%s: copies %.1f GB/s, multiplies %.2f TFLOP/s (measured)\n\n"
      "| op | shape | rows | us | GB/s | of the copy | TFLOP/s | of the product | form |\n"
      "|---|---|---:|---:|---:|---:|---:|---:|---|\n",
      device.caps().info.name.c_str(), most.copy / 1e9, most.matrix / 1e12);
}

}  // namespace

Status bench_ops(const BenchOptions& options) {
  LAHAR_ASSIGN(const Subject subject, subject_of(options));
  LAHAR_ASSIGN(const tune::DeviceRates most, tune::measure_device_rates(*subject.device, subject.tuning.get()));
  const bool json = options.output == "json";
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  if (!json) print_head(*subject.device, most);
  const OpsBench bench(subject, options.repetitions);
  LAHAR_TRY(bench.run(rows_of(options), [&](const Line& line) {
    if (json) list.push_back(to_json(line, *subject.device, most));
    else print(line, most);
    std::fflush(stdout);
  }));
  if (json) std::printf("%s\n", list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  return {};
}

}  // namespace lahar::cli
