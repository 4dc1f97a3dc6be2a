#include "quantize/quantize_plan.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <regex>

#include "core/quote.h"
#include "quant/encode.h"
#include "quant/layout.h"

namespace lahar {
namespace {

constexpr std::array kTypes = {DType::kQ8_0,  DType::kQ4_0,   DType::kQ4_K, DType::kQ6_K, DType::kIQ4_NL,
                               DType::kMXFP4, DType::kF8E4M3, DType::kF16,  DType::kBF16, DType::kF32};
// Parts of the names of what has two dimensions and is no matrix of a linear layer.
constexpr std::string_view kKept[] = {"_norm.", "ffn_gate_inp", "position_embd", "token_types", "ssm_conv1d", "rope_f"};

bool is_float(DType type) { return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16; }

bool is_matrix(const TensorView& tensor) {
  const std::string_view name = tensor.name;
  return tensor.shape.rank() >= 2 && name.ends_with(".weight") &&
         std::none_of(std::begin(kKept), std::end(kKept),
                      [&](std::string_view part) { return name.find(part) != std::string_view::npos; });
}

bool has_four_bits(DType type) {
  return type == DType::kQ4_0 || type == DType::kQ4_K || type == DType::kIQ4_NL || type == DType::kMXFP4;
}

// The nearest type that can hold rows of `cols`.
DType that_divides(DType type, uint32_t cols) {
  if (cols % traits(type).block_values == 0) return type;
  if (cols % 32 != 0) return DType::kF16;
  return type == DType::kQ4_K ? DType::kIQ4_NL : DType::kQ8_0;
}

uint64_t bytes_of(DType type, uint64_t rows, uint32_t cols) {
  uint64_t bytes = byte_size(type, rows * cols).value_or(0);
  if (type == DType::kF8E4M3) bytes += rows * quant::groups_in_row(cols, kGgufFp8Group) * sizeof(float);
  return bytes;
}

class Planner {
 public:
  Planner(const ModelSource& source, DType type, const std::vector<TypeRule>& rules) : source_(source), rules_(rules) {
    plan_.type = type;
  }

  Result<QuantizePlan> plan() {
    LAHAR_TRY(compile_rules());
    for (const TensorView& tensor : source_.tensors()) {
      if (is_scale(tensor)) continue;
      LAHAR_ASSIGN(TensorConversion conversion, convert(tensor));
      plan_.source_bytes += conversion.source_bytes();
      plan_.bytes += conversion.bytes;
      plan_.tensors.push_back(std::move(conversion));
    }
    for (size_t i = 0; i < rules_.size(); ++i)
      if (!used_[i])
        return Error{ErrorCode::kInvalidArgument,
                     "pattern " + quote(rules_[i].pattern) + " matches no matrix of " + source_.name()};
    return std::move(plan_);
  }

 private:
  Status compile_rules() {
    for (const TypeRule& rule : rules_) {
      try {
        patterns_.emplace_back(rule.pattern);
      } catch (const std::regex_error& e) {
        return Error{ErrorCode::kInvalidArgument, "pattern " + quote(rule.pattern) + ": " + e.what()};
      }
    }
    used_.assign(rules_.size(), false);
    return {};
  }

  // The scales of an fp8 matrix, which go where it goes.
  bool is_scale(const TensorView& tensor) const {
    constexpr std::string_view kSuffix = "_scale";
    if (!tensor.name.ends_with(kSuffix)) return false;
    const auto* matrix = source_.find_tensor(tensor.name.substr(0, tensor.name.size() - kSuffix.size()));
    return matrix != nullptr && matrix->dtype == DType::kF8E4M3;
  }

  std::optional<size_t> rule_for(const std::string& name) {
    std::optional<size_t> found;
    for (size_t i = 0; i < rules_.size(); ++i) {
      if (!std::regex_search(name, patterns_[i])) continue;
      used_[i] = true;
      if (!found) found = i;
    }
    return found;
  }

  void choose_type(TensorConversion& c) {
    const std::string& name = c.tensor->name;
    DType wanted = plan_.type;
    const bool output =
        name == "output.weight" || (name == "token_embd.weight" && source_.find_tensor("output.weight") == nullptr);
    if (const auto rule = rule_for(name)) {
      wanted = rules_[*rule].type;
      c.note = "as " + quote(rules_[*rule].pattern) + " says";
    } else if (output && has_four_bits(wanted)) {
      wanted = DType::kQ6_K;
      c.note = "output matrix";
    }
    c.type = that_divides(wanted, c.cols());
    c.fell_back = c.type != wanted;
    if (c.fell_back)
      c.note = "rows of " + std::to_string(c.cols()) + " are no whole blocks of " + std::string(quantize_type_name(wanted));
  }

  Result<TensorConversion> convert(const TensorView& tensor) {
    if (tensor.shape.rank() == 0 || tensor.shape.back() > UINT32_MAX)
      return Error{ErrorCode::kUnsupported, source_.name() + ": tensor " + quote(tensor.name) + ": shape " +
                                                tensor.shape.to_string() + ", rows of 1 to 4294967295 values expected"};
    TensorConversion c;
    c.tensor = &tensor;
    c.type = tensor.dtype;
    if (tensor.dtype == DType::kF8E4M3) c.scales = source_.find_tensor(fp8_scale_name(tensor.name));
    if (is_matrix(tensor)) {
      choose_type(c);
      const auto format = quant::format_for(tensor.dtype);
      if (c.type != tensor.dtype && (!format || tensor.dtype == DType::kI8))
        return Error{ErrorCode::kUnsupported, source_.name() + ": tensor " + quote(tensor.name) + ": type " +
                                                  std::string(to_string(tensor.dtype)) + " cannot be decoded"};
      if (c.type != tensor.dtype && !is_float(tensor.dtype)) ++plan_.requantized;
    } else if (tensor.shape.rank() < 2 && is_float(tensor.dtype)) {
      c.type = DType::kF32;
    }
    c.bytes = bytes_of(c.type, c.rows(), c.cols());
    return c;
  }

  const ModelSource& source_;
  const std::vector<TypeRule>& rules_;
  std::vector<std::regex> patterns_;
  std::vector<bool> used_;
  QuantizePlan plan_;
};

}  // namespace

std::vector<std::string_view> quantize_types() {
  std::vector<std::string_view> names;
  for (const DType type : kTypes) names.push_back(quantize_type_name(type));
  return names;
}

std::optional<DType> quantize_type(std::string_view name) {
  std::string upper(name);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  for (const DType type : kTypes)
    if (quantize_type_name(type) == upper) return type;
  return std::nullopt;
}

std::string_view quantize_type_name(DType type) { return type == DType::kF8E4M3 ? "F8" : to_string(type); }

std::string fp8_scale_name(std::string_view tensor) { return std::string(tensor) + "_scale"; }

Result<QuantizePlan> plan_quantization(const ModelSource& source, DType type, const std::vector<TypeRule>& rules) {
  if (source.gguf() == nullptr)
    return Error{ErrorCode::kUnsupported,
                 source.name() +
                     ": a Hugging Face folder, quantize reads GGUF files; such a folder can be run as it is, or "
                     "with --quantize"};
  const auto check = [](DType asked) -> Status {
    if (std::find(kTypes.begin(), kTypes.end(), asked) != kTypes.end()) return {};
    return Error{ErrorCode::kInvalidArgument, "there is no conversion to " + std::string(to_string(asked))};
  };
  LAHAR_TRY(check(type));
  for (const TypeRule& rule : rules) LAHAR_TRY(check(rule.type));
  return Planner(source, type, rules).plan();
}

}  // namespace lahar
