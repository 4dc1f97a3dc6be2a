// Errors are values: Result<T> holds a T or an Error, Status is Result<void>. No exceptions leave the library.
#pragma once

#include <cassert>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace lahar {

enum class ErrorCode {
  kInvalidArgument,  // the caller asked for something that cannot be
  kNotFound,         // a file, tensor, key or device is not there
  kIo,               // the operating system failed to read or write
  kFormat,           // a file is damaged, truncated or not what it claims to be
  kUnsupported,      // well-formed, but nothing here handles it
  kLimit,            // a bound of ours was reached (memory cap, steps, depth, context)
  kOutOfMemory,      // host or device memory
  kDeviceLost,       // the GPU or its driver went away
  kCancelled,        // the caller asked to stop
  kRefused,          // a chat template raised an exception
  kInternal,         // a bug of ours
};

std::string_view to_string(ErrorCode code);

// message: one line that says what was expected, what was found and where (file, tensor, offset).
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    assert(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    assert(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), ok_(false) {}

  bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  const Error& error() const& {
    assert(!ok_);
    return error_;
  }
  Error&& error() && {
    assert(!ok_);
    return std::move(error_);
  }

 private:
  Error error_;
  bool ok_ = true;
};

using Status = Result<void>;

// The same error with `where: ` in front of its message.
Error annotate(Error error, std::string_view where);

}  // namespace lahar

#define LAHAR_CONCAT_INNER(a, b) a##b
#define LAHAR_CONCAT(a, b) LAHAR_CONCAT_INNER(a, b)

// LAHAR_TRY(expr): returns the error of a Result from the enclosing function; a value, if any, is dropped.
#define LAHAR_TRY(expr)                                                     \
  do {                                                                      \
    auto lahar_try_result = (expr);                                         \
    if (!lahar_try_result.ok()) return std::move(lahar_try_result).error(); \
  } while (false)

// LAHAR_ASSIGN(auto x, expr): x takes the value, or the error is returned.
#define LAHAR_ASSIGN(declaration, expr) LAHAR_ASSIGN_INNER(LAHAR_CONCAT(lahar_result_, __LINE__), declaration, expr)
#define LAHAR_ASSIGN_INNER(name, declaration, expr) \
  auto name = (expr);                               \
  if (!name.ok()) return std::move(name).error();   \
  declaration = std::move(name).value()
