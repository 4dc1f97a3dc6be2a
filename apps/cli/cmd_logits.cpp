// lahar logits: the logits of every position as a NumPy file.
#include <cstdio>
#include <cstring>
#include <fstream>

#include "cli/command.h"
#include "cli/session.h"

namespace lahar::cli {
namespace {

struct State {
  ModelOptions model;
  std::string tokens, out;
};

// NumPy's format 1.0: magic, version, header length, a padded dictionary; then the data.
std::string npy_header(uint64_t rows, uint64_t columns) {
  std::string dict =
      "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " + std::to_string(columns) + "), }";
  constexpr size_t kPrefix = 10;
  dict.append((64 - (kPrefix + dict.size() + 1) % 64) % 64, ' ');
  dict += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(dict.size() & 0xff);
  header += static_cast<char>(dict.size() >> 8);
  return header + dict;
}

Status run(const State& state) {
  LAHAR_ASSIGN(const std::vector<int32_t> tokens, parse_ids(state.tokens));
  ModelOptions options = state.model;
  if (options.context == 0) options.context = static_cast<uint32_t>(std::max<size_t>(tokens.size(), 1));
  LAHAR_ASSIGN(Session session, Session::open(options, false, true));
  const uint32_t vocabulary = session.engine->spec().vocabulary;

  std::ofstream out(state.out, std::ios::binary | std::ios::trunc);
  out << npy_header(tokens.size(), vocabulary);
  LAHAR_TRY(
      session.engine->logits(tokens, [&](uint32_t, uint32_t rows, std::span<const float> logits, uint32_t stride) -> Status {
        for (uint32_t r = 0; r < rows; ++r)
          out.write(reinterpret_cast<const char*>(logits.data() + size_t{r} * stride),
                    static_cast<std::streamsize>(vocabulary * sizeof(float)));
        return {};
      }));
  out.flush();
  if (!out) return Error{ErrorCode::kIo, state.out + ": cannot be written: " + std::strerror(errno)};
  return {};
}

}  // namespace

void add_logits(CLI::App& program, Action& chosen) {
  auto state = std::make_shared<State>();
  CLI::App* command = add_command(program, "logits", "Logits of every position, as a NumPy file", chosen, run, state);
  add_model_options(*command, state->model);
  command->get_option("MODEL")->required();
  command->add_option("--tokens", state->tokens, "Token ids, separated by commas or spaces")->required();
  command->add_option("--out", state->out, "File to write: float32 [tokens, vocabulary]")->required();
}

}  // namespace lahar::cli
