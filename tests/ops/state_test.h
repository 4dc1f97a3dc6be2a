// What the tests of recurrent ops share: state slots with random contents, runs that read and write them, and the comparison
// of whole outputs.
#pragma once

#include <functional>

#include "ops/ops_test.h"
#include "ops/state.h"

namespace lahar::test {

// A run of `rows` rows that reads and writes these slots.
struct TestRun {
  uint32_t rows = 1, read = params::kNoState, write = params::kNoState;
};

inline uint32_t rows_of(const std::vector<TestRun>& runs) {
  uint32_t rows = 0;
  for (const TestRun& run : runs) rows += run.rows;
  return rows;
}

// A step of these runs, one behind the other, in a bucket of `spare` rows more.
inline HostStep make_step(const std::vector<TestRun>& runs, uint32_t spare = 0) {
  const uint32_t used = rows_of(runs);
  HostStep step(used + spare, used);
  step.state.n_runs = static_cast<uint32_t>(runs.size());
  uint32_t row = 0;
  for (uint32_t r = 0; r < runs.size(); ++r) {
    step.state.runs[r] = {r, row, runs[r].rows, 0, runs[r].read, runs[r].write};
    for (uint32_t i = 0; i < runs[r].rows; ++i) step.rows[row++].run = r;
  }
  return step;
}

// Rows of `width` random floats on the device, `more` floats of padding behind each.
struct Rows {
  Rows(gpu::Device& device, uint32_t rows, uint32_t width, uint64_t seed, float low = -1, float high = 1, uint32_t more = 4)
      : values(random_floats(size_t{rows} * width, seed, low, high)),
        width(width),
        stride((width + 3) / 4 * 4 + more),
        buffer(to_device(device, padded_rows(values, rows, width, stride), "rows")) {}
  ops::Activations activations() const { return {buffer, stride}; }
  double at(uint32_t row, uint32_t i) const { return values[size_t{row} * width + i]; }

  std::vector<float> values;
  uint32_t width, stride;
  gpu::Buffer buffer;
};

struct Vector {
  Vector(gpu::Device& device, size_t n, uint64_t seed, float low = -1, float high = 1)
      : values(random_floats(n, seed, low, high)), buffer(to_device(device, values, "vector")) {}
  std::vector<float> values;
  gpu::Buffer buffer;
};

// Slots of random floats; the layer's part, `floats` wide, begins behind 16 bytes of another's.
class TestStates {
 public:
  TestStates(gpu::Device& device, uint32_t slots, uint32_t floats, uint64_t seed, float low = -1, float high = 1)
      : device_(device), slots_(slots), floats_(floats), stride_(4 + (floats + 3) / 4 * 4 + 4) {
    before_ = random_floats(size_t{slots} * stride_, seed, low, high);
    buffer_ = to_device(device, before_, "states");
  }
  ops::StateRef ref() const { return {buffer_, stride_ * sizeof(float), 16, slots_}; }
  const gpu::Buffer& buffer() const { return buffer_; }

  std::vector<double> initial(uint32_t slot) const {
    if (slot == params::kNoState) return std::vector<double>(floats_);
    const auto first = before_.begin() + ptrdiff_t(slot * stride_ + 4);
    return {first, first + floats_};
  }
  // Fails unless slots that are not in `written` kept every bit, and those in it hold what is expected, to `error`.
  void expect(const std::vector<std::pair<uint32_t, std::vector<double>>>& written, double error) const;

 private:
  gpu::Device& device_;
  uint32_t slots_, floats_, stride_;
  std::vector<float> before_;
  gpu::Buffer buffer_;
};

// Mean squared error over the mean square of what was expected; infinite where a value is not finite.
inline double error_of(const float* got, const std::vector<double>& expected) {
  double error = 0, scale = 1e-30;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += (got[i] - expected[i]) * (got[i] - expected[i]);
    scale += expected[i] * expected[i];
  }
  return std::isfinite(error) ? error / scale : INFINITY;
}

inline void TestStates::expect(const std::vector<std::pair<uint32_t, std::vector<double>>>& written, double error) const {
  std::vector<float> after = from_device<float>(device_, buffer_);
  ASSERT_EQ(after.size(), before_.size());
  for (const auto& [slot, values] : written) {
    float* got = after.data() + size_t{slot} * stride_ + 4;
    EXPECT_LE(error_of(got, values), error) << "slot " << slot;
    std::copy_n(before_.begin() + ptrdiff_t(slot * stride_ + 4), values.size(), got);
  }
  EXPECT_EQ(std::memcmp(after.data(), before_.data(), after.size() * sizeof(float)), 0)
      << "bytes outside the written states changed";
}

// Rows [rows][width] of an output whose rows are `stride` apart; fails where one beyond them was written.
inline std::vector<float> dense_rows(gpu::Device& device, const Output& output, uint32_t rows, uint32_t width,
                                     uint32_t stride) {
  const std::vector<float> all = from_device<float>(device, output.range());
  std::vector<float> dense;
  size_t touched = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (i / stride < rows && i % stride < width) dense.push_back(all[i]);
    else touched += !std::isnan(all[i]);
  }
  EXPECT_EQ(touched, 0u) << "floats beyond the rows were written";
  expect_guards(device, output);
  return dense;
}

}  // namespace lahar::test
