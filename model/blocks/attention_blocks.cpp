#include "blocks/attention_blocks.h"

#include <cstring>

#include "blocks/attention.h"
#include "gpu/transfer.h"

namespace lahar {
namespace {

constexpr uint64_t kStride = 256;
static_assert(kStride >= sizeof(params::AttentionBlock));

}  // namespace

Result<std::unique_ptr<AttentionBlocks>> AttentionBlocks::create(gpu::Device& device, const ModelSpec& spec,
                                                                 const ModelWeights& weights, const Scratch& scratch,
                                                                 const NormFolds& folds) {
  auto blocks = std::unique_ptr<AttentionBlocks>(new AttentionBlocks);
  if (!device.caps().uniform_loops) return blocks;
  std::vector<std::byte> host(spec.layers.size() * kStride);
  for (uint32_t i = 0; i < spec.layers.size(); ++i) {
    WholeAttention whole;
    blocks->there_.push_back(whole.make(spec, weights, scratch, spec.layers[i], weights.layers[i]));
    if (!blocks->there_.back()) continue;
    whole.params.x_norm = folds.attention_fold(i), whole.params.y_norm = folds.ffn_fold(i);
    const params::AttentionBlock contents = ops::attention_block_contents(whole.params);
    std::memcpy(host.data() + i * kStride, &contents, sizeof contents);
  }
  LAHAR_ASSIGN(blocks->memory_,
               device.create_buffer(std::max<uint64_t>(host.size(), kStride), gpu::Memory::kDevice, "attention blocks"));
  if (!host.empty()) LAHAR_TRY(gpu::upload(device, host, blocks->memory_));
  return blocks;
}

gpu::BufferRange AttentionBlocks::block(uint32_t layer) const {
  return layer < there_.size() && there_[layer] ? gpu::BufferRange(memory_, layer * kStride, kStride) : gpu::BufferRange{};
}

}  // namespace lahar
