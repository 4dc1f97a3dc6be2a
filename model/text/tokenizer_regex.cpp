#include "text/tokenizer_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "text/utf8.h"

namespace lahar {
namespace {

constexpr size_t kLongestPattern = 1 << 16;
constexpr uint32_t kHeapLimitKiB = 64 << 10;
constexpr uint32_t kMatchLimit = 1 << 20;  // and 16 for every byte of the text
constexpr size_t kJitStackBytes = 1 << 20;

// PCRE2's \s has U+180E, which is no white space since Unicode 6.3.
constexpr std::string_view kSpaces =
    R"(\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

// The end of the class that opens at `at`: the position after its ']'; classes inside count. npos where it does not end.
size_t class_end(std::string_view pattern, size_t at) {
  int depth = 0;
  for (size_t i = at; i < pattern.size(); ++i) {
    if (pattern[i] == '\\') {
      ++i;
    } else if (pattern[i] == '[') {
      ++depth;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') ++i;
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') ++i;  // a first ']' is a member
    } else if (pattern[i] == ']' && --depth == 0) {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

// Writes the escape at `at` (a backslash) in PCRE2's syntax; returns how many bytes it took.
size_t translate_escape(std::string_view pattern, size_t at, bool in_class, std::string& out) {
  if (at + 1 == pattern.size()) {
    out += '\\';
    return 1;
  }
  const char c = pattern[at + 1];
  if (c == 's' || (c == 'S' && !in_class)) {
    if (!in_class) out += c == 's' ? "[" : "[^";
    out += kSpaces;
    if (!in_class) out += ']';
    return 2;
  }
  if (c == 'u' && at + 6 <= pattern.size()) {
    out.append("\\x{").append(pattern.substr(at + 2, 4)).append("}");
    return 6;
  }
  out.append(pattern.substr(at, 2));
  return 2;
}

std::string translate_class(std::string_view members) {
  std::string out;
  for (size_t i = 0; i < members.size();) {
    if (members[i] == '\\') {
      i += translate_escape(members, i, true, out);
    } else {
      out += members[i++];
    }
  }
  return out;
}

// nullopt: a class intersection of another form than [A&&[^B]].
std::optional<std::string> translate(std::string_view pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size();) {
    if (pattern[i] == '\\') {
      i += translate_escape(pattern, i, false, out);
      continue;
    }
    const size_t end = pattern[i] == '[' ? class_end(pattern, i) : std::string_view::npos;
    if (end == std::string_view::npos) {
      out += pattern[i++];
      continue;
    }
    const std::string_view members = pattern.substr(i, end - i);
    const size_t both = members.find("&&");
    if (both == std::string_view::npos) {
      out += translate_class(members);
    } else {
      const std::string_view second = members.substr(both + 2, members.size() - both - 3);
      if (both == 1 || !second.starts_with("[^") || class_end(second, 0) != second.size()) return std::nullopt;
      out.append("(?:(?=").append(translate_class(second)).append(")");
      out.append(translate_class(members.substr(0, both))).append("])");
    }
    i = end;
  }
  return out;
}

}  // namespace

struct RegexScratch::State {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 << 10, kJitStackBytes, nullptr);
};

RegexScratch::RegexScratch() : state_(std::make_unique<State>()) {
  if (!state_->context) return;
  pcre2_set_heap_limit(state_->context, kHeapLimitKiB);
  if (state_->stack) pcre2_jit_stack_assign(state_->context, nullptr, state_->stack);
}

RegexScratch::~RegexScratch() {
  pcre2_match_data_free(state_->data);
  pcre2_match_context_free(state_->context);
  if (state_->stack) pcre2_jit_stack_free(state_->stack);
}

struct Regex::Code {
  pcre2_code* code = nullptr;
  explicit Code(pcre2_code* c) : code(c) {}
  ~Code() { pcre2_code_free(code); }
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
};

Regex::Regex(std::unique_ptr<Code> code) : code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::compile_as(std::string_view pattern, uint32_t options) {
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options, &error, &at, nullptr);
  if (!code) {
    PCRE2_UCHAR text[256] = {};
    pcre2_get_error_message(error, text, sizeof text);
    return Error{ErrorCode::kFormat, "tokenizer: the pattern '" + utf8::printable(pattern, 200) + "' is not valid at " +
                                         std::to_string(at) + ": " + reinterpret_cast<const char*>(text)};
  }
  auto owner = std::make_unique<Code>(code);
  // Where there is no JIT (or none is allowed), the interpreter runs.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return Regex(std::move(owner));
}

Result<Regex> Regex::compile(std::string_view pattern) {
  if (pattern.size() > kLongestPattern)
    return Error{ErrorCode::kLimit, "tokenizer: a pattern of " + std::to_string(pattern.size()) + " bytes"};
  const auto translated = translate(pattern);
  if (!translated)
    return Error{ErrorCode::kUnsupported,
                 "tokenizer: the pattern '" + utf8::printable(pattern, 200) + "' intersects classes in an unknown form"};
  // Oniguruma's $ ends lines, not only the text.
  return compile_as(*translated, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);
}

Result<Regex> Regex::literal(std::string_view text) {
  if (text.empty()) return Error{ErrorCode::kFormat, "tokenizer: an empty text to split at"};
  if (text.size() > kLongestPattern)
    return Error{ErrorCode::kLimit, "tokenizer: a pattern of " + std::to_string(text.size()) + " bytes"};
  return compile_as(text, PCRE2_UTF | PCRE2_LITERAL);
}

Status Regex::split(std::string_view text, uint32_t offset, RegexScratch& scratch, std::vector<TextPart>& parts) const {
  auto& state = *scratch.state_;
  if (!state.data || !state.context) return Error{ErrorCode::kOutOfMemory, "tokenizer: no memory to match a pattern"};
  pcre2_set_match_limit(state.context, kMatchLimit + 16 * static_cast<uint32_t>(std::min<size_t>(text.size(), 1 << 26)));
  const auto add = [&](size_t begin, size_t end, bool matched) {
    if (begin < end) parts.push_back({offset + static_cast<uint32_t>(begin), offset + static_cast<uint32_t>(end), matched});
  };
  for (size_t run = 0; run < text.size();) {
    const size_t end = utf8::run_end(text, run, true);
    // [run, end) is valid UTF-8 and is matched as a text of its own.
    size_t from = run, done = run;
    while (from < end) {
      const auto match = [&](uint32_t options) {
        return pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()) + run, end - run, from - run,
                           PCRE2_NO_UTF_CHECK | options, state.data, state.context);
      };
      int found = match(0);
      if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = match(PCRE2_NO_JIT);
      if (found == PCRE2_ERROR_NOMATCH) break;
      if (found < 0)
        return Error{ErrorCode::kLimit, "tokenizer: the pre-tokenizer's pattern takes too long on this text (PCRE2 error " +
                                            std::to_string(found) + ")"};
      const PCRE2_SIZE* span = pcre2_get_ovector_pointer(state.data);
      const size_t last = std::max(run + span[1], done);
      const size_t first = std::min(std::max(run + span[0], done), last);
      add(done, first, false);
      add(first, last, true);
      done = last;
      const size_t next = first == last ? last + (last < end ? utf8::decode(text, last).length : 1) : last;
      from = std::max(next, from + 1);
    }
    add(done, end, false);
    run = utf8::run_end(text, end, false);
    add(end, run, false);
  }
  return {};
}

}  // namespace lahar
