// lahar bench --trace: where the time of one step goes.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/bench.h"
#include "engine/step_bench.h"

namespace lahar::cli {
namespace {

using Json = nlohmann::ordered_json;

// A label of the recorder, taken apart: "L3 qkv" is layer 3 and "qkv"; layer -1: outside the layers.
struct Label {
  int layer = -1;
  std::string op;
};
Label parse(const std::string& label) {
  Label parsed{-1, label};
  const size_t space = label.find(' ');
  if (label.size() < 3 || label[0] != 'L' || space == std::string::npos) return parsed;
  int layer = 0;
  const auto [end, error] = std::from_chars(label.data() + 1, label.data() + space, layer);
  if (error != std::errc{} || end != label.data() + space) return parsed;
  return {layer, label.substr(space + 1)};
}

struct Family {
  std::string op, kernel;
  uint32_t dispatches = 0, barriers = 0;
  double ns = 0;
};

// In the order of their first node.
std::vector<Family> families_of(const StepTrace& trace) {
  std::vector<Family> families;
  for (const TracedNode& node : trace.nodes) {
    const std::string op = parse(node.label).op;
    auto found = std::find_if(families.begin(), families.end(),
                              [&](const Family& f) { return f.op == op && f.kernel == node.kernel; });
    if (found == families.end()) found = families.insert(families.end(), {op, node.kernel});
    ++found->dispatches;
    found->barriers += node.barrier_before ? 1 : 0;
    found->ns += node.duration_ns;
  }
  return families;
}

// "8", or "7 to 8" where layers differ.
std::string range_of(const std::map<int, uint32_t>& by_layer) {
  if (by_layer.empty()) return "0";
  const auto [least, most] = std::minmax_element(by_layer.begin(), by_layer.end(),
                                                 [](const auto& a, const auto& b) { return a.second < b.second; });
  if (least->second == most->second) return std::to_string(most->second);
  return std::to_string(least->second) + " to " + std::to_string(most->second);
}

void print(const std::string& name, const StepTrace& trace) {
  std::map<int, uint32_t> dispatches, barriers;
  uint32_t all_barriers = 0;
  double total = 0, end = 0;
  for (const TracedNode& node : trace.nodes) {
    total += node.duration_ns;
    end = std::max(end, node.begin_ns + node.duration_ns);
    all_barriers += node.barrier_before ? 1 : 0;
    if (const int layer = parse(node.label).layer; layer >= 0) {
      ++dispatches[layer];
      barriers[layer] += node.barrier_before ? 1 : 0;
    }
  }
  std::printf("%s: %zu dispatches, %u barriers; %s dispatches a layer, %s barriers a layer", name.c_str(),
              trace.nodes.size(), all_barriers, range_of(dispatches).c_str(), range_of(barriers).c_str());
  if (trace.timed)
    std::printf("; %.3f ms from first to last, %.3f ms of them between ops", end / 1e6, std::max(0.0, end - total) / 1e6);
  std::printf("\n\n| op | kernel | dispatches | barriers | us | share |\n|---|---|---:|---:|---:|---:|\n");
  for (const Family& f : families_of(trace)) {
    char us[32] = "-";
    if (trace.timed) std::snprintf(us, sizeof(us), "%.1f", f.ns / 1e3);
    std::printf("| %s | %s | %u | %u | %s | %s |\n", f.op.c_str(), f.kernel.c_str(), f.dispatches, f.barriers, us,
                share_of(f.ns, total).c_str());
  }
  std::printf("\n");
}

Json span(const std::string& name, const char* category, double begin_ns, double duration_ns, int process, int thread) {
  return {{"name", name},   {"cat", category}, {"ph", "X"}, {"ts", begin_ns / 1e3}, {"dur", duration_ns / 1e3},
          {"pid", process}, {"tid", thread}};
}

// One step as a process with two threads: its layers, and its ops.
void add_events(Json& events, int process, const std::string& name, const StepTrace& trace) {
  constexpr int kLayers = 1, kOps = 2;
  const auto meta = [&](const char* what, int thread, const std::string& value) {
    events.push_back({{"name", what}, {"ph", "M"}, {"pid", process}, {"tid", thread}, {"args", {{"name", value}}}});
  };
  meta("process_name", 0, name);
  meta("thread_name", kLayers, "layers");
  meta("thread_name", kOps, "ops");
  std::map<int, std::pair<double, double>> layers;  // begin and end, ns
  for (const TracedNode& node : trace.nodes) {
    Json event = span(node.label, node.kernel.c_str(), node.begin_ns, node.duration_ns, process, kOps);
    event["args"] = {{"kernel", node.kernel},
                     {"groups", {node.groups.x, node.groups.y, node.groups.z}},
                     {"barrier before", node.barrier_before}};
    events.push_back(std::move(event));
    if (const int layer = parse(node.label).layer; layer >= 0) {
      const auto [it, first] = layers.try_emplace(layer, node.begin_ns, 0.0);
      it->second.second = std::max(it->second.second, node.begin_ns + node.duration_ns);
    }
  }
  for (const auto& [layer, times] : layers)
    events.push_back(
        span("layer " + std::to_string(layer), "layer", times.first, times.second - times.first, process, kLayers));
}

Status write(const std::string& path, const Session& session, const std::vector<std::pair<std::string, StepTrace>>& steps) {
  Json events = Json::array();
  for (size_t i = 0; i < steps.size(); ++i) add_events(events, static_cast<int>(i) + 1, steps[i].first, steps[i].second);
  const gpu::Caps& caps = session.device->caps();
  const Json file = {
      {"traceEvents", std::move(events)},
      {"displayTimeUnit", "ns"},
      {"otherData", {{"model", session.source->name()}, {"device", caps.info.name}, {"driver", caps.info.driver_info}}}};
  std::ofstream out(path, std::ios::binary);
  out << file.dump(1, ' ', false, Json::error_handler_t::replace) << '\n';
  if (!out.flush()) return Error{ErrorCode::kIo, path + ": the trace could not be written"};
  return {};
}

}  // namespace

Status bench_trace(const BenchOptions& options) {
  BenchOptions wanted = options;
  if (!options.prompt_given) wanted.prompts.clear();
  const std::vector<BenchCase> cases = bench_cases(wanted);
  if (cases.empty()) return Error{ErrorCode::kInvalidArgument, "there is nothing to trace: -p or -n must be above 0"};
  LAHAR_ASSIGN(Session session, open_for(wanted, cases));
  StepBench bench(*session.engine);
  std::vector<std::pair<std::string, StepTrace>> steps;
  for (const BenchCase& c : cases) {
    StepTrace trace;
    for (int run = 0; run < 2; ++run) {  // the first one warms up
      LAHAR_ASSIGN(trace, c.prompt > 0 ? bench.trace_prefill(c.prompt, c.depth) : bench.trace_decode(c.depth, c.batch));
    }
    std::string name = c.prompt > 0 ? "a chunk of a prompt (" : "a decode step (";
    name += c.name() + ")";
    print(name, trace);
    steps.emplace_back(name, std::move(trace));
  }
  if (std::any_of(steps.begin(), steps.end(), [](const auto& step) { return !step.second.timed; }))
    return Error{
        ErrorCode::kUnsupported,
        session.device->caps().info.name + " gave no timestamps: dispatches and barriers are counted, no trace is written"};
  return write(options.trace, session, steps);
}

}  // namespace lahar::cli
