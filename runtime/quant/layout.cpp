#include "quant/layout.h"

#include <string>

#include "quant/formats.h"

namespace lahar::quant {
namespace {

template <typename Format>
constexpr FormatTraits make_traits(std::string_view name) {
  FormatTraits t{name, Format::kFile, Format::kValues, 0, Format::kPlaneBytes, false, {}};
  for (uint32_t bytes : Format::kPlaneBytes)
    if (bytes != 0) ++t.planes;
  if constexpr (requires { Format::apply(0.0f, 0.0f); }) t.grouped = true, ++t.planes;
  if constexpr (requires { Format::kTable; }) t.table = Format::kTable, ++t.planes;
  return t;
}

constexpr std::array<FormatTraits, static_cast<size_t>(WeightFormat::kCount)> kTraits = {
    make_traits<F32>("F32"),       make_traits<F16>("F16"),     make_traits<BF16>("BF16"),   make_traits<Q8_0>("Q8_0"),
    make_traits<Q4_0>("Q4_0"),     make_traits<Q4_1>("Q4_1"),   make_traits<Q4_K>("Q4_K"),   make_traits<Q6_K>("Q6_K"),
    make_traits<F8>("F8"),         make_traits<I8>("I8"),       make_traits<Q5_0>("Q5_0"),   make_traits<Q5_1>("Q5_1"),
    make_traits<Q2_K>("Q2_K"),     make_traits<Q3_K>("Q3_K"),   make_traits<Q5_K>("Q5_K"),   make_traits<IQ4_NL>("IQ4_NL"),
    make_traits<IQ4_XS>("IQ4_XS"), make_traits<IQ3_S>("IQ3_S"), make_traits<MXFP4>("MXFP4"), make_traits<TQ1_0>("TQ1_0"),
    make_traits<TQ2_0>("TQ2_0"),   make_traits<I4>("I4"),
};

}  // namespace

const FormatTraits& traits(WeightFormat format) { return kTraits[static_cast<size_t>(format)]; }
std::string_view to_string(WeightFormat format) { return traits(format).name; }

std::optional<WeightFormat> format_for(DType type) {
  for (size_t i = 0; i < kTraits.size(); ++i)
    if (kTraits[i].file == type) return static_cast<WeightFormat>(i);
  return std::nullopt;
}

Result<Layout> layout(WeightFormat format, uint32_t rows, uint32_t cols, uint32_t group) {
  const FormatTraits& t = traits(format);
  const auto refuse = [&](const std::string& why) -> Error {
    return {ErrorCode::kInvalidArgument,
            std::string(t.name) + " matrix of " + std::to_string(rows) + " x " + std::to_string(cols) + ": " + why};
  };
  if (rows == 0 || cols == 0) return refuse("has no elements");
  if (cols % t.block_values != 0) return refuse("columns are no multiple of " + std::to_string(t.block_values));
  const uint32_t least_group = t.block_values == 1 ? 16 : t.block_values;  // a unit of the kernels has one scale
  if (t.grouped && group != 0 && group < cols && group % least_group != 0)
    return refuse("a group of " + std::to_string(group) + " columns is no multiple of " + std::to_string(least_group));
  Layout l;
  l.planes = t.planes;
  for (uint32_t p = 0; p < t.planes; ++p) {
    uint64_t bytes = uint64_t{cols / t.block_values} * t.plane_bytes[p];
    if (t.grouped && p == 1) bytes = uint64_t{groups_in_row(cols, group)} * sizeof(float);
    if (bytes > (uint64_t{1} << 30)) return refuse("a row is over 1 GiB");
    l.row_bytes[p] = static_cast<uint32_t>((bytes + 15) / 16 * 16);
    l.plane_bytes[p] = uint64_t{rows} * l.row_bytes[p];
    if (!t.table.empty() && p + 1 == t.planes) l.plane_bytes[p] = t.table.size_bytes();
    l.total_bytes += l.plane_bytes[p];
  }
  return l;
}

}  // namespace lahar::quant
