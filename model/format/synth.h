// Models of random weights in the shapes of well-known ones, for benchmarks and tests without a download. The numbers mean
// nothing, but they are well-behaved: weights of deviation 0.02, norms around 1, a byte-level BPE vocabulary of the right
// size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "format/gguf_writer.h"

namespace lahar {

// What can be asked for: "smol-135m", "llama3-1b", "llama3-8b", "qwen3-0.6b", "mixtral-small" (experts), and "F16", "Q4_K"
// and every other type that a GGUF can hold and Lahar runs.
std::vector<std::string_view> synth_shapes();
std::vector<std::string_view> synth_formats();

struct SynthOptions {
  uint64_t seed = 1;     // the same seed gives the same file, whatever the number of threads
  unsigned threads = 0;  // 0: one for each processor
  // Called as bytes are written; false stops the work with kCancelled.
  std::function<bool(uint64_t done, uint64_t total)> progress;
};

// Writes the model to `path`, which is whole at the end or untouched. Matrices and embeddings are in `format` (any case),
// norms F32. Errors: kInvalidArgument (unknown shape or format, or a format whose block does not divide a row), kIo,
// kCancelled.
Status synthesize(std::string_view shape, std::string_view format, const std::filesystem::path& path,
                  const SynthOptions& options = {});

}  // namespace lahar
