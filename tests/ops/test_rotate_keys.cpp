// rotate_keys against float64.
#include "ops/kv_test.h"
#include "ops/rotate_keys.h"

namespace lahar::test {
namespace {

using ops::KvType;
using ops::RopePairing;

using RotateKeysTest = GpuTest;

struct Case {
  KvShape kv;
  RopePairing pairing = RopePairing::kHalves;
  uint32_t first_dim = 0, rope_dims = 64, delta = 48;
  double tolerance = 2e-5;
};

void run_case(gpu::Device& device, const Case& c, bool hazards = false) {
  SCOPED_TRACE(testing::Message() << "dim " << c.kv.head_dim << " rotated " << c.first_dim << "+" << c.rope_dims << " type "
                                  << static_cast<int>(c.kv.type) << " delta " << c.delta);
  constexpr uint32_t kTokens = params::kPageTokens;
  TestKv kv(device, c.kv, 11);
  kv.fill(0, kTokens);
  kv.upload();
  std::vector<float> frequencies;
  for (uint32_t i = 0; i < c.rope_dims / 2; ++i)
    frequencies.push_back(static_cast<float>(std::pow(1000.0, -2.0 * i / c.rope_dims)));
  const gpu::Buffer table = to_device(device, frequencies, "frequencies");
  const auto record = [&](gpu::Recorder& recorder) {
    return ops::rotate_keys(recorder, {.source = kv.page(0, 0),
                                       .target = kv.page(1, 0),
                                       .kv = kv.ref(),
                                       .pairing = c.pairing,
                                       .first_dim = c.first_dim,
                                       .rope_dims = c.rope_dims,
                                       .inverse_frequencies = table,
                                       .delta = c.delta,
                                       .label = "rotate"});
  };
  if (hazards) {
    std::vector<const gpu::Buffer*> buffers = kv.buffers();
    buffers.push_back(&table);
    return prove_hazards(device, record, buffers);
  }
  run(device, record);
  kv.download();
  double worst = 0;
  for (uint32_t head = 0; head < c.kv.kv_heads; ++head)
    for (uint32_t token = 0; token < kTokens; ++token)
      for (uint32_t dim = 0; dim < c.kv.head_dim; ++dim) {
        const auto key = [&](uint32_t d) { return double{kv.key(0, head, token, d)}; };
        double want = key(dim);
        if (dim >= c.first_dim && dim < c.first_dim + c.rope_dims) {
          const uint32_t d = dim - c.first_dim, half = c.rope_dims / 2;
          const bool halves = c.pairing == RopePairing::kHalves, first = halves ? d < half : d % 2 == 0;
          const uint32_t pair = halves ? d % half : d / 2, other = halves ? (first ? d + half : d - half) : d ^ 1u;
          const double angle = double{frequencies[pair]} * c.delta;
          want = want * std::cos(angle) + (first ? -1 : 1) * key(c.first_dim + other) * std::sin(angle);
        }
        worst = std::max(worst, std::abs(kv.key(1, head, token, dim) - want));
      }
  EXPECT_LE(worst, c.tolerance);
}

TEST_F(RotateKeysTest, EveryForm) {
  for (const RopePairing pairing : {RopePairing::kHalves, RopePairing::kInterleaved}) {
    run_case(device(), {.kv = {.type = KvType::kF32}, .pairing = pairing});
    run_case(device(), {.kv = {.head_dim = 80, .type = KvType::kF32},
                        .pairing = pairing,
                        .rope_dims = 20,
                        .delta = 100000,
                        .tolerance = 2e-3});
    run_case(device(), {.kv = {.kv_heads = 1, .head_dim = 40, .type = KvType::kF32, .shared_dim = 32},
                        .pairing = pairing,
                        .first_dim = 32,
                        .rope_dims = 8});
  }
  for (const auto& [type, tolerance] :
       {std::pair{KvType::kF16, 2e-3}, {KvType::kBF16, 2e-2}, {KvType::kI8, 2e-2}, {KvType::kF8, 0.15}, {KvType::kI4, 0.3}})
    run_case(device(), {.kv = {.type = type}, .tolerance = tolerance});
}

TEST_F(RotateKeysTest, DeclaresWhatItTouches) { run_case(device(), {.kv = {.type = KvType::kF32}}, true); }

}  // namespace
}  // namespace lahar::test
