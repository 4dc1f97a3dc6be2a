// Work on a range, shared out among threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <future>
#include <system_error>
#include <vector>

#include "core/result.h"

namespace lahar {

// Calls work(first, count), which returns a Status, for pieces of [0, total) that together are all of it, each on a thread
// of its own, the first on this one; where no thread can be had, one after the other. Waits for all, and returns the first
// error.
template <typename Work>
Status share_among_threads(uint64_t total, unsigned threads, const Work& work) {
  if (total == 0) return {};
  const uint64_t share = (total + threads - 1) / threads;
  std::vector<std::future<Status>> others;
  for (uint64_t first = share; first < total; first += share) {
    const auto piece = [&work, first, count = std::min(share, total - first)] { return work(first, count); };
    // Deferred where no thread can be had: then get() does the work.
    try {
      others.push_back(std::async(std::launch::async, piece));
    } catch (const std::system_error&) { others.push_back(std::async(std::launch::deferred, piece)); }
  }
  Status result = work(uint64_t{0}, std::min(share, total));
  for (auto& other : others) {
    Status status = other.get();
    if (result.ok() && !status.ok()) result = std::move(status);
  }
  return result;
}

}  // namespace lahar
