// moe_route against a float64 reference: every score, biases, groups, ties, logits that are not numbers.
#include <limits>
#include <set>

#include "ops/moe.h"
#include "ops/ops_test.h"

namespace lahar::test {
namespace {

using ops::GroupScore;
using ops::RouterScore;

struct Case {
  uint32_t experts = 8, chosen = 2, rows = 3, bucket = 4;
  RouterScore score = RouterScore::kSoftmax;
  bool bias = false, normalize = false;
  uint32_t groups = 1, groups_chosen = 1;
  GroupScore group_score = GroupScore::kHighest;
  float scale = 1;
  bool own_scales = false;
  std::vector<float> logits;  // empty: random
};

struct Route {
  std::vector<uint32_t> ids;
  std::vector<double> weights;
};

Route reference(const Case& c, const float* logits, const std::vector<float>& bias, const std::vector<float>& own) {
  const uint32_t n = c.experts;
  std::vector<double> score(n), by(n);
  double highest = -1e300, sum = 0;
  for (uint32_t e = 0; e < n; ++e) highest = std::max<double>(highest, logits[e]);
  for (uint32_t e = 0; e < n; ++e) sum += std::exp(logits[e] - highest);
  for (uint32_t e = 0; e < n; ++e) {
    const double l = logits[e];
    score[e] = c.score == RouterScore::kSigmoid   ? 1 / (1 + std::exp(-l))
               : c.score == RouterScore::kSoftmax ? std::exp(l - highest) / sum
                                                  : l;
    by[e] = score[e] + (c.bias ? bias[e] : 0);
  }
  const uint32_t each = n / c.groups;
  std::vector<double> group(c.groups);
  for (uint32_t g = 0; g < c.groups; ++g) {
    std::vector<double> all(by.begin() + g * each, by.begin() + (g + 1) * each);
    std::sort(all.rbegin(), all.rend());
    group[g] = all[0] + (c.group_score == GroupScore::kSumOfTwo && each > 1 ? all[1] : 0);
  }
  const auto best_of = [](const std::vector<double>& v, const std::vector<bool>& out) {
    size_t best = v.size();
    for (size_t i = 0; i < v.size(); ++i)
      if (!out[i] && (best == v.size() || v[i] > v[best])) best = i;
    return static_cast<uint32_t>(best);
  };
  std::vector<bool> group_out(c.groups), out(n);
  if (c.groups > 1) {
    for (uint32_t i = 0; i < c.groups_chosen; ++i) group_out[best_of(group, group_out)] = true;
    for (uint32_t e = 0; e < n; ++e) out[e] = !group_out[e / each];
  }
  Route r;
  double total = 0;
  for (uint32_t j = 0; j < c.chosen; ++j) {
    const uint32_t e = best_of(by, out);
    out[e] = true;
    r.ids.push_back(e);
    r.weights.push_back(c.score == RouterScore::kSoftmaxOfChosen ? std::exp(score[e] - highest) : score[e]);
    total += r.weights.back();
  }
  for (double& w : r.weights) w = (c.normalize || c.score == RouterScore::kSoftmaxOfChosen ? w / total : w) * c.scale;
  for (uint32_t j = 0; j < c.chosen && c.own_scales; ++j) r.weights[j] *= own[r.ids[j]];
  return r;
}

class MoeRoute : public GpuTest {
 protected:
  struct Outcome {
    std::vector<uint32_t> ids, uses;
    std::vector<float> weights;
  };

  Outcome route(const Case& c, const std::vector<float>& logits, const std::vector<float>& bias,
                const std::vector<float>& own, bool prove = false) {
    const uint32_t stride = (c.experts + 3) / 4 * 4 + 4;
    HostStep step(c.bucket, c.rows);
    const ops::StepRef ref = step.upload(device());
    const gpu::Buffer rows = to_device(device(), padded_rows(logits, c.bucket, c.experts, stride), "logits");
    const gpu::Buffer biases = to_device(device(), bias, "bias");
    const gpu::Buffer scales = to_device(device(), own, "scales");
    const Output ids = make_output(device(), ops::moe_route_bytes(c.bucket, c.chosen), "ids");
    const Output weights = make_output(device(), ops::moe_route_bytes(c.bucket, c.chosen), "weights");
    const gpu::Buffer uses = to_device(device(), std::vector<uint32_t>(c.experts, 5), "uses");
    ops::MoeRouteParams p{.logits = {rows, stride},
                          .experts = c.experts,
                          .chosen = c.chosen,
                          .score = c.score,
                          .groups = c.groups,
                          .groups_chosen = c.groups_chosen,
                          .group_score = c.group_score,
                          .normalize = c.normalize,
                          .scale = c.scale,
                          .routes = {ids.range(), weights.range()},
                          .uses = uses,
                          .step = ref,
                          .label = "route"};
    if (c.bias) p.selection_bias = biases;
    if (c.own_scales) p.expert_scale = scales;
    const auto record = [&](gpu::Recorder& recorder) { return ops::moe_route(recorder, p); };
    if (prove) {
      const gpu::Buffer* all[] = {&rows, &biases, &scales, &ids.buffer, &weights.buffer, &uses, &step.buffer};
      prove_hazards(device(), record, all);
    }
    run(device(), record);
    expect_guards(device(), ids);
    expect_guards(device(), weights);
    return {from_device<uint32_t>(device(), ids.range()), from_device<uint32_t>(device(), uses),
            from_device<float>(device(), weights.range())};
  }

  void check(const Case& c, uint64_t seed = 1, bool prove = false) {
    SCOPED_TRACE(std::to_string(c.chosen) + " of " + std::to_string(c.experts) + " experts, score " +
                 std::to_string(static_cast<int>(c.score)) + ", seed " + std::to_string(seed));
    std::vector<float> logits = c.logits.empty() ? random_floats(size_t{c.bucket} * c.experts, seed, -4, 4) : c.logits;
    logits.resize(size_t{c.bucket} * c.experts);
    const std::vector<float> bias = random_floats(c.experts, seed + 1, -0.3f, 0.3f);
    // Factors of both signs, one of them 0.
    std::vector<float> own = random_floats(c.experts, seed + 2, -2, 2);
    own[0] = 0;
    const Outcome found = route(c, logits, bias, own, prove);
    std::vector<uint32_t> uses(c.experts, 5);
    for (uint32_t t = 0; t < c.rows; ++t) {
      const Route expected = reference(c, logits.data() + size_t{t} * c.experts, bias, own);
      for (uint32_t j = 0; j < c.chosen; ++j) {
        ASSERT_EQ(found.ids[t * c.chosen + j], expected.ids[j]) << "row " << t << " choice " << j;
        ASSERT_NEAR(found.weights[t * c.chosen + j], expected.weights[j], 3e-6 * std::abs(c.scale) * (c.own_scales ? 2 : 1))
            << "row " << t << " choice " << j;
        ++uses[expected.ids[j]];
      }
    }
    EXPECT_EQ(found.uses, uses);
    for (size_t i = size_t{c.rows} * c.chosen; i < found.ids.size(); ++i) EXPECT_EQ(found.ids[i], UINT32_MAX);
  }
};

TEST_F(MoeRoute, Scores) {
  for (const RouterScore score : {RouterScore::kSoftmax, RouterScore::kSoftmaxOfChosen, RouterScore::kSigmoid})
    for (const bool normalize : {false, true}) {
      check({.experts = 32, .chosen = 4, .score = score, .normalize = normalize, .scale = 2.5f});
      check({.experts = 33, .chosen = 3, .score = score, .bias = true, .normalize = normalize}, 7);
    }
}

// They come last: after the choice, and after the weights were made to sum to 1.
TEST_F(MoeRoute, ScalesOfTheExpertsOwn) {
  for (const RouterScore score : {RouterScore::kSoftmax, RouterScore::kSoftmaxOfChosen, RouterScore::kSigmoid})
    for (const bool normalize : {false, true}) {
      check(
          {.experts = 37, .chosen = 5, .rows = 7, .bucket = 8, .score = score, .normalize = normalize, .own_scales = true});
      check({.experts = 130,
             .chosen = 16,
             .score = score,
             .bias = true,
             .normalize = normalize,
             .scale = 2.5f,
             .own_scales = true},
            11);
    }
  check({.experts = 3, .chosen = 3, .own_scales = true});
}

TEST_F(MoeRoute, AwkwardSizes) {
  for (const uint32_t experts : {1u, 3u, 7u, 33u, 512u})
    for (const uint32_t chosen : {1u, 3u, 16u})
      if (chosen <= experts) check({.experts = experts, .chosen = chosen, .rows = 5, .bucket = 6}, experts);
}

TEST_F(MoeRoute, Groups) {
  for (const GroupScore score : {GroupScore::kHighest, GroupScore::kSumOfTwo}) {
    check({.experts = 64, .chosen = 6, .groups = 8, .groups_chosen = 3, .group_score = score});
    check({.experts = 256,
           .chosen = 8,
           .score = RouterScore::kSigmoid,
           .bias = true,
           .normalize = true,
           .groups = 8,
           .groups_chosen = 4,
           .group_score = score,
           .scale = 2.5f});
    check({.experts = 6, .chosen = 2, .groups = 6, .groups_chosen = 3, .group_score = score});
  }
}

TEST_F(MoeRoute, OfEqualOnesTheLowerIndexWins) {
  check({.experts = 40, .chosen = 16, .logits = std::vector<float>(160, 0.25f)});
  check({.experts = 40,
         .chosen = 9,
         .score = RouterScore::kSigmoid,
         .groups = 4,
         .groups_chosen = 2,
         .logits = std::vector<float>(160, -0.0f)});
  std::vector<float> few(4 * 8, -1);
  for (size_t t = 0; t < 4; ++t) few[t * 8 + 5] = few[t * 8 + 3] = few[t * 8 + 7] = 2;
  check({.experts = 8, .chosen = 4, .logits = few});
}

// The row's weights say so, ids stay in range, other rows are as they were.
TEST_F(MoeRoute, LogitsThatAreNoNumbers) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  for (const RouterScore score : {RouterScore::kSoftmax, RouterScore::kSoftmaxOfChosen, RouterScore::kSigmoid}) {
    const Case c{.experts = 9,
                 .chosen = 3,
                 .rows = 4,
                 .bucket = 4,
                 .score = score,
                 .bias = true,
                 .normalize = true,
                 .own_scales = true};
    std::vector<float> logits = random_floats(size_t{c.bucket} * c.experts, 3);
    logits[4] = nan;                                // row 0: one
    std::fill_n(logits.begin() + 9, 9, nan);        // row 1: all
    logits[2 * 9 + 8] = infinity;                   // row 2
    logits[3 * 9] = logits[3 * 9 + 1] = -infinity;  // row 3: experts that are never taken
    const std::vector<float> bias = random_floats(c.experts, 4, -0.01f, 0.01f);
    const Outcome found = route(c, logits, bias, random_floats(c.experts, 5, -2, 2));
    for (uint32_t t = 0; t < 4; ++t) {
      std::set<uint32_t> ids(found.ids.begin() + t * 3, found.ids.begin() + t * 3 + 3);
      EXPECT_EQ(ids.size(), 3u);
      for (const uint32_t id : ids) EXPECT_LT(id, 9u);
      for (uint32_t j = 0; j < 3; ++j) EXPECT_EQ(std::isnan(found.weights[t * 3 + j]), t < 3) << t;
      EXPECT_FALSE(t == 0 && ids.contains(4)) << "NaN counts as the lowest";
      EXPECT_FALSE(t == 3 && (ids.contains(0) || ids.contains(1)));
    }
  }
}

TEST_F(MoeRoute, DeclaresWhatItTouches) {
  check({.experts = 33,
         .chosen = 3,
         .bias = true,
         .groups = 3,
         .groups_chosen = 2,
         .group_score = GroupScore::kSumOfTwo,
         .own_scales = true},
        2, true);
}

TEST_F(MoeRoute, RefusesWhatDoesNotFit) {
  gpu::Recorder recorder(device());
  const gpu::Buffer memory = make_buffer(device(), 1 << 16);
  HostStep step(4, 4);
  ops::MoeRouteParams p{.logits = {memory, 8},
                        .experts = 8,
                        .chosen = 2,
                        .routes = {memory, memory},
                        .step = step.upload(device()),
                        .label = "router"};
  EXPECT_TRUE(ops::moe_route(recorder, p).ok());
  const auto refused = [&](auto change) {
    ops::MoeRouteParams q = p;
    change(q);
    const Status s = ops::moe_route(recorder, q);
    return !s.ok() && s.error().message.find("router") != std::string::npos;
  };
  EXPECT_TRUE(refused([](auto& q) { q.chosen = 9; }));
  EXPECT_TRUE(refused([](auto& q) { q.chosen = 0; }));
  EXPECT_TRUE(refused([](auto& q) { q.experts = 513; }));
  EXPECT_TRUE(refused([](auto& q) { q.groups = 3; }));
  EXPECT_TRUE(refused([](auto& q) { q.groups = 8, q.groups_chosen = 1; }));
  EXPECT_TRUE(refused([](auto& q) { q.routes.ids = q.routes.ids.part(0, 16); }));
  EXPECT_TRUE(refused([](auto& q) { q.expert_scale = q.routes.ids.part(0, 16); }));
  EXPECT_TRUE(refused([](auto& q) { q.logits.stride = 4; }));
}

}  // namespace
}  // namespace lahar::test
