#include "blocks/rwkv_ffn.h"

#include "blocks/linear.h"
#include "ops/activation.h"
#include "ops/rwkv.h"

namespace lahar {

Status record_rwkv_product(const Forward& f, const Linear& linear, const ops::Activations& x, const ops::Activations& y,
                           std::string_view label) {
  return record_linear(f.recorder, linear, x, y, f.step, f.precision, label,
                       {.x_scratch = f.scratch.converted, .tuning = f.tuning});
}

Status record_rwkv_up(const Forward& f, const LayerSpec& layer, std::span<const gpu::BufferRange> mixes, const Linear& key,
                      const ops::Activations& normed, const LayerMemory& memory, const ops::Planes& mixed,
                      const ops::Activations& up) {
  LAHAR_TRY(ops::token_shift(f.recorder, {.x = normed,
                                          .y = mixed,
                                          .mixes = mixes,
                                          .width = f.spec.hidden,
                                          .state = memory.ffn_state,
                                          .step = f.step,
                                          .label = "ffn token shift"}));
  LAHAR_TRY(record_rwkv_product(f, key, mixed[0], up, "ffn k"));
  return ops::activation(f.recorder, {.kind = ops::Activation::kReluSquared,
                                      .gated = false,
                                      .x = up,
                                      .y = up,
                                      .width = layer.rwkv.width,
                                      .step = f.step,
                                      .label = "activation"});
}

}  // namespace lahar
