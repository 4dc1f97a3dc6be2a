#include "api/chat_json.h"

#include <string_view>

#include "core/quote.h"

namespace lahar::api {
namespace {

constexpr int kMaxDepth = 128;

struct TooDeep {};

}  // namespace

Result<ChatInput> parse_chat(const char* json, bool add_generation_prompt) {
  using Json = nlohmann::ordered_json;
  const auto bad = [](std::string message) { return Error{ErrorCode::kInvalidArgument, "the chat " + std::move(message)}; };
  Json object;
  try {
    object = Json::parse(std::string_view(json), [](int depth, Json::parse_event_t, const Json&) {
      if (depth > kMaxDepth) throw TooDeep();
      return true;
    });
  } catch (const TooDeep&) {
    return bad("is nested deeper than " + std::to_string(kMaxDepth) + " levels");
  } catch (const Json::exception& exception) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: TEXT"
    std::string_view text = exception.what();
    if (const size_t at = text.find("] "); at != text.npos) text.remove_prefix(at + 2);
    const std::string reason = quote(text, 160);
    return bad("is not valid JSON: " + reason.substr(1, reason.size() - 2));
  }
  if (!object.is_object()) return bad("must be an object with \"messages\"");
  if (!object.contains("messages")) return bad("has no \"messages\"");
  if (!object.contains("add_generation_prompt")) object["add_generation_prompt"] = add_generation_prompt;
  auto input = ChatInput::from_json(object);
  if (!input.ok()) return bad("is wrong: " + input.error().message);
  return input;
}

}  // namespace lahar::api
