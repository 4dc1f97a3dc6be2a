// What the reference models are made of: the values of a plan's tensors, and products, in float64.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "ops/activation.h"
#include "span_values.h"
#include "weight_plan.h"
#include "weight_reader.h"

namespace lahar::test {

using Row = std::vector<double>;

#define ORDIE(expr)                 \
  do {                              \
    if (!(expr).ok()) std::abort(); \
  } while (false)

inline std::vector<float> vector_of(const VectorTensors& tensors) {
  std::vector<float> values;
  ORDIE(read_vector(tensors, values));
  return values;
}

// [rows, cols] of a plan's matrices, with scales and `scale` applied.
inline std::vector<float> matrix_of(const WeightPlan::Data& data, const LinearPlan& linear) {
  std::vector<float> out;
  for (const MatrixPlan& part : linear.parts) {
    for (const RowSpan& span : row_spans(part, 1 << 16)) {
      std::vector<float> values;
      ORDIE(span_values(data, part, span, values));
      for (float& v : values) v *= part.scale;
      out.insert(out.end(), values.begin(), values.end());
    }
  }
  return out;
}

inline Row apply(const std::vector<float>& w, const std::vector<float>& bias, const Row& x) {
  const size_t rows = w.size() / x.size();
  Row y(rows);
  for (size_t r = 0; r < rows; ++r) {
    double sum = bias.empty() ? 0 : bias[r];
    for (size_t c = 0; c < x.size(); ++c) sum += double{w[r * x.size() + c]} * x[c];
    y[r] = sum;
  }
  return y;
}

inline double activate(ops::Activation kind, double x) {
  switch (kind) {
    case ops::Activation::kNone: return x;
    case ops::Activation::kSilu: return x / (1 + std::exp(-x));
    case ops::Activation::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case ops::Activation::kGelu: return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case ops::Activation::kRelu: return std::max(x, 0.0);
    case ops::Activation::kReluSquared: return std::max(x, 0.0) * std::max(x, 0.0);
    case ops::Activation::kSigmoid: return 1 / (1 + std::exp(-x));
    case ops::Activation::kTanh: return std::tanh(x);
  }
  return x;
}

}  // namespace lahar::test
