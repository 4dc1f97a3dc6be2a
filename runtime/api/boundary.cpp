#include "api/boundary.h"

#include <cstdint>

namespace lahar::api {

lahar_status to_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument: return LAHAR_INVALID_ARGUMENT;
    case ErrorCode::kNotFound: return LAHAR_NOT_FOUND;
    case ErrorCode::kIo: return LAHAR_IO;
    case ErrorCode::kFormat: return LAHAR_FORMAT;
    case ErrorCode::kUnsupported: return LAHAR_UNSUPPORTED;
    case ErrorCode::kLimit: return LAHAR_LIMIT;
    case ErrorCode::kOutOfMemory: return LAHAR_OUT_OF_MEMORY;
    case ErrorCode::kDeviceLost: return LAHAR_DEVICE_LOST;
    case ErrorCode::kCancelled: return LAHAR_CANCELLED;
    case ErrorCode::kRefused: return LAHAR_REFUSED;
    case ErrorCode::kInternal: return LAHAR_INTERNAL;
  }
  return LAHAR_INTERNAL;
}

lahar_status ErrorText::set(const Error& error) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    text_ = error.message;
    fixed_ = nullptr;
  } catch (...) { fixed_ = "out of memory"; }
  return to_status(error.code);
}

const char* ErrorText::text() const noexcept {
  const std::lock_guard lock(mutex_);
  return fixed_ ? fixed_ : text_.c_str();
}

// The messages are short enough to need no memory of their own, for there may be none.
Error current_exception_error() noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return {ErrorCode::kOutOfMemory, "out of memory"};
  } catch (const std::exception& exception) {
    try {
      return {ErrorCode::kInternal, std::string("unexpected: ") + exception.what()};
    } catch (...) {}
  } catch (...) {}
  return {ErrorCode::kInternal, "unexpected"};
}

Result<size_t> struct_size(const void* data, size_t known, std::string_view name) {
  size_t size = 0;
  std::memcpy(&size, data, sizeof(size));
  if (size >= sizeof(size_t) && size <= kLargestStruct && size % alignof(size_t) == 0) return size;
  return Error{ErrorCode::kInvalidArgument, std::string(name) + ".size is " + std::to_string(size) + ", expected sizeof(" +
                                                std::string(name) + "), " + std::to_string(known) + " in this version"};
}

Status check_tail(const void* data, size_t size, size_t known, std::string_view name) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (size_t i = known; i < size; ++i)
    if (bytes[i] != 0)
      return Error{ErrorCode::kInvalidArgument, std::string(name) + " has a field at byte " + std::to_string(i) +
                                                    " that this version (" + std::to_string(known) +
                                                    " bytes) does not know"};
  return {};
}

}  // namespace lahar::api
