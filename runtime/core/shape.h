// The extents of a tensor, outermost first: a matrix of R rows and C columns is {R, C}, and a row is contiguous.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace lahar {

class Shape {
 public:
  static constexpr size_t kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<uint64_t> dims) {
    for (uint64_t d : dims) push_back(d);
  }

  // False (and unchanged) when the rank is kMaxRank already.
  bool push_back(uint64_t dim) {
    if (rank_ == kMaxRank) return false;
    dims_[rank_++] = dim;
    return true;
  }

  size_t rank() const { return rank_; }
  uint64_t operator[](size_t i) const { return dims_[i]; }
  std::span<const uint64_t> dims() const { return {dims_.data(), rank_}; }
  uint64_t back() const { return rank_ == 0 ? 1 : dims_[rank_ - 1]; }

  // The product of all extents (1 for rank 0); nullopt on overflow of 64 bits.
  std::optional<uint64_t> elements() const {
    uint64_t n = 1;
    for (uint64_t d : dims())
      if (__builtin_mul_overflow(n, d, &n)) return std::nullopt;
    return n;
  }

  bool operator==(const Shape& o) const {
    if (rank_ != o.rank_) return false;
    for (size_t i = 0; i < rank_; ++i)
      if (dims_[i] != o.dims_[i]) return false;
    return true;
  }

  std::string to_string() const {
    std::string s = "[";
    for (size_t i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string(dims_[i]);
    return s + "]";
  }

 private:
  std::array<uint64_t, kMaxRank> dims_{};
  size_t rank_ = 0;
};

}  // namespace lahar
