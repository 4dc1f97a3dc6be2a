#include "engine/tuning.h"

#include <algorithm>
#include <chrono>

#include "arch/experts.h"
#include "blocks/mla.h"
#include "blocks/rg_lru.h"
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

uint64_t bytes_of(const tune::MatmulShape& s) {
  const auto layout = quant::layout(s.matrix.format, s.matrix.rows, s.matrix.cols, s.matrix.group);
  return layout.ok() ? layout->total_bytes : 0;
}

// What matmul() is given, each shape once.
class MatmulShapes {
 public:
  explicit MatmulShapes(ops::Precision precision) : precision_(precision) {}

  void add(const Linear& linear, ops::Activation glu = ops::Activation::kNone) {
    for (const LinearPart& part : linear.parts)
      add(part, linear.parts.size() == 1 ? glu : ops::Activation::kNone, precision_);
  }
  void add_head(const Linear& head) {
    for (const LinearPart& part : head.parts) add(part, ops::Activation::kNone, precision_, true);
  }
  void add_layer(const LayerSpec& layer, const LayerWeights& w) {
    add(w.up, glu_of(layer.ffn));
    add(w.down);
    add(w.qkv);
    add(w.attention_output);
    for (size_t i = 0; i < w.mixer.linears.size(); ++i)
      if (!is_by_head(layer.mixer, i)) add(w.mixer.linears[i]);
    const bool experts = layer.ffn_kind == FfnKind::kExperts || layer.ffn_kind == FfnKind::kDenseAndExperts;
    for (size_t i = 0; i < w.ffn.linears.size(); ++i) {
      const Linear& linear = w.ffn.linears[i];
      if (experts && i == arch::kRouter) add_precise(linear);
      else add(linear, experts && i == arch::kSharedUp && layer.moe.gated ? layer.moe.activation : ops::Activation::kNone);
    }
  }
  // Largest first: what a step spends the most time on.
  std::vector<tune::MatmulShape> take() && {
    std::stable_sort(shapes_.begin(), shapes_.end(), [](const auto& a, const auto& b) { return bytes_of(a) > bytes_of(b); });
    return std::move(shapes_);
  }

 private:
  static ops::Activation glu_of(const FfnSpec& ffn) {
    return ffn.gated && !ffn.sparse ? ffn.activation : ops::Activation::kNone;
  }
  // What head_product() multiplies by, of which there is one form.
  static bool is_by_head(Mixer mixer, size_t linear) {
    if (mixer == Mixer::kMla) return linear == kMlaKeyUp || linear == kMlaValueUp;
    return mixer == Mixer::kRgLru && (linear == kRgLruInputGate || linear == kRgLruRecurrentGate);
  }
  // In fp32 whatever the model's precision.
  void add_precise(const Linear& linear) {
    for (const LinearPart& part : linear.parts) add(part, ops::Activation::kNone, ops::Precision::kF32);
  }
  void add(const LinearPart& part, ops::Activation glu, ops::Precision precision, bool gathered = false) {
    const quant::Matrix& m = part.matrix;
    add_once(shapes_,
             {.matrix = {m.format, m.rows, m.cols, m.group}, .glu = glu, .gathered = gathered, .precision = precision});
  }

  ops::Precision precision_;
  std::vector<tune::MatmulShape> shapes_;
};

std::vector<tune::MatmulShape> matmul_shapes(const Model& model, ops::Precision precision) {
  MatmulShapes shapes(precision);
  for (size_t i = 0; i < model.spec.layers.size(); ++i) shapes.add_layer(model.spec.layers[i], model.weights.layers[i]);
  const std::vector<Linear>& extra = model.weights.extra.linears;  // behind a table of embeddings
  for (size_t i = altup::kInputsTable + 1; i < extra.size(); ++i) shapes.add(extra[i]);
  shapes.add_head(model.weights.head);
  return std::move(shapes).take();
}

std::vector<tune::AttentionShape> attention_shapes(const ModelSpec& spec, ops::KvType kv, ops::Precision precision) {
  const bool scales = kv == ops::KvType::kI8 || kv == ops::KvType::kF8 || kv == ops::KvType::kI4;
  std::vector<tune::AttentionShape> shapes;
  for (const LayerSpec& layer : spec.layers) {
    const AttentionSpec& a = layer.attention;
    // The sample of a latent cache has no scales.
    const bool latent = layer.mixer == Mixer::kMla;
    if ((layer.mixer != Mixer::kAttention && !(latent && !scales)) || a.heads == 0) continue;
    add_once(shapes, {.cache = {kv, a.kv_heads, a.head_dim, latent ? layer.mla.latent_dim : 0},
                      .heads = a.heads,
                      .softcap = a.softcap,
                      .window = a.window,
                      .chunk = a.chunk,
                      .precision = precision});
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

tune::TunePlan tune_plan(const Engine& engine) {
  const Model& model = engine.model();
  const ops::Precision precision = engine.precision();
  const tune::StepSizes sizes{.rows = std::max(engine.chunk(), engine.slots()), .context = engine.context()};
  const std::vector<uint32_t> buckets = tune::step_buckets(sizes);
  std::vector<uint32_t> logit_rows;  // of a step: one for each sequence
  for (const uint32_t bucket : buckets) add_once(logit_rows, std::min(bucket, engine.slots()));
  tune::TunePlan plan;
  for (const tune::MatmulShape& shape : matmul_shapes(model, precision))
    plan.matmuls.push_back({shape, shape.gathered ? logit_rows : buckets});
  for (const tune::AttentionShape& shape : attention_shapes(model.spec, engine.kv().layout().type, precision))
    plan.add(engine.device().caps(), shape, sizes);
  for (const tune::ExpertsShape& shape : experts_shapes(model, precision)) plan.experts.push_back({shape, buckets});
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
