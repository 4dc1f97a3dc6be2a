// The weights of a model in device memory, by role. First a plan (no Vulkan: which tensors, in which form, how many bytes),
// then the load.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "core/log.h"
#include "core/result.h"
#include "format/model_source.h"
#include "gpu/buffer.h"
#include "ops/moe.h"
#include "quant/matrix.h"
#include "spec.h"

namespace lahar {

namespace gpu {
class Device;
}

// Conversion of F32, F16 and BF16 matrices while loading. Norms, biases and learned positions stay. The embedding table and
// the head become int8 with kInt8 and kInt4 (four bits cost the most quality there), fp8 with kFp8. A matrix whose rows the
// format's group does not divide stays as it is, with a line in the log.
enum class Quantize { kNone, kInt8, kInt4, kFp8 };
std::optional<Quantize> quantize_from_name(std::string_view name);  // "int8", "int4", "fp8"

struct MemoryNeed {
  uint64_t linear = 0;           // projections of the layers but experts, and the head where it is not tied
  uint64_t experts = 0;          // slabs of experts
  uint64_t embedding = 0;        // token table and learned positions
  uint64_t vectors = 0;          // norms, biases, RoPE tables
  uint64_t padding = 0;          // between tensors, so that each begins aligned
  uint64_t largest = 0;          // of one tensor's planes or one slab: must be at most one buffer
  std::vector<uint64_t> layers;  // of `linear`, each layer's
  uint64_t total() const { return linear + experts + embedding + vectors + padding; }
};

// Which tensors make which role; refers to the source, which must outlive it.
class WeightPlan {
 public:
  // Checks that every tensor that the spec needs is there with the right shape and a type that is supported. Errors:
  // kFormat (missing, wrong shape: expected and found), kUnsupported (type, quantization method).
  static Result<WeightPlan> make(const ModelSource& source, const ModelSpec& spec, Quantize quantize = Quantize::kNone,
                                 const Log& log = {});
  WeightPlan(WeightPlan&&) noexcept;
  WeightPlan& operator=(WeightPlan&&) noexcept;
  ~WeightPlan();

  const MemoryNeed& memory() const;  // device bytes
  uint64_t source_bytes() const;     // that load_weights will read

  struct Data;
  const Data& data() const { return *data_; }

 private:
  WeightPlan();
  std::unique_ptr<Data> data_;
};

// Some consecutive rows of a stacked projection.
struct LinearPart {
  quant::Matrix matrix;
  uint32_t row = 0;  // of the whole, where this part's first row goes
  float scale = 1;   // y = scale * (W x) + bias
};

// y = W x + b. One part where the formats (and scales) of what is stacked agree, else several, in order and without gaps.
struct Linear {
  uint32_t rows = 0, cols = 0;
  std::vector<LinearPart> parts;
  gpu::BufferRange bias;  // fp32 [rows]; empty where there is none

  // The bias of one part: fp32 [part.matrix.rows]; empty where there is none.
  gpu::BufferRange bias_of(const LinearPart& part) const {
    return bias ? bias.part(uint64_t{part.row} * 4, uint64_t{part.matrix.rows} * 4) : gpu::BufferRange{};
  }
};

struct NormWeights {
  gpu::BufferRange weight, bias;  // fp32 [hidden]; bias is empty where there is none
};

// In the order of the block's roles (block_roles.h); what is not there is empty.
struct BlockWeights {
  std::vector<Linear> linears;
  std::vector<gpu::BufferRange> vectors;        // fp32
  ops::ExpertsRef experts;                      // of none where the block has none; its spans point into expert_memory
  std::vector<gpu::BufferRange> expert_memory;  // what the slabs cover, in as few pieces as can be
  std::vector<gpu::BufferRange> expert_slabs;   // by expert
  uint64_t expert_bytes() const { return expert_slabs.empty() ? 0 : expert_slabs[0].size; }
};

// Roles that the LayerSpec does not have are empty.
struct LayerWeights {
  NormWeights pre_attention, post_attention, pre_ffn, post_ffn;
  Linear qkv;  // [(heads + 2 kv_heads) * head_dim, hidden]: q, k, v
  // fp32 [head_dim], or [heads * head_dim] and [kv_heads * head_dim] with QkNorm::kFull and kEachHead; biases behind them
  gpu::BufferRange q_norm, k_norm;
  gpu::BufferRange sinks;   // fp32 [heads]
  Linear attention_output;  // [hidden, heads * head_dim]
  Linear up;                // gated: [2 width, hidden], gate then up; else [width, hidden]
  Linear down;              // [hidden, width]
  BlockWeights mixer, ffn;  // of other kinds than attention and the dense feed-forward
};

// What stays in the host's memory, where the device reads it in place; all else is in the device's.
struct WeightPlacement {
  bool host_experts = false;            // the slabs of all experts, of which ExpertCache copies those in use
  uint32_t device_layers = UINT32_MAX;  // the projections of layers from this one on
};

// Owns the buffers that all its ranges point into. Move-only; the ranges stay valid when it is moved. Immutable after
// loading, so any thread may read it.
struct ModelWeights {
  quant::Matrix embedding;  // [vocabulary, hidden]
  quant::Matrix positions;  // [context_length, hidden]; no rows where positions are not learned
  std::vector<LayerWeights> layers;
  NormWeights final_norm;
  NormWeights embedding_norm;           // empty where there is none
  Linear head;                          // [vocabulary, hidden]; where it is tied, the same planes as the embedding
  BlockWeights extra;                   // of the architecture's own
  std::vector<gpu::BufferRange> ropes;  // fp32 [dims / 2] each, in the order of ModelSpec::ropes

  WeightPlacement placement;
  std::vector<std::unique_ptr<gpu::Buffer>> buffers;
  uint64_t device_bytes = 0;
  uint64_t host_bytes = 0;    // of what is read in place from the host's memory
  uint64_t staging_peak = 0;  // bytes of staging memory ever in use at a time
};

struct LoadOptions {
  WeightPlacement placement;
  // Called between pieces with bytes of the source done and in all; false cancels (kCancelled, everything freed).
  std::function<bool(uint64_t done, uint64_t total)> progress;
  uint64_t staging_bytes = 64ull << 20;  // at most 256 MB
  uint64_t block_bytes = 256ull << 20;   // size of the buffers that tensors are packed into, under the device's limits
  Log log;
};

// Reads, converts and uploads everything that the plan names. Errors: kOutOfMemory, kLimit (a tensor beyond the device's
// largest buffer), kCancelled, kFormat (values that cannot be, such as a scale that is not finite), kDeviceLost.
Result<ModelWeights> load_weights(gpu::Device& device, const ModelSource& source, const ModelSpec& spec,
                                  const WeightPlan& plan, const LoadOptions& options = {});

}  // namespace lahar
