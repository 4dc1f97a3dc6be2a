// What the tests of the C API share. Vulkan's validation layer is on: what it reports goes to the log as an error, and an
// error in the log fails the test.
//   LAHAR_DEVICE       which device, as lahar_engine_options.device takes it
//   LAHAR_VALIDATION   0: without the layer
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "lahar/lahar.h"

namespace lahar::test {

struct Destroy {
  void operator()(lahar_runtime* handle) const { lahar_runtime_destroy(handle); }
  void operator()(lahar_model* handle) const { lahar_model_destroy(handle); }
  void operator()(lahar_engine* handle) const { lahar_engine_destroy(handle); }
};
using Runtime = std::unique_ptr<lahar_runtime, Destroy>;
using Model = std::unique_ptr<lahar_model, Destroy>;
using Engine = std::unique_ptr<lahar_engine, Destroy>;

// A log that keeps what it is told.
class LogKeeper {
 public:
  static void write(void* user, lahar_log_level level, const char* text);
  size_t size() const;
  std::string errors() const;  // a line each
  void clear();

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<lahar_log_level, std::string>> lines_;
};

// Fails the test where the log has an error in the end.
class ApiTest : public ::testing::Test {
 protected:
  void TearDown() override;
  LogKeeper log;

  // The helpers record a failure and return null where something goes wrong.
  Runtime make_runtime();
  Model pumice(const Runtime& runtime);
  Engine make_engine(const Model& model, uint32_t context = 512);
};

// With an engine of the built-in model.
class PumiceEngineTest : public ApiTest {
 protected:
  void SetUp() override {
    runtime = make_runtime();
    model = pumice(runtime);
    ASSERT_NE(model, nullptr);
    engine = make_engine(model);
    ASSERT_NE(engine, nullptr);
  }
  std::string error() const { return lahar_engine_error(engine.get()); }

  Runtime runtime;
  Model model;
  Engine engine;
};

lahar_engine_options engine_options(uint32_t context = 512);  // with LAHAR_DEVICE
lahar_sampling greedy();
std::string user_message(const std::string& content);  // as chat_json
const nlohmann::json& expected();                      // tests/data/pumice/expected.json

using OnToken = std::function<int(const lahar_token&)>;

struct Reply {
  lahar_status status = LAHAR_INTERNAL;
  lahar_generate_result result{};
  std::string text;
  std::vector<int32_t> tokens;
};

// A greedy reply with everything that came through the callback. `change` may change the options before the call.
Reply generate(lahar_engine* engine, const std::string& chat_json, const OnToken& on_token = {},
               const std::function<void(lahar_generate_options&)>& change = {});

}  // namespace lahar::test
