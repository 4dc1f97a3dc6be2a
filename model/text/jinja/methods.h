// The methods of Python's built-in types.
#pragma once

#include "text/jinja/interp.h"

namespace lahar::jinja {

using Method = Result<Value> (*)(Interp& in, const Value& self, Args& args);

// Null where the type has no such method.
Method find_method(const Value& object, std::string_view name);
Method find_string_method(std::string_view name);  // methods_str.cpp
Method find_string_search(std::string_view name);  // methods_str_search.cpp: splitting, finding, stripping
Method find_string_class(std::string_view name);   // methods_str_class.cpp: case and character classes

// Shared with the filters.
// strip: characters of `chars` (whitespace where it is missing or none) off the left, the right or both ends.
Result<Text> strip(Interp& in, const Text& text, const Value& chars, bool left, bool right);
Result<Text> replace_all(Interp& in, const Text& text, const Text& from, const Text& to, int64_t count);
Text upper(const Text& text);
Text lower(const Text& text);
Text capitalize(const Text& text);
// str.splitlines(), of at most `most` lines and what follows them as one; keep: with their ends.
std::vector<Text> split_lines(const Text& text, bool keep, size_t most);
Result<Text> center(Interp& in, const Text& text, int64_t width, const Text& fill);

}  // namespace lahar::jinja
