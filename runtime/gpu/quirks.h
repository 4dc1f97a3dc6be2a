// The workarounds for drivers and devices that are in force: what a bug report has to say, and where to look when one is to
// go. Each is decided where it acts, by the condition given here.
#pragma once

#include <string_view>
#include <vector>

#include "gpu/caps.h"

namespace lahar::gpu {

struct Quirk {
  std::string_view name, condition, effect;
};
// Those whose condition holds.
std::vector<Quirk> quirks_in_force(const Caps& caps);

}  // namespace lahar::gpu
