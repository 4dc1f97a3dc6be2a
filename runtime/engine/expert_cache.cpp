#include "engine/expert_cache.h"

#include <algorithm>
#include <cstring>

#include "gpu/transfer.h"

namespace lahar {
namespace {

// What is copied at a time at most, one expert at least: a batch is behind its steps by as long as it takes.
constexpr uint64_t kBatchBytes = 64ull << 20;

}  // namespace

Result<std::unique_ptr<ExpertCache>> ExpertCache::create(std::shared_ptr<gpu::Device> device, const ModelWeights& weights,
                                                         const ExpertCacheOptions& options) {
  std::unique_ptr<ExpertCache> cache(new ExpertCache(std::move(device)));
  cache->collect_experts(weights);
  LAHAR_TRY(cache->allocate_slots(options));
  LAHAR_TRY(cache->allocate_tables(options.ring));
  LAHAR_ASSIGN(cache->copies_, gpu::CopyQueue::create(cache->device_));
  return cache;
}

void ExpertCache::collect_experts(const ModelWeights& weights) {
  for (const LayerWeights& layer : weights.layers) {
    const std::vector<gpu::BufferRange>& slabs = layer.ffn.expert_slabs;
    layers_.push_back(
        {static_cast<uint32_t>(experts_.size()), static_cast<uint32_t>(slabs.size()), layer.ffn.expert_memory});
    for (const gpu::BufferRange& slab : slabs) {
      auto group = std::find_if(groups_.begin(), groups_.end(), [&](const Group& g) { return g.slab_bytes == slab.size; });
      if (group == groups_.end()) group = groups_.insert(groups_.end(), Group{.slab_bytes = slab.size});
      const auto index = static_cast<uint32_t>(group->experts.size());
      group->experts.push_back(static_cast<uint32_t>(experts_.size()));
      experts_.push_back({slab, static_cast<uint32_t>(group - groups_.begin()), index});
      table_.push_back(slab.address());
    }
  }
  counts_.assign(experts_.size(), 0);
}

// Each group gets the same share of its experts.
Status ExpertCache::allocate_slots(const ExpertCacheOptions& options) {
  uint64_t all = 0;
  for (const Group& group : groups_) all += group.slab_bytes * group.experts.size();
  const double share = all == 0 ? 0 : std::min(1.0, static_cast<double>(options.bytes) / static_cast<double>(all));
  const gpu::Caps& caps = device_->caps();
  const uint64_t most = std::min({options.block_bytes, caps.max_buffer, caps.max_allocation});
  const auto create_block = [&](uint64_t bytes) {
    return options.create_block ? options.create_block(bytes)
                                : device_->create_buffer(bytes, gpu::Memory::kDevice, "expert copies");
  };
  std::vector<Group*> owners;  // of the blocks in memory_
  for (Group& group : groups_) {
    const uint64_t per_block = std::max<uint64_t>(1, most / group.slab_bytes);
    auto left = static_cast<uint64_t>(share * static_cast<double>(group.experts.size()));
    for (; left > 0 && !shrunk_; left -= std::min(left, per_block)) {
      auto block = create_block(std::min(left, per_block) * group.slab_bytes);
      if (!block.ok() && (!options.may_shrink || block.error().code != ErrorCode::kOutOfMemory)) return block.error();
      shrunk_ = !block.ok();
      if (shrunk_) break;
      memory_.push_back(std::move(*block));
      owners.push_back(&group);
    }
  }
  // The device's memory is full to the brim.
  if (shrunk_ && !memory_.empty()) memory_.pop_back(), owners.pop_back();
  for (size_t i = 0; i < memory_.size(); ++i) {  // buffers have their places now
    bytes_ += memory_[i].size();
    for (uint64_t at = 0; at < memory_[i].size(); at += owners[i]->slab_bytes)
      owners[i]->slots.push_back({memory_[i], at, owners[i]->slab_bytes});
  }
  for (Group& group : groups_)
    group.lru.emplace(static_cast<uint32_t>(group.experts.size()), static_cast<uint32_t>(group.slots.size()));
  for (Layer& layer : layers_)
    if (layer.experts > 0) layer.slabs.insert(layer.slabs.end(), memory_.begin(), memory_.end());
  return {};
}

Status ExpertCache::allocate_tables(uint32_t ring) {
  const uint64_t table = experts_.size() * sizeof(uint64_t), uses = experts_.size() * sizeof(uint32_t);
  LAHAR_ASSIGN(table_memory_, device_->create_buffer(table, gpu::Memory::kDevice, "table of experts"));
  LAHAR_ASSIGN(uses_memory_, device_->create_buffer(uses, gpu::Memory::kDevice, "uses of experts"));
  LAHAR_TRY(gpu::upload(*device_, std::as_bytes(std::span(counts_)), uses_memory_));
  places_.resize(ring);
  for (Place& place : places_) {
    LAHAR_ASSIGN(place.table, device_->create_buffer(table, gpu::Memory::kUpload, "next table of experts"));
    LAHAR_ASSIGN(place.uses, device_->create_buffer(uses, gpu::Memory::kReadback, "uses of experts so far"));
  }
  return {};
}

ExpertView ExpertCache::layer(uint32_t index) const {
  const Layer& layer = layers_[index];
  if (layer.experts == 0) return {};
  return {.table = {table_memory_, layer.first * sizeof(uint64_t), layer.experts * sizeof(uint64_t)},
          .uses = {uses_memory_, layer.first * sizeof(uint32_t), layer.experts * sizeof(uint32_t)},
          .slabs = layer.slabs};
}

void ExpertCache::record_begin(gpu::Recorder& recorder, uint32_t place) const {
  recorder.copy("table of experts", places_[place].table, table_memory_);
}

void ExpertCache::record_end(gpu::Recorder& recorder, uint32_t place) const {
  recorder.copy("uses of experts", uses_memory_, places_[place].uses);
}

Result<std::optional<gpu::TimelineWait>> ExpertCache::begin_step(uint32_t index) {
  LAHAR_TRY(go_on());
  Place& place = places_[index];
  if (place.version != version_) {
    place.sent = table_;
    std::memcpy(place.table.mapped(), table_.data(), table_.size() * sizeof(uint64_t));
    place.version = version_;
  }
  place.step = ++steps_;
  if (phase_ == Phase::kChosen) {
    leave_after_ = device_->submitted();
    phase_ = Phase::kLeaving;
  }
  return copies_->finished();
}

Status ExpertCache::finished(uint32_t index) {
  const uint64_t last = places_[index].step;
  while (true) {  // in their order, as counts only grow
    Place* next = nullptr;
    for (Place& place : places_)
      if (place.step != 0 && place.step <= last && (next == nullptr || place.step < next->step)) next = &place;
    if (next == nullptr) break;
    take_count(*next);
  }
  return go_on();
}

void ExpertCache::take_count(Place& place) {
  const auto uses = place.uses.mapped_as<const uint32_t>();
  std::vector<uint32_t> missed;
  for (uint32_t e = 0; e < experts_.size(); ++e) {
    if (uses[e] == counts_[e]) continue;
    counts_[e] = uses[e];
    const Expert& expert = experts_[e];
    groups_[expert.group].lru->touch(expert.index, place.step);
    ++stats_.reads;
    if (place.sent[e] != expert.home.address()) ++stats_.hits;
    else missed.push_back(e);
  }
  if (phase_ == Phase::kIdle) choose(place.step, std::move(missed));
  place.step = 0;
}

// Experts that the step missed get places, as far as a batch goes.
void ExpertCache::choose(uint64_t step, std::vector<uint32_t> missed) {
  std::rotate(missed.begin(), std::lower_bound(missed.begin(), missed.end(), next_), missed.end());
  uint64_t bytes = 0;
  for (const uint32_t e : missed) {
    const Expert& expert = experts_[e];
    Group& group = groups_[expert.group];
    if (bytes > 0 && bytes + group.slab_bytes > kBatchBytes) break;
    const std::optional<ExpertLru::Claim> claim = group.lru->claim(expert.index, step);
    if (!claim) continue;
    if (claim->evicted) {
      const uint32_t evicted = group.experts[*claim->evicted];
      table_[evicted] = experts_[evicted].home.address();
      ++version_;
    }
    moves_.push_back({e, claim->slot});
    next_ = e + 1;
    bytes += group.slab_bytes;
  }
  if (!moves_.empty()) phase_ = Phase::kChosen;
}

Status ExpertCache::go_on() {
  if (phase_ == Phase::kLeaving) {
    LAHAR_ASSIGN(const uint64_t completed, device_->completed());
    if (completed >= leave_after_) LAHAR_TRY(start_copies());
  }
  if (phase_ != Phase::kCopying) return {};
  LAHAR_ASSIGN(const bool busy, copies_->busy());
  if (busy) return {};
  for (const Move& move : moves_) {
    const Expert& expert = experts_[move.expert];
    Group& group = groups_[expert.group];
    group.lru->settle(expert.index);
    table_[move.expert] = group.slots[move.slot].address();
    stats_.copied_bytes += group.slab_bytes;
  }
  ++version_;
  moves_.clear();
  phase_ = Phase::kIdle;
  return {};
}

Status ExpertCache::start_copies() {
  std::vector<gpu::CopyQueue::Copy> batch;
  for (const Move& move : moves_) {
    const Expert& expert = experts_[move.expert];
    batch.push_back({expert.home, groups_[expert.group].slots[move.slot]});
  }
  LAHAR_TRY(copies_->start(batch));
  phase_ = Phase::kCopying;
  return {};
}

}  // namespace lahar
