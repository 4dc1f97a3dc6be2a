// What benchmarks and traces promise: several sequences in one step compute what each would alone, traces count every node.
#include "engine/engine_test.h"
#include "engine/step_bench.h"
#include "engine/step_cost.h"
#include "lahar/pumice.h"
#include "tune/device_rates.h"

namespace lahar::test {
namespace {

class StepBenchTest : public GpuTest {
 protected:
  std::unique_ptr<Engine> open(const EngineOptions& options) {
    size_t size = 0;
    const auto* data = static_cast<const std::byte*>(lahar_pumice_data(&size));
    const auto source = ModelSource::from_memory({data, size}, "pumice");
    EXPECT_TRUE(source.ok()) << why(source);
    auto engine = open_engine(device().shared_from_this(), **source, {.engine = options});
    EXPECT_TRUE(engine.ok()) << why(engine);
    return engine.ok() ? std::move(engine).value() : nullptr;
  }
};

TEST_F(StepBenchTest, EverySequenceOfABatchGivesATokenAStep) {
  const auto engine = open({.context = 96, .slots = 3});
  ASSERT_TRUE(engine);
  StepBench bench(*engine);
  for (const uint32_t depth : {0u, 40u, 17u}) {
    const uint64_t before = bench.tokens_read();
    const auto seconds = bench.decode(5, depth, 3);
    ASSERT_TRUE(seconds.ok()) << why(seconds);
    EXPECT_GT(*seconds, 0);
    EXPECT_EQ(bench.tokens_read() - before, 15u) << "depth " << depth;
  }
  EXPECT_FALSE(bench.decode(1, 0, 4).ok());
  EXPECT_FALSE(bench.decode(57, 40, 1).ok());
  EXPECT_FALSE(bench.prefill(57, 40).ok());
}

// The copies of the first sequence's cache give the same greedy tokens: read from the states on the device.
TEST_F(StepBenchTest, CopiedCachesAreTheFirstOne) {
  const auto engine = open({.context = 96, .slots = 3});
  ASSERT_TRUE(engine);
  StepBench bench(*engine);
  ASSERT_TRUE(bench.decode(6, 37, 3).ok());
  std::vector<params::SeqState> states(3);
  ASSERT_TRUE(gpu::download(device(), engine->steps().states(), std::as_writable_bytes(std::span(states))).ok());
  EXPECT_EQ(states[0].position, 43u);
  for (const params::SeqState& state : states) {
    EXPECT_EQ(state.position, states[0].position);
    EXPECT_EQ(state.last_token, states[0].last_token);
  }
}

TEST_F(StepBenchTest, ATraceHasEveryNodeOfTheStep) {
  const auto engine = open({.context = 64});
  ASSERT_TRUE(engine);
  const auto size = engine->steps().program_size({1, LogitMode::kSampled});
  ASSERT_TRUE(size.ok()) << why(size);
  StepBench bench(*engine);
  const auto trace = bench.trace_decode(20, 1);
  ASSERT_TRUE(trace.ok()) << why(trace);
  EXPECT_EQ(trace->nodes.size(), size->dispatches);
  uint32_t barriers = 0;
  double end = 0;
  for (const TracedNode& node : trace->nodes) {
    barriers += node.barrier_before ? 1 : 0;
    EXPECT_FALSE(node.kernel.empty()) << node.label;
    if (trace->timed) {
      EXPECT_GE(node.begin_ns + 1, end) << node.label << " begins before what it waits for has ended";
      end = node.begin_ns + node.duration_ns;
    }
  }
  EXPECT_EQ(barriers, size->barriers);
  EXPECT_EQ(trace->timed, device().caps().timestamp_period > 0);
}

TEST_F(StepBenchTest, CostsAreCountedFromTheModel) {
  const auto engine = open({.context = 64});
  ASSERT_TRUE(engine);
  const Model& model = engine->model();
  const uint64_t bytes = step_weight_bytes(model.spec, model.weights);
  EXPECT_LE(bytes, model.weights.device_bytes);
  EXPECT_GT(bytes, model.weights.device_bytes / 2);
  EXPECT_EQ(row_kv_bytes(model.spec, engine->kv().layout(), 16), engine->kv().layout().page_bytes);
  const double once = prefill_flops(model.spec, model.weights, 1, 0), later = prefill_flops(model.spec, model.weights, 1, 9);
  const AttentionSpec& a = model.spec.layers[0].attention;
  EXPECT_DOUBLE_EQ(later - once, 4.0 * 9 * a.heads * a.head_dim * static_cast<double>(model.spec.layers.size()));
}

TEST_F(StepBenchTest, TheDevicesRatesAreMeasured) {
  const auto rates = tune::measure_device_rates(device());
  ASSERT_TRUE(rates.ok()) << why(rates);
  EXPECT_GT(rates->copy, 0);
  EXPECT_GT(rates->matrix, 0);
}

}  // namespace
}  // namespace lahar::test
