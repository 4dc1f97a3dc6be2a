// A transformer in plain loops over float64, on the CPU: the meaning of a ModelSpec and of a WeightPlan, for tests.
#pragma once

#include <vector>

#include "core/result.h"
#include "format/model_source.h"
#include "spec.h"
#include "weights.h"

namespace lahar::test {

// Logits [tokens, vocabulary] of one sequence from its start.
Result<std::vector<double>> reference_logits(const ModelSource& source, const ModelSpec& spec, const WeightPlan& plan,
                                             const std::vector<int32_t>& tokens);

// sum((a - b)^2) / sum(b^2)
double nmse(const std::vector<double>& a, const std::vector<float>& b);

}  // namespace lahar::test
