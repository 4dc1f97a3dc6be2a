// A transformer in plain loops over float64, on the CPU: the meaning of a ModelSpec and of a WeightPlan, for tests.
#pragma once

#include <functional>
#include <vector>

#include "core/result.h"
#include "format/model_source.h"
#include "spec.h"
#include "weights.h"

namespace lahar::test {

// The experts of each token in each layer: [token * layers + layer][chosen]; empty in layers without experts.
using ExpertChoices = std::vector<std::vector<size_t>>;

// A cache that rolls: it holds the first `sinks` tokens, and those behind them but the oldest, of which `gone` says how many
// a token does not see any more. All that it sees counts as the sequence, without a gap; empty: it is.
struct RollingReference {
  size_t sinks = 0;
  std::function<size_t(size_t token)> gone;
};

struct ReferenceOptions {
  // Applied to each head's keys and values as they enter the cache; empty: they stay as they are.
  std::function<void(double* head, size_t dims)> cache;
  // The experts that are taken, whatever the scores (the weights are those of the scores); null: the best.
  const ExpertChoices* choices = nullptr;
  ExpertChoices* chosen = nullptr;  // where set, gets the experts that were taken
  RollingReference rolling;
};

// Logits [tokens, vocabulary] of one sequence from its start.
Result<std::vector<double>> reference_logits(const ModelSource& source, const ModelSpec& spec, const WeightPlan& plan,
                                             const std::vector<int32_t>& tokens, const ReferenceOptions& options = {});

// sum((a - b)^2) / sum(b^2)
double nmse(const std::vector<double>& a, const std::vector<float>& b);

}  // namespace lahar::test
