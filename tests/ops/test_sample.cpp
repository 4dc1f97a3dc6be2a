// sample and advance: greedy choices with ties and damaged logits, records against float64, kept sets and draws against the
// probabilities that they stand for, reproducible seeds, states.
#include "ops/ops_test.h"
#include "ops/sample.h"
#include "params_sample.h"

namespace lahar::test {
namespace {

using params::SampleRecord;
using params::SeqState;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

SeqState greedy_state() { return {.position = 7, .last_token = -1, .counter = 3, .limit = 1000, .top_p = 1}; }
SeqState sampling_state(float temperature, uint32_t top_k = 0, float top_p = 1, float min_p = 0) {
  SeqState s = greedy_state();
  s.temperature = temperature, s.top_k = top_k, s.top_p = top_p, s.min_p = min_p;
  s.seed_low = 1234, s.seed_high = 5;
  return s;
}

// One step of several runs of one row each, run i of slot i.
class Rig {
 public:
  Rig(gpu::Device& device, std::vector<SeqState> states, const std::vector<std::vector<float>>& rows)
      : device_(device), runs_(static_cast<uint32_t>(states.size())), step_(runs_, runs_), states_(std::move(states)) {
    vocabulary_ = static_cast<uint32_t>(rows[0].size());
    stride_ = (vocabulary_ + 3) / 4 * 4 + 4;
    std::vector<float> logits;
    for (const auto& row : rows) logits.insert(logits.end(), row.begin(), row.end());
    step_.state.n_runs = runs_, step_.state.n_logits = runs_;
    for (uint32_t i = 0; i < runs_; ++i) {
      step_.state.runs[i] = {i, i, 1, 1};
      step_.state.logit_rows[i] = i;
      step_.rows[i].slot = i;
    }
    logits_ = to_device(device, padded_rows(logits, static_cast<uint32_t>(rows.size()), vocabulary_, stride_), "logits");
    records_ = make_output(device, runs_ * sizeof(SampleRecord));
    scratch_ = make_output(device, ops::sample_scratch_bytes(runs_, vocabulary_));
  }

  HostStep& step() { return step_; }
  ops::SampleParams params() {
    if (!states_buffer_) states_buffer_ = to_device(device_, states_, "states"), step_ref_ = step_.upload(device_);
    return {.logits = {logits_, stride_},
            .vocabulary = vocabulary_,
            .states = states_buffer_,
            .slots = runs_,
            .records = records_.range(),
            .scratch = scratch_.range(),
            .step = step_ref_,
            .max_runs = runs_};
  }

  std::vector<SampleRecord> sample() {
    const ops::SampleParams p = params();
    run(device_, [&](gpu::Recorder& recorder) { return ops::sample(recorder, p); });
    expect_guards(device_, records_);
    expect_guards(device_, scratch_);
    return from_device<SampleRecord>(device_, records_.range());
  }
  // `steps` samples after one another: records of all, the step outermost.
  std::vector<SampleRecord> sample_often(uint32_t steps) {
    const ops::SampleParams p = params();
    const gpu::Buffer history = make_buffer(device_, uint64_t{steps} * runs_ * sizeof(SampleRecord));
    run(device_, [&](gpu::Recorder& recorder) -> Status {
      for (uint32_t i = 0; i < steps; ++i) {
        LAHAR_TRY(ops::sample(recorder, p));
        recorder.copy("keep", p.records, {history, i * p.records.size, p.records.size});
      }
      return {};
    });
    return from_device<SampleRecord>(device_, history);
  }
  std::vector<SeqState> states() { return from_device<SeqState>(device_, states_buffer_); }
  std::vector<const gpu::Buffer*> buffers() const {
    return {&logits_, &states_buffer_, &step_.buffer, &records_.buffer, &scratch_.buffer};
  }

 private:
  gpu::Device& device_;
  uint32_t runs_, vocabulary_ = 0, stride_ = 0;
  HostStep step_;
  ops::StepRef step_ref_;
  std::vector<SeqState> states_;
  gpu::Buffer logits_, states_buffer_;
  Output records_, scratch_;
};

std::vector<float> normal_logits(uint32_t vocabulary, uint64_t seed, float deviation = 3) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> logits(vocabulary);
  for (float& v : logits) v = normal(random);
  return logits;
}

// Probabilities by id after temperature and truncation, by the definition in sample.h.
std::vector<double> reference(const std::vector<float>& logits, const SeqState& s) {
  std::vector<uint32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return logits[a] > logits[b]; });
  size_t kept = s.top_k > 0 ? std::min<size_t>(s.top_k, order.size()) : order.size();
  std::vector<double> p(order.size());
  for (size_t i = 0; i < order.size(); ++i) p[i] = std::exp((double{logits[order[i]]} - logits[order[0]]) / s.temperature);
  if (s.top_p < 1) {
    const double target = s.top_p * std::accumulate(p.begin(), p.begin() + static_cast<ptrdiff_t>(kept), 0.0);
    double sum = 0;
    size_t n = 0;
    while (n < kept && (n == 0 || sum < target)) sum += p[n++];
    kept = n;
  }
  while (kept > 1 && p[kept - 1] < s.min_p) --kept;
  const double total = std::accumulate(p.begin(), p.begin() + static_cast<ptrdiff_t>(kept), 0.0);
  std::vector<double> by_id(order.size(), 0);
  for (size_t i = 0; i < kept; ++i) by_id[order[i]] = p[i] / total;
  return by_id;
}

void expect_record(const SampleRecord& record, const std::vector<float>& logits) {
  double highest = -1e300, total = 0, entropy = 0;
  for (const float v : logits) highest = std::max(highest, double{v});
  for (const float v : logits) total += std::exp(v - highest);
  for (const float v : logits) {
    const double log_p = v - highest - std::log(total);
    entropy -= std::exp(log_p) * log_p;
  }
  ASSERT_GE(record.token, 0);
  ASSERT_LT(record.token, static_cast<int>(logits.size()));
  EXPECT_NEAR(record.logprob, logits[static_cast<size_t>(record.token)] - highest - std::log(total), 2e-5);
  EXPECT_NEAR(record.entropy, entropy, 1e-5 + 1e-4 * entropy);
}

using SampleTest = GpuTest;

TEST_F(SampleTest, GreedyOfEveryVocabulary) {
  for (const uint32_t vocabulary : {1u, 2u, 3u, 37u, 1280u, 50257u, 151936u}) {
    SCOPED_TRACE(vocabulary);
    const std::vector<std::vector<float>> rows{normal_logits(vocabulary, 1), normal_logits(vocabulary, 2, 0.1f)};
    Rig rig(device(), {greedy_state(), greedy_state()}, rows);
    const auto records = rig.sample();
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(records[i].token, std::max_element(rows[i].begin(), rows[i].end()) - rows[i].begin());
      EXPECT_EQ(records[i].position, 8u);
      expect_record(records[i], rows[i]);
    }
  }
}

TEST_F(SampleTest, TheLowestIdAmongEquals) {
  for (const uint32_t at : {0u, 5u, 299u, 30011u}) {
    std::vector<float> logits(40009, -1.0f);
    for (size_t i = at; i < logits.size(); i += 7) logits[i] = 2;
    Rig rig(device(), {greedy_state(), sampling_state(1, 1), sampling_state(1, 0, 1e-6f)}, {logits, logits, logits});
    for (const SampleRecord& record : rig.sample()) EXPECT_EQ(record.token, static_cast<int>(at));
  }
  std::vector<float> zeros(100, -3.0f);
  zeros[40] = 0.0f, zeros[20] = -0.0f;
  Rig rig(device(), {greedy_state()}, {zeros});
  EXPECT_EQ(rig.sample()[0].token, 20);
}

TEST_F(SampleTest, DamagedLogits) {
  const std::vector<float> all_nan(1280, kNan), all_low(1280, -kInfinity);
  std::vector<float> some_nan = normal_logits(1280, 3), one(1280, kNan), infinite = some_nan, huge = some_nan;
  for (size_t i = 0; i < some_nan.size(); i += 2) some_nan[i] = i % 4 == 0 ? kNan : -kNan;
  one[77] = -5;
  infinite[33] = kInfinity;
  huge[44] = 3e38f, huge[45] = -3e38f;
  for (const SeqState& state : {greedy_state(), sampling_state(0.7f), sampling_state(0.7f, 40, 0.9f, 0.05f),
                                sampling_state(1e-30f), sampling_state(kNan), sampling_state(-1)}) {
    SCOPED_TRACE(state.temperature);
    Rig rig(device(), std::vector<SeqState>(6, state), {all_nan, all_low, some_nan, one, infinite, huge});
    const auto records = rig.sample();
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(records[i].token, params::kNoNumbers) << i;
    EXPECT_EQ(records[4].token, 33);
    EXPECT_EQ(records[5].token, 44);
    for (const SampleRecord& record : records) {
      EXPECT_TRUE(std::isfinite(record.logprob));
      EXPECT_TRUE(std::isfinite(record.entropy));
    }
  }
}

// Draws many tokens and compares their counts with the reference.
void expect_distribution(gpu::Device& device, const std::vector<float>& logits, SeqState state, uint32_t steps) {
  SCOPED_TRACE(testing::Message() << "vocabulary " << logits.size() << " temperature " << state.temperature << " top_k "
                                  << state.top_k << " top_p " << state.top_p << " min_p " << state.min_p);
  constexpr uint32_t kRuns = 32;
  std::vector<SeqState> states(kRuns, state);
  for (uint32_t i = 0; i < kRuns; ++i) states[i].sequence = i, states[i].limit = 1u << 30;
  Rig rig(device, states, std::vector<std::vector<float>>(kRuns, logits));
  const std::vector<SampleRecord> records = rig.sample_often(steps);
  const std::vector<double> p = reference(logits, state);
  std::vector<double> counts(p.size(), 0);
  for (const SampleRecord& record : records) {
    ASSERT_GE(record.token, 0);
    ASSERT_LT(record.token, static_cast<int>(p.size()));
    ASSERT_GT(p[static_cast<size_t>(record.token)], 0) << "token " << record.token << " is not among the kept";
    ++counts[static_cast<size_t>(record.token)];
  }
  const auto n = static_cast<double>(records.size());
  double chi_squared = 0, rare_expected = 0, rare_count = 0, bins = 0;
  const auto add = [&](double expected, double count) {
    chi_squared += (count - expected) * (count - expected) / expected;
    ++bins;
  };
  for (size_t i = 0; i < p.size(); ++i) {
    if (n * p[i] >= 8) add(n * p[i], counts[i]);
    else rare_expected += n * p[i], rare_count += counts[i];
  }
  if (rare_expected >= 8) add(rare_expected, rare_count);
  const double freedom = std::max(bins - 1, 1.0);
  EXPECT_LT(chi_squared, freedom + 5 * std::sqrt(2 * freedom) + 5) << "over " << freedom << " degrees of freedom";
}

TEST_F(SampleTest, DrawsFollowTheProbabilities) {
  for (const uint32_t vocabulary : {1u, 2u, 37u, 1280u}) {
    const std::vector<float> logits = normal_logits(vocabulary, 11 + vocabulary, 2);
    for (const SeqState& state :
         {sampling_state(1), sampling_state(0.6f), sampling_state(2.5f), sampling_state(1, 5), sampling_state(1, 0, 0.8f),
          sampling_state(1, 0, 1, 0.1f), sampling_state(0.8f, 0, 0.95f, 0.05f), sampling_state(1.3f, 20, 0.7f, 0.02f)})
      expect_distribution(device(), logits, state, 160);
  }
}

TEST_F(SampleTest, DrawsFromLargeVocabularies) {
  for (const uint32_t vocabulary : {50257u, 151936u}) {
    const std::vector<float> logits = normal_logits(vocabulary, 5, 2.5f);
    for (const SeqState& state : {sampling_state(0.8f, 0, 0.9f), sampling_state(1, 50), sampling_state(0.3f)})
      expect_distribution(device(), logits, state, 12);
  }
}

TEST_F(SampleTest, TiesAtTheThreshold) {
  std::vector<float> equal(1003, 0.5f), steps(1003);
  for (size_t i = 0; i < steps.size(); ++i) steps[i] = static_cast<float>(i * 7 % 10);
  for (const auto& logits : {equal, steps})
    for (const SeqState& state :
         {sampling_state(1, 10), sampling_state(1, 333), sampling_state(1, 1002), sampling_state(1, 0, 0.2505f),
          sampling_state(1, 500, 0.4005f), sampling_state(2, 150, 0.999f), sampling_state(5, 0, 0.6f)})
      expect_distribution(device(), logits, state, 60);
}

TEST_F(SampleTest, EveryKeptSetSize) {
  const std::vector<float> logits = normal_logits(300, 21, 1);
  for (uint32_t k = 1; k < 20; ++k) expect_distribution(device(), logits, sampling_state(1, k), 8);
  for (uint32_t i = 1; i < 20; ++i)
    expect_distribution(device(), logits, sampling_state(1, 0, 0.05f * static_cast<float>(i)), 8);
}

TEST_F(SampleTest, TheSameNumbersWhateverTheBatch) {
  const std::vector<float> logits = normal_logits(1280, 4, 0.5f);
  std::vector<SeqState> states;
  for (uint32_t i = 0; i < 8; ++i) {
    states.push_back(sampling_state(1.5f));
    states.back().sequence = i / 2 * 10;
    states.back().counter = i % 2;
  }
  Rig together(device(), states, std::vector<std::vector<float>>(8, logits));
  const auto batch = together.sample();
  int different = 0;
  for (uint32_t i = 0; i < 8; ++i) {
    Rig alone(device(), {states[i]}, {logits});
    EXPECT_EQ(alone.sample()[0].token, batch[i].token);
    different += batch[i].token != batch[0].token ? 1 : 0;
  }
  EXPECT_GT(different, 4);
  // The counter advances by itself; a seed's high half counts.
  SeqState other = states[0];
  other.seed_high ^= 1;
  Rig twice(device(), {states[0], other}, {logits, logits});
  const auto first_and_second = twice.sample_often(2);
  EXPECT_EQ(first_and_second[2].token, batch[1].token);
  EXPECT_NE(first_and_second[1].token, first_and_second[0].token);
}

TEST_F(SampleTest, StatesAdvance) {
  const std::vector<float> a = normal_logits(50, 1), b = normal_logits(50, 2);
  std::vector<SeqState> states(5, greedy_state());
  states[2].limit = 9;  // its run of 4 rows goes beyond
  states[3].limit = 0;  // inactive
  Rig rig(device(), states, {a, b, a, b, a});
  HostStep& step = rig.step();
  step = HostStep(12, 10);
  step.state.n_runs = 4;
  step.state.runs[0] = {4, 0, 3, 1};
  step.state.runs[1] = {1, 3, 2, 0};
  step.state.runs[2] = {2, 5, 4, 0};
  step.state.runs[3] = {0, 9, 1, 1};
  step.state.n_logits = 2;
  const auto records = rig.sample();
  EXPECT_EQ(records[0].token, std::max_element(a.begin(), a.end()) - a.begin());
  EXPECT_EQ(records[1].token, -1);
  EXPECT_EQ(records[2].token, -1);
  EXPECT_EQ(records[3].token, std::max_element(b.begin(), b.end()) - b.begin());
  const auto after = rig.states();
  EXPECT_EQ(after[4].position, 10u);
  EXPECT_EQ(after[4].last_token, records[0].token);
  EXPECT_EQ(after[4].counter, 4u);
  EXPECT_EQ(after[1].position, 9u);
  EXPECT_EQ(after[1].last_token, -1);
  EXPECT_EQ(after[1].counter, 3u);
  EXPECT_EQ(after[2].position, 9u);
  EXPECT_EQ(after[3].position, 7u);
  EXPECT_EQ(after[0].position, 8u);
}

TEST_F(SampleTest, ARunBeyondItsLimitIsNotSampled) {
  SeqState full = greedy_state();
  full.position = full.limit = 20;
  Rig rig(device(), {full}, {normal_logits(50, 1)});
  rig.step().rows[0].valid = 0;
  EXPECT_EQ(rig.sample()[0].token, -1);
  const SeqState after = rig.states()[0];
  EXPECT_EQ(after.position, 20u);
  EXPECT_EQ(after.counter, 3u);
}

TEST_F(SampleTest, AdvanceAlone) {
  Rig rig(device(), {greedy_state(), greedy_state()}, {normal_logits(9, 1), normal_logits(9, 1)});
  const ops::SampleParams p = rig.params();
  run(device(), [&](gpu::Recorder& recorder) { return ops::advance(recorder, p); });
  const auto records = from_device<SampleRecord>(device(), p.records);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(rig.states()[i].position, 8u);
    EXPECT_EQ(rig.states()[i].counter, 3u);
    EXPECT_EQ(records[i].token, -1);
  }
}

TEST_F(SampleTest, DeclaresWhatItTouches) {
  const std::vector<float> logits = normal_logits(9001, 1);
  Rig rig(device(), {greedy_state(), sampling_state(0.8f, 40, 0.9f), greedy_state()}, {logits, logits, logits});
  const ops::SampleParams p = rig.params();
  prove_hazards(
      device(), [&](gpu::Recorder& recorder) { return ops::sample(recorder, p); }, rig.buffers());
  prove_hazards(
      device(), [&](gpu::Recorder& recorder) { return ops::advance(recorder, p); }, rig.buffers());
}

}  // namespace
}  // namespace lahar::test
