#include "ops/ops_test.h"

#include <limits>

#include "quant/formats.h"
#include "quant/layout.h"
#include "quant/replane.h"

namespace lahar::test {

HostStep::HostStep(uint32_t bucket, uint32_t used, uint32_t position) : rows(bucket) {
  state.n_rows = used;
  state.n_runs = used > 0 ? 1 : 0;
  state.runs[0] = {0, 0, used, 1};
  state.n_logits = used > 0 ? 1 : 0;
  state.logit_rows[0] = used > 0 ? used - 1 : 0;
  for (uint32_t t = 0; t < used; ++t) {
    rows[t].position = rows[t].kv_index = position + t;
    rows[t].valid = 1;
  }
}

ops::StepRef HostStep::upload(gpu::Device& device) {
  std::vector<std::byte> bytes(sizeof state + rows.size() * sizeof(params::Row));
  std::memcpy(bytes.data(), &state, sizeof state);
  std::memcpy(bytes.data() + sizeof state, rows.data(), rows.size() * sizeof(params::Row));
  buffer = to_device_bytes(device, bytes, "step");
  return {buffer, static_cast<uint32_t>(rows.size())};
}

std::vector<const gpu::Buffer*> HostMatrix::pointers() const {
  std::vector<const gpu::Buffer*> all;
  for (const gpu::Buffer& b : buffers) all.push_back(&b);
  return all;
}

namespace {

using quant::WeightFormat;

void put_half(float v, std::byte* at) {
  const uint16_t h = quant::float_to_half(v);
  std::memcpy(at, &h, 2);
}

// Gives a block of random bytes scales of the size that weights have, and removes what no file would hold (NaN, infinity).
void make_plausible(WeightFormat format, std::byte* block, std::mt19937_64& random) {
  std::uniform_real_distribution<float> weight(-1, 1), scale(0.002f, 0.02f);
  switch (format) {
    case WeightFormat::kF32: {
      const float v = weight(random);
      std::memcpy(block, &v, 4);
      break;
    }
    case WeightFormat::kF16: put_half(weight(random), block); break;
    case WeightFormat::kBF16: {
      const uint32_t bits = std::bit_cast<uint32_t>(weight(random));
      std::memcpy(block, reinterpret_cast<const std::byte*>(&bits) + 2, 2);
      break;
    }
    case WeightFormat::kQ4_1:
    case WeightFormat::kQ5_1: put_half(-8 * scale(random), block + 2); [[fallthrough]];
    case WeightFormat::kQ8_0:
    case WeightFormat::kQ4_0:
    case WeightFormat::kQ5_0: put_half(scale(random), block); break;
    case WeightFormat::kIQ4_NL: put_half(scale(random) / 8, block); break;
    case WeightFormat::kIQ4_XS: put_half(scale(random) / 256, block); break;
    case WeightFormat::kIQ3_S: put_half(scale(random) / 32, block); break;
    case WeightFormat::kMXFP4: block[0] = static_cast<std::byte>(118 + random() % 5); break;
    case WeightFormat::kTQ1_0: put_half(scale(random), block + 52); break;
    case WeightFormat::kTQ2_0: put_half(scale(random), block + 64); break;
    case WeightFormat::kQ2_K:
      put_half(scale(random) / 4, block + 80);
      put_half(scale(random) / 4, block + 82);
      break;
    case WeightFormat::kQ3_K: put_half(scale(random) / 16, block + 108); break;
    case WeightFormat::kQ5_K:
    case WeightFormat::kQ4_K:
      put_half(scale(random) / 32, block);
      put_half(scale(random) / 4, block + 2);
      break;
    case WeightFormat::kQ6_K: put_half(scale(random) / 32, block + 208); break;
    case WeightFormat::kF8:
      if ((block[0] & std::byte{0x7f}) == std::byte{0x7f}) block[0] = std::byte{0x01};
      break;
    case WeightFormat::kI8:
    case WeightFormat::kI4:
    case WeightFormat::kCount: break;
  }
}

}  // namespace

HostMatrix random_matrix(gpu::Device& device, WeightFormat format, uint32_t rows, uint32_t cols, uint64_t seed,
                         uint32_t group) {
  HostMatrix m;
  m.matrix.format = format;
  m.matrix.rows = rows, m.matrix.cols = cols, m.matrix.group = group;
  const quant::FormatTraits& traits = quant::traits(format);
  const auto layout = quant::layout(format, rows, cols, group);
  if (!layout.ok()) {
    ADD_FAILURE() << why(layout);
    return m;
  }
  std::mt19937_64 random(seed);
  std::vector<std::byte> file(quant::file_row_bytes(traits.file, cols) * rows);
  for (std::byte& b : file) b = static_cast<std::byte>(random());
  const uint32_t block_bytes = lahar::traits(traits.file).block_bytes;
  for (size_t at = 0; at < file.size(); at += block_bytes) make_plausible(format, file.data() + at, random);
  m.values.resize(size_t{rows} * cols);
  const Status decoded = quant::to_floats(traits.file, file, m.values);
  EXPECT_TRUE(decoded.ok()) << why(decoded);

  std::vector<float> scales;
  if (traits.grouped) {
    const uint32_t groups = quant::groups_in_row(cols, group), width = group == 0 ? cols : group;
    scales = random_floats(size_t{rows} * groups, seed + 1, 0.001f, 0.01f);
    if (format == WeightFormat::kI4)
      for (float& s : scales) s = quant::I4::pack_scale(s, static_cast<uint8_t>(random() % 16));
    quant::with_format(format, [&](auto f) {
      if constexpr (requires { f.apply(0.0f, 0.0f); })
        for (size_t r = 0; r < rows; ++r)
          for (uint32_t c = 0; c < cols; ++c) {
            float& v = m.values[r * cols + c];
            v = f.apply(v, scales[r * groups + c / width]);
          }
    });
  }
  for (uint32_t p = 0; p < layout->planes; ++p) {
    std::vector<std::byte> plane(layout->plane_bytes[p]);
    Status split;
    if (!traits.table.empty() && p + 1 == layout->planes) std::memcpy(plane.data(), traits.table.data(), plane.size());
    else if (traits.grouped && p == 1) split = quant::store_scales(cols, group, scales, plane);
    else split = quant::replane(format, cols, file, p, plane);
    EXPECT_TRUE(split.ok()) << why(split);
    m.buffers.push_back(to_device_bytes(device, plane, "plane"));
  }
  // The ranges name the vector's elements, which keep their place when the object is moved.
  for (uint32_t p = 0; p < layout->planes; ++p) m.matrix.planes[p] = m.buffers[p];
  return m;
}

std::vector<float> padded_rows(const std::vector<float>& dense, uint32_t rows, uint32_t width, uint32_t stride) {
  std::vector<float> padded(size_t{rows} * stride, std::numeric_limits<float>::quiet_NaN());
  for (size_t r = 0; r < rows; ++r) std::copy_n(dense.begin() + r * width, width, padded.begin() + r * stride);
  return padded;
}

void expect_close(const std::vector<float>& y, uint32_t stride, const std::vector<Bounded>& reference, uint32_t used,
                  uint32_t rows, uint32_t width, double c, double floor) {
  constexpr double kEps = 1.0 / (1 << 24);
  int shown = 0;
  size_t wrong = 0;
  for (uint32_t r = 0; r < rows; ++r) {
    for (uint32_t i = 0; i < stride; ++i) {
      const size_t at = size_t{r} * stride + i;
      if (at >= y.size()) break;
      if (r >= used || i >= width) {
        if (std::isnan(y[at])) continue;
        ++wrong;
        if (shown++ < 3) ADD_FAILURE() << "row " << r << " column " << i << " was written: " << y[at];
        continue;
      }
      const Bounded& b = reference[size_t{r} * width + i];
      const double bound = c * kEps * b.magnitude + floor;
      if (std::abs(y[at] - b.value) <= bound) continue;
      ++wrong;
      if (shown++ < 3)
        ADD_FAILURE() << "row " << r << " column " << i << ": " << y[at] << ", expected " << b.value << " within " << bound;
    }
  }
  EXPECT_EQ(wrong, 0u) << "of " << size_t{used} * width;
}

}  // namespace lahar::test
