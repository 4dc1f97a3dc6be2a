// The model: files, tokenizer, chat template.
#include "api/chat_json.h"
#include "api/state.h"

using namespace lahar;
using namespace lahar::api;

namespace lahar::api {

Result<std::shared_ptr<ModelState>> ModelState::make(std::shared_ptr<RuntimeState> runtime,
                                                     std::unique_ptr<ModelSource> source) {
  auto model = std::make_shared<ModelState>();
  model->runtime = std::move(runtime);
  model->source = std::move(source);
  // A model can be used by its token ids alone: what is wrong with its text is told to who asks for it.
  auto tokenizer = Tokenizer::from_source(*model->source, model->runtime->log);
  if (!tokenizer.ok()) {
    model->tokenizer_error = std::move(tokenizer).error();
    return model;
  }
  model->tokenizer = std::move(tokenizer).value();
  auto chat = ChatFormat::from_source(*model->source, *model->tokenizer);
  if (chat.ok()) model->chat = std::move(chat).value();
  else model->chat_error = std::move(chat).error();
  return model;
}

Result<const Tokenizer*> ModelState::need_tokenizer() const {
  if (tokenizer_error) return *tokenizer_error;
  return tokenizer.get();
}

Result<const ChatFormat*> ModelState::need_chat() const {
  LAHAR_TRY(need_tokenizer());
  if (chat_error) return *chat_error;
  return chat.get();
}

namespace {

Result<Rendering> render(const ModelState& model, const char* json, bool need_template) {
  LAHAR_ASSIGN(const ChatFormat* chat, model.need_chat());
  if (need_template && !chat->has_template())
    return Error{ErrorCode::kNotFound, model.source->name() + " has no chat template"};
  LAHAR_ASSIGN(ChatInput input, parse_chat(json, false));
  return chat->render(std::move(input));
}

// The checks that all functions with an output buffer share.
template <typename T>
Status check_output(const T* out, size_t capacity, const char* name) {
  if (out == nullptr && capacity > 0) return null_argument(name);
  return {};
}

template <typename Body>
lahar_status on_model(lahar_model* model, size_t* count, const char* count_name, const Body& body) {
  if (count != nullptr) *count = 0;
  if (model == nullptr) return LAHAR_INVALID_ARGUMENT;
  const auto state = model->state;
  return guard(&state->error, [&]() -> Status {
    if (count == nullptr) return null_argument(count_name);
    return body(*state);
  });
}

template <typename Open>
lahar_status open_model(lahar_runtime* runtime, lahar_model** out, const Open& open) {
  if (out != nullptr) *out = nullptr;
  if (runtime == nullptr) return LAHAR_INVALID_ARGUMENT;
  const auto state = runtime->state;
  return guard(&state->error, [&]() -> Status {
    if (out == nullptr) return null_argument("out");
    LAHAR_ASSIGN(std::unique_ptr<ModelSource> source, open());
    LAHAR_ASSIGN(auto model, ModelState::make(state, std::move(source)));
    *out = new lahar_model{std::move(model)};
    return {};
  });
}

}  // namespace
}  // namespace lahar::api

lahar_status lahar_model_open(lahar_runtime* runtime, const char* path, lahar_model** out) {
  return open_model(runtime, out, [&]() -> Result<std::unique_ptr<ModelSource>> {
    if (path == nullptr) return null_argument("path");
    return ModelSource::open(path);
  });
}

lahar_status lahar_model_open_memory(lahar_runtime* runtime, const void* data, size_t size, lahar_model** out) {
  return open_model(runtime, out, [&]() -> Result<std::unique_ptr<ModelSource>> {
    if (data == nullptr) return null_argument("data");
    return ModelSource::from_memory({static_cast<const std::byte*>(data), size}, "the model in memory");
  });
}

void lahar_model_destroy(lahar_model* model) { delete model; }

const char* lahar_model_error(const lahar_model* model) { return model ? model->state->error.text() : ""; }

lahar_status lahar_tokenize(lahar_model* model, const char* text, size_t length, uint32_t flags, int32_t* ids,
                            size_t capacity, size_t* count) {
  return on_model(model, count, "count", [&](const ModelState& state) -> Status {
    if (text == nullptr && length > 0) return null_argument("text");
    LAHAR_TRY(check_output(ids, capacity, "ids"));
    if ((flags & ~static_cast<uint32_t>(LAHAR_TOKENIZE_ADD_BOS | LAHAR_TOKENIZE_PARSE_SPECIAL)) != 0)
      return Error{ErrorCode::kInvalidArgument, "unknown flags " + std::to_string(flags) + " for lahar_tokenize"};
    LAHAR_ASSIGN(const Tokenizer* tokenizer, state.need_tokenizer());
    LAHAR_ASSIGN(
        const std::vector<int32_t> result,
        tokenizer->encode(std::string_view(text, length), {.add_bos = (flags & LAHAR_TOKENIZE_ADD_BOS) != 0,
                                                           .parse_special = (flags & LAHAR_TOKENIZE_PARSE_SPECIAL) != 0}));
    return write_items(result, ids, capacity, count, "tokens");
  });
}

lahar_status lahar_detokenize(lahar_model* model, const int32_t* ids, size_t count, char* text, size_t capacity,
                              size_t* length) {
  return on_model(model, length, "length", [&](const ModelState& state) -> Status {
    if (ids == nullptr && count > 0) return null_argument("ids");
    LAHAR_TRY(check_output(text, capacity, "text"));
    LAHAR_ASSIGN(const Tokenizer* tokenizer, state.need_tokenizer());
    LAHAR_ASSIGN(const std::string result, tokenizer->decode({ids, count}));
    return write_items(result, text, capacity, length, "bytes");
  });
}

lahar_status lahar_apply_template(lahar_model* model, const char* json, char* text, size_t capacity, size_t* length) {
  return on_model(model, length, "length", [&](const ModelState& state) -> Status {
    if (json == nullptr) return null_argument("json");
    LAHAR_TRY(check_output(text, capacity, "text"));
    LAHAR_ASSIGN(const Rendering rendering, render(state, json, true));
    return write_items(rendering.text(), text, capacity, length, "bytes");
  });
}

lahar_status lahar_tokenize_chat(lahar_model* model, const char* json, int32_t* ids, size_t capacity, size_t* count) {
  return on_model(model, count, "count", [&](const ModelState& state) -> Status {
    if (json == nullptr) return null_argument("json");
    LAHAR_TRY(check_output(ids, capacity, "ids"));
    LAHAR_ASSIGN(const Rendering rendering, render(state, json, false));
    LAHAR_ASSIGN(const std::vector<int32_t> result, state.chat->encode(rendering));
    return write_items(result, ids, capacity, count, "tokens");
  });
}
