// lahar bench --ops: each kernel by itself, on the shapes of a model or of a standard one, with weights and caches that no
// cache of the device still holds.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>

#include "cli/bench.h"
#include "gpu/transfer.h"
#include "ops/attention.h"
#include "ops/matmul.h"
#include "ops/norm.h"
#include "ops/rope.h"
#include "quant/layout.h"
#include "tune/timed.h"

namespace lahar::cli {
namespace {

constexpr uint64_t kColdBytes = 256ull << 20;  // larger than any last-level cache
constexpr uint32_t kMostCopies = 1024;

struct MatmulShape {
  std::string label;
  quant::WeightFormat format = quant::WeightFormat::kF16;
  uint32_t rows = 0, cols = 0, group = 0;
  ops::Activation glu = ops::Activation::kNone;

  bool operator==(const MatmulShape&) const = default;
};
struct Shapes {
  std::vector<MatmulShape> matmuls;
  uint32_t hidden = 0, heads = 0, kv_heads = 0, head_dim = 0;
};

void add_linear(Shapes& shapes, const std::string& label, const Linear& linear, ops::Activation glu) {
  for (const LinearPart& part : linear.parts) {
    const quant::Matrix& m = part.matrix;
    const MatmulShape shape{label,  m.format, m.rows,
                            m.cols, m.group,  linear.parts.size() == 1 ? glu : ops::Activation::kNone};
    if (std::find(shapes.matmuls.begin(), shapes.matmuls.end(), shape) == shapes.matmuls.end())
      shapes.matmuls.push_back(shape);
  }
}

Shapes shapes_of(const Model& model) {
  Shapes shapes{.hidden = model.spec.hidden};
  for (size_t i = 0; i < model.spec.layers.size(); ++i) {
    const LayerSpec& spec = model.spec.layers[i];
    const LayerWeights& weights = model.weights.layers[i];
    add_linear(shapes, "qkv", weights.qkv, ops::Activation::kNone);
    add_linear(shapes, "attention output", weights.attention_output, ops::Activation::kNone);
    add_linear(shapes, "gate and up", weights.up, spec.ffn.gated ? spec.ffn.activation : ops::Activation::kNone);
    add_linear(shapes, "down", weights.down, ops::Activation::kNone);
  }
  add_linear(shapes, "head", model.weights.head, ops::Activation::kNone);
  const AttentionSpec& attention = model.spec.layers.front().attention;
  shapes.heads = attention.heads, shapes.kv_heads = attention.kv_heads, shapes.head_dim = attention.head_dim;
  return shapes;
}

// Without a model: those of an 8 B one on a GPU, of a 135 M one on a CPU.
Shapes standard_shapes(bool cpu) {
  using enum quant::WeightFormat;
  Shapes s = cpu ? Shapes{{}, 576, 9, 3, 64} : Shapes{{}, 4096, 32, 8, 128};
  const uint32_t ffn = cpu ? 1536 : 14336, qkv = (s.heads + 2 * s.kv_heads) * s.head_dim;
  for (const quant::WeightFormat format : {kF16, kQ8_0, kQ4_0, kQ4_K}) {
    const uint32_t block = quant::traits(format).block_values;
    if (s.hidden % block != 0) continue;
    s.matmuls.push_back({"qkv", format, qkv, s.hidden});
    s.matmuls.push_back({"attention output", format, s.hidden, s.hidden});
    s.matmuls.push_back({"gate and up", format, 2 * ffn, s.hidden, 0, ops::Activation::kSilu});
    s.matmuls.push_back({"down", format, s.hidden, ffn});
  }
  return s;
}

// One line of the table.
struct Line {
  std::string op, shape;
  uint32_t rows = 0;
  double seconds = 0, bytes = 0, flops = 0;  // of one dispatch
};

class OpsBench {
 public:
  static Result<OpsBench> create(std::shared_ptr<gpu::Device> device, Shapes shapes);

  Result<Line> matmul(const MatmulShape& shape, uint32_t rows);
  // Rows of one sequence at the end of `context` tokens.
  Result<Line> attention(uint32_t rows, uint32_t context);
  Result<Line> rope(uint32_t rows);
  Result<Line> norm(uint32_t rows);
  const Shapes& shapes() const { return shapes_; }

 private:
  using Record = std::function<Status(gpu::Recorder&, uint32_t copy)>;
  Result<gpu::Buffer> random_buffer(uint64_t bytes, const char* name);
  // Seconds of one of `copies` recordings behind each other: the device's clock where it has one.
  Result<double> time(uint32_t copies, const Record& record);
  Result<std::unique_ptr<KvStorage>> cache(uint32_t context, uint32_t copies);
  uint32_t copies_of(uint64_t bytes) const;

  std::shared_ptr<gpu::Device> device_;
  Shapes shapes_;
  gpu::Buffer noise_;  // what buffers are filled from
};

Result<OpsBench> OpsBench::create(std::shared_ptr<gpu::Device> device, Shapes shapes) {
  OpsBench bench;
  bench.device_ = std::move(device);
  bench.shapes_ = std::move(shapes);
  // Positive and below 2 as halves and as floats, no NaN as fp8: sensible values and scales of every format.
  std::mt19937 random(1);
  std::vector<uint32_t> words(1u << 20);
  for (uint32_t& word : words) word = static_cast<uint32_t>(random()) & 0x3b3f3b3fu;
  LAHAR_ASSIGN(bench.noise_, bench.device_->create_buffer(words.size() * 4, gpu::Memory::kDevice, "noise"));
  LAHAR_TRY(gpu::upload(*bench.device_, std::as_bytes(std::span(words)), bench.noise_));
  return bench;
}

Result<gpu::Buffer> OpsBench::random_buffer(uint64_t bytes, const char* name) {
  LAHAR_ASSIGN(gpu::Buffer buffer, device_->create_buffer(bytes, gpu::Memory::kDevice, name));
  gpu::Recorder recorder(*device_);
  for (uint64_t at = 0; at < bytes; at += noise_.size()) {
    const uint64_t n = std::min(noise_.size(), bytes - at);
    recorder.copy("noise", {noise_, 0, n}, {buffer, at, n});
  }
  LAHAR_TRY(tune::run_once(recorder));
  return buffer;
}

uint32_t OpsBench::copies_of(uint64_t bytes) const {
  const gpu::MemoryUse use = device_->memory_use();
  const uint64_t free = use.budget > use.used ? use.budget - use.used : 0;
  const uint64_t ring = std::min({kColdBytes, free / 2, device_->caps().max_buffer, device_->caps().max_allocation});
  return static_cast<uint32_t>(std::clamp<uint64_t>(ring / bytes, 1, kMostCopies));
}

Result<double> OpsBench::time(uint32_t copies, const Record& record) {
  constexpr int kRuns = 5;
  gpu::Recorder recorder(*device_);
  for (uint32_t copy = 0; copy < copies; ++copy) LAHAR_TRY(record(recorder, copy));
  LAHAR_ASSIGN(const gpu::CommandList list, recorder.finish({.timestamps = true}));
  std::vector<double> seconds;
  for (int run = 0; run <= kRuns; ++run) {
    const gpu::CommandList* lists[] = {&list};
    const auto start = std::chrono::steady_clock::now();
    LAHAR_ASSIGN(const uint64_t value, device_->submit(lists));
    LAHAR_TRY(device_->wait(value));
    double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    LAHAR_ASSIGN(const auto timings, list.timings());
    if (!timings.empty()) took = (timings.back().begin_ns + timings.back().duration_ns) / 1e9;
    if (run > 0) seconds.push_back(took / copies);
  }
  return median(seconds);
}

Result<Line> OpsBench::matmul(const MatmulShape& shape, uint32_t rows) {
  LAHAR_ASSIGN(const quant::Layout layout, quant::layout(shape.format, shape.rows, shape.cols, shape.group));
  const uint32_t copies = copies_of(layout.total_bytes);
  LAHAR_ASSIGN(const gpu::Buffer weights, random_buffer(layout.total_bytes * copies, "weights"));
  const uint32_t x_stride = (shape.cols + 3) / 4 * 4, y_stride = (shape.rows + 3) / 4 * 4;
  LAHAR_ASSIGN(const gpu::Buffer x, random_buffer(uint64_t{rows} * x_stride * 4, "x"));
  LAHAR_ASSIGN(const gpu::Buffer y, random_buffer(uint64_t{rows} * y_stride * 4, "y"));
  LAHAR_ASSIGN(const gpu::Buffer scratch, random_buffer(uint64_t{rows} * y_stride * 4, "scratch"));
  LAHAR_ASSIGN(const tune::TimedStep step, tune::TimedStep::create(*device_, rows));

  std::vector<quant::Matrix> ring(copies);
  for (uint32_t copy = 0; copy < copies; ++copy) {
    quant::Matrix& m = ring[copy];
    m.format = shape.format, m.rows = shape.rows, m.cols = shape.cols, m.group = shape.group;
    for (uint32_t p = 0; p < layout.planes; ++p)
      m.planes[p] = {weights, copy * layout.total_bytes + layout.plane_offset(p), layout.plane_bytes[p]};
  }
  Line line{shape.label + " " + std::string(to_string(shape.format)),
            std::to_string(shape.rows) + "x" + std::to_string(shape.cols), rows};
  LAHAR_ASSIGN(line.seconds, time(copies, [&](gpu::Recorder& recorder, uint32_t copy) {
                 return ops::matmul(recorder, {.w = &ring[copy],
                                               .x = {x, x_stride},
                                               .y = {y, y_stride},
                                               .glu = shape.glu,
                                               .glu_scratch = {scratch, y_stride},
                                               .step = step.ref(),
                                               .label = "matmul"});
               }));
  line.bytes = static_cast<double>(layout.total_bytes);
  line.flops = 2.0 * shape.rows * shape.cols * rows;
  return line;
}

// `copies` caches as the layers of one pool, whose only slot has all pages.
Result<std::unique_ptr<KvStorage>> OpsBench::cache(uint32_t context, uint32_t copies) {
  const uint32_t pages = (context + params::kPageTokens - 1) / params::kPageTokens;
  const std::vector<KvLayerGeometry> layers(copies, {shapes_.kv_heads, shapes_.head_dim});
  LAHAR_ASSIGN(auto kv, KvStorage::create(*device_, KvPageLayout::make(layers, ops::KvType::kF16), pages, 1, pages));
  std::vector<uint32_t> table(pages);
  for (uint32_t i = 0; i < pages; ++i) table[i] = i;
  LAHAR_TRY(gpu::upload(*device_, std::as_bytes(std::span(table)), kv->page_table()));
  gpu::Recorder recorder(*device_);
  for (uint32_t page = 0; page < pages; ++page)
    for (uint64_t at = 0; at < kv->page(page).size; at += noise_.size()) {
      const uint64_t n = std::min(noise_.size(), kv->page(page).size - at);
      recorder.copy("noise", {noise_, 0, n}, kv->page(page).part(at, n));
    }
  LAHAR_TRY(tune::run_once(recorder));
  return kv;
}

Result<Line> OpsBench::attention(uint32_t rows, uint32_t context) {
  const Shapes& s = shapes_;
  context = std::max(context, rows);
  const uint64_t bytes = uint64_t{context} * s.kv_heads * s.head_dim * 2 * 2;
  const uint32_t copies = std::min(copies_of(bytes), 64u), width = s.heads * s.head_dim;
  LAHAR_ASSIGN(const auto kv, cache(context, copies));
  LAHAR_ASSIGN(const gpu::Buffer q, random_buffer(uint64_t{rows} * width * 4, "q"));
  LAHAR_ASSIGN(const gpu::Buffer out, random_buffer(uint64_t{rows} * width * 4, "out"));
  const uint64_t scratch_bytes = ops::attention_scratch_bytes(device_->caps(), rows, s.heads, s.head_dim, context);
  LAHAR_ASSIGN(const gpu::Buffer scratch,
               device_->create_buffer(std::max<uint64_t>(scratch_bytes, 16), gpu::Memory::kDevice, "scratch"));
  LAHAR_ASSIGN(const tune::TimedStep step, tune::TimedStep::create(*device_, rows, context - rows));
  Line line{rows == 1 ? "attention" : "attention of a prompt", "context " + std::to_string(context), rows};
  LAHAR_ASSIGN(line.seconds, time(copies, [&](gpu::Recorder& recorder, uint32_t copy) {
                 return ops::attention(recorder, {.q = {q, width},
                                                  .out = {out, width},
                                                  .heads = s.heads,
                                                  .kv = kv->layer(copy),
                                                  .scale = 0.01f,
                                                  .scratch = scratch,
                                                  .max_context = context,
                                                  .step = step.ref(),
                                                  .label = "attention"});
               }));
  line.bytes = static_cast<double>(bytes);
  const double keys = static_cast<double>(rows) * (context - rows) + 0.5 * rows * (rows + 1.0);
  line.flops = 4.0 * keys * width;
  return line;
}

Result<Line> OpsBench::rope(uint32_t rows) {
  const Shapes& s = shapes_;
  const uint32_t q_width = s.heads * s.head_dim, kv_width = s.kv_heads * s.head_dim, wide = q_width + 2 * kv_width;
  LAHAR_ASSIGN(const auto kv, cache(rows, 1));
  LAHAR_ASSIGN(const gpu::Buffer qkv, random_buffer(uint64_t{rows} * wide * 4, "qkv"));
  LAHAR_ASSIGN(const gpu::Buffer q, random_buffer(uint64_t{rows} * q_width * 4, "q"));
  LAHAR_ASSIGN(const gpu::Buffer table, random_buffer(uint64_t{s.head_dim} * 2, "inverse frequencies"));
  LAHAR_ASSIGN(const tune::TimedStep step, tune::TimedStep::create(*device_, rows));
  Line line{"rope and KV write", std::to_string(wide), rows};
  LAHAR_ASSIGN(line.seconds, time(256, [&](gpu::Recorder& recorder, uint32_t) {
                 return ops::rope_kv(recorder, {.qkv = {qkv, wide},
                                                .k_offset = q_width,
                                                .v_offset = q_width + kv_width,
                                                .q = {q, q_width},
                                                .heads = s.heads,
                                                .kv = kv->layer(0),
                                                .rope_dims = s.head_dim,
                                                .inverse_frequencies = table,
                                                .step = step.ref(),
                                                .label = "rope"});
               }));
  line.bytes = static_cast<double>(rows) * (4.0 * (wide + q_width) + 2.0 * 2 * kv_width);
  return line;
}

Result<Line> OpsBench::norm(uint32_t rows) {
  const uint32_t width = shapes_.hidden, stride = (width + 3) / 4 * 4;
  LAHAR_ASSIGN(const gpu::Buffer x, random_buffer(uint64_t{rows} * stride * 4, "x"));
  LAHAR_ASSIGN(const gpu::Buffer y, random_buffer(uint64_t{rows} * stride * 4, "y"));
  LAHAR_ASSIGN(const gpu::Buffer weight, random_buffer(uint64_t{stride} * 4, "weight"));
  LAHAR_ASSIGN(const tune::TimedStep step, tune::TimedStep::create(*device_, rows));
  Line line{"norm", std::to_string(width), rows};
  LAHAR_ASSIGN(
      line.seconds, time(256, [&](gpu::Recorder& recorder, uint32_t) {
        return ops::norm(
            recorder,
            {.x = {x, stride}, .y = {y, stride}, .width = width, .weight = weight, .step = step.ref(), .label = "norm"});
      }));
  line.bytes = 8.0 * rows * width;
  return line;
}

nlohmann::ordered_json to_json(const Line& line, const gpu::Device& device, const tune::DeviceRates& most) {
  return {{"gpu_info", device.caps().info.name},
          {"op", line.op},
          {"shape", line.shape},
          {"rows", line.rows},
          {"ns", line.seconds * 1e9},
          {"bytes_per_second", line.bytes / line.seconds},
          {"flops_per_second", line.flops / line.seconds},
          {"device_copy_bytes_per_second", most.copy},
          {"device_matrix_flops_per_second", most.matrix}};
}

void print(const Line& line, const tune::DeviceRates& most) {
  const double bytes = line.bytes / line.seconds, flops = line.flops / line.seconds;
  std::printf("| %s | %s | %u | %.1f | %.2f | %s | %.4f | %s |\n", line.op.c_str(), line.shape.c_str(), line.rows,
              line.seconds * 1e6, bytes / 1e9, share_of(bytes, most.copy).c_str(), flops / 1e12,
              line.flops > 0 ? share_of(flops, most.matrix).c_str() : "-");
}

}  // namespace

Status bench_ops(const BenchOptions& options) {
  std::shared_ptr<gpu::Device> device;
  Shapes shapes;
  if (options.model.model.empty()) {
    LAHAR_ASSIGN(device, open_device(options.model.device, stderr_log(options.model.verbose)));
    shapes = standard_shapes(device->caps().is_cpu());
  } else {
    LAHAR_ASSIGN(const Session session, Session::open(options.model, false));
    device = session.device;
    shapes = shapes_of(session.engine->model());
  }
  std::vector<uint32_t> rows, depths = options.depths;
  for (const std::vector<uint32_t>* list : {&options.batches, &options.prompts})
    for (const uint32_t n : *list)
      if (n > 0 && std::find(rows.begin(), rows.end(), n) == rows.end()) rows.push_back(n);
  std::erase(depths, 0u);
  if (depths.empty()) depths = {4096};

  LAHAR_ASSIGN(const tune::DeviceRates most, tune::measure_device_rates(*device));
  LAHAR_ASSIGN(OpsBench bench, OpsBench::create(device, std::move(shapes)));
  const bool json = options.output == "json";
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  const auto show = [&](const Result<Line>& line) -> Status {
    if (!line.ok()) return line.error();
    if (json) list.push_back(to_json(*line, *device, most));
    else print(*line, most);
    std::fflush(stdout);
    return {};
  };
  if (!json)
    std::printf(
        "%s: copies %.1f GB/s, multiplies %.2f TFLOP/s (measured)\n\n"
        "| op | shape | rows | us | GB/s | of the copy | TFLOP/s | of the product "
        "|\n|---|---|---:|---:|---:|---:|---:|---:|\n",
        device->caps().info.name.c_str(), most.copy / 1e9, most.matrix / 1e12);
  for (const MatmulShape& shape : bench.shapes().matmuls)
    for (const uint32_t n : rows) LAHAR_TRY(show(bench.matmul(shape, n)));
  for (const uint32_t depth : depths) LAHAR_TRY(show(bench.attention(1, depth)));
  for (const uint32_t n : options.prompts)
    if (n > 1) LAHAR_TRY(show(bench.attention(n, n)));
  for (const uint32_t n : rows) {
    LAHAR_TRY(show(bench.rope(n)));
    LAHAR_TRY(show(bench.norm(n)));
  }
  if (json) std::printf("%s\n", list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  return {};
}

}  // namespace lahar::cli
