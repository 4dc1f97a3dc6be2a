#include "gpu/shader_source.h"

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>

#include "core/platform.h"

namespace lahar::gpu {
namespace {

namespace fs = std::filesystem;

// The part of shaderc's C interface that is used, declared here because its header is not needed otherwise.
struct shaderc_include_result {
  const char* source_name;
  size_t source_name_length;
  const char* content;
  size_t content_length;
  void* user_data;
};
using Resolver = shaderc_include_result* (*)(void* user, const char* requested, int type, const char* requesting,
                                             size_t depth);
using Releaser = void (*)(void* user, shaderc_include_result* result);

constexpr int kComputeShader = 2, kVulkan = 0, kOptimizePerformance = 2, kSuccess = 0;
constexpr uint32_t kVulkan13 = (1u << 22) | (3u << 12);

struct Shaderc {
  void* (*compiler_initialize)();
  void (*compiler_release)(void*);
  void* (*options_initialize)();
  void (*options_release)(void*);
  void (*options_add_macro)(void*, const char* name, size_t name_length, const char* value, size_t value_length);
  void (*options_set_target)(void*, int target, uint32_t version);
  void (*options_set_optimization)(void*, int level);
  void (*options_set_include)(void*, Resolver, Releaser, void* user);
  void* (*compile)(const void*, const char* text, size_t size, int kind, const char* file, const char* entry,
                   const void* options);
  int (*result_status)(const void*);
  size_t (*result_length)(const void*);
  const char* (*result_bytes)(const void*);
  const char* (*result_message)(const void*);
  void (*result_release)(void*);
};

// Stays open: it is opened once, by a developer.
Result<const Shaderc*> open_shaderc() {
  static std::mutex mutex;
  static std::unique_ptr<platform::SharedLibrary> library;
  static Shaderc api;
  const std::lock_guard lock(mutex);
  if (library) return &api;
  for (const char* name : {"libshaderc_shared.so.1", "libshaderc.so.1", "libshaderc_shared.dylib", "shaderc_shared.dll"}) {
    Result<platform::SharedLibrary> opened = platform::SharedLibrary::open(name);
    if (!opened.ok()) continue;
    bool complete = true;
    const auto load = [&](auto& function, const char* symbol) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(opened->symbol(symbol));
      complete = complete && function != nullptr;
    };
    load(api.compiler_initialize, "shaderc_compiler_initialize");
    load(api.compiler_release, "shaderc_compiler_release");
    load(api.options_initialize, "shaderc_compile_options_initialize");
    load(api.options_release, "shaderc_compile_options_release");
    load(api.options_add_macro, "shaderc_compile_options_add_macro_definition");
    load(api.options_set_target, "shaderc_compile_options_set_target_env");
    load(api.options_set_optimization, "shaderc_compile_options_set_optimization_level");
    load(api.options_set_include, "shaderc_compile_options_set_include_callbacks");
    load(api.compile, "shaderc_compile_into_spv");
    load(api.result_status, "shaderc_result_get_compilation_status");
    load(api.result_length, "shaderc_result_get_length");
    load(api.result_bytes, "shaderc_result_get_bytes");
    load(api.result_message, "shaderc_result_get_error_message");
    load(api.result_release, "shaderc_result_release");
    if (!complete) continue;
    library = std::make_unique<platform::SharedLibrary>(std::move(*opened));
    return &api;
  }
  return Error{ErrorCode::kNotFound,
               "LAHAR_SHADER_DIR is set, but there is no shaderc library to compile with (Debian, Ubuntu: libshaderc1)"};
}

Result<std::string> read_text(const fs::path& path) {
  LAHAR_ASSIGN(const platform::MappedFile file, platform::MappedFile::open(path));
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

struct Included {
  shaderc_include_result result{};
  std::string name, text;
};

// As glslc does: beside the file that includes, then shaders/include, then shaders.
shaderc_include_result* resolve(void* user, const char* requested, int, const char* requesting, size_t) {
  const fs::path folder = *static_cast<const std::string*>(user);
  auto* included = new Included;
  for (const fs::path& path :
       {fs::path(requesting).parent_path() / requested, folder / "include" / requested, folder / requested}) {
    Result<std::string> text = read_text(path);
    if (!text.ok()) continue;
    included->name = path.string();
    included->text = std::move(*text);
    break;
  }
  if (included->name.empty()) included->text = std::string("cannot find ") + requested;  // an empty name means failure
  included->result = {included->name.data(), included->name.size(), included->text.data(), included->text.size(), included};
  return &included->result;
}

void release(void*, shaderc_include_result* result) { delete static_cast<Included*>(result->user_data); }

}  // namespace

std::optional<std::string> shader_source_folder() {
  const char* folder = std::getenv("LAHAR_SHADER_DIR");
  if (folder == nullptr || *folder == '\0') return std::nullopt;
  return folder;
}

Result<std::vector<uint32_t>> compile_shader(const std::string& folder, const ShaderInfo& shader) {
  LAHAR_ASSIGN(const Shaderc* api, open_shaderc());
  const std::string file = (fs::path(folder) / std::string(shader.source)).string();
  LAHAR_ASSIGN(const std::string text, read_text(file));
  const std::unique_ptr<void, void (*)(void*)> compiler(api->compiler_initialize(), api->compiler_release);
  const std::unique_ptr<void, void (*)(void*)> options(api->options_initialize(), api->options_release);
  api->options_set_target(options.get(), kVulkan, kVulkan13);
  api->options_set_optimization(options.get(), kOptimizePerformance);
  api->options_set_include(options.get(), resolve, release, const_cast<std::string*>(&folder));
  std::string_view defines = shader.defines;
  while (!defines.empty()) {
    const std::string_view line = defines.substr(0, defines.find('\n'));
    defines.remove_prefix(line.size() + 1);
    const size_t equals = line.find('=');
    api->options_add_macro(options.get(), line.data(), equals, line.data() + equals + 1, line.size() - equals - 1);
  }
  const std::unique_ptr<void, void (*)(void*)> result(
      api->compile(compiler.get(), text.data(), text.size(), kComputeShader, file.c_str(), "main", options.get()),
      api->result_release);
  if (api->result_status(result.get()) != kSuccess)
    return Error{ErrorCode::kInvalidArgument,
                 std::string(shader.name) + " " + std::string(shader.variant) + ": " + api->result_message(result.get())};
  const auto* words = reinterpret_cast<const uint32_t*>(api->result_bytes(result.get()));
  return std::vector<uint32_t>(words, words + api->result_length(result.get()) / 4);
}

}  // namespace lahar::gpu
