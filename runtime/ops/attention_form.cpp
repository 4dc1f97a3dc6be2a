#include "ops/attention_paths.h"
#include "ops/form_text.h"

namespace lahar::ops {
namespace {

constexpr std::string_view kPaths[] = {"decode", "line", "loop", "lanes", "coop", "tile"};
static_assert(std::size(kPaths) == static_cast<size_t>(AttentionPath::kCount));

constexpr detail::FormNumber<AttentionForm> kNumbers[] = {{"subgroup", &AttentionForm::subgroup},
                                                          {"subgroups", &AttentionForm::subgroups},
                                                          {"team", &AttentionForm::team},
                                                          {"items", &AttentionForm::items},
                                                          {"keys", &AttentionForm::keys},
                                                          {"splits", &AttentionForm::splits},
                                                          {"m", &AttentionForm::m},
                                                          {"n", &AttentionForm::n},
                                                          {"k", &AttentionForm::k}};

}  // namespace

std::string to_string(const AttentionForm& form) {
  const std::string_view path = form.path < AttentionPath::kCount ? kPaths[static_cast<size_t>(form.path)] : "none";
  return detail::form_to_text<AttentionForm>(form, path, kNumbers);
}

std::optional<AttentionForm> parse_attention_form(std::string_view text) {
  size_t path = 0;
  std::optional<AttentionForm> form = detail::form_from_text<AttentionForm>(text, kPaths, kNumbers, &path);
  if (form) form->path = static_cast<AttentionPath>(path);
  return form;
}

std::string attention_case(const AttentionParams& p) {
  std::string text = std::string(to_string(p.kv.type)) + " " + std::to_string(p.heads) + "/" +
                     std::to_string(p.kv.kv_heads) + "x" + std::to_string(p.kv.head_dim) + ", bucket " +
                     std::to_string(p.step.bucket);
  uint32_t context = detail::visible_keys(p);
  if (p.step.bucket > kDecodeRows)
    context = p.window == 0 || p.chunk == 0 ? p.window + p.chunk : std::min(p.window, p.chunk);
  if (context > 0) text += ", context " + std::to_string(detail::power_of_two_at_least(context));
  if (p.kv.shares_values()) text += ", " + std::to_string(p.kv.shared_dim) + " are values";
  if (p.softcap > 0) text += ", softcap";
  if (p.precision == Precision::kF32) text += ", f32";
  return text;
}

}  // namespace lahar::ops
