#include <charconv>

#include "ops/matmul_paths.h"

namespace lahar::ops {
namespace {

constexpr std::string_view kPaths[] = {"gemv", "gemm", "coop",      "gemv_int8", "gemm_int8",
                                       "line", "loop", "coop_int8", "coop2"};
static_assert(std::size(kPaths) == static_cast<size_t>(MatmulPath::kCount));

struct Number {
  std::string_view name;
  uint32_t MatmulForm::*value;
};
constexpr Number kNumbers[] = {{"rows", &MatmulForm::rows},
                               {"x_rows", &MatmulForm::x_rows},
                               {"x_step", &MatmulForm::x_step},
                               {"subgroup", &MatmulForm::subgroup},
                               {"teams", &MatmulForm::teams},
                               {"split", &MatmulForm::split},
                               {"tile_m", &MatmulForm::tile_m},
                               {"tile_n", &MatmulForm::tile_n},
                               {"depth", &MatmulForm::depth},
                               {"part_m", &MatmulForm::part_m},
                               {"part_n", &MatmulForm::part_n},
                               {"m", &MatmulForm::m},
                               {"n", &MatmulForm::n},
                               {"k", &MatmulForm::k},
                               {"half_sums", &MatmulForm::half_sums},
                               {"half_rows", &MatmulForm::half_rows},
                               {"elements", &MatmulForm::elements}};

// Cuts the next word off.
std::string_view next_word(std::string_view& text) {
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

}  // namespace

std::string to_string(const MatmulForm& form) {
  std::string text(form.path < MatmulPath::kCount ? kPaths[static_cast<size_t>(form.path)] : "none");
  for (const Number& n : kNumbers)
    if (form.*n.value != 0) text += " " + std::string(n.name) + " " + std::to_string(form.*n.value);
  return text;
}

std::optional<MatmulForm> parse_matmul_form(std::string_view text) {
  MatmulForm form;
  const auto* path = std::find(std::begin(kPaths), std::end(kPaths), next_word(text));
  if (path == std::end(kPaths)) return std::nullopt;
  form.path = static_cast<MatmulPath>(path - std::begin(kPaths));
  while (!text.empty()) {
    const std::string_view name = next_word(text), value = next_word(text);
    const auto* number =
        std::find_if(std::begin(kNumbers), std::end(kNumbers), [&](const Number& n) { return n.name == name; });
    if (number == std::end(kNumbers)) return std::nullopt;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), form.*number->value);
    if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  }
  return form;
}

std::string matmul_case(const MatmulParams& p) {
  std::string text = std::string(to_string(p.w->format)) + " " + std::to_string(p.w->rows) + "x" + std::to_string(p.w->cols);
  if (p.w->group != 0) text += " group " + std::to_string(p.w->group);
  text += ", bucket " + std::to_string(p.step.bucket);
  if (p.glu != Activation::kNone) text += ", gated";
  if (p.logit_rows) text += ", gathered";
  if (p.precision == Precision::kF32) text += ", f32";
  return text;
}

}  // namespace lahar::ops
