#include "api/watch.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "api/boundary.h"
#include "engine/step_cost.h"

namespace lahar::api {
namespace {

// A label of the recorder, "L3 qkv", as layer and name.
void split_label(std::string_view label, lahar_trace_node& node) {
  node.layer = -1;
  const size_t space = label.find(' ');
  if (label.starts_with('L') && space != std::string_view::npos && space > 1) {
    int layer = 0;
    const auto [end, error] = std::from_chars(label.data() + 1, label.data() + space, layer);
    if (error == std::errc{} && end == label.data() + space) {
      node.layer = layer;
      label.remove_prefix(space + 1);
    }
  }
  copy_text(node.label, label);
}

}  // namespace

void Watch::set_kv(const KvView& view) {
  const std::lock_guard lock(mutex_);
  pages_.assign(view.pages.begin(), view.pages.end());
  tokens_ = view.tokens;
  pool_pages_ = view.pool_pages;
}

std::vector<lahar_kv_page> Watch::kv_pages() const {
  const std::lock_guard lock(mutex_);
  std::vector<lahar_kv_page> pages(pool_pages_, {.sequence = -1, .index = 0, .tokens = 0});
  for (uint32_t i = 0; i < pages_.size(); ++i) {
    if (pages_[i] >= pages.size()) continue;
    const uint32_t before = i * params::kPageTokens;
    pages[pages_[i]] = {0, i, tokens_ > before ? std::min(tokens_ - before, params::kPageTokens) : 0};
  }
  return pages;
}

void Watch::set_trace(const StepTrace& step, uint32_t context, const ModelSpec& spec, const KvPageLayout& layout) {
  std::vector<lahar_trace_node> nodes;
  for (const TracedNode& traced : step.nodes) {
    lahar_trace_node& node = nodes.emplace_back();
    split_label(traced.label, node);
    copy_text(node.kernel, traced.kernel);
    node.begin_ns = traced.begin_ns;
    node.duration_ns = traced.duration_ns;
    node.bytes = traced.bytes;
    if (traced.reads_kv && node.layer >= 0 && static_cast<size_t>(node.layer) < spec.layers.size())
      node.bytes += layer_kv_bytes(spec, layout, static_cast<size_t>(node.layer), context);
  }
  const std::lock_guard lock(mutex_);
  ++trace_.info.serial;
  trace_.info.context = context;
  trace_.info.timed = step.timed ? 1 : 0;
  trace_.nodes = std::move(nodes);
}

Watch::Trace Watch::trace() const {
  const std::lock_guard lock(mutex_);
  return trace_;
}

std::vector<lahar_alternative> likeliest(std::span<const float> logits, uint32_t count) {
  std::vector<lahar_alternative> best(std::min<size_t>(count, logits.size()));
  if (best.empty()) return best;
  const float highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - highest);
  const auto log_sum = static_cast<float>(highest + std::log(sum));
  std::vector<int32_t> ids(logits.size());
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
  const auto larger = [&](int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
  std::partial_sort(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(best.size()), ids.end(), larger);
  for (size_t i = 0; i < best.size(); ++i) best[i] = {ids[i], logits[ids[i]] - log_sum};
  return best;
}

}  // namespace lahar::api
