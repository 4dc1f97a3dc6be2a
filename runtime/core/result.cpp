#include "core/result.h"

namespace lahar {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument: return "invalid argument";
    case ErrorCode::kNotFound: return "not found";
    case ErrorCode::kIo: return "i/o error";
    case ErrorCode::kFormat: return "bad format";
    case ErrorCode::kUnsupported: return "unsupported";
    case ErrorCode::kLimit: return "limit reached";
    case ErrorCode::kOutOfMemory: return "out of memory";
    case ErrorCode::kDeviceLost: return "device lost";
    case ErrorCode::kCancelled: return "cancelled";
    case ErrorCode::kRefused: return "refused";
    case ErrorCode::kInternal: return "internal error";
  }
  return "unknown error";
}

Error annotate(Error error, std::string_view where) {
  error.message.insert(0, std::string(where) + ": ");
  return error;
}

}  // namespace lahar
