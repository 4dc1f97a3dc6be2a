// Loading onto the device, and reading back.
#include <gtest/gtest.h>

#include <cmath>

#include "gpu/gpu_test.h"
#include "quant/replane.h"
#include "span_values.h"
#include "test_data.h"
#include "tiny_model.h"
#include "weight_plan.h"
#include "weight_reader.h"

namespace lahar {

namespace {

struct Opened {
  std::vector<std::byte> bytes;
  std::unique_ptr<ModelSource> source;
  ModelSpec spec;
  std::optional<WeightPlan> plan;
};

void finish(Opened& opened, Quantize quantize) {
  auto spec = read_model_spec(*opened.source);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  opened.spec = *spec;
  auto plan = WeightPlan::make(*opened.source, opened.spec, quantize);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  opened.plan = std::move(plan).value();
}

Opened open_tiny(DType dtype, Quantize quantize = Quantize::kNone) {
  Opened opened;
  opened.bytes = test::TinyLlama(dtype).bytes();
  opened.source = std::move(ModelSource::from_memory(opened.bytes, "tiny.gguf")).value();
  finish(opened, quantize);
  return opened;
}

// What the matrices on the device hold, as floats.
std::vector<float> read_back(gpu::Device& device, const Linear& linear) {
  std::vector<float> out;
  for (const LinearPart& part : linear.parts) {
    const quant::Matrix& m = part.matrix;
    const auto layout = quant::layout(m.format, m.rows, m.cols, m.group).value();
    std::vector<std::byte> planes[quant::kMaxPlanes];
    std::array<std::span<const std::byte>, quant::kMaxPlanes> spans{};
    for (uint32_t p = 0; p < layout.planes; ++p) {
      EXPECT_EQ(m.planes[p].address() % 16, 0u);
      planes[p] = test::from_device_bytes(device, m.planes[p]);
      spans[p] = planes[p];
    }
    std::vector<float> values(size_t{m.rows} * m.cols);
    EXPECT_TRUE(quant::planes_to_floats(m.format, m.rows, m.cols, m.group, spans, values).ok());
    out.insert(out.end(), values.begin(), values.end());
  }
  return out;
}

// What the tensors of the plan hold.
std::vector<float> expected(const WeightPlan& plan, const LinearPlan& linear) {
  std::vector<float> out;
  for (const MatrixPlan& part : linear.parts) {
    for (const RowSpan& span : row_spans(part, 1 << 20)) {
      std::vector<float> values;
      EXPECT_TRUE(test::span_values(plan.data(), part, span, values).ok());
      out.insert(out.end(), values.begin(), values.end());
    }
  }
  return out;
}

double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double difference = 0, sum = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    sum += double{b[i]} * b[i];
  }
  return std::sqrt(difference / sum);
}

void expect_all(gpu::Device& device, const Opened& opened, const ModelWeights& weights, double bound) {
  const WeightPlan& plan = *opened.plan;
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    const LayerPlan& from = plan.data().layers[i];
    EXPECT_LE(relative_error(read_back(device, layer.qkv), expected(plan, from.qkv)), bound);
    EXPECT_LE(relative_error(read_back(device, layer.attention_output), expected(plan, from.attention_output)), bound);
    EXPECT_LE(relative_error(read_back(device, layer.up), expected(plan, from.up)), bound);
    EXPECT_LE(relative_error(read_back(device, layer.down), expected(plan, from.down)), bound);
    if (!opened.spec.layers[i].pre_attention_norm) continue;
    std::vector<float> norm;
    ASSERT_TRUE(read_vector(plan.data().tensors.layers[i].pre_attention.weight, norm).ok());
    EXPECT_EQ(test::from_device<float>(device, layer.pre_attention.weight), norm);
  }
  for (size_t i = 0; i < opened.spec.ropes.size(); ++i)
    EXPECT_EQ(test::from_device<float>(device, weights.ropes[i]), opened.spec.ropes[i].inverse_frequencies);
  EXPECT_EQ(weights.head.rows, opened.spec.vocabulary);
  ASSERT_EQ(weights.head.parts.size(), 1u);
  const bool tied = opened.spec.tied_head;
  EXPECT_EQ(weights.head.parts[0].matrix.planes[0].address() == weights.embedding.planes[0].address(), tied);
  Linear embedding{.parts = {{weights.embedding}}};
  EXPECT_LE(relative_error(read_back(device, embedding), expected(plan, plan.data().embedding)), bound);
}

class Load : public test::GpuTest {};

// One matrix of a slab, as floats.
std::vector<float> read_back(gpu::Device& device, const gpu::BufferRange& slab, const ops::ExpertMatrix& m) {
  const auto layout = quant::layout(m.format, m.rows, m.cols, m.group).value();
  quant::Matrix matrix{m.format, m.rows, m.cols, m.group, {}};
  for (uint32_t p = 0; p < layout.planes; ++p) matrix.planes[p] = slab.part(m.planes[p], layout.plane_bytes[p]);
  return read_back(device, Linear{.rows = m.rows, .cols = m.cols, .parts = {{matrix}}, .bias = {}});
}

TEST_F(Load, ExpertsLieInSlabsThatATableFinds) {
  for (const Quantize quantize : {Quantize::kNone, Quantize::kInt8}) {
    Opened opened;
    opened.bytes = test::TinyMoe(4, 2, DType::kF16).bytes();
    opened.source = std::move(ModelSource::from_memory(opened.bytes, "tiny.gguf")).value();
    finish(opened, quantize);
    // Blocks that hold a slab or two.
    const auto weights = load_weights(device(), *opened.source, opened.spec, *opened.plan, {.block_bytes = 64 << 10});
    ASSERT_TRUE(weights.ok()) << weights.error().message;
    for (size_t layer = 0; layer < 2; ++layer) {
      const BlockWeights& block = weights->layers[layer].ffn;
      const auto table = test::from_device<uint64_t>(device(), block.experts.table);
      ASSERT_EQ(table.size(), 4u);
      ASSERT_EQ(block.experts.slabs.size(), block.expert_memory.size());
      for (size_t e = 0; e < table.size(); ++e) {
        const gpu::BufferRange* memory = nullptr;
        for (const gpu::BufferRange& range : block.experts.slabs)
          if (table[e] >= range.address() && table[e] + block.expert_bytes() <= range.address() + range.size)
            memory = &range;
        ASSERT_NE(memory, nullptr) << "expert " << e;
        EXPECT_EQ(table[e] % 256, 0u);
        const gpu::BufferRange slab = memory->part(table[e] - memory->address(), block.expert_bytes());
        const ExpertPlan& plan = opened.plan->data().layers[layer].ffn.experts.experts[e];
        const double bound = quantize == Quantize::kNone ? 0 : 0.01;
        EXPECT_LE(relative_error(read_back(device(), slab, block.experts.gate_up), expected(*opened.plan, plan.up)), bound);
        EXPECT_LE(relative_error(read_back(device(), slab, block.experts.down), expected(*opened.plan, plan.down)), bound);
      }
    }
  }
}

TEST_F(Load, KeepsTheBitsOfPlainTypes) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const Opened opened = open_tiny(dtype);
    uint64_t last = 0, total = 0;
    LoadOptions options;
    options.staging_bytes = 1 << 20;
    options.progress = [&](uint64_t done, uint64_t of) {
      EXPECT_GE(done, last);
      last = done;
      total = of;
      return true;
    };
    auto weights = load_weights(device(), *opened.source, opened.spec, *opened.plan, options);
    ASSERT_TRUE(weights.ok()) << weights.error().message;
    expect_all(device(), opened, *weights, 0);
    EXPECT_EQ(last, opened.plan->source_bytes());
    EXPECT_EQ(total, last);
    EXPECT_LE(weights->staging_peak, options.staging_bytes);
    EXPECT_GT(weights->staging_peak, 0u);
    EXPECT_LE(weights->device_bytes, opened.plan->memory().total());
  }
}

TEST_F(Load, SplitsIntoBlocksUnderALimit) {
  const Opened opened = open_tiny(DType::kF32);
  LoadOptions options;
  options.staging_bytes = 64 << 10;
  options.block_bytes = 40 << 10;
  auto weights = load_weights(device(), *opened.source, opened.spec, *opened.plan, options);
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  EXPECT_GT(weights->buffers.size(), 4u);
  expect_all(device(), opened, *weights, 0);
}

// Bounds, on uniform values: 1/127 and 1/15 of their deviation for the steps of 8 and 4 bits; rounding to 4 bits of
// mantissa.
TEST_F(Load, QuantizesWithinBounds) {
  const std::pair<Quantize, double> kinds[] = {
      {Quantize::kInt8, 1.0 / 127}, {Quantize::kInt4, 1.0 / 15}, {Quantize::kFp8, 0.04}};
  for (const auto& [quantize, bound] : kinds) {
    for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      const Opened opened = open_tiny(dtype, quantize);
      auto weights = load_weights(device(), *opened.source, opened.spec, *opened.plan);
      ASSERT_TRUE(weights.ok()) << weights.error().message;
      expect_all(device(), opened, *weights, bound);
      EXPECT_GT(relative_error(read_back(device(), weights->layers[0].down),
                               expected(*opened.plan, opened.plan->data().layers[0].down)),
                0.0005);
    }
  }
}

TEST_F(Load, CanBeCancelledAtEveryCall) {
  const Opened opened = open_tiny(DType::kF16);
  int calls = 0;
  LoadOptions count;
  count.progress = [&](uint64_t, uint64_t) { return ++calls > 0; };
  ASSERT_TRUE(load_weights(device(), *opened.source, opened.spec, *opened.plan, count).ok());
  ASSERT_GT(calls, 5);
  for (int stop = 1; stop <= calls; ++stop) {
    int seen = 0;
    LoadOptions options;
    options.progress = [&](uint64_t, uint64_t) { return ++seen < stop; };
    const auto weights = load_weights(device(), *opened.source, opened.spec, *opened.plan, options);
    ASSERT_FALSE(weights.ok());
    EXPECT_EQ(weights.error().code, ErrorCode::kCancelled);
    EXPECT_EQ(seen, stop);
  }
}

// Every kind of source: transposed and fused tensors, KV groups, quantized blocks, outside scales, tied heads.
TEST_F(Load, GoldenModels) {
  for (const char* name : {"hf/gpt2", "hf/falcon-mqa", "hf/phi3", "hf/gemma3", "quant-hf/fp8-block", "quant-hf/fp8-channel",
                           "quant-hf/int8-channel", "quant-hf/awq-int4", "quant-hf/gptq-int4", "quant-gguf/IQ3_S.gguf",
                           "quant-gguf/MXFP4_MOE.gguf", "quant-gguf/Q4_K_M.gguf", "quant-gguf/Q8_0.gguf",
                           "quant-gguf/Q4_0.gguf", "quant-gguf/Q4_1.gguf", "gguf/llama-dense.gguf"}) {
    LAHAR_NEED_DATA(path, std::filesystem::path("golden") / name);
    Opened opened;
    auto source = ModelSource::open(path);
    ASSERT_TRUE(source.ok());
    opened.source = std::move(source).value();
    finish(opened, Quantize::kNone);
    auto weights = load_weights(device(), *opened.source, opened.spec, *opened.plan);
    ASSERT_TRUE(weights.ok()) << name << ": " << weights.error().message;
    expect_all(device(), opened, *weights, 0);
  }
}

}  // namespace

}  // namespace lahar
