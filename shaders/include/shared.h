// Included by C++ and GLSL: gives both the same names for the types of shared structs. Addresses are 64-bit device
// addresses; structs are laid out as `scalar`.
#ifdef __cplusplus
#pragma once
#include <cstdint>
namespace lahar::params {
using uint = uint32_t;
using address_t = uint64_t;
}  // namespace lahar::params
#define LAHAR_SHARED_BEGIN namespace lahar::params {
#define LAHAR_SHARED_END }
#define LAHAR_SHARED_INLINE constexpr
#define LAHAR_SHARED_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), #type);
#else
#define address_t uint64_t
#define LAHAR_SHARED_BEGIN
#define LAHAR_SHARED_END
#define LAHAR_SHARED_INLINE
#define LAHAR_SHARED_SIZE(type, bytes)
#endif
