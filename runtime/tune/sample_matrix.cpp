#include "tune/sample_matrix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>

#include "format/synth_blocks.h"
#include "gpu/transfer.h"
#include "quant/formats.h"
#include "quant/layout.h"
#include "quant/replane.h"
#include "tune/timed.h"

namespace lahar::tune {
namespace {

constexpr uint64_t kStream = 0x7e5eed;
constexpr uint32_t kMostCopies = 1024;

// The known rows as a file would hold them, their scales where these lie outside, and what they mean.
struct KnownRows {
  std::vector<std::byte> file;
  std::vector<float> scales, values;
};

// File bits of the formats with outside scales: any are good but fp8's NaN.
void fill_grouped(quant::WeightFormat format, std::span<std::byte> file) {
  std::mt19937 random(1);
  for (std::byte& b : file) {
    b = static_cast<std::byte>(random() >> 24);
    if (format == quant::WeightFormat::kF8 && (b & std::byte{0x7f}) == std::byte{0x7f}) b = std::byte{1};
  }
}

// Deviations of random bits as fp8 e4m3, int8 and int4, roughly.
float deviation_of(quant::WeightFormat format) {
  return format == quant::WeightFormat::kF8 ? 100.0f : format == quant::WeightFormat::kI8 ? 74.0f : 4.6f;
}

Result<KnownRows> make_rows(const MatrixShape& shape, uint32_t rows) {
  const quant::FormatTraits& format = quant::traits(shape.format);
  const uint32_t cols = shape.cols;
  const float deviation = 1 / std::sqrt(static_cast<float>(cols));
  KnownRows known;
  known.file.resize(quant::file_row_bytes(format.file, cols) * rows);
  known.values.resize(size_t{rows} * cols);
  if (!format.grouped) {
    detail::fill_random(format.file, kStream, 0, 0, deviation, known.file);
    LAHAR_TRY(quant::to_floats(format.file, known.file, known.values));
    return known;
  }
  fill_grouped(shape.format, known.file);
  LAHAR_TRY(quant::to_floats(format.file, known.file, known.values));
  const uint32_t groups = quant::groups_in_row(cols, shape.group), width = shape.group == 0 ? cols : shape.group;
  known.scales.resize(size_t{rows} * groups);
  for (size_t i = 0; i < known.scales.size(); ++i) {
    const float scale = deviation / deviation_of(shape.format) * (1 + 0.1f * detail::random_value(kStream + 1, i));
    known.scales[i] =
        shape.format == quant::WeightFormat::kI4 ? quant::I4::pack_scale(scale, static_cast<uint8_t>(4 + i % 8)) : scale;
  }
  quant::with_format(shape.format, [&](auto f) {
    if constexpr (requires { f.apply(0.0f, 0.0f); })
      for (size_t r = 0; r < rows; ++r)
        for (uint32_t c = 0; c < cols; ++c) {
          float& v = known.values[r * cols + c];
          v = f.apply(v, known.scales[r * groups + c / width]);
        }
  });
  return known;
}

Status fill_plane(const MatrixShape& shape, const KnownRows& known, uint32_t plane, uint32_t planes,
                  std::span<std::byte> out) {
  const quant::FormatTraits& format = quant::traits(shape.format);
  if (!format.table.empty() && plane + 1 == planes) {
    std::memcpy(out.data(), format.table.data(), std::min(out.size(), format.table.size_bytes()));
    return {};
  }
  if (format.grouped && plane == 1) return quant::store_scales(shape.cols, shape.group, known.scales, out);
  return quant::replane(shape.format, shape.cols, known.file, plane, out);
}

// Makes [from, from + bytes) a repetition of its first `known` bytes.
void record_repeats(gpu::Recorder& recorder, const gpu::Buffer& buffer, uint64_t from, uint64_t known, uint64_t bytes) {
  for (uint64_t done = known; done < bytes; done *= 2) {
    const uint64_t n = std::min(done, bytes - done);
    recorder.copy("repeat", {buffer, from, n}, {buffer, from + done, n});
  }
}

}  // namespace

Result<SampleMatrix> SampleMatrix::create(gpu::Device& device, const MatrixShape& shape, uint64_t ring_bytes) {
  LAHAR_ASSIGN(const quant::Layout layout, quant::layout(shape.format, shape.rows, shape.cols, shape.group));
  const uint32_t unique = std::min(shape.rows, kPeriod);
  LAHAR_ASSIGN(const quant::Layout part, quant::layout(shape.format, unique, shape.cols, shape.group));
  LAHAR_ASSIGN(KnownRows known, make_rows(shape, unique));

  SampleMatrix sample;
  sample.shape_ = shape;
  sample.copy_bytes_ = layout.total_bytes;
  const uint64_t most = std::min({ring_bytes, device.caps().max_buffer, device.caps().max_allocation});
  const uint64_t copies = std::clamp<uint64_t>(most / layout.total_bytes, 1, kMostCopies);
  LAHAR_ASSIGN(gpu::Buffer memory,
               device.create_buffer(copies * layout.total_bytes, gpu::Memory::kDevice, "sample weights"));
  sample.memory_ = std::make_unique<gpu::Buffer>(std::move(memory));

  gpu::Recorder recorder(device);
  for (uint32_t p = 0; p < layout.planes; ++p) {
    std::vector<std::byte> plane(part.plane_bytes[p]);
    LAHAR_TRY(fill_plane(shape, known, p, layout.planes, plane));
    const uint64_t at = layout.plane_offset(p);
    LAHAR_TRY(gpu::upload(device, plane, {*sample.memory_, at, plane.size()}));
    record_repeats(recorder, *sample.memory_, at, plane.size(), layout.plane_bytes[p]);
  }
  record_repeats(recorder, *sample.memory_, 0, layout.total_bytes, copies * layout.total_bytes);
  if (!recorder.nodes().empty()) LAHAR_TRY(run_once(recorder));

  for (uint64_t i = 0; i < copies; ++i) {
    quant::Matrix& m = sample.copies_.emplace_back();
    m.format = shape.format, m.rows = shape.rows, m.cols = shape.cols, m.group = shape.group;
    for (uint32_t p = 0; p < layout.planes; ++p)
      m.planes[p] = {*sample.memory_, i * layout.total_bytes + layout.plane_offset(p), layout.plane_bytes[p]};
  }
  sample.values_ = std::move(known.values);
  return sample;
}

Result<SampleRows> SampleRows::create(gpu::Device& device, uint32_t rows, uint32_t width) {
  SampleRows sample;
  sample.width_ = width;
  sample.values_.resize(size_t{kPeriod} * width);
  for (size_t i = 0; i < sample.values_.size(); ++i) sample.values_[i] = detail::random_value(kStream + 2, i);
  const uint32_t stride = sample.stride();
  std::vector<float> padded(size_t{rows} * stride);
  for (uint32_t t = 0; t < rows; ++t)
    std::copy_n(sample.row(t).begin(), width, padded.begin() + static_cast<ptrdiff_t>(size_t{t} * stride));
  LAHAR_ASSIGN(sample.buffer_, device.create_buffer(padded.size() * sizeof(float), gpu::Memory::kDevice, "sample rows"));
  LAHAR_TRY(gpu::upload(device, std::as_bytes(std::span(padded)), sample.buffer_));
  return sample;
}

}  // namespace lahar::tune
