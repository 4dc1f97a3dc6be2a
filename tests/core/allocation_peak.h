// Counts the bytes that operator new has handed out; linking allocation_peak.cpp replaces it in the whole program.
#pragma once

#include <cstdint>

namespace lahar::test {

// Bytes in use now, and the most there were since reset_peak().
uint64_t bytes_in_use();
uint64_t peak_bytes();
void reset_peak();

}  // namespace lahar::test
