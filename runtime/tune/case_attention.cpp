#include <algorithm>
#include <array>
#include <cmath>

#include "gpu/transfer.h"
#include "ops/attention_variants.h"
#include "ops/kv_type.h"
#include "tune/cases.h"

namespace lahar::tune {
namespace {

constexpr uint32_t kMostCopies = 64;

struct AttentionCase {
  SampleCache cache;
  SampleRows q;
  gpu::Buffer out, scratch;
  TimedStep step;
  ops::AttentionParams params;
};

// The rounding of int4's and int8's fp16 scales is in all of them; bf16, fp8 and the fp16 operands of matrices have fewer
// bits than what is summed up.
double tolerance_of(const ops::AttentionForm& form, ops::KvType type) {
  if (form.path == ops::AttentionPath::kCoop) return 1e-5;
  return type == ops::KvType::kI4 || type == ops::KvType::kI8 || type == ops::KvType::kF8 ? 1e-6 : 1e-8;
}

// Of the keys that a row at position `last` sees.
uint32_t first_key(const AttentionShape& s, uint32_t last) {
  const uint32_t first = s.window != 0 && last + 1 > s.window ? last + 1 - s.window : 0;
  return s.chunk != 0 ? std::max(first, last - last % s.chunk) : first;
}

// Softmax over keys that repeat: how often each occurs among those that the row sees is all that counts.
void attend(const AttentionShape& s, const SampleCache& cache, std::span<const float> q, uint32_t last, float scale,
            std::span<double> out) {
  const uint32_t dim = s.cache.head_dim, group = s.heads / s.cache.kv_heads;
  const uint32_t value_dim = s.cache.shared_dim > 0 ? s.cache.shared_dim : dim;
  const uint32_t first = first_key(s, last);
  const auto below = [](uint32_t n, uint32_t p) { return (n + SampleCache::kPeriod - 1 - p) / SampleCache::kPeriod; };
  for (uint32_t h = 0; h < s.heads; ++h) {
    std::array<double, SampleCache::kPeriod> scores{}, counts{};
    double top = -1e300, sum = 0;
    for (uint32_t p = 0; p < SampleCache::kPeriod; ++p) {
      counts[p] = below(last + 1, p) - below(first, p);
      for (uint32_t d = 0; d < dim; ++d) scores[p] += double{q[h * dim + d]} * cache.key(p, h / group, d);
      scores[p] *= scale;
      if (s.softcap > 0) scores[p] = s.softcap * std::tanh(scores[p] / s.softcap);
      if (counts[p] > 0) top = std::max(top, scores[p]);
    }
    for (uint32_t p = 0; p < SampleCache::kPeriod; ++p) sum += scores[p] = counts[p] * std::exp(scores[p] - top);
    for (uint32_t d = 0; d < value_dim; ++d) {
      double v = 0;
      for (uint32_t p = 0; p < SampleCache::kPeriod; ++p) v += scores[p] * cache.value(p, h / group, d);
      out[h * value_dim + d] = v / sum;
    }
  }
}

}  // namespace

Result<Case> make_attention_case(gpu::Device& device, const AttentionShape& shape, AttentionStep step, uint64_t ring_bytes) {
  const uint32_t bucket = step.bucket, tokens = std::max(step.tokens, bucket), context = std::max(step.context, tokens);
  const uint32_t q_width = shape.heads * shape.cache.head_dim;
  const uint32_t width = shape.cache.shared_dim > 0 ? shape.heads * shape.cache.shared_dim : q_width;
  const uint64_t pages = (tokens + params::kPageTokens - 1) / params::kPageTokens;
  const uint64_t bytes = pages * ops::kv_layer_bytes(shape.cache.type, shape.cache.kv_heads, shape.cache.head_dim).end;
  const uint64_t most = std::min({ring_bytes, device.caps().max_buffer, device.caps().max_allocation});
  const auto copies = static_cast<uint32_t>(std::clamp<uint64_t>(most / bytes, 1, kMostCopies));
  LAHAR_ASSIGN(SampleCache cache, SampleCache::create(device, shape.cache, tokens, context, copies));
  LAHAR_ASSIGN(SampleRows q, SampleRows::create(device, bucket, q_width));
  const auto shared = std::make_shared<AttentionCase>(AttentionCase{std::move(cache), std::move(q), {}, {}, {}, {}});
  LAHAR_ASSIGN(shared->out, device.create_buffer(uint64_t{bucket} * width * 4, gpu::Memory::kDevice, "sample out"));
  LAHAR_ASSIGN(shared->scratch, device.create_buffer(ops::attention_scratch_bytes(device.caps(), bucket, shape.heads,
                                                                                  shape.cache.head_dim, context),
                                                     gpu::Memory::kDevice, "sample scratch"));
  LAHAR_ASSIGN(shared->step, TimedStep::create(device, bucket, tokens - bucket));
  ops::AttentionParams& p = shared->params;
  p.q = {shared->q.buffer(), q_width}, p.out = {shared->out, width};
  p.heads = shape.heads;
  p.kv = shared->cache.copy(0);
  p.scale = 2 / std::sqrt(static_cast<float>(shape.cache.head_dim));
  p.softcap = shape.softcap, p.window = shape.window, p.chunk = shape.chunk;
  p.scratch = shared->scratch;
  p.max_context = context;
  p.step = shared->step.ref();
  p.precision = shape.precision;
  p.label = "attention";

  Case c;
  c.name = ops::attention_case(p);
  c.label = "attention " + c.name;
  c.copies = copies;
  const double read = tokens - first_key(shape, tokens - bucket);
  c.bytes = static_cast<double>(bytes) * read / tokens / (shape.cache.shared_dim > 0 ? 2 : 1);
  double keys = 0;
  for (uint32_t last = tokens - bucket; last < tokens; ++last) keys += last + 1 - first_key(shape, last);
  c.flops = 2.0 * (q_width + width) * keys;
  c.y = shared->out, c.rows = bucket, c.stride = width;
  c.expected = {width, bucket, std::vector<double>(size_t{bucket} * width)};
  for (uint32_t t = 0; t < bucket; ++t)
    attend(shape, shared->cache, shared->q.row(t), tokens - bucket + t, p.scale,
           std::span(c.expected.values).subspan(size_t{t} * width, width));
  c.held = {shared};
  std::vector<ops::AttentionForm> forms = ops::attention_forms(device.caps(), p);
  for (const ops::AttentionForm& form : forms) {
    const std::string text = to_string(form);
    c.candidates.push_back({.form = text,
                            .path = text.substr(0, text.find(' ')),
                            .tolerance = tolerance_of(form, shape.cache.type),
                            .record = [shared = shared.get(), form](gpu::Recorder& recorder, uint32_t copy) {
                              ops::AttentionParams params = shared->params;
                              params.kv = shared->cache.copy(copy);
                              return ops::attention_with(recorder, params, form);
                            }});
  }
  return c;
}

}  // namespace lahar::tune
