#include <vector>

#include "gpu/commands.h"

namespace lahar::gpu {
namespace {

// Ranges of one buffer may be named through different Buffer objects (a moved one): the handle is what counts.
bool same_buffer(const Buffer& a, const Buffer& b) { return &a == &b || (a && b && a.handle() == b.handle()); }

bool overlap(const BufferRange& a, const BufferRange& b) {
  return a.size > 0 && b.size > 0 && same_buffer(*a.buffer, *b.buffer) && a.offset < b.offset + b.size &&
         b.offset < a.offset + a.size;
}

bool any_overlap(const std::vector<BufferRange>& ranges, const std::vector<BufferRange>& with) {
  for (const BufferRange& a : ranges)
    for (const BufferRange& b : with)
      if (overlap(a, b)) return true;
  return false;
}

void append(std::vector<BufferRange>& to, const std::vector<BufferRange>& ranges) {
  for (const BufferRange& r : ranges)
    if (r) to.push_back(r);
}

}  // namespace

void place_barriers(std::span<Node> nodes) {
  std::vector<BufferRange> read, written;  // since the last barrier
  std::vector<BufferRange> reads, writes;  // of the node
  for (Node& node : nodes) {
    reads.clear(), writes.clear();
    append(reads, node.reads), append(writes, node.writes);
    if (node.indirect) reads.push_back(node.indirect);
    if (node.source) reads.push_back(node.source);
    if (node.destination) writes.push_back(node.destination);
    node.barrier_before = any_overlap(reads, written) || any_overlap(writes, written) || any_overlap(writes, read);
    if (node.barrier_before) read.clear(), written.clear();
    read.insert(read.end(), reads.begin(), reads.end());
    written.insert(written.end(), writes.begin(), writes.end());
  }
}

}  // namespace lahar::gpu
