// Which type each tensor of a GGUF is to have. Pure; nothing is read but names, shapes and types.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/result.h"
#include "format/model_source.h"

namespace lahar {

// Matrices are what has two dimensions or more and is named "*.weight", but for norms, routers, position tables and
// convolutions. They become `type`, except
//   - the output matrix (the token embedding where it is that too): Q6_K for the types of four bits
//   - those that a rule names: the first whose pattern is found in the name decides (ECMAScript regular expression)
//   - rows that are not whole blocks: Q4_K becomes IQ4_NL, Q6_K becomes Q8_0, and what is no multiple of 32 becomes F16.
// Vectors become F32; everything else stays as it is.
struct TypeRule {
  std::string pattern;
  DType type = DType::kF32;
};

struct TensorConversion {
  const TensorView* tensor = nullptr;
  const TensorView* scales = nullptr;  // of fp8 weights in the source
  DType type = DType::kF32;            // == tensor->dtype: the bytes are copied
  uint64_t bytes = 0;                  // with the scales where the type is fp8
  std::string note;                    // why the type is not the one that was asked for; else empty
  bool fell_back = false;              // because rows are not whole blocks

  uint32_t cols() const { return static_cast<uint32_t>(tensor->shape.back()); }
  uint64_t rows() const { return *tensor->shape.elements() / cols(); }
  uint64_t source_bytes() const { return tensor->data.size() + (scales != nullptr ? scales->data.size() : 0); }
};

struct QuantizePlan {
  DType type = DType::kF32;
  std::vector<TensorConversion> tensors;  // in the source's order, without its tensors of fp8 scales
  uint64_t source_bytes = 0, bytes = 0;
  uint64_t requantized = 0;  // matrices that have lost precision before
};

// "Q8_0", "F8" and so on, in any case.
std::vector<std::string_view> quantize_types();
std::optional<DType> quantize_type(std::string_view name);
// F8 for fp8, else the type's own name.
std::string_view quantize_type_name(DType type);

// Columns of a scale in a GGUF's fp8 matrices. weight_plan.cpp reads them.
constexpr uint32_t kGgufFp8Group = 128;
std::string fp8_scale_name(std::string_view tensor);  // where they are

// The views in the plan are the source's. Errors: kUnsupported (no GGUF, a matrix whose type nothing decodes),
// kInvalidArgument (a type that cannot be made, a pattern that is no expression or matches no matrix).
Result<QuantizePlan> plan_quantization(const ModelSource& source, DType type, const std::vector<TypeRule>& rules);

}  // namespace lahar
