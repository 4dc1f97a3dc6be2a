#include "weight_reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "quant/replane.h"

namespace lahar {

Status read_vector(const VectorTensors& vector, std::vector<float>& out) {
  std::vector<float> values;
  for (const VectorPiece& piece : vector.pieces) {
    if (piece.tensor == nullptr) {
      out.insert(out.end(), piece.size, 0.0f);
      continue;
    }
    values.resize(piece.tensor->shape.elements().value_or(0));
    LAHAR_TRY(quant::to_floats(piece.tensor->dtype, piece.tensor->data, values));
    for (const RowRun& run : piece.runs)
      for (uint32_t i = 0; i < run.rows; ++i) {
        float value = values[run.first + i * run.step];
        if (vector.map != nullptr) value = vector.map(value);
        if (vector.limit > 0) value = std::clamp(value, -vector.limit, vector.limit);
        out.push_back(value * piece.factor + vector.offset);
      }
  }
  return {};
}

namespace {

uint64_t row_bytes_of(const MatrixPiece& piece) {
  return piece.packed ? packed_row_bytes(piece) : quant::file_row_bytes(piece.tensor->dtype, piece.cols);
}

}  // namespace

uint64_t file_bytes(const RowSpan& span) { return row_bytes_of(*span.piece) * span.rows; }

std::vector<RowSpan> row_spans(const MatrixPlan& matrix, uint64_t most_bytes) {
  std::vector<RowSpan> spans;
  uint32_t row = 0;
  for (const MatrixPiece& piece : matrix.pieces) {
    const uint64_t row_bytes = std::max<uint64_t>(row_bytes_of(piece), 1);
    const auto most_rows = static_cast<uint32_t>(std::clamp<uint64_t>(most_bytes / row_bytes, 1, UINT32_MAX));
    for (const RowRun& run : piece.runs) {
      for (uint32_t at = 0; at < run.rows;) {
        const uint32_t rows = std::min(most_rows, run.rows - at);
        spans.push_back({&piece, row, rows, run.first + at * run.step, run.step});
        at += rows;
        row += rows;
      }
    }
  }
  return spans;
}

std::span<const std::byte> file_rows(const RowSpan& span, std::vector<std::byte>& scratch) {
  const MatrixPiece& piece = *span.piece;
  const uint64_t row_bytes = quant::file_row_bytes(piece.tensor->dtype, piece.cols);
  if (!piece.transposed && span.step == 1)
    return piece.tensor->data.subspan(span.file_row * row_bytes, span.rows * row_bytes);
  // [cols, tensor rows] to [rows, cols]: inputs outside, so that the file is read in order.
  const size_t value = row_bytes / piece.cols, tensor_rows = piece.tensor->shape[1];
  scratch.resize(span.rows * row_bytes);
  if (!piece.transposed) {
    for (size_t r = 0; r < span.rows; ++r)
      std::memcpy(scratch.data() + r * row_bytes, piece.tensor->data.data() + (span.file_row + r * span.step) * row_bytes,
                  row_bytes);
    return scratch;
  }
  for (size_t c = 0; c < piece.cols; ++c) {
    const std::byte* in = piece.tensor->data.data() + (c * tensor_rows + span.file_row) * value;
    for (size_t r = 0; r < span.rows; ++r)
      std::memcpy(scratch.data() + (r * piece.cols + c) * value, in + r * span.step * value, value);
  }
  return scratch;
}

Status read_scales(const WeightPlan::Data& data, const MatrixPlan& matrix, const RowSpan& span, std::vector<float>& out) {
  const uint32_t groups = quant::groups_in_row(matrix.cols, matrix.group);
  const TensorView* scales = span.piece->scales;
  out.assign(size_t{span.rows} * groups, 1.0f);
  if (scales == nullptr) return {};
  std::vector<float> values(scales->shape.elements().value_or(0));
  LAHAR_TRY(quant::to_floats(scales->dtype, scales->data, values));
  for (float value : values)
    if (!std::isfinite(value)) return Error{ErrorCode::kFormat, "tensor '" + scales->name + "': a scale is not finite"};
  const uint64_t tensor_rows = span.piece->tensor->shape[0];
  const bool per_row = values.size() == tensor_rows && groups == 1 && scales->shape[0] == tensor_rows;
  for (uint32_t r = 0; r < span.rows; ++r) {
    const uint32_t file_row = span.file_row + r * span.step;
    for (uint32_t g = 0; g < groups; ++g) {
      size_t index = 0;
      if (per_row) index = file_row;
      else if (values.size() > 1) index = size_t{file_row / data.tensors.quantization.block_rows} * groups + g;
      out[size_t{r} * groups + g] = values[index];
    }
  }
  return {};
}

}  // namespace lahar
