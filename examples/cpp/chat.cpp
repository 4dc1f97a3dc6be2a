// A conversation of several turns, in C++: chat [MODEL]
// Without a model it talks to the built-in one.
#include <cstdio>
#include <vector>

#include "lahar/lahar.hpp"
#include "lahar/pumice.h"

int main(int argc, char** argv) try {
  const lahar::Runtime runtime(
      [](lahar::LogLevel, std::string_view text) {
        std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
      },
      lahar::LogLevel::kWarning);
  for (const lahar::Device& device : runtime.devices())
    std::printf("device %u: %s %s\n", device.index, device.name.c_str(), device.refusal.c_str());

  const lahar::Model model =
      argc > 1 ? lahar::Model::open(runtime, argv[1]) : lahar::Model::from_memory(runtime, lahar::pumice_gguf());
  const lahar::Engine engine(model);

  std::vector<lahar::Message> messages;
  for (const char* question : {"What is the capital of Japan?", "What is 7 + 8?"}) {
    std::printf("> %s\n", question);
    messages.push_back({"user", question});
    lahar::GenerateOptions options;
    options.max_tokens = 200;
    options.sampling = lahar::Sampling{.temperature = 0};
    options.on_token = [](const lahar::Token& token) {
      std::fwrite(token.text.data(), 1, token.text.size(), stdout);
      std::fflush(stdout);
      return true;
    };
    const lahar::Reply reply = engine.chat(messages, options);
    std::printf("\n  (prompt: %u tokens computed, %u reused from the turn before)\n", reply.prompt_tokens,
                reply.reused_tokens);
    messages.push_back({"assistant", reply.text});
  }
} catch (const lahar::Error& error) {
  std::fprintf(stderr, "%s: %s\n", lahar_status_name(error.status()), error.what());
  return 1;
}
