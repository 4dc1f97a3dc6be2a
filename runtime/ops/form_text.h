// Inside of ops: forms of kernels as text, "path name number name number ...". Numbers that are 0 are left out.
#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace lahar::ops::detail {

template <typename Form>
struct FormNumber {
  std::string_view name;
  uint32_t Form::*value;
};

template <typename Form>
std::string form_to_text(const Form& form, std::string_view path, std::span<const FormNumber<Form>> numbers) {
  std::string text(path);
  for (const FormNumber<Form>& n : numbers)
    if (form.*n.value != 0) text += " " + std::string(n.name) + " " + std::to_string(form.*n.value);
  return text;
}

// Cuts the next word off.
inline std::string_view next_word(std::string_view& text) {
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

// The path's place in `paths` goes into *path.
template <typename Form>
std::optional<Form> form_from_text(std::string_view text, std::span<const std::string_view> paths,
                                   std::span<const FormNumber<Form>> numbers, size_t* path) {
  const std::string_view first = next_word(text);
  *path = static_cast<size_t>(std::find(paths.begin(), paths.end(), first) - paths.begin());
  if (*path == paths.size()) return std::nullopt;
  Form form;
  while (!text.empty()) {
    const std::string_view name = next_word(text), value = next_word(text);
    const auto number = std::find_if(numbers.begin(), numbers.end(), [&](const auto& n) { return n.name == name; });
    if (number == numbers.end()) return std::nullopt;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), form.*number->value);
    if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  }
  return form;
}

}  // namespace lahar::ops::detail
