// Methods of strings that look for something in them: stripping, splitting, finding.
#include <algorithm>
#include <array>
#include <limits>

#include "text/jinja/methods.h"
#include "text/jinja/search.h"
#include "text/jinja/unicode.h"

namespace lahar::jinja {

namespace {

// The character that ends at `end`, which is more than 0.
size_t before(std::string_view text, size_t end) {
  size_t i = end - 1;
  for (int back = 0; back < 3 && i > 0 && (text[i] & 0xC0) == 0x80; ++back) --i;
  return i + decode(text, i).size == end ? i : end - 1;
}

bool line_end(char32_t c) {
  return (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

}  // namespace

Result<Text> strip(Interp& in, const Text& text, const Value& chars, bool left, bool right) {
  std::vector<char32_t> set;
  const bool space = chars.missing() || chars.none_value();
  if (!space) {
    LAHAR_ASSIGN(const Text wanted, text_argument(chars, "strip argument"));
    for (size_t i = 0; i < wanted.size();) {
      const CodePoint c = decode(wanted.view(), i);
      set.push_back(c.value);
      i += c.size;
    }
    std::sort(set.begin(), set.end());
  }
  LAHAR_TRY(in.charge_bytes(text.size() + 4 * set.size()));
  const auto goes = [&](char32_t c) { return space ? is(c, kSpace) : std::binary_search(set.begin(), set.end(), c); };
  const std::string_view view = text.view();
  size_t begin = 0, end = view.size();
  while (left && begin < end) {
    const CodePoint c = decode(view, begin);
    if (!goes(c.value)) break;
    begin += c.size;
  }
  while (right && end > begin) {
    const size_t last = before(view, end);
    if (!goes(decode(view, last).value)) break;
    end = last;
  }
  return text.substr(begin, std::max(begin, end));
}

std::vector<Text> split_lines(const Text& text, bool keep, size_t most) {
  std::vector<Text> lines;
  const std::string_view view = text.view();
  size_t begin = 0;
  for (size_t i = 0; i < view.size() && lines.size() < most;) {
    const CodePoint c = decode(view, i);
    const size_t at = i;
    i += c.size;
    if (!line_end(c.value)) continue;
    if (c.value == '\r' && i < view.size() && view[i] == '\n') ++i;
    lines.push_back(text.substr(begin, keep ? i : at));
    begin = i;
  }
  if (begin < view.size()) lines.push_back(text.substr(begin, view.size()));
  return lines;
}

namespace {

template <bool left, bool right>
Result<Value> str_strip(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "strip", {"chars"}, 0));
  LAHAR_ASSIGN(Text out, strip(in, self.text(), a[0], left, right));
  return in.make_string(std::move(out), self.markup());
}

Result<Value> to_list(Interp& in, std::vector<Text> pieces) {
  LAHAR_TRY(in.check_items(pieces.size()));
  LAHAR_TRY(in.charge(4 * pieces.size()));
  std::vector<Value> items;
  items.reserve(pieces.size());
  for (Text& piece : pieces) items.push_back(Value::string(std::move(piece)));
  return in.make_list(std::move(items));
}

std::vector<Text> split_space(const Text& text, int64_t most, size_t cap) {
  std::vector<Text> out;
  const std::string_view view = text.view();
  size_t i = 0;
  while (true) {
    if (out.size() > cap) return out;
    while (i < view.size() && is(decode(view, i).value, kSpace)) i += decode(view, i).size;
    if (i >= view.size()) return out;
    const size_t begin = i;
    if (most >= 0 && static_cast<int64_t>(out.size()) >= most) {
      out.push_back(text.substr(begin, view.size()));  // the rest, with the space at its end
      return out;
    }
    while (i < view.size() && !is(decode(view, i).value, kSpace)) i += decode(view, i).size;
    out.push_back(text.substr(begin, i));
  }
}

std::vector<Text> rsplit_space(const Text& text, int64_t most, size_t cap) {
  std::vector<Text> out;
  const std::string_view view = text.view();
  size_t end = view.size();
  const auto space_before = [&] { return is(decode(view, before(view, end)).value, kSpace); };
  while (true) {
    while (end > 0 && space_before()) end = before(view, end);
    if (end == 0 || out.size() > cap) break;
    const size_t stop = end;
    if (most >= 0 && static_cast<int64_t>(out.size()) >= most) {
      out.push_back(text.substr(0, stop));
      break;
    }
    while (end > 0 && !space_before()) end = before(view, end);
    out.push_back(text.substr(end, stop));
  }
  std::reverse(out.begin(), out.end());
  return out;
}

// The places where `separator` stands, not overlapping, from the left.
std::vector<size_t> places(const Text& text, const Text& separator, size_t most) {
  std::vector<size_t> at;
  const Finder finder(separator.view());
  for (size_t i = 0; at.size() < most;) {
    const size_t found = finder.find(text.view(), i);
    if (found == Finder::kNone) break;
    at.push_back(found);
    i = found + separator.size();
  }
  return at;
}

std::vector<Text> cut(const Text& text, const std::vector<size_t>& at, size_t width) {
  std::vector<Text> out;
  size_t begin = 0;
  for (const size_t place : at) {
    out.push_back(text.substr(begin, place));
    begin = place + width;
  }
  out.push_back(text.substr(begin, text.size()));
  return out;
}

template <bool from_right>
Result<Value> str_split(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, from_right ? "rsplit" : "split", {"sep", "maxsplit"}, 0));
  LAHAR_ASSIGN(const int64_t most, int_argument(a[1], -1, "maxsplit"));
  const Text& text = self.text();
  const size_t cap = in.limits().items;  // one more is made, for to_list to refuse
  if (a[0].missing() || a[0].none_value()) {
    return to_list(in, from_right ? rsplit_space(text, most, cap) : split_space(text, most, cap));
  }
  LAHAR_ASSIGN(const Text separator, text_argument(a[0], "separator"));
  if (separator.empty()) return value_error("empty separator");
  const size_t limit = most < 0 ? cap : std::min(cap, static_cast<size_t>(most));
  if (!from_right) return to_list(in, cut(text, places(text, separator, limit), separator.size()));
  // From the right, the separator's places are found in the mirrored text, so that overlapping ones count from there.
  const std::string mirrored_text(text.bytes().rbegin(), text.bytes().rend());
  const std::string mirrored_separator(separator.bytes().rbegin(), separator.bytes().rend());
  std::vector<size_t> at = places(Text(mirrored_text, true), Text(mirrored_separator, true), limit);
  for (size_t& place : at) place = text.size() - place - separator.size();
  std::reverse(at.begin(), at.end());
  return to_list(in, cut(text, at, separator.size()));
}

Result<Value> str_splitlines(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "splitlines", {"keepends"}, 0));
  return to_list(in, split_lines(self.text(), truthy(a[0]), in.limits().items + size_t{1}));
}

template <bool from_right>
Result<Value> str_partition(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "partition", {"sep"}, 1));
  LAHAR_ASSIGN(const Text separator, text_argument(a[0], "separator"));
  if (separator.empty()) return value_error("empty separator");
  const Text& text = self.text();
  const Finder finder(separator.view());
  const size_t at = from_right ? finder.rfind(text.view()) : finder.find(text.view(), 0);
  if (at == Finder::kNone) {
    const Value nothing = Value::string("");
    return from_right ? in.make_tuple({nothing, nothing, self}) : in.make_tuple({self, nothing, nothing});
  }
  return in.make_tuple({Value::string(text.substr(0, at)), Value::string(separator),
                        Value::string(text.substr(at + separator.size(), text.size()))});
}

// Bytes [begin, end) that the optional arguments start and stop, in characters, select; nothing where start lies behind.
struct Window {
  size_t begin = 0, end = 0;
  int64_t start = 0;  // in characters
  bool valid = true;
};

Result<Window> window(const Text& text, const Value& start, const Value& stop) {
  Window w;
  w.end = text.size();
  LAHAR_ASSIGN(int64_t from, int_argument(start, 0, "start"));
  LAHAR_ASSIGN(int64_t to, int_argument(stop, std::numeric_limits<int64_t>::max(), "end"));
  if (from == 0 && to == std::numeric_limits<int64_t>::max()) return w;
  const auto size = static_cast<int64_t>(code_points(text.view()));
  if (from < 0) from = std::max<int64_t>(from + size, 0);
  if (to < 0) to = std::max<int64_t>(to + size, 0);
  to = std::min(to, size);
  w.valid = from <= to;
  if (!w.valid) return w;
  w.start = from;
  w.begin = byte_offset(text.view(), static_cast<size_t>(from));
  w.end = byte_offset(text.view(), static_cast<size_t>(to));
  return w;
}

template <bool from_right>
Result<Value> find_at(const Value& self, const Args& args, const char* name) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, name, {"sub", "start", "end"}, 1));
  LAHAR_ASSIGN(const Text sub, text_argument(a[0], "the substring"));
  LAHAR_ASSIGN(const Window w, window(self.text(), a[1], a[2]));
  if (!w.valid) return Value::integer(-1);
  const std::string_view inside = self.text().view().substr(w.begin, w.end - w.begin);
  const Finder finder(sub.view());
  const size_t at = from_right ? finder.rfind(inside) : finder.find(inside, 0);
  if (at == Finder::kNone) return Value::integer(-1);
  return Value::integer(w.start + static_cast<int64_t>(code_points(inside.substr(0, at))));
}

template <bool from_right>
Result<Value> str_find(Interp&, const Value& self, Args& args) {
  return find_at<from_right>(self, args, from_right ? "rfind" : "find");
}

template <bool from_right>
Result<Value> str_index(Interp&, const Value& self, Args& args) {
  LAHAR_ASSIGN(const Value at, find_at<from_right>(self, args, from_right ? "rindex" : "index"));
  if (at.as_int() < 0) return value_error("substring not found");
  return at;
}

Result<Value> str_count(Interp&, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "count", {"sub", "start", "end"}, 1));
  LAHAR_ASSIGN(const Text sub, text_argument(a[0], "the substring"));
  LAHAR_ASSIGN(const Window w, window(self.text(), a[1], a[2]));
  if (!w.valid) return Value::integer(0);
  const Text inside = self.text().substr(w.begin, w.end);
  if (sub.empty()) return Value::integer(static_cast<int64_t>(code_points(inside.view())) + 1);
  return Value::integer(static_cast<int64_t>(places(inside, sub, std::numeric_limits<size_t>::max()).size()));
}

template <bool end>
Result<Value> str_starts(Interp& in, const Value& self, Args& args) {
  const char* name = end ? "endswith" : "startswith";
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, name, {"prefix", "start", "end"}, 1));
  LAHAR_ASSIGN(const Window w, window(self.text(), a[1], a[2]));
  const std::string_view inside = w.valid ? self.text().view().substr(w.begin, w.end - w.begin) : std::string_view();
  const std::vector<Value> one{a[0]};
  const bool many = a[0].is_seq(SeqKind::kTuple);
  for (const Value& affix : many ? a[0].items() : one) {
    if (affix.undefined()) return undefined_error(affix);
    if (!affix.is_string()) {
      return type_error(std::string(name) + " first arg must be str or a tuple of str, not " + type_name(affix));
    }
    LAHAR_TRY(in.charge(1));
    if (w.valid && (end ? inside.ends_with(affix.str()) : inside.starts_with(affix.str()))) return Value::boolean(true);
  }
  return Value::boolean(false);
}

struct Entry {
  std::string_view name;
  Method method;
};
constexpr std::array<Entry, 15> kMethods = {{{"strip", str_strip<true, true>},
                                             {"lstrip", str_strip<true, false>},
                                             {"rstrip", str_strip<false, true>},
                                             {"split", str_split<false>},
                                             {"rsplit", str_split<true>},
                                             {"splitlines", str_splitlines},
                                             {"partition", str_partition<false>},
                                             {"rpartition", str_partition<true>},
                                             {"find", str_find<false>},
                                             {"rfind", str_find<true>},
                                             {"index", str_index<false>},
                                             {"rindex", str_index<true>},
                                             {"count", str_count},
                                             {"startswith", str_starts<false>},
                                             {"endswith", str_starts<true>}}};

}  // namespace

Method find_string_search(std::string_view name) {
  for (const Entry& entry : kMethods)
    if (entry.name == name) return entry.method;
  return nullptr;
}

}  // namespace lahar::jinja
