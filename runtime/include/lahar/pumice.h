/* Pumice, the built-in model: a GGUF file that lies in the program's read-only data (target lahar::pumice). */
#ifndef LAHAR_PUMICE_H
#define LAHAR_PUMICE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The bytes of the GGUF file, 64-byte aligned; *size receives their number when size is not NULL.
   The bytes live as long as the program and are never written; any thread may call this. It cannot fail. */
const void* lahar_pumice_data(size_t* size);

#ifdef __cplusplus
}

#include <span>

namespace lahar {

/* The same bytes for C++. */
std::span<const std::byte> pumice_gguf();

}  // namespace lahar
#endif

#endif
