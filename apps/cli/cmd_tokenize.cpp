// lahar tokenize, lahar detokenize.
#include <cstdio>
#include <iostream>
#include <iterator>

#include "cli/command.h"
#include "cli/session.h"

namespace lahar::cli {
namespace {

struct Tokenize {
  std::string model;
  bool ids = false, no_bos = false, special = false;
};

struct Detokenize {
  std::string model;
  std::vector<std::string> ids;
};

Result<std::unique_ptr<Tokenizer>> open_tokenizer(const std::string& path) {
  LAHAR_ASSIGN(const auto source, open_source(path));
  return Tokenizer::from_source(*source, stderr_log(false));
}

// A token's text in one line: control characters and bytes that are no character are escaped.
std::string visible(std::string_view piece) {
  std::string out;
  for (const char c : piece) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f && byte != '\\' && byte != '\'') {
      out += c;
      continue;
    }
    char escape[8];
    std::snprintf(escape, sizeof(escape), byte == '\n' ? "\\n" : byte == '\\' || byte == '\'' ? "\\%c" : "\\x%02x", byte);
    out += escape;
  }
  return out;
}

Status run_tokenize(const Tokenize& state) {
  LAHAR_ASSIGN(const auto tokenizer, open_tokenizer(state.model));
  const std::string text{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  LAHAR_ASSIGN(
      const std::vector<int32_t> ids,
      tokenizer->encode(text, {.add_bos = !state.no_bos && tokenizer->add_bos_default(), .parse_special = state.special}));
  for (size_t i = 0; i < ids.size(); ++i) {
    if (state.ids) std::printf("%s%d", i == 0 ? "" : " ", ids[i]);
    else std::printf("%8d  '%s'\n", ids[i], visible(tokenizer->piece(ids[i])).c_str());
  }
  if (state.ids) std::printf("\n");
  return {};
}

Status run_detokenize(const Detokenize& state) {
  LAHAR_ASSIGN(const auto tokenizer, open_tokenizer(state.model));
  std::string list;
  for (const std::string& part : state.ids) list += part + " ";
  LAHAR_ASSIGN(const std::vector<int32_t> ids, parse_ids(list));
  LAHAR_ASSIGN(const std::string text, tokenizer->decode(ids));
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
  return {};
}

}  // namespace

void add_tokenize(CLI::App& program, Action& chosen) {
  auto tokenize = std::make_shared<Tokenize>();
  CLI::App* command = add_command(program, "tokenize", "Token ids of the text on stdin", chosen, run_tokenize, tokenize);
  add_model_path(*command, tokenize->model, "");
  command->add_flag("--ids", tokenize->ids, "Numbers alone, separated by spaces");
  command->add_flag("--no-bos", tokenize->no_bos, "No beginning-of-sequence token in front");
  command->add_flag("--special", tokenize->special, "Special tokens that the text spells become tokens");

  auto detokenize = std::make_shared<Detokenize>();
  command = add_command(program, "detokenize", "Text of token ids", chosen, run_detokenize, detokenize);
  add_model_path(*command, detokenize->model, "");
  command->add_option("IDS", detokenize->ids, "Token ids, separated by commas or spaces")->required();
}

}  // namespace lahar::cli
