// A reply that the application stops, as a user would who presses a button: from another thread.
#include <cstdio>
#include <future>
#include <thread>

#include "lahar/lahar.hpp"
#include "lahar/pumice.h"

int main() try {
  const lahar::Runtime runtime;
  const lahar::Engine engine(lahar::Model::from_memory(runtime, lahar::pumice_gguf()));

  // Declared in this order so that an exception lets go of the thread before it is joined.
  std::jthread button;
  std::promise<void> enough;
  button = std::jthread([&engine, pressed = enough.get_future()] {
    pressed.wait();
    engine.cancel();
  });

  int tokens = 0;
  lahar::GenerateOptions options;
  options.ignore_stop_tokens = true;  // it would never end by itself before the context is full
  options.on_token = [&](const lahar::Token& token) {
    std::fwrite(token.text.data(), 1, token.text.size(), stdout);
    if (++tokens == 20) enough.set_value();
    return true;
  };
  const lahar::Reply reply = engine.complete("Once upon a time", options);
  std::printf("\n(%s after %u tokens)\n", reply.reason == LAHAR_STOP_CANCELLED ? "stopped" : "ended",
              reply.generated_tokens);
} catch (const lahar::Error& error) {
  std::fprintf(stderr, "%s: %s\n", lahar_status_name(error.status()), error.what());
  return 1;
}
