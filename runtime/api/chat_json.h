// A chat as an application hands it over.
#pragma once

#include "core/result.h"
#include "text/chat_template.h"

namespace lahar::api {

// `json`: an object with "messages", and what else ChatInput::from_json knows. `add_generation_prompt` holds where the
// object says nothing of it. Errors: kInvalidArgument (no JSON, nested too deep, wrong types).
Result<ChatInput> parse_chat(const char* json, bool add_generation_prompt);

}  // namespace lahar::api
