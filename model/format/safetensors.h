// A safetensors file: a JSON header that says where each tensor lies, then the tensors' bytes.
// Safe for untrusted input: the header's length, the shapes and the offsets are checked against the file before use.
// Format: https://github.com/huggingface/safetensors#format
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/tensor_view.h"

namespace lahar {

// The tensors of a file, sorted by name; no two share bytes. Views point into `bytes`, and may have any alignment. `name` is
// the file's, for messages. Errors: kFormat, kUnsupported (an element type without a DType), kLimit (a header of more than
// 100 MB).
Result<std::vector<TensorView>> read_safetensors(std::span<const std::byte> bytes, const std::string& name);

}  // namespace lahar
