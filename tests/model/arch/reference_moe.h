// A block of experts in plain loops over float64.
#pragma once

#include <algorithm>
#include <numeric>

#include "arch/experts.h"
#include "reference_math.h"
#include "spec.h"

namespace lahar::test {

class MoeLayer {
 public:
  MoeLayer() = default;
  MoeLayer(const ModelSpec& model, size_t index, const WeightPlan::Data& data) : spec_(&model.layers[index]) {
    if (spec_->ffn_kind != FfnKind::kExperts) return;
    const BlockPlan& plan = data.layers[index].ffn;
    const BlockTensors& tensors = data.tensors.layers[index].ffn;
    for (const LinearPlan& linear : plan.linears) linears_.push_back({matrix_of(data, linear), vector_of(linear.bias)});
    for (const VectorTensors& vector : tensors.vectors) vectors_.push_back(vector_of(vector));
    for (const ExpertPlan& expert : plan.experts.experts) {
      up_.push_back({matrix_of(data, expert.up), vector_of(expert.up.bias)});
      down_.push_back({matrix_of(data, expert.down), vector_of(expert.down.bias)});
    }
  }

  bool present() const { return !up_.empty(); }

  // `order`: the experts to take where it names some; what was taken, afterwards.
  Row operator()(const Row& x, std::vector<size_t>& order) const {
    const MoeSpec& moe = spec_->moe;
    Row y(x.size(), 0.0);
    for (const auto& [expert, weight] : routes(linears_[arch::kRouter](x), order)) {
      Row in = x;
      if (moe.weighted_input)
        for (double& v : in) v *= weight;
      const Row out = down_[expert](activated(up_[expert](in)));
      for (size_t i = 0; i < y.size(); ++i) y[i] += out[i] * (moe.weighted_input ? 1 : weight);
    }
    if (moe.shared_width == 0) return y;
    const Row shared = linears_[arch::kSharedDown](activated(linears_[arch::kSharedUp](x)));
    double gate = 1;
    if (moe.shared_gate) {
      double dot = 0;
      for (size_t i = 0; i < x.size(); ++i) dot += x[i] * vectors_[arch::kSharedGate][i];
      gate = sigmoid(dot);
    }
    for (size_t i = 0; i < y.size(); ++i) y[i] += gate * shared[i];
    return y;
  }

 private:
  struct Linear {
    std::vector<float> weight, bias;
    Row operator()(const Row& x) const { return apply(weight, bias, x); }
  };

  static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

  static void softmax(Row& x) {
    const double largest = *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (double& v : x) sum += v = std::exp(v - largest);
    for (double& v : x) v /= sum;
  }

  Row activated(Row h) const {
    const MoeSpec& moe = spec_->moe;
    const size_t width = moe.gated ? h.size() / 2 : h.size();
    for (size_t i = 0; i < width; ++i) {
      const double up = moe.gated ? h[width + i] : 1;
      if (moe.clamp > 0) {
        const double g = std::min(h[i], double{moe.clamp}), u = std::clamp(up, -double{moe.clamp}, double{moe.clamp});
        h[i] = g * sigmoid(moe.alpha * g) * (u + 1);
      } else {
        h[i] = activate(moe.activation, h[i]) * up;
      }
    }
    h.resize(width);
    return h;
  }

  // Experts outside the best groups count as impossible.
  void keep_groups(Row& choice) const {
    const MoeSpec& moe = spec_->moe;
    const size_t size = moe.experts / moe.groups;
    std::vector<std::pair<double, size_t>> ranks;
    for (size_t g = 0; g < moe.groups; ++g) {
      Row group(choice.begin() + g * size, choice.begin() + (g + 1) * size);
      std::sort(group.rbegin(), group.rend());
      const bool two = moe.group_score == ops::GroupScore::kSumOfTwo && size > 1;
      ranks.emplace_back(-(group[0] + (two ? group[1] : 0)), g);
    }
    std::sort(ranks.begin(), ranks.end());
    for (size_t i = moe.groups_chosen; i < ranks.size(); ++i)
      std::fill_n(choice.begin() + ranks[i].second * size, size, -1e300);
  }

  std::vector<std::pair<size_t, double>> routes(Row scores, std::vector<size_t>& order) const {
    const MoeSpec& moe = spec_->moe;
    if (moe.softcap > 0)
      for (double& v : scores) v = moe.softcap * std::tanh(v / moe.softcap);
    if (moe.score == ops::RouterScore::kSoftmax) softmax(scores);
    if (moe.score == ops::RouterScore::kSigmoid)
      for (double& v : scores) v = sigmoid(v);
    Row choice = scores;
    if (moe.selection_bias)
      for (size_t e = 0; e < choice.size(); ++e) choice[e] += vectors_[arch::kSelectionBias][e];
    if (moe.groups > 1) keep_groups(choice);
    if (order.empty()) {
      order.resize(moe.experts);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return choice[a] > choice[b]; });
      order.resize(moe.chosen);
    }
    Row weights;
    for (const size_t e : order) weights.push_back(scores[e]);
    if (moe.score == ops::RouterScore::kSoftmaxOfChosen) softmax(weights);
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    const std::vector<float>& own = vectors_[arch::kExpertScale];
    std::vector<std::pair<size_t, double>> routes;
    for (size_t i = 0; i < order.size(); ++i)
      routes.emplace_back(order[i], weights[i] / (moe.normalize ? sum : 1) * moe.scale * (own.empty() ? 1 : own[order[i]]));
    return routes;
  }

  const LayerSpec* spec_ = nullptr;
  std::vector<Linear> linears_, up_, down_;
  std::vector<std::vector<float>> vectors_;
};

}  // namespace lahar::test
