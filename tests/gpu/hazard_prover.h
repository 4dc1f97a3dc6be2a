// Proves that what a recording declares to the hazard tracker is true. Validation cannot see which bytes a kernel touches
// through an address, so it is tried out:
//   order   all nodes between two barriers reversed and shuffled: every buffer ends with the same bytes;
//   writes  each node by itself changes no byte outside the writes that it declares;
//   reads   each node by itself, with all bytes that it does not declare as read overwritten by random ones, writes the
//           same: a byte that it declares as written may keep what was there, but not depend on it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "gpu/buffer.h"
#include "gpu/commands.h"
#include "gpu/device.h"

namespace lahar::test {

struct ProverOptions {
  uint64_t seed = 1;
  int shuffles = 3;
};

// record: puts the nodes into the recorder, the same each time. buffers: all that the nodes can reach; their contents are
// the start of every trial, and are put back at the end. Gives one line for each violation; empty where all is proven.
// An error of the recording or the device is a violation too.
std::vector<std::string> find_hazards(gpu::Device& device, const std::function<Status(gpu::Recorder&)>& record,
                                      std::span<const gpu::Buffer* const> buffers, const ProverOptions& options = {});

// The same, as a test failure.
void prove_hazards(gpu::Device& device, const std::function<Status(gpu::Recorder&)>& record,
                   std::span<const gpu::Buffer* const> buffers, const ProverOptions& options = {});

}  // namespace lahar::test
