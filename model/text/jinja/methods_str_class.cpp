// Methods of strings about case and classes of characters.
#include <array>

#include "text/jinja/methods.h"
#include "text/jinja/unicode.h"

namespace lahar::jinja {

namespace {

// Every character mapped by `map(code point, offset, out)`, with the trust of where it came from.
template <typename Map>
Text mapped(const Text& text, Map map) {
  Text out;
  size_t i = 0;
  for (const Text::Run& run : text.runs()) {
    std::string piece;
    while (i < run.end) {
      const CodePoint c = decode(text.view(), i);
      map(c, i, piece);
      i += c.size;
    }
    out.append(piece, run.trusted);
  }
  return out;
}

bool cased(char32_t c) { return (classes(c) & (kUpper | kLower | kTitle)) != 0; }

// Python's str.title(): a letter behind a cased one is small.
Text title(const Text& text) {
  bool inside = false;
  return mapped(text, [&](CodePoint c, size_t i, std::string& out) {
    if (inside) {
      append_lower_at(text.view(), i, c, out);
    } else {
      append_title(c.value, out);
    }
    inside = cased(c.value);
  });
}

Text swapcase(const Text& text) {
  return mapped(text, [&](CodePoint c, size_t i, std::string& out) {
    if (is(c.value, kUpper)) {
      append_lower_at(text.view(), i, c, out);
    } else if (is(c.value, kLower)) {
      append_upper(c.value, out);
    } else {
      encode(c.value, out);
    }
  });
}

using Map = Text (*)(const Text&);

template <Map map>
Result<Value> map_method(Interp& in, const Value& self, Args& args) {
  if (!args.positional.empty() || !args.named.empty()) return type_error("the method takes no arguments");
  return in.make_string(map(self.text()), self.markup());
}

template <CharClass what>
Result<Value> all_of_class(Interp&, const Value& self, Args&) {
  const std::string& s = self.str();
  for (size_t i = 0; i < s.size();) {
    const CodePoint c = decode(s, i);
    if (!is(c.value, what)) return Value::boolean(false);
    i += c.size;
  }
  return Value::boolean(!s.empty() || what == kPrintable);
}

Result<Value> is_alnum(Interp&, const Value& self, Args&) {
  const std::string& s = self.str();
  for (size_t i = 0; i < s.size();) {
    const CodePoint c = decode(s, i);
    if ((classes(c.value) & (kAlpha | kDecimal | kDigit | kNumeric)) == 0) return Value::boolean(false);
    i += c.size;
  }
  return Value::boolean(!s.empty());
}

Result<Value> is_ascii(Interp&, const Value& self, Args&) {
  for (const char c : self.str())
    if ((c & 0x80) != 0) return Value::boolean(false);
  return Value::boolean(true);
}

Result<Value> is_identifier(Interp&, const Value& self, Args&) {
  const std::string& s = self.str();
  for (size_t i = 0; i < s.size();) {
    const CodePoint c = decode(s, i);
    const bool fits = c.value == '_' || is(c.value, kAlpha) || (i > 0 && is(c.value, kWord));
    if (!fits) return Value::boolean(false);
    i += c.size;
  }
  return Value::boolean(!s.empty());
}

// Whether the cased characters are all of one case, and there is one.
template <CharClass wanted, CharClass other>
Result<Value> is_case(Interp&, const Value& self, Args&) {
  bool found = false;
  const std::string& s = self.str();
  for (size_t i = 0; i < s.size();) {
    const CodePoint c = decode(s, i);
    if ((classes(c.value) & (other | kTitle)) != 0) return Value::boolean(false);
    found = found || is(c.value, wanted);
    i += c.size;
  }
  return Value::boolean(found);
}

Result<Value> is_title(Interp&, const Value& self, Args&) {
  bool found = false, inside = false;
  const std::string& s = self.str();
  for (size_t i = 0; i < s.size();) {
    const CodePoint c = decode(s, i);
    if ((classes(c.value) & (kUpper | kTitle)) != 0) {
      if (inside) return Value::boolean(false);
      inside = found = true;
    } else if (is(c.value, kLower)) {
      if (!inside) return Value::boolean(false);
    } else {
      inside = false;
    }
    i += c.size;
  }
  return Value::boolean(found);
}

struct Entry {
  std::string_view name;
  Method method;
};
constexpr std::array<Entry, 18> kMethods = {{{"upper", map_method<upper>},
                                             {"lower", map_method<lower>},
                                             {"casefold", map_method<lower>},
                                             {"title", map_method<title>},
                                             {"capitalize", map_method<capitalize>},
                                             {"swapcase", map_method<swapcase>},
                                             {"isspace", all_of_class<kSpace>},
                                             {"isalpha", all_of_class<kAlpha>},
                                             {"isdecimal", all_of_class<kDecimal>},
                                             {"isdigit", all_of_class<kDigit>},
                                             {"isnumeric", all_of_class<kNumeric>},
                                             {"isprintable", all_of_class<kPrintable>},
                                             {"isalnum", is_alnum},
                                             {"isascii", is_ascii},
                                             {"isidentifier", is_identifier},
                                             {"isupper", is_case<kUpper, kLower>},
                                             {"islower", is_case<kLower, kUpper>},
                                             {"istitle", is_title}}};

}  // namespace

Text upper(const Text& text) {
  return mapped(text, [](CodePoint c, size_t, std::string& out) { append_upper(c.value, out); });
}

Text lower(const Text& text) {
  return mapped(text, [&](CodePoint c, size_t i, std::string& out) { append_lower_at(text.view(), i, c, out); });
}

Text capitalize(const Text& text) {
  return mapped(text, [&](CodePoint c, size_t i, std::string& out) {
    if (i == 0) {
      append_title(c.value, out);
    } else {
      append_lower_at(text.view(), i, c, out);
    }
  });
}

Method find_string_class(std::string_view name) {
  for (const Entry& entry : kMethods)
    if (entry.name == name) return entry.method;
  return nullptr;
}

}  // namespace lahar::jinja
