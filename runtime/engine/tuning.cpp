#include "engine/tuning.h"

#include <algorithm>
#include <chrono>

#include "ops/matmul_variants.h"
#include "quant/layout.h"

namespace lahar {
namespace {

constexpr size_t kHottest = 6;                  // shapes that a first tuning looks at
constexpr uint64_t kFirstColdBytes = 96 << 20;  // a first tuning may not take much of what is left of the device's memory

template <typename Shape>
void add_once(std::vector<Shape>& shapes, const Shape& shape) {
  if (std::find(shapes.begin(), shapes.end(), shape) == shapes.end()) shapes.push_back(shape);
}

void add_linear(std::vector<tune::MatmulShape>& shapes, const Linear& linear, ops::Activation glu, bool gathered,
                ops::Precision precision) {
  for (const LinearPart& part : linear.parts) {
    const quant::Matrix& m = part.matrix;
    const tune::MatmulShape shape{.matrix = {m.format, m.rows, m.cols, m.group},
                                  .glu = linear.parts.size() == 1 ? glu : ops::Activation::kNone,
                                  .gathered = gathered,
                                  .precision = precision};
    add_once(shapes, shape);
  }
}

// Largest first: what a step spends the most time on.
std::vector<tune::MatmulShape> matmul_shapes(const Model& model, ops::Precision precision) {
  std::vector<tune::MatmulShape> shapes;
  for (size_t i = 0; i < model.spec.layers.size(); ++i) {
    const FfnSpec& ffn = model.spec.layers[i].ffn;
    const LayerWeights& w = model.weights.layers[i];
    add_linear(shapes, w.up, ffn.gated ? ffn.activation : ops::Activation::kNone, false, precision);
    add_linear(shapes, w.down, ops::Activation::kNone, false, precision);
    add_linear(shapes, w.qkv, ops::Activation::kNone, false, precision);
    add_linear(shapes, w.attention_output, ops::Activation::kNone, false, precision);
    for (const BlockWeights* block : {&w.mixer, &w.ffn})
      for (const Linear& linear : block->linears) add_linear(shapes, linear, ops::Activation::kNone, false, precision);
  }
  add_linear(shapes, model.weights.head, ops::Activation::kNone, true, precision);
  const auto bytes = [](const tune::MatmulShape& s) {
    const auto layout = quant::layout(s.matrix.format, s.matrix.rows, s.matrix.cols, s.matrix.group);
    return layout.ok() ? layout->total_bytes : 0;
  };
  std::stable_sort(shapes.begin(), shapes.end(), [&](const auto& a, const auto& b) { return bytes(a) > bytes(b); });
  return shapes;
}

std::vector<tune::AttentionShape> attention_shapes(const ModelSpec& spec, const TunedShapes& wanted) {
  const bool scales = wanted.kv == ops::KvType::kI8 || wanted.kv == ops::KvType::kF8 || wanted.kv == ops::KvType::kI4;
  std::vector<tune::AttentionShape> shapes;
  for (const LayerSpec& layer : spec.layers) {
    const AttentionSpec& a = layer.attention;
    // The sample of a latent cache has no scales.
    const bool latent = layer.mixer == Mixer::kMla;
    if ((layer.mixer != Mixer::kAttention && !(latent && !scales)) || a.heads == 0) continue;
    add_once(shapes, {.cache = {wanted.kv, a.kv_heads, a.head_dim, latent ? layer.mla.latent_dim : 0},
                      .heads = a.heads,
                      .softcap = a.softcap,
                      .window = a.window,
                      .precision = wanted.precision});
  }
  return shapes;
}

// Gates and ups of one format; where theirs differ, experts keep their default.
std::vector<tune::ExpertsShape> experts_shapes(const Model& model, ops::Precision precision) {
  std::vector<tune::ExpertsShape> shapes;
  for (size_t i = 0; i < model.spec.layers.size(); ++i) {
    const ops::ExpertsRef& e = model.weights.layers[i].ffn.experts;
    if (e.experts == 0 || e.up.rows > 0) continue;
    const auto shape_of = [](const ops::ExpertMatrix& m) { return tune::MatrixShape{m.format, m.rows, m.cols, m.group}; };
    add_once(shapes, {.gate_up = shape_of(e.gate_up),
                      .down = shape_of(e.down),
                      .experts = e.experts,
                      .chosen = model.spec.layers[i].moe.chosen,
                      .gated = e.gated,
                      .precision = precision});
  }
  return shapes;
}

}  // namespace

tune::TunePlan tune_plan(const Model& model, const TunedShapes& wanted) {
  tune::TunePlan plan;
  for (tune::MatmulShape& shape : matmul_shapes(model, wanted.precision)) {
    // Logits are wanted of one row for each sequence.
    const bool head = shape.gathered;
    plan.matmuls.push_back({shape, head ? std::vector<uint32_t>{1} : wanted.buckets});
  }
  const std::vector<tune::AttentionShape> shapes = attention_shapes(model.spec, wanted);
  for (const tune::AttentionShape& shape : shapes)
    for (const uint32_t bucket : wanted.buckets)
      for (const uint32_t context : wanted.contexts)
        if (context <= model.spec.context_length || context == wanted.contexts.front())
          plan.attentions.push_back({shape, bucket, context});
  for (const tune::ExpertsShape& shape : experts_shapes(model, wanted.precision))
    plan.experts.push_back({shape, wanted.buckets});
  return plan;
}

void tune_first(gpu::Device& device, const Model& model, ops::Precision precision, double seconds, tune::Database& database,
                const Log& log) {
  const gpu::DeviceType type = device.caps().info.type;
  if (seconds <= 0 || (type != gpu::DeviceType::kDiscrete && type != gpu::DeviceType::kIntegrated)) return;
  tune::TunePlan plan;
  for (const tune::MatmulShape& shape : matmul_shapes(model, precision)) {
    if (plan.matmuls.size() == kHottest) break;
    plan.matmuls.push_back({shape, {1}});
  }
  const auto known = [&](const tune::TunePlan::Matmul& m) {
    const tune::MatmulShape& s = m.shape;
    quant::Matrix matrix;
    matrix.format = s.matrix.format, matrix.rows = s.matrix.rows, matrix.cols = s.matrix.cols, matrix.group = s.matrix.group;
    const ops::MatmulParams params{
        .w = &matrix, .glu = s.glu, .step = {.bucket = 1}, .logit_rows = s.gathered, .precision = s.precision};
    return database.choices().contains(ops::matmul_case(params));
  };
  std::erase_if(plan.matmuls, known);
  if (plan.matmuls.empty()) return;

  const auto start = std::chrono::steady_clock::now();
  const auto time_left = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds;
  };
  const tune::TuneOptions options{
      .form_seconds = 0.02, .cold_bytes = kFirstColdBytes, .on_form = [&](const std::string&) { return time_left(); }};
  const Status status =
      tune::tune_all(device, plan, database, options, [&](size_t, size_t, const tune::TunedCase&) { return time_left(); });
  if (!status.ok() && status.error().code != ErrorCode::kCancelled)
    log.info("kernels keep their default forms: " + status.error().message);
}

}  // namespace lahar
