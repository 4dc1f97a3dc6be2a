#include "api/api_test.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "lahar/pumice.h"
#include "test_data.h"

namespace lahar::test {
namespace {

// Before the first runtime: the layer is on, and pipelines are cached apart from the user's.
const bool environment_is_set = [] {
  setenv("LAHAR_VALIDATION", "1", 0);
  setenv("XDG_CACHE_HOME", (std::filesystem::temp_directory_path() / "lahar-test-cache").c_str(), 0);
  return true;
}();

}  // namespace

void LogKeeper::write(void* user, lahar_log_level level, const char* text) {
  auto* log = static_cast<LogKeeper*>(user);
  const std::lock_guard lock(log->mutex_);
  log->lines_.emplace_back(level, text);
}

size_t LogKeeper::size() const {
  const std::lock_guard lock(mutex_);
  return lines_.size();
}

std::string LogKeeper::errors() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [level, line] : lines_)
    if (level >= LAHAR_LOG_ERROR) text += line + "\n";
  return text;
}

void LogKeeper::clear() {
  const std::lock_guard lock(mutex_);
  lines_.clear();
}

void ApiTest::TearDown() { EXPECT_EQ(log.errors(), ""); }

Runtime ApiTest::make_runtime() {
  lahar_runtime_options options = LAHAR_RUNTIME_OPTIONS_INIT;
  options.log = LogKeeper::write;
  options.log_user = &log;
  lahar_runtime* runtime = nullptr;
  EXPECT_EQ(lahar_runtime_create(&options, &runtime), LAHAR_OK);
  return Runtime(runtime);
}

Model ApiTest::pumice(const Runtime& runtime) {
  size_t size = 0;
  const void* data = lahar_pumice_data(&size);
  lahar_model* model = nullptr;
  EXPECT_EQ(lahar_model_open_memory(runtime.get(), data, size, &model), LAHAR_OK) << lahar_runtime_error(runtime.get());
  return Model(model);
}

Engine ApiTest::make_engine(const Model& model, uint32_t context) {
  const lahar_engine_options options = engine_options(context);
  lahar_engine* engine = nullptr;
  EXPECT_EQ(lahar_engine_open(model.get(), &options, &engine), LAHAR_OK) << lahar_model_error(model.get());
  return Engine(engine);
}

lahar_engine_options engine_options(uint32_t context) {
  lahar_engine_options options = LAHAR_ENGINE_OPTIONS_INIT;
  options.device = std::getenv("LAHAR_DEVICE");
  options.context = context;
  return options;
}

lahar_sampling greedy() {
  lahar_sampling sampling{};
  sampling.size = sizeof(sampling);
  return sampling;
}

std::string user_message(const std::string& content) {
  return nlohmann::json{{"messages", {{{"role", "user"}, {"content", content}}}}}.dump();
}

const nlohmann::json& expected() {
  static const nlohmann::json json = [] {
    std::ifstream file(source_folder() / "tests" / "data" / "pumice" / "expected.json");
    return nlohmann::json::parse(file);
  }();
  return json;
}

Reply generate(lahar_engine* engine, const std::string& chat_json, const OnToken& on_token,
               const std::function<void(lahar_generate_options&)>& change) {
  struct Call {
    Reply reply;
    const OnToken& on_token;
  } call{{}, on_token};
  const lahar_sampling sampling = greedy();
  lahar_generate_options options = LAHAR_GENERATE_OPTIONS_INIT;
  options.chat_json = chat_json.c_str();
  options.sampling = &sampling;
  options.user = &call;
  options.callback = [](void* user, const lahar_token* token) {
    Call& c = *static_cast<Call*>(user);
    c.reply.text.append(token->text, token->text_length);
    if (token->id >= 0) c.reply.tokens.push_back(token->id);
    return c.on_token ? c.on_token(*token) : 0;
  };
  if (change) change(options);
  call.reply.result.size = sizeof(call.reply.result);
  call.reply.status = lahar_generate(engine, &options, &call.reply.result);
  return call.reply;
}

}  // namespace lahar::test
