// lahar template: renders a chat template.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/session.h"
#include "core/platform.h"

namespace lahar::cli {
namespace {

struct State {
  std::string model, messages;
  bool ids = false;
};

Result<std::string> read_text(const std::string& path) {
  LAHAR_ASSIGN(const auto file, platform::MappedFile::open(path));
  const auto bytes = file.bytes();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<ChatInput> read_input(const std::string& path) {
  LAHAR_ASSIGN(const std::string text, read_text(path));
  const auto json = nlohmann::ordered_json::parse(text, nullptr, false);
  if (json.is_discarded()) return Error{ErrorCode::kFormat, path + ": is not JSON"};
  auto input = ChatInput::from_json(json);
  if (!input.ok()) return annotate(std::move(input).error(), path);
  return input;
}

Status print_text(const Rendering& rendering) {
  const std::string text = rendering.text();
  std::fwrite(text.data(), 1, text.size(), stdout);
  return {};
}

Status run(const State& state) {
  LAHAR_ASSIGN(ChatInput input, read_input(state.messages));
  if (state.model.ends_with(".jinja")) {
    if (state.ids) return Error{ErrorCode::kInvalidArgument, "--ids needs a model, a template alone has no tokenizer"};
    LAHAR_ASSIGN(const std::string text, read_text(state.model));
    auto parsed = ChatTemplate::parse(text);
    if (!parsed.ok()) return annotate(std::move(parsed).error(), state.model);
    LAHAR_ASSIGN(const Rendering rendering, parsed->render(input));
    return print_text(rendering);
  }
  LAHAR_ASSIGN(const auto source, open_source(state.model));
  LAHAR_ASSIGN(const auto tokenizer, Tokenizer::from_source(*source, stderr_log(false)));
  LAHAR_ASSIGN(const auto chat, ChatFormat::from_source(*source, *tokenizer));
  if (!chat->has_template()) return Error{ErrorCode::kNotFound, source->name() + ": has no chat template"};
  LAHAR_ASSIGN(const Rendering rendering, chat->render(input));
  if (!state.ids) return print_text(rendering);
  LAHAR_ASSIGN(const std::vector<int32_t> ids, chat->encode(rendering));
  for (size_t i = 0; i < ids.size(); ++i) std::printf("%s%d", i == 0 ? "" : " ", ids[i]);
  std::printf("\n");
  return {};
}

}  // namespace

void add_template(CLI::App& program, Action& chosen) {
  auto state = std::make_shared<State>();
  CLI::App* command = add_command(program, "template", "Render a chat template", chosen, run, state);
  command->add_option("MODEL", state->model, "A model, or a template file that ends in .jinja")->required();
  command
      ->add_option(
          "--messages", state->messages,
          "JSON file: an object with messages and, where wanted, tools, documents, add_generation_prompt, bos_token, "
          "eos_token, now (YYYY-MM-DDTHH:MM:SS)")
      ->required();
  command->add_flag("--ids", state->ids, "Print the token ids: only what the template itself wrote can be a special token");
}

}  // namespace lahar::cli
