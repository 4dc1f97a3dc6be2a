#include "quant/quantize.h"

#include <string>
#include <vector>

#include "quant/encode.h"
#include "quant/replane.h"

namespace lahar::quant {

bool can_quantize(WeightFormat format, uint32_t cols) {
  switch (format) {
    case WeightFormat::kQ8_0:
    case WeightFormat::kQ4_0:
    case WeightFormat::kQ4_1:
    case WeightFormat::kF8: return cols > 0 && cols % traits(format).block_values == 0;
    default: return false;
  }
}

Status quantize_rows(WeightFormat format, uint32_t cols, uint32_t group, std::span<const float> values,
                     std::array<std::span<std::byte>, kMaxPlanes> planes) {
  if (!can_quantize(format, cols))
    return Error{ErrorCode::kUnsupported,
                 "no conversion of rows of " + std::to_string(cols) + " values to " + std::string(to_string(format))};
  LAHAR_ASSIGN(const Layout shape, layout(format, 1, cols, group));
  const size_t rows = values.size() / cols;
  bool fits = values.size() == rows * cols;
  for (uint32_t p = 0; p < shape.planes; ++p) fits = fits && planes[p].size() == rows * shape.row_bytes[p];
  if (!fits) return Error{ErrorCode::kInvalidArgument, "quantize_rows: planes are not as long as the rows"};
  const FormatTraits& t = traits(format);
  std::vector<std::byte> file_row(file_row_bytes(t.file, cols));
  std::vector<float> scales(t.grouped ? groups_in_row(cols, group) : 0);
  for (size_t r = 0; r < rows; ++r) {
    const auto row = values.subspan(r * cols, cols);
    const auto plane = [&](uint32_t p) { return planes[p].subspan(r * shape.row_bytes[p], shape.row_bytes[p]); };
    if (t.grouped) encode_f8_row(row, group == 0 ? cols : group, file_row, scales);
    else LAHAR_TRY(encode_rows(t.file, cols, row, {}, file_row));
    for (uint32_t p = 0; p < shape.planes; ++p) {
      if (t.grouped && p == 1) LAHAR_TRY(store_scales(cols, group, scales, plane(p)));
      else LAHAR_TRY(replane(format, cols, file_row, p, plane(p)));
    }
  }
  return {};
}

}  // namespace lahar::quant
