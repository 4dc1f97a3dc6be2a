// Values as text: Python's str() and repr(), and JSON as json.dumps writes it.
#pragma once

#include <optional>
#include <string>

#include "text/jinja/interp.h"

namespace lahar::jinja {

// The shortest decimal form that reads back as the same number: "1.0", "1e-05", "inf".
std::string float_repr(double value);

Result<Text> to_str(Interp& in, const Value& value);
// The trust of the result is all_trusted(value).
Result<Text> to_repr(Interp& in, const Value& value);

struct JsonOptions {
  bool ensure_ascii = false;
  std::optional<Text> indent;  // one level of it; absent: all in one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};
// TypeError for what JSON cannot say.
Result<Text> to_json(Interp& in, const Value& value, const JsonOptions& options);

}  // namespace lahar::jinja
