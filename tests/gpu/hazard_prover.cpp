#include "gpu/hazard_prover.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "gpu/transfer.h"

namespace lahar::test {
namespace {

using Bytes = std::vector<std::byte>;
using Snapshot = std::vector<Bytes>;          // one a buffer
using Mask = std::vector<std::vector<bool>>;  // one bit a byte, one vector a buffer

Result<Snapshot> save(gpu::Device& device, std::span<const gpu::Buffer* const> buffers) {
  Snapshot snapshot;
  for (const gpu::Buffer* buffer : buffers) {
    Bytes& bytes = snapshot.emplace_back(buffer->size());
    LAHAR_TRY(gpu::download(device, *buffer, bytes));
  }
  return snapshot;
}

Status restore(gpu::Device& device, std::span<const gpu::Buffer* const> buffers, const Snapshot& snapshot) {
  for (size_t i = 0; i < buffers.size(); ++i) LAHAR_TRY(gpu::upload(device, snapshot[i], *buffers[i]));
  return {};
}

Status run_list(gpu::Device& device, Result<gpu::CommandList> list) {
  if (!list.ok()) return list.error();
  const gpu::CommandList* lists[] = {&*list};
  LAHAR_ASSIGN(const uint64_t value, device.submit(lists));
  LAHAR_TRY(device.wait(value));
  return {};
}

Mask mask_of(std::span<const gpu::Buffer* const> buffers, std::span<const gpu::BufferRange> ranges) {
  Mask mask;
  for (const gpu::Buffer* buffer : buffers) mask.emplace_back(buffer->size(), false);
  for (const gpu::BufferRange& r : ranges)
    for (size_t i = 0; r && i < buffers.size(); ++i)
      if (buffers[i]->handle() == r.buffer->handle())
        std::fill_n(mask[i].begin() + static_cast<ptrdiff_t>(r.offset), r.size, true);
  return mask;
}

std::vector<gpu::BufferRange> reads_of(const gpu::Node& node) {
  std::vector<gpu::BufferRange> ranges = node.reads;
  ranges.push_back(node.indirect);
  ranges.push_back(node.source);
  return ranges;
}

std::vector<gpu::BufferRange> writes_of(const gpu::Node& node) {
  std::vector<gpu::BufferRange> ranges = node.writes;
  ranges.push_back(node.destination);
  return ranges;
}

class Prover {
 public:
  Prover(gpu::Device& device, std::span<const gpu::Buffer* const> buffers, const ProverOptions& options)
      : device_(device), buffers_(buffers), options_(options), random_(options.seed) {}

  Status prove(const std::function<Status(gpu::Recorder&)>& record) {
    gpu::Recorder recorder(device_);
    LAHAR_TRY(record(recorder));
    LAHAR_TRY(check_known(recorder));
    LAHAR_ASSIGN(const Snapshot start, save(device_, buffers_));
    LAHAR_TRY(prove_order(recorder, start));
    LAHAR_TRY(restore(device_, buffers_, start));
    for (size_t i = 0; i < recorder.nodes().size(); ++i) LAHAR_TRY(prove_node(recorder, i));
    return restore(device_, buffers_, start);
  }

  std::vector<std::string> violations;

 private:
  void report(const std::string& label, const std::string& what, size_t buffer, size_t byte) {
    violations.push_back(label + ": " + what + " (buffer " + std::to_string(buffer) + ", byte " + std::to_string(byte) +
                         ")");
  }

  Status check_known(const gpu::Recorder& recorder) {
    for (const gpu::Node& node : recorder.nodes()) {
      std::vector<gpu::BufferRange> ranges = reads_of(node);
      for (const gpu::BufferRange& r : writes_of(node)) ranges.push_back(r);
      for (const gpu::BufferRange& r : ranges)
        if (r && std::none_of(buffers_.begin(), buffers_.end(),
                              [&](const gpu::Buffer* b) { return b->handle() == r.buffer->handle(); }))
          return Error{ErrorCode::kInvalidArgument, node.label + " names a buffer that the prover was not given"};
    }
    return {};
  }

  Status prove_order(gpu::Recorder& recorder, const Snapshot& start) {
    LAHAR_TRY(run_list(device_, recorder.finish()));
    LAHAR_ASSIGN(const Snapshot expected, save(device_, buffers_));
    for (int trial = 0; trial <= options_.shuffles; ++trial) {
      gpu::RecordOptions how;
      how.order = trial == 0 ? gpu::RecordOptions::Order::kReversed : gpu::RecordOptions::Order::kShuffled;
      how.shuffle_seed = random_();
      LAHAR_TRY(restore(device_, buffers_, start));
      LAHAR_TRY(run_list(device_, recorder.finish(how)));
      LAHAR_ASSIGN(const Snapshot got, save(device_, buffers_));
      for (size_t b = 0; b < buffers_.size(); ++b) {
        const auto differ = std::mismatch(got[b].begin(), got[b].end(), expected[b].begin());
        if (differ.first != got[b].end())
          report("all nodes",
                 trial == 0 ? "the reversed order gives another result" : "a shuffled order gives another result", b,
                 static_cast<size_t>(differ.first - got[b].begin()));
      }
    }
    return {};
  }

  // The buffers hold what the nodes before this one have left; afterwards, what this one leaves.
  Status prove_node(gpu::Recorder& recorder, size_t index) {
    const gpu::Node& node = recorder.nodes()[index];
    const Mask reads = mask_of(buffers_, reads_of(node)), writes = mask_of(buffers_, writes_of(node));
    LAHAR_ASSIGN(const Snapshot before, save(device_, buffers_));
    LAHAR_TRY(run_list(device_, recorder.finish(index, index + 1)));
    LAHAR_ASSIGN(const Snapshot after, save(device_, buffers_));
    for (size_t b = 0; b < buffers_.size(); ++b)
      for (size_t i = 0; i < before[b].size(); ++i)
        if (!writes[b][i] && before[b][i] != after[b][i]) {
          report(node.label, "writes a byte that it does not declare", b, i);
          break;
        }

    Snapshot scrambled = before;
    for (size_t b = 0; b < buffers_.size(); ++b)
      for (size_t i = 0; i < before[b].size(); ++i)
        // Another value for certain, so that a byte that was kept can be told from one that was written.
        if (!reads[b][i]) scrambled[b][i] ^= static_cast<std::byte>(1 + random_() % 255);
    LAHAR_TRY(restore(device_, buffers_, scrambled));
    LAHAR_TRY(run_list(device_, recorder.finish(index, index + 1)));
    LAHAR_ASSIGN(const Snapshot again, save(device_, buffers_));
    for (size_t b = 0; b < buffers_.size(); ++b)
      for (size_t i = 0; i < before[b].size(); ++i) {
        const bool kept = again[b][i] == scrambled[b][i] && after[b][i] == before[b][i];
        if (writes[b][i] && again[b][i] != after[b][i] && !(kept && !reads[b][i])) {
          report(node.label, "depends on a byte that it does not declare as read; seen in what it writes", b, i);
          break;
        }
      }
    return restore(device_, buffers_, after);
  }

  gpu::Device& device_;
  std::span<const gpu::Buffer* const> buffers_;
  ProverOptions options_;
  std::mt19937_64 random_;
};

}  // namespace

std::vector<std::string> find_hazards(gpu::Device& device, const std::function<Status(gpu::Recorder&)>& record,
                                      std::span<const gpu::Buffer* const> buffers, const ProverOptions& options) {
  Prover prover(device, buffers, options);
  const Status proven = prover.prove(record);
  if (!proven.ok()) prover.violations.push_back(proven.error().message);
  return std::move(prover.violations);
}

void prove_hazards(gpu::Device& device, const std::function<Status(gpu::Recorder&)>& record,
                   std::span<const gpu::Buffer* const> buffers, const ProverOptions& options) {
  for (const std::string& violation : find_hazards(device, record, buffers, options))
    ADD_FAILURE() << violation << " (seed " << options.seed << ")";
}

}  // namespace lahar::test
