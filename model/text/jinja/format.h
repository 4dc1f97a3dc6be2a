// Python's two ways to format strings.
#pragma once

#include "text/jinja/interp.h"

namespace lahar::jinja {

// format % values, and format % {...} with %(name)s.
Result<Value> percent_format(Interp& in, const Value& format, const Value& values);
// format.format(...); attributes and items of the arguments are reached as the sandbox allows.
Result<Value> brace_format(Interp& in, const Text& format, const Args& args);

// A number or text laid out as a format says.
struct Layout {
  std::string fill = " ";  // one character
  char align = 0;          // '<', '>', '^', '=' or 0 for the type's own
  char sign = '-';         // '-', '+' or ' '
  bool alternate = false;
  char grouping = 0;  // ',', '_' or 0
  int64_t width = 0;
  int64_t precision = -1;
  char type = 0;
};
// A float in one of e, f, g, E, F, G or %, or 0 for repr; without its sign.
std::string format_float(double magnitude, const Layout& layout);
// |value| in that base, a separator (0: none) between groups of three decimal digits or four others.
std::string format_magnitude(int64_t value, unsigned base, bool upper, char separator);
// Sign, digits and fill to the layout's width; `left` is what stands before the fill for '='.
Result<Text> pad(Interp& in, const Text& body, std::string_view sign, const Layout& layout, char default_align);

// HTML escaping as markupsafe does it.
Text escape_html(const Text& text);

}  // namespace lahar::jinja
