// From the tensors of a plan to the bytes of device planes and to floats: what the loader streams. No Vulkan.
#pragma once

#include <span>
#include <vector>

#include "core/result.h"
#include "weight_plan.h"

namespace lahar {

// Appends the values of a vector, as floats with its offset added.
Status read_vector(const VectorTensors& vector, std::vector<float>& out);

// Consecutive rows of a matrix that are read alike.
struct RowSpan {
  const MatrixPiece* piece = nullptr;
  uint32_t row = 0;  // of the matrix
  uint32_t rows = 0;
  uint32_t file_row = 0;  // of the tensor
  uint32_t step = 1;      // from one row of the tensor to the next
};
// All rows of the matrix in order, no span over `most_bytes` of the file (but one row).
std::vector<RowSpan> row_spans(const MatrixPlan& matrix, uint64_t most_bytes);

// Bytes of a span in the file.
uint64_t file_bytes(const RowSpan& span);

// The rows of a span as the file has them, row-major: a view into the file, or into `scratch` where they are transposed.
// Not for packed pieces.
std::span<const std::byte> file_rows(const RowSpan& span, std::vector<std::byte>& scratch);

// The fp32 scales of a grouped matrix that keeps its bits: groups_in_row() values a row. Errors: kFormat (not finite).
Status read_scales(const WeightPlan::Data& data, const MatrixPlan& matrix, const RowSpan& span, std::vector<float>& out);

}  // namespace lahar
