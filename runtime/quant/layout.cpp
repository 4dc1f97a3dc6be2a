#include "quant/layout.h"

#include <string>

#include "quant/formats.h"

namespace lahar::quant {
namespace {

template <typename Format>
constexpr FormatTraits make_traits(std::string_view name, bool grouped = false) {
  uint32_t planes = grouped ? 2 : 0;
  for (uint32_t bytes : Format::kPlaneBytes)
    if (!grouped && bytes != 0) ++planes;
  return {name, Format::kFile, Format::kValues, planes, Format::kPlaneBytes, grouped};
}

constexpr std::array<FormatTraits, static_cast<size_t>(WeightFormat::kCount)> kTraits = {
    make_traits<F32>("F32"),     make_traits<F16>("F16"),     make_traits<BF16>("BF16"), make_traits<Q8_0>("Q8_0"),
    make_traits<Q4_0>("Q4_0"),   make_traits<Q4_1>("Q4_1"),   make_traits<Q4_K>("Q4_K"), make_traits<Q6_K>("Q6_K"),
    make_traits<F8>("F8", true), make_traits<I8>("I8", true),
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
  if (t.grouped && group != 0 && group < cols && group % 16 != 0)
    return refuse("a group of " + std::to_string(group) + " columns is no multiple of 16");
  Layout l;
  l.planes = t.planes;
  for (uint32_t p = 0; p < t.planes; ++p) {
    uint64_t bytes = uint64_t{cols / t.block_values} * t.plane_bytes[p];
    if (t.grouped && p == 1) bytes = uint64_t{groups_in_row(cols, group)} * sizeof(float);
    if (bytes > (uint64_t{1} << 30)) return refuse("a row is over 1 GiB");
    l.row_bytes[p] = static_cast<uint32_t>((bytes + 15) / 16 * 16);
    l.plane_bytes[p] = uint64_t{rows} * l.row_bytes[p];
    l.total_bytes += l.plane_bytes[p];
  }
  return l;
}

}  // namespace lahar::quant
