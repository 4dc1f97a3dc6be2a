// What stands between C callers and the library: status codes, error texts, versioned structs, and the guard that lets no
// exception out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/result.h"
#include "lahar/lahar.h"

namespace lahar::api {

lahar_status to_status(ErrorCode code);

// The last error of a handle. Any thread.
class ErrorText {
 public:
  // Keeps the message and returns its status. Where there is no memory for it, a fixed text takes its place.
  lahar_status set(const Error& error) noexcept;
  // Stays valid until the next set().
  const char* text() const noexcept;

 private:
  mutable std::mutex mutex_;
  std::string text_;
  const char* fixed_ = nullptr;  // stands for text_ where it is not null
};

// The exception that is being handled, as an Error.
Error current_exception_error() noexcept;

// Runs `body`, which returns a Status; its error, or the exception that left it, goes to `errors` (may be null).
template <typename Body>
lahar_status guard(ErrorText* errors, const Body& body) noexcept {
  const auto fail = [&](const Error& error) { return errors ? errors->set(error) : to_status(error.code); };
  try {
    const Status status = body();
    return status.ok() ? LAHAR_OK : fail(status.error());
  } catch (...) { return fail(current_exception_error()); }
}

// An enum that a C caller has set, which may be none of its values: C++ must not load it as that enum.
template <typename Enum>
int raw_value(const Enum& value) {
  static_assert(sizeof(Enum) == sizeof(int));
  int raw = 0;
  std::memcpy(&raw, &value, sizeof(raw));
  return raw;
}

inline Error null_argument(const char* name) {
  return {ErrorCode::kInvalidArgument, std::string(name) + " must not be NULL"};
}

// Cut at a whole character where it is too long.
template <size_t N>
void copy_text(char (&to)[N], std::string_view from) {
  size_t n = std::min(from.size(), N - 1);
  if (n < from.size())
    while (n > 0 && (static_cast<unsigned char>(from[n]) & 0xC0) == 0x80) --n;
  std::memcpy(to, from.data(), n);
  to[n] = '\0';
}

// ---- structs that begin with `size` ----

// Larger ones are taken for an uninitialised size field.
inline constexpr size_t kLargestStruct = 4096;  // bytes

// The size field in front of a struct. kInvalidArgument names the struct.
Result<size_t> struct_size(const void* data, size_t known, std::string_view name);
// kInvalidArgument where bytes behind the known ones are not zero.
Status check_tail(const void* data, size_t size, size_t known, std::string_view name);

// Takes what the caller's version of the struct has; `out` holds the defaults of the rest.
template <typename T>
Status read_struct(const T* in, std::string_view name, T& out) {
  static_assert(std::is_trivially_copyable_v<T>);
  LAHAR_ASSIGN(const size_t size, struct_size(in, sizeof(T), name));
  LAHAR_TRY(check_tail(in, size, sizeof(T), name));
  std::memcpy(static_cast<void*>(&out), static_cast<const void*>(in), std::min(size, sizeof(T)));
  out.size = sizeof(T);
  return {};
}

// Writes the fields that the caller's version of the struct has; those that are newer than this library become zero. `size`
// is what struct_size() said of `out`.
template <typename T>
void write_struct(void* out, size_t size, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  value.size = size;
  std::memcpy(out, static_cast<const void*>(&value), std::min(size, sizeof(T)));
  if (size > sizeof(T)) std::memset(static_cast<char*>(out) + sizeof(T), 0, size - sizeof(T));
}

// Writes what fits of `items` and their number to *count. kLimit, naming both numbers, where not all fit.
template <typename T, typename Items>
Status write_items(const Items& items, T* out, size_t capacity, size_t* count, const char* unit) {
  *count = items.size();
  const size_t n = std::min(capacity, items.size());
  if (n > 0) std::memcpy(out, items.data(), n * sizeof(T));
  if (items.size() <= capacity) return {};
  return Error{ErrorCode::kLimit, "the result has " + std::to_string(items.size()) + " " + unit + ", there is room for " +
                                      std::to_string(capacity)};
}

}  // namespace lahar::api
