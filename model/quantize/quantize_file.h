// A GGUF with its matrices in other types: the work of `lahar quantize`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "core/result.h"
#include "format/gguf_writer.h"
#include "quantize/importance.h"
#include "quantize/quantize_plan.h"

namespace lahar {

struct QuantizeOptions {
  const ImportanceMatrix* importance = nullptr;
  unsigned threads = 0;  // 0: one for each processor. The file is the same for any number.
  // Called as bytes are written; false stops the work with kCancelled.
  std::function<bool(uint64_t done, uint64_t total)> progress;
};

// The whole file, ready to be written: the source's metadata with general.file_type of the plan's type (none for fp8, which
// has no number), general.quantization_version 2, and without what says that it is one of several parts. The producers of
// the tensors read the source and the options' matrix when the writer is run; a weight that is not finite is kFormat.
// Holds a few tens of megabytes of a tensor at a time.
Result<GgufWriter> quantized_file(const ModelSource& source, const QuantizePlan& plan, const QuantizeOptions& options);

// Writes it to `out`, which is whole at the end or untouched. Errors: those of quantized_file(), kInvalidArgument (`out` is
// the source, or a part of it), kIo, kCancelled.
Status quantize_file(const ModelSource& source, const QuantizePlan& plan, const std::filesystem::path& out,
                     const QuantizeOptions& options);

}  // namespace lahar
