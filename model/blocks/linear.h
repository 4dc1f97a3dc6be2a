// A stacked projection (see weights.h) as one matmul for each of its parts.
#pragma once

#include "ops/head_product.h"
#include "ops/matmul.h"
#include "weights.h"

namespace lahar {

// Activations that begin `row` floats into each row.
inline ops::Activations columns_from(const ops::Activations& a, uint32_t row) {
  if (!a.range) return a;
  const uint64_t offset = uint64_t{row} * sizeof(float);
  return {a.range.part(offset, a.range.size - offset), a.stride};
}

// Of a projection that is one matrix, and at most a bias; null otherwise.
inline const quant::Matrix* plain_matrix(const Linear& linear) {
  return linear.parts.size() == 1 && linear.parts[0].scale == 1 ? &linear.parts[0].matrix : nullptr;
}

// How a projection ends; the rest of ops::MatmulParams is the projection's own.
struct LinearEpilogue {
  ops::Activations residual;  // y = residual + residual_scale * (W x + b)
  float residual_scale = 1;
  float scale = 1;  // on top of the parts' own
  float softcap = 0;
  bool logit_rows = false;
  // Norms that are computed along with the product.
  const ops::NormFold* x_norm = nullptr;
  const ops::NormFold* y_norm = nullptr;
  gpu::BufferRange x_scratch;  // for kernels that take x in another type
  const ops::Tuning* tuning = nullptr;
};

Status record_linear(gpu::Recorder& recorder, const Linear& linear, const ops::Activations& x, const ops::Activations& y,
                     const ops::StepRef& step, ops::Precision precision, std::string_view label,
                     const LinearEpilogue& end = {});

// A product for each head with its rows of the one matrix; fills in the matrix, its scale and the step.
Status record_head_product(gpu::Recorder& recorder, const Linear& linear, const ops::StepRef& step,
                           ops::HeadProductParams params);

}  // namespace lahar
