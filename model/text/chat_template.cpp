#include "text/chat_template.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "core/platform.h"
#include "text/jinja/interp.h"
#include "text/jinja/parser.h"
#include "text/jinja/strftime.h"

namespace lahar {

namespace {

using jinja::Text;
using jinja::Value;
using Json = nlohmann::ordered_json;

constexpr uint32_t kMaxJsonDepth = 90;  // of the input, below what values may nest in a template

Result<Value> from_json(const Json& json, uint32_t depth = 0) {
  if (depth > kMaxJsonDepth)
    return Error{ErrorCode::kLimit, "messages or tools nested deeper than " + std::to_string(kMaxJsonDepth)};
  switch (json.type()) {
    case Json::value_t::boolean: return Value::boolean(json.get<bool>(), false);
    case Json::value_t::number_integer: return Value::integer(json.get<int64_t>(), false);
    case Json::value_t::number_unsigned: return Value::big_integer(json.get<uint64_t>(), false);
    case Json::value_t::number_float: return Value::real(json.get<double>(), false);
    case Json::value_t::string: return Value::string(Text(json.get_ref<const std::string&>(), false));
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) {
        LAHAR_ASSIGN(Value value, from_json(item, depth + 1));
        items.push_back(std::move(value));
      }
      return Value::list(std::move(items));
    }
    case Json::value_t::object: {
      auto dict = std::make_shared<jinja::DictObj>();
      for (const auto& [key, item] : json.items()) {
        LAHAR_ASSIGN(Value value, from_json(item, depth + 1));
        dict->set(Value::string(Text(key, false)), std::move(value));
      }
      return Value::dict(std::move(dict));
    }
    default: return Value::none();
  }
}

bool usual_role(std::string_view role) {
  constexpr std::array<std::string_view, 14> kRoles = {"system",   "developer",   "user",      "assistant", "tool",
                                                       "function", "observation", "ipython",   "model",     "environment",
                                                       "context",  "document",    "documents", "tools"};
  return std::find(kRoles.begin(), kRoles.end(), role) != kRoles.end();
}

// Templates build special tokens from roles ("<|" + role + "|>"), so the usual ones are trusted.
Result<Value> from_messages(const Json& messages) {
  if (!messages.is_array()) return from_json(messages);
  std::vector<Value> items;
  for (const Json& message : messages) {
    if (!message.is_object()) {
      LAHAR_ASSIGN(Value value, from_json(message, 1));
      items.push_back(std::move(value));
      continue;
    }
    auto dict = std::make_shared<jinja::DictObj>();
    for (const auto& [key, item] : message.items()) {
      const bool trusted = key == "role" && item.is_string() && usual_role(item.get_ref<const std::string&>());
      LAHAR_ASSIGN(Value value, trusted ? Value::string(item.get_ref<const std::string&>()) : from_json(item, 2));
      dict->set(Value::string(Text(key, false)), std::move(value));
    }
    items.push_back(Value::dict(std::move(dict)));
  }
  return Value::list(std::move(items));
}

Error field_error(const char* key, const char* wanted) {
  return {ErrorCode::kFormat, std::string("'") + key + "' must be " + wanted};
}

}  // namespace

std::string Rendering::text() const {
  std::string out;
  for (const RenderedSegment& segment : segments) out += segment.text;
  return out;
}

Result<ChatInput> ChatInput::from_json(const Json& object) {
  if (!object.is_object()) return Error{ErrorCode::kFormat, "expected a JSON object with \"messages\""};
  if (!object.contains("messages") || !object["messages"].is_array()) return field_error("messages", "an array");
  ChatInput out;
  for (const auto& [key, value] : object.items()) {
    const auto text = [&key = key, &value = value](std::optional<std::string>& to) -> Status {
      if (!value.is_string() && !value.is_null()) return field_error(key.c_str(), "a string");
      if (value.is_string()) to = value.get<std::string>();
      return {};
    };
    if (key == "messages") {
      out.messages = value;
    } else if (key == "tools") {
      out.tools = value;
    } else if (key == "documents") {
      out.documents = value;
    } else if (key == "add_generation_prompt") {
      if (!value.is_boolean()) return field_error("add_generation_prompt", "true or false");
      out.add_generation_prompt = value.get<bool>();
    } else if (key == "bos_token") {
      LAHAR_TRY(text(out.bos_token));
    } else if (key == "eos_token") {
      LAHAR_TRY(text(out.eos_token));
    } else if (key == "now") {
      LAHAR_TRY(text(out.now));
    } else {
      out.extra[key] = value;
    }
  }
  return out;
}

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  LAHAR_ASSIGN(auto program, jinja::parse_program(source));
  return ChatTemplate(std::move(program));
}

Result<Rendering> ChatTemplate::render(const ChatInput& input, const TemplateLimits& limits) const {
  std::tm now{};
  if (input.now) {
    const auto parsed = jinja::parse_time(*input.now);
    if (!parsed)
      return Error{ErrorCode::kInvalidArgument, "expected a time like 2026-01-15T12:30:00, found '" + *input.now + "'"};
    now = *parsed;
  } else {
    now = platform::local_time(std::time(nullptr));
  }
  std::vector<std::pair<std::string, Value>> variables;
  const auto give = [&](const std::string& name, Value value) { variables.emplace_back(name, std::move(value)); };
  for (const auto& [name, value] : input.extra.items()) {
    LAHAR_ASSIGN(Value converted, from_json(value));
    give(name, std::move(converted));
  }
  for (const auto& [name, text] : input.special_tokens) give(name, Value::string(text));
  if (input.bos_token) give("bos_token", Value::string(*input.bos_token));
  if (input.eos_token) give("eos_token", Value::string(*input.eos_token));
  LAHAR_ASSIGN(Value messages, from_messages(input.messages));
  LAHAR_ASSIGN(Value tools, from_json(input.tools));
  LAHAR_ASSIGN(Value documents, from_json(input.documents));
  give("messages", std::move(messages));
  give("tools", std::move(tools));
  give("documents", std::move(documents));
  give("add_generation_prompt", Value::boolean(input.add_generation_prompt));

  jinja::Interp interp(*program_, limits, now);
  auto text = interp.run(std::move(variables));
  if (!text.ok()) {
    Error error = std::move(text).error();
    if (interp.raised() || interp.error_line() == 0) return error;
    return annotate(std::move(error), "line " + std::to_string(interp.error_line()));
  }
  Rendering out;
  size_t begin = 0;
  for (const Text::Run& run : text->runs()) {
    out.segments.push_back({text->bytes().substr(begin, run.end - begin), run.trusted});
    begin = run.end;
  }
  return out;
}

}  // namespace lahar
