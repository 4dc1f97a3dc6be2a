// Lahar for C++20: owners, strings and exceptions over the C API in lahar.h, whose comments say what everything means.
// Header-only.
//
// Runtime, Model and Engine are move-only and may be destroyed in any order. A failing call throws lahar::Error. An
// exception that leaves a callback ends the call that it was given to, and is thrown again by that call.
// Threads: as in lahar.h; moving or destroying an object while another thread uses that same object is a race as ever.
#ifndef LAHAR_HPP
#define LAHAR_HPP

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lahar/lahar.h"

namespace lahar {
// Inline, so that a program says lahar::Engine, while the linker never takes it for a class of the same name inside the
// library.
inline namespace cpp {

class Error : public std::runtime_error {
 public:
  Error(lahar_status status, const std::string& text) : std::runtime_error(text), status_(status) {}
  lahar_status status() const noexcept { return status_; }

 private:
  lahar_status status_;
};

inline std::string_view version() { return lahar_version(); }

enum class LogLevel {
  kDebug = LAHAR_LOG_DEBUG,
  kInfo = LAHAR_LOG_INFO,
  kWarning = LAHAR_LOG_WARNING,
  kError = LAHAR_LOG_ERROR
};
// Called from several threads, possibly at once. Exceptions that leave it are dropped.
using LogFunction = std::function<void(LogLevel, std::string_view text)>;

struct Device {
  uint32_t index = 0;
  lahar_device_type type = LAHAR_DEVICE_OTHER;
  std::string name, uuid, driver;
  std::string refusal;  // empty where the device can be used
  uint64_t memory_bytes = 0, available_bytes = 0;
};

enum class Quantize {
  kNone = LAHAR_QUANTIZE_NONE,
  kInt8 = LAHAR_QUANTIZE_INT8,
  kInt4 = LAHAR_QUANTIZE_INT4,
  kFp8 = LAHAR_QUANTIZE_FP8
};

// What the KV cache holds.
enum class Kv {
  kDefault = LAHAR_KV_DEFAULT,
  kF16 = LAHAR_KV_F16,
  kBF16 = LAHAR_KV_BF16,
  kF32 = LAHAR_KV_F32,
  kInt8 = LAHAR_KV_INT8,
  kFp8 = LAHAR_KV_FP8,
  kInt4 = LAHAR_KV_INT4
};

// How RoPE is stretched over a longer context; see lahar_engine_options.
enum class RopeScaling {
  kDefault = LAHAR_ROPE_DEFAULT,
  kNone = LAHAR_ROPE_NONE,
  kLinear = LAHAR_ROPE_LINEAR,
  kYarn = LAHAR_ROPE_YARN
};

struct EngineOptions {
  std::string device;    // number, UUID or part of a name; empty: the first
  uint32_t context = 0;  // tokens; 0: the model's, at most 8192
  uint32_t chunk = 0;    // prompt tokens a step; 0: 512
  Quantize quantize = Quantize::kNone;
  bool full_precision = false;
  uint64_t memory_cap = 0;                                      // bytes; 0: what there is
  uint64_t expert_cache = 0;                                    // bytes; see lahar_engine_options
  std::function<bool(uint64_t done, uint64_t total)> progress;  // false cancels
  Kv kv = Kv::kDefault;
  uint32_t streaming_sinks = 0, streaming_window = 0;  // tokens; see lahar_engine_options
  const lahar_vulkan_device* vulkan = nullptr;         // the application's own, instead of `device`
  uint32_t alternatives = 0;                           // told with each token; at most LAHAR_MOST_ALTERNATIVES
  float time_slice = 0;                                // milliseconds; see Engine::set_time_slice
  RopeScaling rope_scaling = RopeScaling::kDefault;
  uint32_t rope_original_context = 0;  // tokens; 0: what the model's file says
  double rope_scale = 0;               // 0: what the context needs
};

struct MemoryPlan {
  uint64_t weights_bytes = 0, kv_bytes = 0, scratch_bytes = 0, available_bytes = 0;
  uint32_t context = 0;
  bool fits = false;
  uint64_t expert_cache_bytes = 0, host_bytes = 0;  // see lahar_memory_plan
};

struct Sampling {
  float temperature = 0;  // 0: greedy
  uint32_t top_k = 0;     // 0: off
  float top_p = 1;        // 1: off
  float min_p = 0;        // 0: off
  uint64_t seed = 0;
};

struct Token {
  int32_t id = -1;  // -1: only the last bytes of an unfinished character
  std::string_view text;
  float logprob = 0, entropy = 0;
  uint32_t position = 0;
  std::span<const lahar_alternative> alternatives;  // live as long as the call
};

struct GenerateOptions {
  uint32_t max_tokens = 0;           // 0: until the model stops or the context is full
  std::optional<Sampling> sampling;  // none: Engine::default_sampling()
  bool ignore_stop_tokens = false;
  std::vector<int32_t> reply_tokens;           // the reply begins with these; they are not delivered
  std::function<bool(const Token&)> on_token;  // on the engine's thread; false ends the generation
};

struct Reply {
  std::string text;
  std::vector<int32_t> tokens;
  lahar_stop_reason reason = LAHAR_STOP_TOKEN;
  uint32_t prompt_tokens = 0, reused_tokens = 0, generated_tokens = 0;
  double prefill_seconds = 0, decode_seconds = 0;
  uint64_t expert_reads = 0, expert_hits = 0, expert_bytes_copied = 0;  // see lahar_generate_result
};

struct Trace {
  uint64_t serial = 0;  // 0: there has been none
  uint32_t context = 0;
  bool timed = false;
  std::vector<lahar_trace_node> nodes;
};

struct Message {
  std::string role, content;
};

namespace detail {

template <typename Handle, void (*kDestroy)(Handle*)>
struct Destroy {
  void operator()(Handle* handle) const { kDestroy(handle); }
};
using RuntimeHandle = std::unique_ptr<lahar_runtime, Destroy<lahar_runtime, lahar_runtime_destroy>>;
using ModelHandle = std::unique_ptr<lahar_model, Destroy<lahar_model, lahar_model_destroy>>;
using EngineHandle = std::unique_ptr<lahar_engine, Destroy<lahar_engine, lahar_engine_destroy>>;

inline void check(lahar_status status, const char* text) {
  if (status != LAHAR_OK) throw Error(status, text[0] != '\0' ? text : lahar_status_name(status));
}

// Calls `write(out, capacity, &count)` until all fits: one call where `guess` was enough, two where it was not.
template <typename Container, typename Write>
Container collect(size_t guess, const Write& write, const std::function<const char*()>& error) {
  Container out(guess, typename Container::value_type{});
  for (;;) {
    size_t count = 0;
    const lahar_status status = write(out.data(), out.size(), &count);
    if (status != LAHAR_LIMIT || count <= out.size()) check(status, error());
    const bool all = status == LAHAR_OK;
    out.resize(count);
    if (all) return out;
  }
}

inline void append_json_string(std::string& json, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  json += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      json += "\\u00";
      json += kHex[static_cast<unsigned char>(c) >> 4];
      json += kHex[static_cast<unsigned char>(c) & 15];
    } else {
      json += c;
    }
  }
  json += '"';
}

}  // namespace detail

// The JSON that Model::apply_template, Model::tokenize_chat and Engine::chat take, of messages that are plain text.
inline std::string chat_json(std::span<const Message> messages) {
  std::string json = "{\"messages\":[";
  for (size_t i = 0; i < messages.size(); ++i) {
    json += i == 0 ? "{\"role\":" : ",{\"role\":";
    detail::append_json_string(json, messages[i].role);
    json += ",\"content\":";
    detail::append_json_string(json, messages[i].content);
    json += '}';
  }
  return json + "]}";
}

class Runtime {
 public:
  explicit Runtime(LogFunction log = {}, LogLevel least = LogLevel::kInfo) {
    lahar_runtime_options options = LAHAR_RUNTIME_OPTIONS_INIT;
    if (log) {
      log_ = std::make_shared<const LogFunction>(std::move(log));
      options.log = [](void* user, lahar_log_level level, const char* text) noexcept {
        try {
          (*static_cast<const LogFunction*>(user))(static_cast<LogLevel>(level), text);
        } catch (...) {}
      };
      options.log_user = const_cast<LogFunction*>(log_.get());
      options.log_level = static_cast<lahar_log_level>(least);
    }
    lahar_runtime* handle = nullptr;
    detail::check(lahar_runtime_create(&options, &handle), "");
    handle_.reset(handle);
  }

  std::vector<Device> devices() const {
    size_t count = 0;
    check(lahar_list_devices(get(), nullptr, 0, &count));
    std::vector<lahar_device> found(count);
    for (lahar_device& device : found) device.size = sizeof(device);
    check(lahar_list_devices(get(), found.data(), found.size(), &count));
    if (count < found.size()) found.resize(count);
    std::vector<Device> devices;
    for (const lahar_device& d : found)
      devices.push_back({d.index, d.type, d.name, d.uuid, d.driver, d.refusal, d.memory_bytes, d.available_bytes});
    return devices;
  }

  // What a VkDevice has to be created with for engines to share it. The pointers in it live as long as the runtime.
  lahar_vulkan_needs vulkan_requirements(void* instance, void* physical_device,
                                         lahar_vulkan_function get_instance_proc_addr = nullptr) const {
    lahar_vulkan_needs needs{};
    needs.size = sizeof(needs);
    check(lahar_vulkan_requirements(get(), instance, physical_device, get_instance_proc_addr, &needs));
    return needs;
  }

  lahar_runtime* get() const { return handle_.get(); }

 private:
  friend class Model;
  void check(lahar_status status) const { detail::check(status, lahar_runtime_error(get())); }
  std::shared_ptr<const LogFunction> log_;  // outlives the handle, and what is made from it
  detail::RuntimeHandle handle_;
};

class Model {
 public:
  // A GGUF file, or a Hugging Face folder.
  static Model open(const Runtime& runtime, const std::string& path) {
    lahar_model* handle = nullptr;
    runtime.check(lahar_model_open(runtime.get(), path.c_str(), &handle));
    return Model(runtime.log_, handle);
  }
  // A GGUF in memory, which must stay as it is until the model and all engines made from it are destroyed.
  static Model from_memory(const Runtime& runtime, std::span<const std::byte> gguf) {
    lahar_model* handle = nullptr;
    runtime.check(lahar_model_open_memory(runtime.get(), gguf.data(), gguf.size(), &handle));
    return Model(runtime.log_, handle);
  }

  // flags: of lahar_tokenize_flags
  std::vector<int32_t> tokenize(std::string_view text, uint32_t flags = 0) const {
    return collect<std::vector<int32_t>>(text.size() / 2 + 8, [&](int32_t* ids, size_t capacity, size_t* count) {
      return lahar_tokenize(get(), text.data(), text.size(), flags, ids, capacity, count);
    });
  }
  std::string detokenize(std::span<const int32_t> ids) const {
    return collect<std::string>(ids.size() * 8, [&](char* text, size_t capacity, size_t* length) {
      return lahar_detokenize(get(), ids.data(), ids.size(), text, capacity, length);
    });
  }
  std::string apply_template(const std::string& json) const {
    return collect<std::string>(json.size() + 256, [&](char* text, size_t capacity, size_t* length) {
      return lahar_apply_template(get(), json.c_str(), text, capacity, length);
    });
  }
  std::vector<int32_t> tokenize_chat(const std::string& json) const {
    return collect<std::vector<int32_t>>(json.size() / 2 + 64, [&](int32_t* ids, size_t capacity, size_t* count) {
      return lahar_tokenize_chat(get(), json.c_str(), ids, capacity, count);
    });
  }

  // Would it fit? Loads nothing.
  MemoryPlan plan(const EngineOptions& options = {}) const {
    const lahar_engine_options o = engine_options(options);
    lahar_memory_plan plan{};
    plan.size = sizeof(plan);
    check(lahar_plan(get(), &o, &plan));
    return {plan.weights_bytes, plan.kv_bytes,  plan.scratch_bytes,      plan.available_bytes,
            plan.context,       plan.fits != 0, plan.expert_cache_bytes, plan.host_bytes};
  }

  lahar_model* get() const { return handle_.get(); }

 private:
  friend class Engine;
  Model(std::shared_ptr<const LogFunction> log, lahar_model* handle) : log_(std::move(log)), handle_(handle) {}
  void check(lahar_status status) const { detail::check(status, lahar_model_error(get())); }
  template <typename Container, typename Write>
  Container collect(size_t guess, const Write& write) const {
    return detail::collect<Container>(guess, write, [this] { return lahar_model_error(get()); });
  }
  // Points into `options`; without the progress.
  static lahar_engine_options engine_options(const EngineOptions& options) {
    lahar_engine_options o = LAHAR_ENGINE_OPTIONS_INIT;
    o.device = options.device.empty() ? nullptr : options.device.c_str();
    o.context = options.context;
    o.chunk = options.chunk;
    o.quantize = static_cast<lahar_quantize>(options.quantize);
    o.full_precision = options.full_precision ? 1 : 0;
    o.memory_cap = options.memory_cap;
    o.expert_cache = options.expert_cache;
    o.kv = static_cast<lahar_kv>(options.kv);
    o.streaming_sinks = options.streaming_sinks;
    o.streaming_window = options.streaming_window;
    o.vulkan = options.vulkan;
    o.alternatives = options.alternatives;
    o.time_slice = options.time_slice;
    o.rope_scaling = static_cast<lahar_rope_scaling>(options.rope_scaling);
    o.rope_original_context = options.rope_original_context;
    o.rope_scale = options.rope_scale;
    return o;
  }

  std::shared_ptr<const LogFunction> log_;
  detail::ModelHandle handle_;
};

class Engine {
 public:
  // Loads the model onto a device. Throws Error with LAHAR_CANCELLED where options.progress said false.
  explicit Engine(const Model& model, const EngineOptions& options = {}) : log_(model.log_) {
    struct Loading {
      const EngineOptions& options;
      std::exception_ptr thrown;
    } loading{options, nullptr};
    lahar_engine_options o = Model::engine_options(options);
    if (options.progress) {
      o.progress_user = &loading;
      o.progress = [](void* user, uint64_t done, uint64_t total) noexcept -> int {
        Loading& loading = *static_cast<Loading*>(user);
        try {
          return loading.options.progress(done, total) ? 0 : 1;
        } catch (...) {
          loading.thrown = std::current_exception();
          return 1;
        }
      };
    }
    lahar_engine* handle = nullptr;
    const lahar_status status = lahar_engine_open(model.get(), &o, &handle);
    handle_.reset(handle);
    if (loading.thrown) std::rethrow_exception(loading.thrown);
    model.check(status);
  }

  // Each blocks until the reply has ended. One that cancel() or on_token ends is returned as far as it came; Error with
  // LAHAR_CANCELLED where the engine was destroyed meanwhile.
  Reply chat(const std::string& json, const GenerateOptions& options = {}) const {
    lahar_generate_options o = LAHAR_GENERATE_OPTIONS_INIT;
    o.chat_json = json.c_str();
    return generate(o, options);
  }
  Reply chat(std::span<const Message> messages, const GenerateOptions& options = {}) const {
    return chat(chat_json(messages), options);
  }
  // Continues the text as it is.
  Reply complete(const std::string& text, const GenerateOptions& options = {}) const {
    lahar_generate_options o = LAHAR_GENERATE_OPTIONS_INIT;
    o.text = text.c_str();
    return generate(o, options);
  }
  Reply complete(std::span<const int32_t> tokens, const GenerateOptions& options = {}) const {
    const int32_t none = 0;
    lahar_generate_options o = LAHAR_GENERATE_OPTIONS_INIT;
    o.tokens = tokens.empty() ? &none : tokens.data();
    o.token_count = tokens.size();
    return generate(o, options);
  }

  // The sequence in the KV cache as bytes, and back from them; see lahar_save_sequence and lahar_restore_sequence.
  std::vector<std::byte> save_sequence() const {
    return detail::collect<std::vector<std::byte>>(
        0, [this](std::byte* out, size_t capacity, size_t* size) { return lahar_save_sequence(get(), out, capacity, size); },
        [this] { return lahar_engine_error(get()); });
  }
  void restore_sequence(std::span<const std::byte> bytes) const {
    check(lahar_restore_sequence(get(), bytes.data(), bytes.size()));
  }

  void cancel() const { lahar_cancel(get()); }
  uint32_t context() const { return lahar_engine_context(get()); }
  Sampling default_sampling() const {
    lahar_sampling s{};
    s.size = sizeof(s);
    lahar_default_sampling(get(), &s);
    return {s.temperature, s.top_k, s.top_p, s.min_p, s.seed};
  }

  // ---- a look inside; any thread, while a reply is being made too ----
  lahar_engine_info info() const {
    return filled<lahar_engine_info>([this](lahar_engine_info* info) { return lahar_get_engine_info(get(), info); });
  }
  lahar_layer_info layer(uint32_t index) const {
    return filled<lahar_layer_info>([&](lahar_layer_info* info) { return lahar_get_layer_info(get(), index, info); });
  }
  lahar_memory memory() const {
    return filled<lahar_memory>([this](lahar_memory* memory) { return lahar_get_memory(get(), memory); });
  }
  std::vector<lahar_kv_page> kv_pages() const {
    size_t count = 0;
    check(lahar_get_kv_pages(get(), nullptr, 0, &count));
    std::vector<lahar_kv_page> pages(count);
    check(lahar_get_kv_pages(get(), pages.data(), pages.size(), &count));
    return pages;
  }
  uint64_t step_bytes(uint32_t context) const { return lahar_step_bytes(get(), context); }
  double measure_copy_rate() const {
    double rate = 0;
    check(lahar_measure_copy_rate(get(), &rate));
    return rate;
  }
  void set_time_slice(float milliseconds) const { check(lahar_set_time_slice(get(), milliseconds)); }
  void request_trace() const { check(lahar_request_trace(get())); }
  Trace trace() const {
    Trace trace;
    lahar_trace info{};
    info.size = sizeof(info);
    size_t count = 0, capacity = 0;
    do {  // another trace may come in between
      trace.nodes.resize(capacity = count);
      check(lahar_get_trace(get(), &info, trace.nodes.data(), capacity, &count));
    } while (count > capacity);
    trace.nodes.resize(count);
    trace.serial = info.serial;
    trace.context = info.context;
    trace.timed = info.timed != 0;
    return trace;
  }

  lahar_engine* get() const { return handle_.get(); }

 private:
  void check(lahar_status status) const { detail::check(status, status == LAHAR_OK ? "" : lahar_engine_error(get())); }
  template <typename T, typename Read>
  T filled(const Read& read) const {
    T value{};
    value.size = sizeof(value);
    check(read(&value));
    return value;
  }

  struct Call {
    const std::function<bool(const Token&)> on_token;
    Reply reply;
    std::exception_ptr thrown;

    bool take(const lahar_token& token) {
      const std::string_view text(token.text, token.text_length);
      reply.text += text;
      if (token.id >= 0) reply.tokens.push_back(token.id);
      const std::span<const lahar_alternative> alternatives(token.alternatives, token.alternative_count);
      return !on_token || on_token({token.id, text, token.logprob, token.entropy, token.position, alternatives});
    }
  };

  // The engine may be destroyed inside on_token: after the call nothing of it is touched unless the call succeeded.
  Reply generate(lahar_generate_options& o, const GenerateOptions& options) const {
    const std::shared_ptr<const LogFunction> log = log_;
    lahar_sampling sampling{};
    if (options.sampling) {
      const Sampling& s = *options.sampling;
      sampling = {sizeof(sampling), s.temperature, s.top_k, s.top_p, s.min_p, s.seed};
      o.sampling = &sampling;
    }
    o.max_tokens = options.max_tokens;
    o.ignore_stop_tokens = options.ignore_stop_tokens ? 1 : 0;
    o.reply_tokens = options.reply_tokens.data();
    o.reply_count = options.reply_tokens.size();
    Call call{options.on_token, {}, nullptr};
    o.user = &call;
    o.callback = [](void* user, const lahar_token* token) noexcept -> int {
      Call& call = *static_cast<Call*>(user);
      try {
        return call.take(*token) ? 0 : 1;
      } catch (...) {
        call.thrown = std::current_exception();
        return 1;
      }
    };
    lahar_generate_result result{};
    result.size = sizeof(result);
    const lahar_status status = lahar_generate(get(), &o, &result);
    if (call.thrown) std::rethrow_exception(call.thrown);
    if (status == LAHAR_CANCELLED) throw Error(status, "the engine was destroyed");
    detail::check(status, status == LAHAR_OK ? "" : lahar_engine_error(get()));
    Reply& reply = call.reply;
    reply.reason = result.reason;
    reply.prompt_tokens = result.prompt_tokens;
    reply.reused_tokens = result.reused_tokens;
    reply.generated_tokens = result.generated_tokens;
    reply.prefill_seconds = result.prefill_seconds;
    reply.decode_seconds = result.decode_seconds;
    reply.expert_reads = result.expert_reads;
    reply.expert_hits = result.expert_hits;
    reply.expert_bytes_copied = result.expert_bytes_copied;
    return std::move(reply);
  }

  std::shared_ptr<const LogFunction> log_;
  detail::EngineHandle handle_;
};

}  // namespace cpp
}  // namespace lahar

#endif
