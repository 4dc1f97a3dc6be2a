// Phi 3 and 4: q,k,v in one tensor, gate and up in one, RoPE on a part of the head, LongRoPE.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"phi3"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_context = 4096, .default_eps = 1e-5});
  use_one_rope(c, spec, {.partial = true, .original_context = 4096});
  const uint32_t window = read_window(c, 0);
  for (LayerSpec& layer : spec.layers) layer.attention.window = window;
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (gguf) {
    layout.scaled_ffn = false;
    layout.names.gate_up = "ffn_up";
    return;
  }
  layout.names.qkv = "self_attn.qkv_proj";
  layout.names.gate_up = "mlp.gate_up_proj";
}

}  // namespace

const Architecture kPhi3{"phi3", kNames, kNames, read, adapt};

}  // namespace lahar::arch
