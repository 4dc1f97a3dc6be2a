// A look inside an engine: memory, pages, traces, rates.
#include <cmath>

#include "api/engine_state.h"
#include "engine/step_cost.h"
#include "tune/device_rates.h"

using namespace lahar;
using namespace lahar::api;

namespace lahar::api {
namespace {

constexpr float kLongestSlice = 1000;  // milliseconds

lahar_engine_info info_of(const Engine& engine) {
  lahar_engine_info info{};
  copy_text(info.architecture, engine.spec().architecture);
  copy_text(info.name, engine.spec().name);
  copy_text(info.device, engine.device().caps().info.name);
  info.layers = static_cast<uint32_t>(engine.spec().layers.size());
  info.vocabulary = engine.spec().vocabulary;
  info.context = engine.context();
  info.page_tokens = params::kPageTokens;
  info.pages = engine.kv().pages();
  info.page_bytes = engine.kv().layout().page_bytes;
  info.weights_bytes = engine.weight_bytes();
  info.kv_bytes = engine.kv().bytes() + engine.memory().states;
  info.scratch_bytes = engine.memory().scratch;
  return info;
}

Result<lahar_layer_info> layer_of(const Engine& engine, uint32_t layer) {
  const auto& layers = engine.spec().layers;
  if (layer >= layers.size())
    return Error{ErrorCode::kInvalidArgument,
                 "there is no layer " + std::to_string(layer) + "; the model has " + std::to_string(layers.size())};
  lahar_layer_info info{};
  info.kv_heads = layers[layer].attention.kv_heads;
  info.head_dim = layers[layer].attention.head_dim;
  info.window = layers[layer].attention.window;
  return info;
}

lahar_memory memory_of(const Engine& engine) {
  const gpu::MemoryUse use = engine.device().memory_use();
  lahar_memory memory{};
  memory.used = use.used;
  memory.budget = use.budget;
  return memory;
}

// `read` gives a Result<T> of the engine; it is written to the caller's struct.
template <typename T, typename Read>
lahar_status fill_struct(lahar_engine* engine, T* out, const char* name, const Read& read) {
  if (engine == nullptr) return LAHAR_INVALID_ARGUMENT;
  const auto state = engine->state;
  return guard(&state->error, [&]() -> Status {
    if (out == nullptr) return null_argument(name);
    LAHAR_ASSIGN(const size_t size, struct_size(out, sizeof(T), name));
    write_struct(out, size, T{});
    Result<T> value = T{};
    LAHAR_TRY(state->with_engine([&](Engine& e) { value = read(e); }));
    LAHAR_ASSIGN(const T filled, std::move(value));
    write_struct(out, size, filled);
    return {};
  });
}

template <typename Body>
lahar_status on_engine(lahar_engine* engine, const Body& body) {
  if (engine == nullptr) return LAHAR_INVALID_ARGUMENT;
  const auto state = engine->state;
  return guard(&state->error, [&]() -> Status { return body(*state); });
}

Status get_trace(EngineState& state, lahar_trace* trace, lahar_trace_node* nodes, size_t capacity, size_t* count) {
  if (count == nullptr) return null_argument("count");
  if (nodes == nullptr && capacity > 0) return null_argument("nodes");
  const Watch::Trace last = state.watch().trace();
  if (trace != nullptr) {
    LAHAR_ASSIGN(const size_t size, struct_size(trace, sizeof(*trace), "lahar_trace"));
    write_struct(trace, size, last.info);
  }
  *count = last.nodes.size();
  std::copy_n(last.nodes.begin(), std::min(capacity, last.nodes.size()), nodes);
  return {};
}

}  // namespace

Result<double> slice_seconds(float milliseconds) {
  if (!(milliseconds >= 0) || milliseconds > kLongestSlice)
    return Error{ErrorCode::kInvalidArgument,
                 "a time slice of " + std::to_string(milliseconds) + " milliseconds; 0 (none) to 1000 are possible"};
  return milliseconds / 1000.0;
}

}  // namespace lahar::api

lahar_status lahar_get_engine_info(lahar_engine* engine, lahar_engine_info* info) {
  return fill_struct(engine, info, "lahar_engine_info", [](Engine& e) -> Result<lahar_engine_info> { return info_of(e); });
}

lahar_status lahar_get_layer_info(lahar_engine* engine, uint32_t layer, lahar_layer_info* info) {
  return fill_struct(engine, info, "lahar_layer_info", [&](Engine& e) { return layer_of(e, layer); });
}

lahar_status lahar_get_memory(lahar_engine* engine, lahar_memory* memory) {
  return fill_struct(engine, memory, "lahar_memory", [](Engine& e) -> Result<lahar_memory> { return memory_of(e); });
}

lahar_status lahar_get_kv_pages(lahar_engine* engine, lahar_kv_page* pages, size_t capacity, size_t* count) {
  if (count != nullptr) *count = 0;
  return on_engine(engine, [&](EngineState& state) -> Status {
    if (count == nullptr) return null_argument("count");
    if (pages == nullptr && capacity > 0) return null_argument("pages");
    const std::vector<lahar_kv_page> all = state.watch().kv_pages();
    *count = all.size();
    std::copy_n(all.begin(), std::min(capacity, all.size()), pages);
    return {};
  });
}

uint64_t lahar_step_bytes(lahar_engine* engine, uint32_t context) {
  uint64_t bytes = 0;
  on_engine(engine, [&](EngineState& state) {
    return state.with_engine([&](Engine& e) {
      bytes = step_weight_bytes(e.spec(), e.model().weights) + row_kv_bytes(e.spec(), e.kv().layout(), context);
    });
  });
  return bytes;
}

lahar_status lahar_measure_copy_rate(lahar_engine* engine, double* bytes_per_second) {
  if (bytes_per_second != nullptr) *bytes_per_second = 0;
  return on_engine(engine, [&](EngineState& state) -> Status {
    if (bytes_per_second == nullptr) return null_argument("bytes_per_second");
    return state.run([&](Engine& e) -> Status {
      LAHAR_ASSIGN(*bytes_per_second, tune::measure_copy_rate(e.device()));
      return {};
    });
  });
}

lahar_status lahar_set_time_slice(lahar_engine* engine, float milliseconds) {
  return on_engine(engine, [&](EngineState& state) -> Status {
    LAHAR_ASSIGN(const double seconds, slice_seconds(milliseconds));
    return state.with_engine([&](Engine& e) { e.steps().set_time_slice(seconds); });
  });
}

lahar_status lahar_request_trace(lahar_engine* engine) {
  return on_engine(engine, [&](EngineState& state) -> Status {
    state.watch().request_trace();
    return {};
  });
}

lahar_status lahar_get_trace(lahar_engine* engine, lahar_trace* trace, lahar_trace_node* nodes, size_t capacity,
                             size_t* count) {
  if (count != nullptr) *count = 0;
  return on_engine(engine, [&](EngineState& state) { return get_trace(state, trace, nodes, capacity, count); });
}
