// Filters that make text.
#include <algorithm>
#include <array>

#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/methods.h"
#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace lahar::jinja {

namespace {

using Values = std::vector<Value>;

// Same text, trusted only if all of `source` is.
Text like(const Text& source, std::string bytes) { return Text(std::move(bytes), source.all_trusted()); }

template <Text (*map)(const Text&)>
Result<Value> mapped(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "filter", {}, 0));
  LAHAR_ASSIGN(const Text text, in.str(input));
  LAHAR_TRY(in.charge_bytes(text.size()));
  return in.make_string(map(text), input.markup());
}

Text title(const Text& text) {
  Text out;
  bool start = true;
  size_t word = 0;  // where the small letters of the word begin: they are mapped on their own
  const std::string_view view = text.view();
  for (size_t i = 0; i < view.size();) {
    const CodePoint c = decode(view, i);
    std::string piece;
    const bool divides =
        is(c.value, kSpace) || c.value == '-' || c.value == '(' || c.value == '{' || c.value == '[' || c.value == '<';
    if (divides) {
      encode(c.value, piece);
    } else if (start) {
      append_upper(c.value, piece);
      word = i + c.size;
    } else {
      append_lower_at(view.substr(word), i - word, c, piece);
    }
    start = divides;
    out.append(piece, text.trusted_at(i));
    i += c.size;
  }
  return out;
}

Result<Value> trim(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "trim", {"chars"}, 0));
  LAHAR_ASSIGN(const Text text, in.str(input));
  LAHAR_ASSIGN(Text out, strip(in, text, a[0], true, true));
  return in.make_string(std::move(out), input.markup());
}

Result<Value> replace(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "replace", {"old", "new", "count"}, 2));
  LAHAR_ASSIGN(const Text text, in.str(input));
  LAHAR_ASSIGN(const Text from, in.str(a[0]));
  LAHAR_ASSIGN(const Text to, in.str(a[1]));
  LAHAR_ASSIGN(const int64_t count, int_argument(a[2], -1, "replace"));
  LAHAR_ASSIGN(Text out, replace_all(in, text, from, to, count));
  return in.make_string(std::move(out));
}

Result<Value> string(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "string", {}, 0));
  if (input.is_string()) return input;
  LAHAR_ASSIGN(Text text, in.str(input));
  return in.make_string(std::move(text));
}

Result<Value> safe(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "safe", {}, 0));
  LAHAR_ASSIGN(Text text, in.str(input));
  return in.make_string(std::move(text), true);
}

Result<Value> escape(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "escape", {}, 0));
  if (input.markup()) return input;
  LAHAR_ASSIGN(const Text text, in.str(input));
  LAHAR_TRY(in.charge_bytes(text.size()));
  return in.make_string(escape_html(text), true);
}

Result<Value> force_escape(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "forceescape", {}, 0));
  LAHAR_ASSIGN(const Text text, in.str(input));
  LAHAR_TRY(in.charge_bytes(text.size()));
  return in.make_string(escape_html(text), true);
}

Result<Value> center_filter(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "center", {"width"}, 0));
  LAHAR_ASSIGN(const int64_t width, int_argument(a[0], 80, "center"));
  LAHAR_ASSIGN(const Text text, in.str(input));
  LAHAR_ASSIGN(Text out, center(in, text, width, Text(" ", true)));
  return in.make_string(std::move(out), input.markup());
}

Result<Value> format(Interp& in, const Value& input, Args& args) {
  if (!args.positional.empty() && !args.named.empty()) {
    return runtime_error("FilterArgumentError: can't handle positional and keyword arguments at the same time");
  }
  LAHAR_ASSIGN(Text text, in.str(input));
  const Value pattern = Value::string(std::move(text));
  if (args.named.empty()) {
    LAHAR_ASSIGN(const Value values, in.make_tuple(args.positional));
    return percent_format(in, pattern, values);
  }
  auto dict = std::make_shared<DictObj>();
  for (const auto& [key, value] : args.named) dict->set(Value::string(key), value);
  LAHAR_ASSIGN(const Value values, in.make_dict(std::move(dict)));
  return percent_format(in, pattern, values);
}

Result<Value> indent(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "indent", {"width", "first", "blank"}, 0));
  LAHAR_ASSIGN(Text text, text_argument(input, "indent"));
  std::string indention;
  bool trusted = text.all_trusted();
  if (a[0].is_string()) {
    indention = a[0].str();
    trusted = trusted && a[0].text().all_trusted();
  } else {
    LAHAR_ASSIGN(const int64_t width, int_argument(a[0], 4, "indent"));
    LAHAR_TRY(in.check_size(static_cast<uint64_t>(std::max<int64_t>(width, 0))));
    indention.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool first = truthy(a[1]), blank = truthy(a[2]);
  text.append("\n", trusted);
  LAHAR_TRY(in.charge_bytes(text.size()));
  const std::vector<Text> lines = split_lines(text, false, in.limits().items);
  Text out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n", trusted);
    if (i == 0 ? first : blank || !lines[i].empty()) out.append(indention, trusted);
    out.append(lines[i]);
    LAHAR_TRY(in.check_size(out.size()));
  }
  return in.make_string(std::move(out), input.markup());
}

Result<Value> truncate(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "truncate", {"length", "killwords", "end", "leeway"}, 0));
  LAHAR_ASSIGN(const int64_t length, int_argument(a[0], 255, "truncate"));
  LAHAR_ASSIGN(const int64_t leeway, int_argument(a[3], 5, "truncate"));
  Text end("...", true);
  if (!a[2].missing()) { LAHAR_ASSIGN(end, text_argument(a[2], "end")); }
  const auto end_length = static_cast<int64_t>(code_points(end.view()));
  if (length < end_length) {
    return runtime_error("AssertionError: expected length >= " + std::to_string(end_length) + ", got " +
                         std::to_string(length));
  }
  if (leeway < 0) return runtime_error("AssertionError: expected leeway >= 0, got " + std::to_string(leeway));
  LAHAR_ASSIGN(const int64_t size, length_of(in, input));
  if (leeway >= size || length >= size - leeway) return input;
  LAHAR_ASSIGN(const Text text, text_argument(input, "truncate"));
  Text out = text.substr(0, byte_offset(text.view(), static_cast<size_t>(length - end_length)));
  if (!truthy(a[1])) {
    const size_t space = out.bytes().rfind(' ');
    if (space != std::string::npos) out = out.substr(0, space);
  }
  out.append(text.all_trusted() ? end : Text(end.bytes(), false));
  return in.make_string(std::move(out), input.markup());
}

Result<Value> wordcount(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "wordcount", {}, 0));
  LAHAR_ASSIGN(const Text text, in.str(input));
  LAHAR_TRY(in.charge_bytes(text.size()));
  int64_t words = 0;
  bool inside = false;
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = decode(text.view(), i);
    const bool word = is(c.value, kWord);
    if (word && !inside) ++words;
    inside = word;
    i += c.size;
  }
  return Value::integer(words);
}

std::string url_quote(std::string_view text, bool query) {
  constexpr std::string_view kSafe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~";
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (kSafe.find(c) != std::string_view::npos || (c == '/' && !query)) {
      out += c;
    } else if (c == ' ' && query) {
      out += '+';
    } else {
      out += '%';
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 15];
    }
  }
  return out;
}

Result<Value> urlencode(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "urlencode", {}, 0));
  const bool pairs =
      input.is(Kind::kSeq) || input.is(Kind::kDict) || input.is(Kind::kIter) || input.is(Kind::kRange) || input.undefined();
  if (!pairs) {
    LAHAR_ASSIGN(const Text text, in.str(input));
    return in.make_string(like(text, url_quote(text.view(), false)));
  }
  std::string out;
  bool trusted = all_trusted(input) && !input.is(Kind::kIter);
  const auto add = [&](const Value& key, const Value& value) -> Status {
    LAHAR_ASSIGN(const Text k, in.str(key));
    LAHAR_ASSIGN(const Text v, in.str(value));
    out += (out.empty() ? "" : "&") + url_quote(k.view(), true) + "=" + url_quote(v.view(), true);
    return in.check_size(out.size());
  };
  if (input.is(Kind::kDict)) {
    for (const auto& [key, value] : input.dict().entries) LAHAR_TRY(add(key, value));
  } else {
    LAHAR_ASSIGN(const Values items, in.collect(input));
    for (const Value& item : items) {
      LAHAR_ASSIGN(const Values pair, in.collect(item));
      if (pair.size() != 2) return value_error("urlencode expects pairs");
      LAHAR_TRY(add(pair[0], pair[1]));
    }
  }
  return in.make_string(Text(std::move(out), trusted));
}

Result<Value> xmlattr(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "xmlattr", {"autospace"}, 0));
  if (!input.is(Kind::kDict)) return type_error("xmlattr expects a mapping, not " + type_name(input));
  Text out;
  for (const auto& [key, value] : input.dict().entries) {
    if (value.none_value() || value.undefined()) continue;
    LAHAR_ASSIGN(const Text name, in.str(key));
    LAHAR_ASSIGN(const Text content, in.str(value));
    if (name.bytes().find_first_of(" \t\n\r\f\v/>=") != std::string::npos) {
      return value_error("Invalid character in attribute name: '" + name.bytes() + "'");
    }
    if (!out.empty() || a[0].missing() || truthy(a[0])) out.append(" ", true);
    out.append(escape_html(name));
    out.append("=\"", true);
    out.append(escape_html(content));
    out.append("\"", true);
    LAHAR_TRY(in.check_size(out.size()));
  }
  return in.make_string(std::move(out));
}

Result<Value> tojson(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, 0));
  JsonOptions options;
  options.ensure_ascii = truthy(a[0]);
  options.sort_keys = truthy(a[3]);
  if (!a[1].missing() && !a[1].none_value()) {
    if (a[1].is_string()) {
      options.indent = a[1].text();
    } else {
      LAHAR_ASSIGN(const int64_t width, int_argument(a[1], 0, "indent"));
      LAHAR_TRY(in.check_size(static_cast<uint64_t>(std::max<int64_t>(width, 0))));
      options.indent = Text(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '), true);
    }
    options.item_separator = ",";
  }
  bool trusted = true;
  if (!a[2].missing() && !a[2].none_value()) {
    LAHAR_ASSIGN(const Values pair, in.collect(a[2]));
    if (pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string())
      return value_error("separators expects two strings");
    options.item_separator = pair[0].str();
    options.key_separator = pair[1].str();
    trusted = pair[0].text().all_trusted() && pair[1].text().all_trusted();
  }
  LAHAR_ASSIGN(Text out, to_json(in, input, options));
  return in.make_string(trusted ? std::move(out) : Text(out.bytes(), false));
}

Result<Value> unsupported(Interp&, const Value&, Args&) {
  return runtime_error("TemplateRuntimeError: this filter is not supported in chat templates");
}

constexpr std::array<FilterEntry, 23> kFilters = {{{"upper", mapped<upper>},
                                                   {"lower", mapped<lower>},
                                                   {"capitalize", mapped<capitalize>},
                                                   {"title", mapped<title>},
                                                   {"trim", trim},
                                                   {"replace", replace},
                                                   {"string", string},
                                                   {"safe", safe},
                                                   {"e", escape},
                                                   {"escape", escape},
                                                   {"forceescape", force_escape},
                                                   {"center", center_filter},
                                                   {"format", format},
                                                   {"indent", indent},
                                                   {"truncate", truncate},
                                                   {"wordcount", wordcount},
                                                   {"urlencode", urlencode},
                                                   {"xmlattr", xmlattr},
                                                   {"tojson", tojson},
                                                   {"pprint", unsupported},
                                                   {"urlize", unsupported},
                                                   {"striptags", unsupported},
                                                   {"wordwrap", unsupported}}};

}  // namespace

std::span<const FilterEntry> text_filters() { return kFilters; }

}  // namespace lahar::jinja
