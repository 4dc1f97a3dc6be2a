// What multi-head latent attention adds, against float64: products with a small matrix for each head, and the dispatch that
// rotates, norms and writes the page. Attention itself on such pages: test_attention_masks.cpp.
#include "ops/head_product.h"
#include "ops/kv_test.h"
#include "ops/mla_store.h"

namespace lahar::test {
namespace {

using ops::KvType;
using ops::RopePairing;
using quant::WeightFormat;

using MlaTest = GpuTest;

struct ProductCase {
  WeightFormat format = WeightFormat::kF32;
  uint32_t heads = 3, head_rows = 12, cols = 32, bucket = 4, used = 3, group = 0;
  bool transposed = false;
};

void run_product(gpu::Device& device, const ProductCase& c, bool hazards = false) {
  SCOPED_TRACE(testing::Message() << to_string(c.format) << " " << c.heads << " heads of " << c.head_rows << " x " << c.cols
                                  << " transposed " << c.transposed << " rows " << c.used << "/" << c.bucket);
  const uint32_t in = c.transposed ? c.head_rows : c.cols, out = c.transposed ? c.cols : c.head_rows;
  const uint32_t x_head = in + 8, y_head = out + 4, x_stride = c.heads * x_head, y_stride = c.heads * y_head + 4;
  HostMatrix w = random_matrix(device, c.format, c.heads * c.head_rows, c.cols, 1, c.group);
  HostStep step(c.bucket, c.used);
  const ops::StepRef ref = step.upload(device);
  const std::vector<float> x = random_floats(size_t{c.bucket} * x_stride, 2, -1, 1);
  const gpu::Buffer x_buffer = to_device(device, x, "x");
  const Output y = make_output(device, uint64_t{c.bucket} * y_stride * 4);
  const auto record = [&](gpu::Recorder& recorder) {
    return ops::head_product(recorder, {.w = &w.matrix,
                                        .x = {x_buffer, x_stride},
                                        .y = {y.range(), y_stride},
                                        .heads = c.heads,
                                        .head_rows = c.head_rows,
                                        .x_head = x_head,
                                        .y_head = y_head,
                                        .transposed = c.transposed,
                                        .scale = 0.5f,
                                        .step = ref,
                                        .label = "heads"});
  };
  if (hazards) {
    std::vector<const gpu::Buffer*> buffers = w.pointers();
    buffers.insert(buffers.end(), {&x_buffer, &y.buffer, &step.buffer});
    return prove_hazards(device, record, buffers);
  }
  run(device, record);
  const std::vector<float> got = from_device<float>(device, y.range());
  expect_guards(device, y);
  uint32_t wrong = 0;
  for (uint32_t t = 0; t < c.used; ++t)
    for (uint32_t h = 0; h < c.heads; ++h)
      for (uint32_t o = 0; o < out; ++o) {
        Bounded want;
        for (uint32_t i = 0; i < in; ++i) {
          const uint32_t row = h * c.head_rows + (c.transposed ? i : o), col = c.transposed ? o : i;
          const double term = 0.5 * x[size_t{t} * x_stride + h * x_head + i] * w.values[size_t{row} * c.cols + col];
          want.value += term, want.magnitude += std::abs(term);
        }
        const double difference = std::abs(got[size_t{t} * y_stride + h * y_head + o] - want.value);
        if (!(difference <= 1e-5 * want.magnitude + 1e-7)) ++wrong;
      }
  EXPECT_EQ(wrong, 0u);
  for (uint32_t t = c.used; t < c.bucket; ++t) EXPECT_TRUE(std::isnan(got[size_t{t} * y_stride])) << "row " << t;
}

TEST_F(MlaTest, HeadProducts) {
  for (const bool transposed : {false, true}) {
    for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kBF16, WeightFormat::kQ8_0,
                                      WeightFormat::kQ4_0, WeightFormat::kMXFP4})
      run_product(device(), {.format = format, .transposed = transposed});
    run_product(device(), {.format = WeightFormat::kQ4_K, .heads = 2, .cols = 512, .transposed = transposed});
    run_product(device(), {.format = WeightFormat::kF8, .cols = 64, .group = 32, .transposed = transposed});
    for (const uint32_t cols : {4u, 20u, 68u})
      run_product(device(), {.format = WeightFormat::kF16,
                             .heads = 5,
                             .head_rows = 4,
                             .cols = cols,
                             .bucket = 1,
                             .used = 1,
                             .transposed = transposed});
    run_product(device(), {.heads = 1, .head_rows = 132, .bucket = 8, .used = 5, .transposed = transposed});
    run_product(device(), {.transposed = transposed}, true);
  }
}

struct StoreCase {
  uint32_t heads = 3, nope = 12, latent = 32, rope = 8;
  RopePairing pairing = RopePairing::kInterleaved;
  KvType type = KvType::kF32;
  uint32_t position = 5;
};

void rotate(const StoreCase& c, std::vector<double>& v, const std::vector<float>& frequencies, uint32_t position) {
  for (uint32_t i = 0; i < c.rope / 2; ++i) {
    const bool halves = c.pairing == RopePairing::kHalves;
    double &a = v[halves ? i : 2 * i], &b = v[halves ? i + c.rope / 2 : 2 * i + 1];
    const double angle = double{frequencies[i]} * position;
    const double turned = a * std::cos(angle) - b * std::sin(angle);
    b = b * std::cos(angle) + a * std::sin(angle);
    a = turned;
  }
  for (double& value : v) value *= double{1.5f};
}

void run_store(gpu::Device& device, const StoreCase& c, double tolerance, bool hazards = false) {
  SCOPED_TRACE(testing::Message() << c.heads << " heads " << c.nope << "+" << c.rope << " latent " << c.latent << " pairing "
                                  << static_cast<int>(c.pairing) << " type " << static_cast<int>(c.type));
  constexpr uint32_t kBucket = 3, kUsed = 2;
  const uint32_t dim = c.latent + c.rope, query = c.nope + c.rope;
  const uint32_t pages = c.position / params::kPageTokens + 2;
  TestKv kv(device, {.pages_per_slot = pages, .kv_heads = 1, .head_dim = dim, .type = c.type, .shared_dim = c.latent}, 3);
  HostStep step(kBucket, kUsed, c.position);
  const ops::StepRef ref = step.upload(device);
  const std::vector<float> queries = random_floats(size_t{kBucket} * c.heads * query, 4, -1, 1);
  const std::vector<float> latents = random_floats(size_t{kBucket} * dim, 5, -1, 1);
  const std::vector<float> norm = random_floats(c.latent, 6, 0.5f, 1.5f);
  std::vector<float> frequencies;
  for (uint32_t i = 0; i < c.rope / 2; ++i) frequencies.push_back(static_cast<float>(std::pow(100.0, -2.0 * i / c.rope)));
  const gpu::Buffer query_buffer = to_device(device, queries, "queries"),
                    latent_buffer = to_device(device, latents, "latents");
  const gpu::Buffer norm_buffer = to_device(device, norm, "norm"), table = to_device(device, frequencies, "frequencies");
  const Output q = make_output(device, uint64_t{kBucket} * c.heads * dim * 4);
  const auto record = [&](gpu::Recorder& recorder) {
    return ops::mla_store(recorder, {.queries = {query_buffer, c.heads * query},
                                     .latents = {latent_buffer, dim},
                                     .q = {q.range(), c.heads * dim},
                                     .heads = c.heads,
                                     .nope = c.nope,
                                     .kv = kv.ref(),
                                     .norm = norm_buffer,
                                     .eps = 1e-6f,
                                     .pairing = c.pairing,
                                     .inverse_frequencies = table,
                                     .magnitude = 1.5f,
                                     .step = ref,
                                     .label = "store"});
  };
  if (hazards) {
    std::vector<const gpu::Buffer*> buffers = kv.buffers();
    buffers.insert(buffers.end(), {&query_buffer, &latent_buffer, &norm_buffer, &table, &q.buffer, &step.buffer});
    return prove_hazards(device, record, buffers);
  }
  run(device, record);
  const std::vector<float> got = from_device<float>(device, q.range());
  expect_guards(device, q);
  kv.download();
  double worst = 0, worst_q = 0;
  for (uint32_t t = 0; t < kUsed; ++t) {
    const params::Row& row = step.rows[t];
    const float* latent = &latents[size_t{t} * dim];
    double squares = 0;
    for (uint32_t d = 0; d < c.latent; ++d) squares += double{latent[d]} * latent[d];
    std::vector<double> key(latent + c.latent, latent + dim);
    rotate(c, key, frequencies, row.position);
    for (uint32_t d = 0; d < dim; ++d) {
      const double want =
          d < c.latent ? latent[d] / std::sqrt(squares / c.latent + double{1e-6f}) * norm[d] : key[d - c.latent];
      worst = std::max(worst, std::abs(kv.key(row.slot, 0, row.kv_index, d) - want));
    }
    for (uint32_t h = 0; h < c.heads; ++h) {
      const float* from = &queries[(size_t{t} * c.heads + h) * query + c.nope];
      std::vector<double> want(from, from + c.rope);
      rotate(c, want, frequencies, row.position);
      const float* to = &got[(size_t{t} * c.heads + h) * dim];
      for (uint32_t d = 0; d < c.rope; ++d) worst_q = std::max(worst_q, std::abs(to[c.latent + d] - want[d]));
      EXPECT_TRUE(std::isnan(to[0]) && std::isnan(to[c.latent - 1])) << "the latent part was written";
    }
  }
  EXPECT_LE(worst, tolerance);
  EXPECT_LE(worst_q, 2e-5);
  EXPECT_LE(kv.touched_bytes(), kUsed * kv.token_bytes());
}

TEST_F(MlaTest, Store) {
  for (const RopePairing pairing : {RopePairing::kInterleaved, RopePairing::kHalves})
    run_store(device(), {.pairing = pairing}, 2e-5);
  run_store(device(), {.heads = 2, .nope = 128, .latent = 512, .rope = 64, .type = KvType::kF16, .position = 900}, 4e-3);
  run_store(device(), {.type = KvType::kI8}, 2e-2);
  run_store(device(), {}, 0, true);
}

TEST_F(MlaTest, StoreOfAwkwardSizes) {
  run_store(device(), {.heads = 5, .nope = 4, .latent = 20, .rope = 4}, 2e-5);
  run_store(device(), {.heads = 3, .nope = 8, .latent = 20, .rope = 12, .pairing = RopePairing::kHalves}, 2e-5);
}

}  // namespace
}  // namespace lahar::test
