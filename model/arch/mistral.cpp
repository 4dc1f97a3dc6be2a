// Mistral: Llama with a sliding window on every layer. GGUF files of it say llama.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kHf[] = {"mistral"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_kv_heads = 8, .default_context = 131072});
  use_one_rope(c, spec);
  const uint32_t window = read_window(c, 4096);
  for (LayerSpec& layer : spec.layers) layer.attention.window = window;
}

}  // namespace

const Architecture kMistral{"mistral", {}, kHf, read, nullptr};

}  // namespace lahar::arch
