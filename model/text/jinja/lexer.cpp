#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>

#include "text/jinja/unicode.h"

namespace lahar::jinja {

namespace {

constexpr size_t kNone = std::string_view::npos;
constexpr std::array<std::string_view, 6> kTwoCharOperators = {"//", "**", "==", "!=", ">=", "<="};
constexpr std::string_view kOneCharOperators = "+-/*%~[](){}><=.:|,;";

bool digit(char c) { return c >= '0' && c <= '9'; }

// One kind of line end, and without the last one.
std::string normalize(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

// Digits with single underscores between them, from `i`; the offset behind, or `i` where there are none.
template <typename Accept>
size_t digits(std::string_view s, size_t i, Accept accept) {
  size_t end = i;
  while (true) {
    size_t next = end;
    if (end > i && next < s.size() && s[next] == '_') ++next;
    if (next >= s.size() || !accept(s[next])) return end;
    end = next + 1;
  }
}

}  // namespace

Error syntax_error(int line, std::string_view message) {
  return {ErrorCode::kFormat, "line " + std::to_string(line) + ": " + std::string(message)};
}

std::string describe(const Token& token) {
  switch (token.type) {
    case Tok::kData: return "template data / text";
    case Tok::kVariableBegin: return "begin of print statement";
    case Tok::kVariableEnd: return "end of print statement";
    case Tok::kBlockBegin: return "begin of statement block";
    case Tok::kBlockEnd: return "end of statement block";
    case Tok::kString: return "string";
    case Tok::kInteger: return "integer";
    case Tok::kFloat: return "float";
    case Tok::kEof: return "end of template";
    default: return token.text;
  }
}

Result<std::vector<Token>> tokenize(std::string_view source) { return Lexer(normalize(source)).run(); }

size_t Lexer::skip_space(size_t offset) const {
  while (offset < source_.size()) {
    const CodePoint c = decode(source_, offset);
    if (!is(c.value, kSpace)) break;
    offset += c.size;
  }
  return offset;
}

void Lexer::advance(size_t to) {
  if (to > pos_) line_starting_ = source_[to - 1] == '\n';
  line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(pos_),
                                       source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
  pos_ = to;
}

size_t Lexer::raw_begin(size_t offset) const {
  size_t i = offset + 2;
  if (at("-", i) || at("+", i)) ++i;
  i = skip_space(i);
  if (!at("raw", i)) return kNone;
  i = skip_space(i + 3);
  if (at("-%}", i)) return skip_space(i + 3);
  return at("%}", i) ? i + 2 : kNone;
}

void Lexer::data(size_t end, char sign, bool variable) {
  std::string_view text = src().substr(pos_, end - pos_);
  if (sign == '-') {
    size_t keep = 0;
    for (size_t i = 0; i < text.size();) {
      const CodePoint c = decode(text, i);
      i += c.size;
      if (!is(c.value, kSpace)) keep = i;
    }
    text = text.substr(0, keep);
  } else if (sign != '+' && !variable) {
    const size_t newline = text.rfind('\n');
    const size_t begin = newline == kNone ? 0 : newline + 1;
    if ((begin > 0 || line_starting_) && skip_space(pos_ + begin) >= end) text = text.substr(0, begin);
  }
  if (!text.empty()) push(Tok::kData, std::string(text));
  advance(end);
}

Result<std::vector<Token>> Lexer::run() {
  while (pos_ < source_.size()) {
    size_t tag = pos_;
    while ((tag = source_.find('{', tag)) != kNone && !at("{{", tag) && !at("{%", tag) && !at("{#", tag)) ++tag;
    if (tag == kNone) {
      push(Tok::kData, source_.substr(pos_));
      advance(source_.size());
      break;
    }
    const char kind = source_[tag + 1];
    const char sign = at("-", tag + 2) || at("+", tag + 2) ? source_[tag + 2] : ' ';
    data(tag, sign, kind == '{');
    const size_t content = tag + (sign == ' ' ? 2 : 3);
    if (kind == '%') {
      const size_t after_raw = raw_begin(tag);
      if (after_raw != kNone) {
        LAHAR_TRY(raw(after_raw));
        continue;
      }
    }
    if (kind != '#') push(kind == '{' ? Tok::kVariableBegin : Tok::kBlockBegin, "");
    advance(content);
    LAHAR_TRY(kind == '#' ? comment() : inside(kind == '{'));
  }
  push(Tok::kEof, "");
  return std::move(tokens_);
}

Status Lexer::comment() {
  if (pos_ == source_.size()) return {};  // Jinja misses the end only where something follows
  const size_t end = source_.find("#}", pos_);
  if (end == kNone) return fail("Missing end of comment tag");
  const char sign = end > pos_ ? source_[end - 1] : ' ';
  size_t after = end + 2;
  if (sign == '-') {
    after = skip_space(after);
  } else if (sign != '+' && at("\n", after)) {
    ++after;
  }
  advance(after);
  return {};
}

Status Lexer::raw(size_t content) {
  advance(content);
  if (pos_ == source_.size()) return {};
  for (size_t tag = content; (tag = source_.find("{%", tag)) != kNone; ++tag) {
    size_t i = tag + 2;
    char sign = ' ';
    if (at("-", i) || at("+", i)) sign = source_[i++];
    i = skip_space(i);
    if (!at("endraw", i)) continue;
    i = skip_space(i + 6);
    size_t after;
    if (at("-%}", i)) {
      after = skip_space(i + 3);
    } else if (at("+%}", i)) {
      after = i + 3;
    } else if (at("%}", i)) {
      after = i + (at("\n", i + 2) ? 3 : 2);
    } else {
      continue;
    }
    data(tag, sign, false);
    advance(after);
    return {};
  }
  return fail("Missing end of raw directive");
}

size_t Lexer::end_of_tag(bool variable) const {
  if (!brackets_.empty()) return kNone;
  if (variable) {
    if (at("-}}", pos_)) return skip_space(pos_ + 3);
    return at("}}", pos_) ? pos_ + 2 : kNone;
  }
  if (at("+%}", pos_)) return pos_ + 3;
  if (at("-%}", pos_)) return skip_space(pos_ + 3);
  if (at("%}", pos_)) return pos_ + (at("\n", pos_ + 2) ? 3 : 2);
  return kNone;
}

Status Lexer::inside(bool variable) {
  brackets_.clear();
  while (pos_ < source_.size()) {
    const size_t end = end_of_tag(variable);
    if (end != kNone) {
      push(variable ? Tok::kVariableEnd : Tok::kBlockEnd, "");
      advance(end);
      return {};
    }
    const CodePoint c = decode(source_, pos_);
    const char first = source_[pos_];
    if (is(c.value, kSpace)) {
      advance(skip_space(pos_));
    } else if (digit(first)) {
      LAHAR_TRY(number(variable));
    } else if (first == '_' || is(c.value, kWord)) {
      size_t i = pos_;
      while (i < source_.size()) {
        const CodePoint next = decode(source_, i);
        if (!is(next.value, kWord) && next.value != '_') break;
        i += next.size;
      }
      if (!is(c.value, kAlpha) && first != '_') return fail("Invalid character in identifier");
      push(Tok::kName, source_.substr(pos_, i - pos_));
      advance(i);
    } else if (first == '\'' || first == '"') {
      LAHAR_TRY(string_literal());
    } else {
      LAHAR_TRY(op());
    }
  }
  return {};
}

Status Lexer::number(bool) {
  const std::string_view s = src();
  const bool after_dot = pos_ > 0 && s[pos_ - 1] == '.';
  size_t end = digits(s, pos_, digit);
  bool is_float = false;
  if (!after_dot) {
    const size_t fraction = at(".", end) ? digits(s, end + 1, digit) : end + 1;
    if (fraction > end + 1) {
      end = fraction;
      is_float = true;
    }
    if (at("e", end) || at("E", end)) {
      const size_t exponent = end + 1 + (at("+", end + 1) || at("-", end + 1) ? 1 : 0);
      const size_t behind = digits(s, exponent, digit);
      if (behind > exponent) {
        end = behind;
        is_float = true;
      }
    }
  }
  if (!is_float && s[pos_] == '0') {
    const char base = pos_ + 1 < s.size() ? static_cast<char>(s[pos_ + 1] | 0x20) : ' ';
    const auto accept = [base](char c) {
      if (base == 'b') return c == '0' || c == '1';
      if (base == 'o') return c >= '0' && c <= '7';
      return digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
    };
    const size_t start = pos_ + 2 + (at("_", pos_ + 2) ? 1 : 0);
    if ((base == 'b' || base == 'o' || base == 'x') && digits(s, start, accept) > start) {
      end = digits(s, start, accept);
    } else {
      end = digits(s, pos_, [](char c) { return c == '0'; });
    }
  }
  std::string text(s.substr(pos_, end - pos_));
  std::erase(text, '_');
  push(is_float ? Tok::kFloat : Tok::kInteger, std::move(text));
  advance(end);
  return {};
}

Status Lexer::string_literal() {
  const char quote = source_[pos_];
  size_t i = pos_ + 1;
  while (i < source_.size() && source_[i] != quote) i += source_[i] == '\\' ? 2 : 1;
  if (i >= source_.size()) return fail(std::string("unexpected char ") + (quote == '"' ? "'\"'" : "\"'\""));
  auto value = unescape(src().substr(pos_ + 1, i - pos_ - 1));
  if (!value.ok()) return fail(value.error().message);
  push(Tok::kString, std::move(value).value());
  advance(i + 1);
  return {};
}

Status Lexer::op() {
  std::string_view found;
  for (std::string_view two : kTwoCharOperators)
    if (at(two, pos_)) found = two;
  if (found.empty() && kOneCharOperators.find(source_[pos_]) != kNone) found = src().substr(pos_, 1);
  if (found.empty()) { return fail("unexpected char '" + source_.substr(pos_, decode(source_, pos_).size) + "'"); }
  const char c = found[0];
  if (c == '(') brackets_ += ')';
  if (c == '[') brackets_ += ']';
  if (c == '{') brackets_ += '}';
  if (c == ')' || c == ']' || c == '}') {
    if (brackets_.empty()) return fail(std::string("unexpected '") + c + "'");
    if (brackets_.back() != c) return fail(std::string("unexpected '") + c + "', expected '" + brackets_.back() + "'");
    brackets_.pop_back();
  }
  push(Tok::kOperator, std::string(found));
  advance(pos_ + found.size());
  return {};
}

Result<std::string> unescape(std::string_view s) {
  std::string out;
  const auto number = [&](size_t begin, size_t most, int base, size_t& used) {
    char32_t value = 0;
    for (used = 0; used < most && begin + used < s.size(); ++used) {
      const char c = s[begin + used];
      const int d = digit(c) ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : 99;
      if (d >= base) break;
      value = value * static_cast<char32_t>(base) + static_cast<char32_t>(d);
    }
    return value;
  };
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\\' || i + 1 >= s.size()) {
      out += s[i];
      continue;
    }
    const char c = s[++i];
    constexpr std::string_view kFrom = "abfnrtv\\'\"\n", kTo = "\a\b\f\n\r\t\v\\'\"";
    const size_t simple = kFrom.find(c);
    if (simple != kNone) {
      if (c != '\n') out += kTo[simple];
    } else if (c >= '0' && c <= '7') {
      size_t used;
      encode(number(i, 3, 8, used), out);
      i += used - 1;
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const size_t want = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      size_t used;
      char32_t value = number(i + 1, want, 16, used);
      if (used < want) return Error{ErrorCode::kFormat, std::string("truncated \\") + c + " escape"};
      if (value > 0x10FFFF) return Error{ErrorCode::kFormat, "illegal Unicode character"};
      i += want;
      if (value >= 0xD800 && value < 0xDC00 && s.substr(i + 1).starts_with("\\u")) {  // two halves of one character
        const char32_t low = number(i + 3, 4, 16, used);
        if (used == 4 && low >= 0xDC00 && low < 0xE000) {
          value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
          i += 6;
        }
      }
      encode(value >= 0xD800 && value < 0xE000 ? 0xFFFD : value, out);
    } else if (c == 'N') {
      return Error{ErrorCode::kFormat, "characters by name (\\N{...}) are not supported"};
    } else {
      out += '\\';
      out += c;
    }
  }
  return out;
}

}  // namespace lahar::jinja
