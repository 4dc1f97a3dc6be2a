#include "quantize/quantize_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string_view>
#include <thread>

#include "core/parallel.h"
#include "core/quote.h"
#include "format/gguf_types.h"
#include "quant/encode.h"
#include "quant/layout.h"
#include "quant/replane.h"

namespace lahar {
namespace {

constexpr uint64_t kChunkValues = 2 << 20;
constexpr uint32_t kQuantizationVersion = 2;  // of the layouts of blocks

// Converts the rows of one tensor, a chunk at a time.
class RowConverter {
 public:
  // `importance`: of all matrices of the tensor, or empty. `scales_out` is filled for fp8.
  RowConverter(const ModelSource& source, const TensorConversion& c, std::vector<float> importance, unsigned threads,
               std::vector<float>* scales_out)
      : source_(source), c_(c), importance_(std::move(importance)), threads_(threads), scales_(scales_out) {
    matrix_rows_ = c.tensor->shape.rank() >= 2 ? c.tensor->shape[c.tensor->shape.rank() - 2] : 1;
    in_bytes_ = quant::file_row_bytes(c.tensor->dtype, c.cols());
    out_bytes_ = quant::file_row_bytes(c.type, c.cols());
    if (c.type == DType::kF8E4M3) scales_->resize(c.rows() * groups());
  }

  Status run(const GgufWriter::Sink& sink) {
    const uint64_t rows = c_.rows(), chunk = std::clamp<uint64_t>(kChunkValues / c_.cols(), 1, rows);
    floats_.resize(chunk * c_.cols());
    blocks_.resize(chunk * out_bytes_);
    for (uint64_t row = 0; row < rows; row += chunk) {
      const uint64_t count = std::min(chunk, rows - row);
      LAHAR_TRY(
          share_among_threads(count, threads_, [&](uint64_t from, uint64_t share) { return convert(row, from, share); }));
      LAHAR_TRY(sink(std::span(blocks_).first(count * out_bytes_)));
      source_.release(c_.tensor->data.subspan(row * in_bytes_, count * in_bytes_));
    }
    return {};
  }

 private:
  uint32_t groups() const { return quant::groups_in_row(c_.cols(), kGgufFp8Group); }

  // Rows [from, from + count) of the chunk that begins with row `first`.
  Status convert(uint64_t first, uint64_t from, uint64_t count) {
    const uint32_t cols = c_.cols();
    for (uint64_t r = from; r < from + count; ++r) {
      const uint64_t row = first + r;
      const auto values = std::span(floats_).subspan(r * cols, cols);
      LAHAR_TRY(quant::to_floats(c_.tensor->dtype, c_.tensor->data.subspan(row * in_bytes_, in_bytes_), values));
      if (c_.scales != nullptr) apply_scales(row, values);
      for (const float v : values)
        if (!std::isfinite(v))
          return Error{ErrorCode::kFormat, source_.name() + ": tensor " + quote(c_.tensor->name) + ": row " +
                                               std::to_string(row) + " has a value that is no finite number"};
      const auto out = std::span(blocks_).subspan(r * out_bytes_, out_bytes_);
      if (c_.type == DType::kF8E4M3) {
        quant::encode_f8_row(values, kGgufFp8Group, out, std::span(*scales_).subspan(row * groups(), groups()));
        continue;
      }
      std::span<const float> weights = importance_;
      if (!weights.empty()) weights = weights.subspan(row / matrix_rows_ * cols, cols);
      LAHAR_TRY(quant::encode_rows(c_.type, cols, values, weights, out));
    }
    return {};
  }

  void apply_scales(uint64_t row, std::span<float> values) const {
    const std::byte* scales = c_.scales->data.data() + row * groups() * sizeof(float);
    for (size_t i = 0; i < values.size(); ++i) {
      float scale = 0;
      std::memcpy(&scale, scales + i / kGgufFp8Group * sizeof(float), sizeof scale);
      values[i] *= scale;
    }
  }

  const ModelSource& source_;
  const TensorConversion& c_;
  const std::vector<float> importance_;
  const unsigned threads_;
  std::vector<float>* scales_;
  uint64_t matrix_rows_ = 1, in_bytes_ = 0, out_bytes_ = 0;
  std::vector<float> floats_;
  std::vector<std::byte> blocks_;
};

// The bytes as they are, in pieces, so that progress is seen.
Status copy(const ModelSource& source, std::span<const std::byte> bytes, const GgufWriter::Sink& sink) {
  constexpr size_t kPiece = 8 << 20;
  for (size_t at = 0; at < bytes.size(); at += kPiece) {
    const auto piece = bytes.subspan(at, std::min(kPiece, bytes.size() - at));
    LAHAR_TRY(sink(piece));
    source.release(piece);
  }
  return {};
}

void add_metadata(const GgufMetadata& metadata, DType type, GgufWriter& writer) {
  for (const GgufEntry& entry : metadata.entries()) {
    if (entry.key == "general.alignment") {
      writer.set_alignment(static_cast<uint32_t>(*metadata.unsigned_integer(entry.key)));
    } else if (entry.key != "general.file_type" && entry.key != "general.quantization_version" &&
               !entry.key.starts_with("split.")) {
      writer.add_raw(entry.key, entry.type, entry.encoded);
    }
  }
  if (const auto file_type = detail::gguf_file_type(type)) writer.add("general.file_type", *file_type);
  writer.add("general.quantization_version", kQuantizationVersion);
}

Status add_tensor(const ModelSource& source, const TensorConversion& c, const QuantizeOptions& options, GgufWriter& writer) {
  const TensorView& tensor = *c.tensor;
  if (c.type == tensor.dtype) {
    writer.add_tensor(tensor.name, c.type, tensor.shape,
                      [&source, &c](const GgufWriter::Sink& sink) { return copy(source, c.tensor->data, sink); });
    if (c.scales != nullptr) writer.add_tensor(c.scales->name, c.scales->dtype, c.scales->shape, c.scales->data);
    return {};
  }
  const uint32_t cols = c.cols();
  const uint64_t rows = c.rows(), groups = quant::groups_in_row(cols, kGgufFp8Group);
  if (c.scales != nullptr && (c.scales->dtype != DType::kF32 || c.scales->shape.elements() != rows * groups))
    return Error{ErrorCode::kFormat, source.name() + ": tensor " + quote(c.scales->name) + ": F32 " +
                                         Shape{rows, groups}.to_string() + " expected, found " +
                                         std::string(to_string(c.scales->dtype)) + " " + c.scales->shape.to_string()};
  std::vector<float> importance;
  if (options.importance != nullptr && tensor.shape.rank() >= 2) {
    const uint64_t matrices = rows / tensor.shape[tensor.shape.rank() - 2];
    LAHAR_ASSIGN(importance, options.importance->weights(tensor.name, matrices, cols));
  }
  const unsigned threads = options.threads != 0 ? options.threads : std::max(1u, std::thread::hardware_concurrency());
  const auto scales = std::make_shared<std::vector<float>>();
  writer.add_tensor(tensor.name, c.type, tensor.shape,
                    [&source, &c, importance = std::move(importance), threads, scales](const GgufWriter::Sink& sink) {
                      return RowConverter(source, c, importance, threads, scales.get()).run(sink);
                    });
  if (c.type == DType::kF8E4M3)
    writer.add_tensor(fp8_scale_name(tensor.name), DType::kF32, {rows, groups}, [scales](const GgufWriter::Sink& sink) {
      const std::vector<float> values = std::exchange(*scales, {});
      return sink(std::as_bytes(std::span(values)));
    });
  return {};
}

}  // namespace

Result<GgufWriter> quantized_file(const ModelSource& source, const QuantizePlan& plan, const QuantizeOptions& options) {
  GgufWriter writer;
  add_metadata(source.gguf()->metadata(), plan.type, writer);
  for (const TensorConversion& c : plan.tensors) { LAHAR_TRY(add_tensor(source, c, options, writer)); }
  return writer;
}

Status quantize_file(const ModelSource& source, const QuantizePlan& plan, const std::filesystem::path& out,
                     const QuantizeOptions& options) {
  std::error_code ec;
  for (const std::filesystem::path& path : source.gguf()->paths())
    if (std::filesystem::equivalent(path, out, ec))
      return Error{ErrorCode::kInvalidArgument, out.string() + ": is the file that is read; write to another one"};
  LAHAR_ASSIGN(const GgufWriter writer, quantized_file(source, plan, options));
  LAHAR_ASSIGN(const uint64_t size, writer.file_size());
  uint64_t done = 0;
  return writer.write_file(out, [&](uint64_t bytes) {
    done += bytes;
    return !options.progress || options.progress(done, size);
  });
}

}  // namespace lahar
