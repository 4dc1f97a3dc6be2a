// Methods of strings that build new ones.
#include <algorithm>
#include <array>

#include "text/jinja/format.h"
#include "text/jinja/methods.h"
#include "text/jinja/repr.h"
#include "text/jinja/search.h"
#include "text/jinja/unicode.h"

namespace lahar::jinja {

Result<Text> replace_all(Interp& in, const Text& text, const Text& from, const Text& to, int64_t count) {
  LAHAR_TRY(in.charge_bytes(text.size()));
  // What is put in place of message data stands where the message says: it is not to be trusted either.
  Text put = to;
  if (!text.all_trusted()) put = Text(to.bytes(), false);
  Text out;
  size_t done = 0;
  if (from.empty()) {  // between all characters
    while (count != 0) {
      LAHAR_TRY(in.check_size(out.size() + put.size()));
      out.append(put);
      --count;
      if (done >= text.size()) break;
      const size_t size = decode(text.view(), done).size;
      out.append(text, done, done + size);
      done += size;
    }
  } else {
    const Finder finder(from.view());
    while (count != 0) {
      const size_t at = finder.find(text.view(), done);
      if (at == Finder::kNone) break;
      LAHAR_TRY(in.check_size(out.size() + put.size()));
      LAHAR_TRY(in.charge(1));
      out.append(text, done, at);
      out.append(put);
      done = at + from.size();
      --count;
    }
  }
  out.append(text, done, text.size());
  LAHAR_TRY(in.check_size(out.size()));
  return out;
}

namespace {

// `count` times the fill character, as far as a text may be long.
Result<std::string> filled(Interp& in, int64_t count, std::string_view fill) {
  std::string out;
  if (count <= 0) return out;
  LAHAR_TRY(in.check_size(static_cast<uint64_t>(std::min<int64_t>(count, int64_t{1} << 50)) * fill.size()));
  LAHAR_TRY(in.charge_bytes(static_cast<uint64_t>(count)));
  for (int64_t i = 0; i < count; ++i) out += fill;
  return out;
}

Result<Text> fill_argument(const Value& value) {
  if (value.missing()) return Text(" ", true);
  LAHAR_ASSIGN(Text fill, text_argument(value, "the fill character"));
  if (code_points(fill.view()) != 1) return type_error("The fill character must be exactly one character long");
  return fill;
}

Result<Value> padded(Interp& in, const Value& self, int64_t left, int64_t right, const Text& fill) {
  const bool trusted = self.text().all_trusted() && fill.all_trusted();
  LAHAR_ASSIGN(const std::string before, filled(in, left, fill.view()));
  LAHAR_ASSIGN(const std::string after, filled(in, right, fill.view()));
  Text out(before, trusted);
  out.append(self.text());
  out.append(after, trusted);
  return in.make_string(std::move(out));
}

// How much of `width` the text leaves.
int64_t room(const Value& self, int64_t width) {
  const auto length = static_cast<int64_t>(code_points(self.str()));
  return width > length ? width - length : 0;
}

Result<Value> str_ljust(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "ljust", {"width", "fillchar"}, 1));
  LAHAR_ASSIGN(const int64_t width, int_argument(a[0], 0, "width"));
  LAHAR_ASSIGN(const Text fill, fill_argument(a[1]));
  return padded(in, self, 0, room(self, width), fill);
}

Result<Value> str_rjust(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "rjust", {"width", "fillchar"}, 1));
  LAHAR_ASSIGN(const int64_t width, int_argument(a[0], 0, "width"));
  LAHAR_ASSIGN(const Text fill, fill_argument(a[1]));
  return padded(in, self, room(self, width), 0, fill);
}

Result<Value> str_center(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "center", {"width", "fillchar"}, 1));
  LAHAR_ASSIGN(const int64_t width, int_argument(a[0], 0, "width"));
  LAHAR_ASSIGN(const Text fill, fill_argument(a[1]));
  LAHAR_ASSIGN(Text out, center(in, self.text(), width, fill));
  return in.make_string(std::move(out), self.markup());
}

Result<Value> str_zfill(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "zfill", {"width"}, 1));
  LAHAR_ASSIGN(const int64_t width, int_argument(a[0], 0, "width"));
  LAHAR_ASSIGN(const std::string zeros, filled(in, room(self, width), "0"));
  const Text& text = self.text();
  const size_t sign = !text.empty() && (text.bytes()[0] == '-' || text.bytes()[0] == '+') ? 1 : 0;
  Text out = text.substr(0, sign);
  out.append(zeros, text.all_trusted());
  out.append(text, sign, text.size());
  return in.make_string(std::move(out));
}

Result<Value> str_replace(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "replace", {"old", "new", "count"}, 2));
  LAHAR_ASSIGN(const Text from, text_argument(a[0], "replace() argument 1"));
  LAHAR_ASSIGN(const Text to, text_argument(a[1], "replace() argument 2"));
  LAHAR_ASSIGN(const int64_t count, int_argument(a[2], -1, "replace"));
  LAHAR_ASSIGN(Text out, replace_all(in, self.text(), from, to, count));
  return in.make_string(std::move(out), self.markup());
}

Result<Value> str_join(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "join", {"iterable"}, 1));
  LAHAR_ASSIGN(Cursor cursor, Cursor::over(in, a[0]));
  Text out;
  for (size_t i = 0;; ++i) {
    Value item;
    LAHAR_TRY(cursor.next(in, item));
    if (item.missing()) break;
    if (!item.is_string()) {
      return type_error("sequence item " + std::to_string(i) + ": expected str instance, " + type_name(item) + " found");
    }
    LAHAR_TRY(in.check_size(out.size() + self.text().size() + item.text().size()));
    if (i > 0) out.append(self.text());
    out.append(item.text());
  }
  return in.make_string(std::move(out), self.markup());
}

Result<Value> str_format(Interp& in, const Value& self, Args& args) { return brace_format(in, self.text(), args); }

Result<Value> str_format_map(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "format_map", {"mapping"}, 1));
  if (!a[0].is(Kind::kDict)) return type_error("format_map() argument must be a mapping, not " + type_name(a[0]));
  Args named;
  for (const auto& [key, value] : a[0].dict().entries)
    if (key.is_string()) named.named.emplace_back(key.str(), value);
  return brace_format(in, self.text(), named);
}

Result<Value> str_expandtabs(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "expandtabs", {"tabsize"}, 0));
  LAHAR_ASSIGN(const int64_t size, int_argument(a[0], 8, "tabsize"));
  const Text& text = self.text();
  Text out;
  int64_t column = 0;
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = decode(text.view(), i);
    if (c.value == '\t') {
      if (size > 0) {
        const int64_t spaces = size - column % size;
        LAHAR_ASSIGN(const std::string blank, filled(in, spaces, " "));
        out.append(blank, text.trusted_at(i));
        LAHAR_TRY(in.check_size(out.size()));
        column = 0;
      }
    } else {
      out.append(text, i, i + c.size);
      column = c.value == '\n' || c.value == '\r' ? 0 : (column + 1) % std::max<int64_t>(size, 1);
    }
    i += c.size;
  }
  return in.make_string(std::move(out));
}

Result<Value> str_removeprefix(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "removeprefix", {"prefix"}, 1));
  LAHAR_ASSIGN(const Text prefix, text_argument(a[0], "removeprefix() argument"));
  const Text& text = self.text();
  if (!text.view().starts_with(prefix.view())) return self;
  return in.make_string(text.substr(prefix.size(), text.size()));
}

Result<Value> str_removesuffix(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "removesuffix", {"suffix"}, 1));
  LAHAR_ASSIGN(const Text suffix, text_argument(a[0], "removesuffix() argument"));
  const Text& text = self.text();
  if (!text.view().ends_with(suffix.view())) return self;
  return in.make_string(text.substr(0, text.size() - suffix.size()));
}

struct Entry {
  std::string_view name;
  Method method;
};
constexpr std::array<Entry, 11> kMethods = {{{"replace", str_replace},
                                             {"join", str_join},
                                             {"format", str_format},
                                             {"format_map", str_format_map},
                                             {"center", str_center},
                                             {"ljust", str_ljust},
                                             {"rjust", str_rjust},
                                             {"zfill", str_zfill},
                                             {"expandtabs", str_expandtabs},
                                             {"removeprefix", str_removeprefix},
                                             {"removesuffix", str_removesuffix}}};

}  // namespace

Result<Text> center(Interp& in, const Text& text, int64_t width, const Text& fill) {
  const auto length = static_cast<int64_t>(code_points(text.view()));
  const int64_t space = width > length ? width - length : 0;
  const int64_t left = space / 2 + (space & width & 1);  // as Python puts the odd one
  const bool trusted = text.all_trusted() && fill.all_trusted();
  LAHAR_ASSIGN(const std::string before, filled(in, left, fill.view()));
  LAHAR_ASSIGN(const std::string after, filled(in, space - left, fill.view()));
  Text out(before, trusted);
  out.append(text);
  out.append(after, trusted);
  return out;
}

Method find_string_method(std::string_view name) {
  for (const Entry& entry : kMethods)
    if (entry.name == name) return entry.method;
  return nullptr;
}

}  // namespace lahar::jinja
