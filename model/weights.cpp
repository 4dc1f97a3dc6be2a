#include "weights.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "core/parallel.h"
#include "gpu/device.h"
#include "gpu/transfer.h"
#include "quant/quantize.h"
#include "quant/replane.h"
#include "weight_reader.h"

namespace lahar {

namespace {

using PlaneData = std::array<std::span<std::byte>, quant::kMaxPlanes>;

// File bytes that are handled between two calls of progress: small enough that a cancel is felt at once.
constexpr uint64_t kChunkBytes = 4ull << 20;

class Loader {
 public:
  Loader(gpu::Device& device, const ModelSource& source, const ModelSpec& spec, const WeightPlan& plan,
         const LoadOptions& options)
      : device_(device), source_(source), spec_(spec), plan_(plan), data_(plan.data()), options_(options) {}

  Result<ModelWeights> load();

 private:
  struct Place {
    size_t block = 0;
    uint64_t offset = 0, size = 0;
  };
  struct PendingMatrix {
    const MatrixPlan* plan;
    quant::Matrix* matrix;  // null: of an expert, which is found by its slab
    std::array<Place, quant::kMaxPlanes> places;
  };
  struct PendingExperts {
    const LayerExpertsPlan* plan;
    BlockWeights* weights;
    std::vector<Place> slabs;
    Place table;
  };
  struct PendingVector {
    uint64_t first, size;  // floats
    gpu::BufferRange* range;
  };

  Result<Place> place(uint64_t bytes, const std::string& what, gpu::Memory memory);
  Status add_linear(const LinearPlan& plan, Linear& out);
  Status add_vector(const VectorTensors& vector, gpu::BufferRange& out);
  Status add_norm(const NormTensors& norm, NormWeights& out);
  void add_expert_matrix(const MatrixPlan& plan, const ops::ExpertMatrix& matrix, const Place& slab);
  Status add_experts(const LayerExpertsPlan& plan, BlockWeights& out);
  Status add_block(const BlockPlan& plan, const BlockTensors& tensors, BlockWeights& out);
  Status add_layers();
  Status create_blocks();
  gpu::BufferRange range(const Place& place) const { return {*weights_.buffers[place.block], place.offset, place.size}; }

  Status write_floats(const VectorTensors& vector, const gpu::BufferRange& out);
  Status upload_experts(const PendingExperts& pending);
  Status upload_vectors();
  Status upload(const PendingMatrix& pending);
  Status upload_table(const PendingMatrix& pending);
  Status upload_kept(const PendingMatrix& pending, const RowSpan& span);
  Status convert(const MatrixPlan& m, const RowSpan& span, std::span<const std::byte> rows_in);
  Status upload_converted(const PendingMatrix& pending, const RowSpan& span);
  Status write_rows(const gpu::BufferRange& plane, uint32_t row_bytes, const RowSpan& span,
                    const std::function<Status(uint32_t first, uint32_t rows, std::span<std::byte> out)>& fill);
  Status advance(uint64_t bytes);

  gpu::Device& device_;
  const ModelSource& source_;
  const ModelSpec& spec_;
  const WeightPlan& plan_;
  const WeightPlan::Data& data_;
  const LoadOptions& options_;

  ModelWeights weights_;
  struct Block {
    gpu::Memory memory;
    uint64_t size = 0;
  };
  std::vector<Block> blocks_;
  gpu::Memory linear_memory_ = gpu::Memory::kDevice;  // of the projections that are placed
  std::vector<PendingMatrix> matrices_;
  std::vector<PendingExperts> experts_;
  std::vector<PendingVector> vectors_;
  std::vector<float> vector_values_;
  Place vector_place_;
  std::optional<gpu::StagingRing> ring_;
  std::vector<std::byte> transposed_, converted_;
  std::vector<float> floats_;
  uint64_t done_ = 0;
};

Result<Loader::Place> Loader::place(uint64_t bytes, const std::string& what, gpu::Memory memory) {
  const gpu::Caps& caps = device_.caps();
  const uint64_t most = std::min(caps.max_buffer, caps.max_allocation);
  if (bytes > most)
    return Error{ErrorCode::kLimit, source_.name() + ": " + what + " needs " + std::to_string(bytes) +
                                        " bytes in one buffer, the device allows " + std::to_string(most)};
  const uint64_t limit = std::min(options_.block_bytes, most);
  size_t last = blocks_.size();  // of this memory
  while (last > 0 && blocks_[last - 1].memory != memory) --last;
  if (last == 0 || align_weight(blocks_[last - 1].size) + bytes > limit) {
    blocks_.push_back({memory});
    last = blocks_.size();
  }
  Block& block = blocks_[last - 1];
  const Place at{last - 1, align_weight(block.size), bytes};
  block.size = at.offset + bytes;
  return at;
}

Status Loader::add_linear(const LinearPlan& plan, Linear& out) {
  out.rows = plan.rows;
  out.cols = plan.cols;
  out.parts.resize(plan.parts.size());
  uint32_t row = 0;
  for (size_t i = 0; i < plan.parts.size(); ++i) {
    const MatrixPlan& part = plan.parts[i];
    out.parts[i].matrix = {part.format, part.rows, part.cols, part.group, {}};
    out.parts[i].row = row;
    out.parts[i].scale = part.scale;
    row += part.rows;
    PendingMatrix pending{&part, &out.parts[i].matrix, {}};
    for (uint32_t p = 0; p < part.layout.planes; ++p) {
      LAHAR_ASSIGN(pending.places[p],
                   place(part.layout.plane_bytes[p], "tensor '" + part.pieces[0].tensor->name + "'", linear_memory_));
    }
    matrices_.push_back(pending);
  }
  return add_vector(plan.bias, out.bias);
}

Status Loader::add_vector(const VectorTensors& vector, gpu::BufferRange& out) {
  if (vector.pieces.empty()) return {};
  const uint64_t first = vector_values_.size();
  LAHAR_TRY(read_vector(vector, vector_values_));
  vectors_.push_back({first, vector_values_.size() - first, &out});
  vector_values_.resize(align_weight(vector_values_.size() * sizeof(float)) / sizeof(float));
  return {};
}

Status Loader::add_norm(const NormTensors& norm, NormWeights& out) {
  LAHAR_TRY(add_vector(norm.weight, out.weight));
  return add_vector(norm.bias, out.bias);
}

void Loader::add_expert_matrix(const MatrixPlan& plan, const ops::ExpertMatrix& matrix, const Place& slab) {
  PendingMatrix pending{&plan, nullptr, {}};
  for (uint32_t p = 0; p < plan.layout.planes; ++p)
    pending.places[p] = {slab.block, slab.offset + matrix.planes[p], plan.layout.plane_bytes[p]};
  matrices_.push_back(pending);
}

// A slab goes wherever there is room for it.
Status Loader::add_experts(const LayerExpertsPlan& plan, BlockWeights& out) {
  if (plan.experts.empty()) return {};
  PendingExperts pending{&plan, &out, {}, {}};
  const gpu::Memory memory = options_.placement.host_experts ? gpu::Memory::kHost : linear_memory_;
  for (const ExpertPlan& expert : plan.experts) {
    LAHAR_ASSIGN(const Place slab,
                 place(plan.slab.bytes, "the expert of '" + expert.up.parts[0].pieces[0].tensor->name + "'", memory));
    for (size_t i = 0; i < expert.up.parts.size(); ++i) add_expert_matrix(expert.up.parts[i], plan.slab.up_part(i), slab);
    add_expert_matrix(expert.down.parts[0], plan.slab.down, slab);
    pending.slabs.push_back(slab);
  }
  LAHAR_ASSIGN(pending.table, place(plan.experts.size() * sizeof(uint64_t), "a table of experts", gpu::Memory::kDevice));
  experts_.push_back(std::move(pending));
  return {};
}

Status Loader::add_block(const BlockPlan& plan, const BlockTensors& tensors, BlockWeights& out) {
  out.linears.resize(plan.linears.size());
  out.vectors.resize(tensors.vectors.size());
  for (size_t i = 0; i < plan.linears.size(); ++i) LAHAR_TRY(add_linear(plan.linears[i], out.linears[i]));
  for (size_t i = 0; i < tensors.vectors.size(); ++i) LAHAR_TRY(add_vector(tensors.vectors[i], out.vectors[i]));
  return add_experts(plan.experts, out);
}

Status Loader::add_layers() {
  weights_.layers.resize(data_.layers.size());
  for (size_t i = 0; i < data_.layers.size(); ++i) {
    const LayerPlan& plan = data_.layers[i];
    const LayerTensors& tensors = data_.tensors.layers[i];
    LayerWeights& out = weights_.layers[i];
    linear_memory_ = i < options_.placement.device_layers ? gpu::Memory::kDevice : gpu::Memory::kHost;
    LAHAR_TRY(add_norm(tensors.pre_attention, out.pre_attention));
    LAHAR_TRY(add_linear(plan.qkv, out.qkv));
    LAHAR_TRY(add_vector(tensors.q_norm, out.q_norm));
    LAHAR_TRY(add_vector(tensors.k_norm, out.k_norm));
    LAHAR_TRY(add_vector(tensors.sinks, out.sinks));
    LAHAR_TRY(add_linear(plan.attention_output, out.attention_output));
    LAHAR_TRY(add_norm(tensors.post_attention, out.post_attention));
    LAHAR_TRY(add_norm(tensors.pre_ffn, out.pre_ffn));
    LAHAR_TRY(add_linear(plan.up, out.up));
    LAHAR_TRY(add_linear(plan.down, out.down));
    LAHAR_TRY(add_norm(tensors.post_ffn, out.post_ffn));
    LAHAR_TRY(add_block(plan.mixer, tensors.mixer, out.mixer));
    LAHAR_TRY(add_block(plan.ffn, tensors.ffn, out.ffn));
  }
  linear_memory_ = gpu::Memory::kDevice;
  return {};
}

Status Loader::create_blocks() {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Block& block = blocks_[i];
    LAHAR_ASSIGN(gpu::Buffer buffer, device_.create_buffer(block.size, block.memory, "weights " + std::to_string(i)));
    (block.memory == gpu::Memory::kDevice ? weights_.device_bytes : weights_.host_bytes) += block.size;
    weights_.buffers.push_back(std::make_unique<gpu::Buffer>(std::move(buffer)));
  }
  return {};
}

Status Loader::advance(uint64_t bytes) {
  done_ += bytes;
  if (options_.progress && !options_.progress(std::min(done_, plan_.source_bytes()), plan_.source_bytes()))
    return Error{ErrorCode::kCancelled, "loading was cancelled"};
  return {};
}

Status Loader::write_floats(const VectorTensors& vector, const gpu::BufferRange& out) {
  std::vector<float> values;
  LAHAR_TRY(read_vector(vector, values));
  return ring_->write(out, sizeof(float), [&](uint64_t offset, std::span<std::byte> part) -> Status {
    std::memcpy(part.data(), reinterpret_cast<const std::byte*>(values.data()) + offset, part.size());
    return {};
  });
}

// Biases and the table; the matrices are uploaded as all others are.
Status Loader::upload_experts(const PendingExperts& pending) {
  const LayerExpertsPlan& plan = *pending.plan;
  BlockWeights& out = *pending.weights;
  std::vector<uint64_t> table;
  for (size_t e = 0; e < plan.experts.size(); ++e) {
    const gpu::BufferRange slab = range(pending.slabs[e]);
    table.push_back(slab.address());
    out.expert_slabs.push_back(slab);
    const ExpertPlan& expert = plan.experts[e];
    const auto write = [&](const VectorTensors& bias, uint64_t offset) -> Status {
      return bias.size == 0 ? Status{} : write_floats(bias, slab.part(offset, uint64_t{bias.size} * sizeof(float)));
    };
    LAHAR_TRY(write(expert.up.bias, plan.slab.gate_up.bias));
    LAHAR_TRY(write(expert.down.bias, plan.slab.down.bias));
    gpu::BufferRange* last = out.expert_memory.empty() ? nullptr : &out.expert_memory.back();
    if (last != nullptr && last->buffer == slab.buffer) last->size = slab.offset + slab.size - last->offset;
    else out.expert_memory.push_back(slab);
  }
  const auto bytes = std::as_bytes(std::span(table));
  LAHAR_TRY(ring_->write(range(pending.table), sizeof(uint64_t), [&](uint64_t offset, std::span<std::byte> part) -> Status {
    std::memcpy(part.data(), bytes.data() + offset, part.size());
    return {};
  }));
  const uint32_t up_rows = plan.slab.gate_up.rows + plan.slab.up.rows;
  out.experts = {.table = range(pending.table),
                 .slabs = out.expert_memory,
                 .experts = static_cast<uint32_t>(plan.experts.size()),
                 .gated = up_rows == 2 * plan.slab.down.cols,
                 .gate_up = plan.slab.gate_up,
                 .up = plan.slab.up,
                 .down = plan.slab.down};
  return {};
}

Status Loader::upload_vectors() {
  const auto bytes = std::as_bytes(std::span(vector_values_));
  LAHAR_TRY(ring_->write(range(vector_place_), sizeof(float), [&](uint64_t offset, std::span<std::byte> out) -> Status {
    std::memcpy(out.data(), bytes.data() + offset, out.size());
    return {};
  }));
  for (const PendingVector& v : vectors_)
    *v.range = range(vector_place_).part(v.first * sizeof(float), v.size * sizeof(float));
  return {};
}

// Hands the rows of a span to one plane, in the pieces that the ring asks for.
Status Loader::write_rows(const gpu::BufferRange& plane, uint32_t row_bytes, const RowSpan& span,
                          const std::function<Status(uint32_t first, uint32_t rows, std::span<std::byte> out)>& fill) {
  const gpu::BufferRange part = plane.part(uint64_t{span.row} * row_bytes, uint64_t{span.rows} * row_bytes);
  return ring_->write(part, row_bytes, [&](uint64_t offset, std::span<std::byte> out) {
    return fill(static_cast<uint32_t>(offset / row_bytes), static_cast<uint32_t>(out.size() / row_bytes), out);
  });
}

Status Loader::upload_kept(const PendingMatrix& pending, const RowSpan& span) {
  const MatrixPlan& m = *pending.plan;
  const auto rows_in = file_rows(span, transposed_);
  const uint64_t in_bytes = rows_in.size() / span.rows;
  const quant::FormatTraits& traits = quant::traits(m.format);
  const uint32_t from_file = traits.grouped ? 1 : m.layout.planes - (traits.table.empty() ? 0 : 1);
  for (uint32_t p = 0; p < from_file; ++p) {
    LAHAR_TRY(write_rows(
        range(pending.places[p]), m.layout.row_bytes[p], span, [&](uint32_t first, uint32_t rows, std::span<std::byte> out) {
          return quant::replane(m.format, m.cols, rows_in.subspan(first * in_bytes, rows * in_bytes), p, out);
        }));
  }
  if (!traits.grouped) return {};
  LAHAR_TRY(read_scales(data_, m, span, floats_));
  const size_t groups = floats_.size() / span.rows;
  return write_rows(
      range(pending.places[1]), m.layout.row_bytes[1], span, [&](uint32_t first, uint32_t rows, std::span<std::byte> out) {
        return quant::store_scales(m.cols, m.group, std::span(floats_).subspan(first * groups, rows * groups), out);
      });
}

// The part of each plane that holds rows [first, first + rows) of a span whose planes lie one behind the other.
PlaneData part_of(const MatrixPlan& m, std::span<std::byte> planes, uint32_t span_rows, uint32_t first, uint32_t rows) {
  PlaneData parts{};
  size_t at = 0;
  for (uint32_t p = 0; p < m.layout.planes; ++p) {
    const size_t row_bytes = m.layout.row_bytes[p];
    parts[p] = planes.subspan(at + first * row_bytes, rows * row_bytes);
    at += span_rows * row_bytes;
  }
  return parts;
}

void store_floats(std::span<const float> values, uint32_t cols, std::span<std::byte> rows_out) {
  const size_t rows = values.size() / cols, row_bytes = rows_out.size() / rows;
  std::memset(rows_out.data(), 0, rows_out.size());
  for (size_t r = 0; r < rows; ++r)
    std::memcpy(rows_out.data() + r * row_bytes, values.data() + r * cols, cols * sizeof(float));
}

// Conversion searches for scales, which takes far longer than the copy: the rows are shared out among threads.
Status Loader::convert(const MatrixPlan& m, const RowSpan& span, std::span<const std::byte> rows_in) {
  const uint32_t threads = std::clamp(std::thread::hardware_concurrency(), 1u, 16u);
  const size_t in_bytes = rows_in.size() / span.rows;
  return share_among_threads(span.rows, threads, [&](uint64_t at, uint64_t count) -> Status {
    const auto first = static_cast<uint32_t>(at), rows = static_cast<uint32_t>(count);
    if (span.piece->packed)
      return repack_rows(m, *span.piece, {span.file_row + first * span.step, rows, span.step},
                         part_of(m, converted_, span.rows, first, rows));
    const auto values = std::span(floats_).subspan(size_t{first} * m.cols, size_t{rows} * m.cols);
    LAHAR_TRY(quant::to_floats(span.piece->tensor->dtype, rows_in.subspan(first * in_bytes, rows * in_bytes), values));
    if (m.fold_scale)
      for (float& value : values) value *= span.piece->scale;
    if (m.format == quant::WeightFormat::kF32) {
      store_floats(values, m.cols, part_of(m, converted_, span.rows, first, rows)[0]);
      return {};
    }
    return quant::quantize_rows(m.format, m.cols, m.group, values, part_of(m, converted_, span.rows, first, rows));
  });
}

Status Loader::upload_converted(const PendingMatrix& pending, const RowSpan& span) {
  const MatrixPlan& m = *pending.plan;
  size_t bytes = 0;
  for (uint32_t p = 0; p < m.layout.planes; ++p) bytes += size_t{span.rows} * m.layout.row_bytes[p];
  converted_.resize(bytes);
  if (!span.piece->packed) floats_.resize(size_t{span.rows} * m.cols);
  LAHAR_TRY(convert(m, span, span.piece->packed ? std::span<const std::byte>() : file_rows(span, transposed_)));
  const PlaneData planes = part_of(m, converted_, span.rows, 0, span.rows);
  for (uint32_t p = 0; p < m.layout.planes; ++p) {
    const uint32_t row_bytes = m.layout.row_bytes[p];
    LAHAR_TRY(write_rows(range(pending.places[p]), row_bytes, span,
                         [&](uint32_t first, uint32_t, std::span<std::byte> out) -> Status {
                           std::memcpy(out.data(), planes[p].data() + size_t{first} * row_bytes, out.size());
                           return {};
                         }));
  }
  return {};
}

// Of formats whose last plane is the same for all rows.
Status Loader::upload_table(const PendingMatrix& pending) {
  const auto table = std::as_bytes(quant::traits(pending.plan->format).table);
  if (table.empty()) return {};
  const gpu::BufferRange plane = range(pending.places[pending.plan->layout.planes - 1]);
  return ring_->write(plane, sizeof(uint32_t), [&](uint64_t offset, std::span<std::byte> out) -> Status {
    std::memcpy(out.data(), table.data() + offset, out.size());
    return {};
  });
}

Status Loader::upload(const PendingMatrix& pending) {
  for (const RowSpan& span : row_spans(*pending.plan, kChunkBytes)) {
    const bool convert = pending.plan->quantize || span.piece->packed;
    LAHAR_TRY(convert ? upload_converted(pending, span) : upload_kept(pending, span));
    LAHAR_TRY(advance(file_bytes(span)));
  }
  LAHAR_TRY(upload_table(pending));
  for (uint32_t p = 0; p < pending.plan->layout.planes && pending.matrix != nullptr; ++p)
    pending.matrix->planes[p] = range(pending.places[p]);
  for (const MatrixPiece& piece : pending.plan->pieces) source_.release(piece.tensor->data);
  return {};
}

Result<ModelWeights> Loader::load() {
  // All that has an address is placed first: the vectors of roles must not move any more once they are pending.
  Linear embedding, positions;
  LAHAR_TRY(add_linear(data_.embedding, embedding));
  LAHAR_TRY(add_linear(data_.positions, positions));
  LAHAR_TRY(add_layers());
  LAHAR_TRY(add_linear(data_.head, weights_.head));
  LAHAR_TRY(add_norm(data_.tensors.final_norm, weights_.final_norm));
  LAHAR_TRY(add_norm(data_.tensors.embedding_norm, weights_.embedding_norm));
  LAHAR_TRY(add_block(data_.extra, data_.tensors.extra, weights_.extra));
  weights_.ropes.resize(spec_.ropes.size());
  for (size_t i = 0; i < spec_.ropes.size(); ++i) {
    const auto& table = spec_.ropes[i].inverse_frequencies;
    vectors_.push_back({vector_values_.size(), table.size(), &weights_.ropes[i]});
    vector_values_.insert(vector_values_.end(), table.begin(), table.end());
    vector_values_.resize(align_weight(vector_values_.size() * sizeof(float)) / sizeof(float));
  }
  LAHAR_ASSIGN(vector_place_, place(vector_values_.size() * sizeof(float), "the vectors", gpu::Memory::kDevice));
  LAHAR_TRY(create_blocks());

  LAHAR_ASSIGN(gpu::StagingRing ring, gpu::StagingRing::create(device_, options_.staging_bytes));
  ring_ = std::move(ring);
  LAHAR_TRY(advance(0));
  LAHAR_TRY(upload_vectors());
  for (const PendingExperts& pending : experts_) LAHAR_TRY(upload_experts(pending));
  for (const PendingMatrix& pending : matrices_) LAHAR_TRY(upload(pending));
  LAHAR_TRY(ring_->flush());
  weights_.staging_peak = ring_->peak_bytes();
  weights_.placement = options_.placement;
  done_ = plan_.source_bytes();
  LAHAR_TRY(advance(0));

  weights_.embedding = embedding.parts[0].matrix;
  if (!positions.parts.empty()) weights_.positions = positions.parts[0].matrix;
  if (spec_.tied_head) {
    weights_.head.rows = spec_.vocabulary;
    weights_.head.cols = spec_.hidden;
    weights_.head.parts = std::move(embedding.parts);
  }
  return std::move(weights_);
}

}  // namespace

Result<ModelWeights> load_weights(gpu::Device& device, const ModelSource& source, const ModelSpec& spec,
                                  const WeightPlan& plan, const LoadOptions& options) {
  if (spec.layers.size() != plan.data().layers.size())
    return Error{ErrorCode::kInvalidArgument, source.name() + ": the plan is of another model"};
  return Loader(device, source, spec, plan, options).load();
}

}  // namespace lahar
