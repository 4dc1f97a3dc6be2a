// lahar inspect: what is in a model's files, and what running it would need.
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/session.h"

namespace lahar::cli {
namespace {

struct State {
  ModelOptions model;
  bool json = false;
};

using Json = nlohmann::ordered_json;

constexpr uint64_t kShownElements = 8;

Json to_json(const GgufValue& value) {
  struct Visitor {
    Json operator()(std::string_view s) const { return std::string(s); }
    Json operator()(const GgufArray& a) const {
      Json first = Json::array();
      for (uint64_t i = 0; i < std::min(a.count, kShownElements); ++i) {
        if (a.element == GgufType::kString) first.push_back(std::string(a.strings[i]));
        else if (a.element != GgufType::kArray) first.push_back(a.number(i));
      }
      return {{"count", a.count}, {"first", first}};
    }
    Json operator()(uint64_t v) const { return v; }
    Json operator()(int64_t v) const { return v; }
    Json operator()(double v) const { return v; }
    Json operator()(bool v) const { return v; }
  };
  return std::visit(Visitor{}, value);
}

Json metadata_json(const ModelSource& source) {
  Json metadata = Json::object();
  if (source.gguf() != nullptr)
    for (const GgufEntry& e : source.gguf()->metadata().entries()) metadata[std::string(e.key)] = to_json(e.value);
  else metadata = Json::parse(source.hf()->config().dump(-1, ' ', false, Json::error_handler_t::replace));
  return metadata;
}

Json tensors_json(const ModelSource& source) {
  Json tensors = Json::array();
  for (const TensorView& t : source.tensors()) {
    const auto dims = t.shape.dims();
    tensors.push_back({{"name", t.name},
                       {"type", to_string(t.dtype)},
                       {"shape", std::vector<uint64_t>(dims.begin(), dims.end())},
                       {"bytes", t.data.size()}});
  }
  return tensors;
}

// What Lahar would need here; an object with "error" where it cannot run the model.
Json memory_json(const State& state, const ModelSource& source) {
  const auto compute = [&]() -> Result<Json> {
    LAHAR_ASSIGN(const auto device, open_device(state.model.device, Log{}));
    LAHAR_ASSIGN(const OpenOptions options, open_options(state.model));
    LAHAR_ASSIGN(const MemoryPlan plan, plan_engine(*device, source, options));
    return Json{{"device", device->caps().info.name},
                {"weights", plan.weights},
                {"kv_pool", plan.kv_pool},
                {"states", plan.states},
                {"scratch", plan.scratch},
                {"total", plan.total()},
                {"available", plan.available},
                {"context", plan.context},
                {"fits", plan.fits()},
                {"text", plan.describe()}};
  };
  auto result = compute();
  return result.ok() ? *result : Json{{"error", result.error().message}};
}

std::string dump(const Json& json, int indent = -1) { return json.dump(indent, ' ', false, Json::error_handler_t::replace); }

void print_text(const Json& all) {
  std::printf("%s\n\nmetadata\n", all["model"].get<std::string>().c_str());
  for (const auto& [key, value] : all["metadata"].items()) {
    std::string text = dump(value);
    if (text.size() > 100) text = text.substr(0, 97) + "...";
    std::printf("  %-44s %s\n", key.c_str(), text.c_str());
  }
  std::printf("\ntensors\n");
  std::map<std::string, std::pair<uint64_t, uint64_t>> by_type;
  uint64_t total = 0;
  for (const Json& t : all["tensors"]) {
    const auto bytes = t["bytes"].get<uint64_t>();
    std::printf("  %-44s %-6s %-18s %s\n", t["name"].get<std::string>().c_str(), t["type"].get<std::string>().c_str(),
                dump(t["shape"]).c_str(), format_bytes(bytes).c_str());
    auto& [count, sum] = by_type[t["type"].get<std::string>()];
    ++count, sum += bytes, total += bytes;
  }
  std::printf("\n%zu tensors, %s:", all["tensors"].size(), format_bytes(total).c_str());
  for (const auto& [type, entry] : by_type)
    std::printf(" %llu %s (%s)", static_cast<unsigned long long>(entry.first), type.c_str(),
                format_bytes(entry.second).c_str());
  const Json& memory = all["memory"];
  if (memory.contains("error")) std::printf("\ncannot be run here: %s\n", memory["error"].get<std::string>().c_str());
  else std::printf("\n%s: %s\n", memory["device"].get<std::string>().c_str(), memory["text"].get<std::string>().c_str());
}

Status run(const State& state) {
  LAHAR_ASSIGN(const auto source, open_source(state.model.model));
  Json all;
  all["model"] = source->name();
  all["architecture"] = std::string(source->architecture());
  all["metadata"] = metadata_json(*source);
  all["tensors"] = tensors_json(*source);
  all["memory"] = memory_json(state, *source);
  if (state.json) std::printf("%s\n", dump(all, 1).c_str());
  else print_text(all);
  return {};
}

}  // namespace

void add_inspect(CLI::App& program, Action& chosen) {
  auto state = std::make_shared<State>();
  CLI::App* command = add_command(program, "inspect", "Metadata, tensors and memory need of a model", chosen, run, state);
  add_model_options(*command, state->model);
  command->add_flag("--json", state->json, "As JSON");
}

}  // namespace lahar::cli
