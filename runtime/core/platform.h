// The only door to the operating system: one .cpp per system implements this header, and no other file includes an OS
// header.
#pragma once

#include <cstddef>
#include <ctime>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"

namespace lahar::platform {

// A file mapped read-only. Errors: kNotFound, kIo. An empty file maps to an empty span.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Tells the system that this range will not be read again soon, so that its pages need not stay in memory.
  void release(std::span<const std::byte> range) const;

 private:
  MappedFile() = default;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// A shared library opened at run time; closed with the object.
class SharedLibrary {
 public:
  static Result<SharedLibrary> open(const char* file_name);
  SharedLibrary(SharedLibrary&& other) noexcept : handle_(other.handle_) { other.handle_ = nullptr; }
  ~SharedLibrary();
  void* symbol(const char* name) const;  // null where it is missing

 private:
  explicit SharedLibrary(void* handle) : handle_(handle) {}
  void* handle_;
};

// The user's cache folder for this program ($XDG_CACHE_HOME/lahar, else ~/.cache/lahar); not created here. Empty path
// where the user has no home.
std::filesystem::path cache_folder();

// Writes through a temporary file beside `path` and renames it, so that a reader sees the old or the new bytes only.
// Creates missing folders.
Status write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);

// A small file that one owner at a time holds open; another one, in this process or outside, cannot open it meanwhile. The
// system lets go of it when the process dies, however it dies; the contents stay.
class LockedFile {
 public:
  // Creates the file and missing folders. Errors: kLimit (somebody else holds it), kIo.
  static Result<LockedFile> open(const std::filesystem::path& path);
  LockedFile(LockedFile&& other) noexcept : file_(other.file_) { other.file_ = -1; }
  LockedFile& operator=(LockedFile&&) = delete;
  ~LockedFile();

  std::string read() const;
  // Replaces the contents; on disk when it returns.
  Status write(std::string_view text);

 private:
  explicit LockedFile(int file) : file_(file) {}
  int file_;
};

// At most 15 characters are kept.
void set_thread_name(const char* name);

// The calendar time of `seconds` since 1970 where this machine stands.
std::tm local_time(std::time_t seconds);

// Physical memory that could be taken without swapping, in bytes; 0 where unknown.
uint64_t available_memory();
// Processor time of this process so far, in seconds.
double process_cpu_seconds();

// Terminal
bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();
int terminal_columns();  // 80 where unknown

// While it lives, Ctrl-C sets the flag that interrupted() reads instead of ending the process. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  static bool interrupted();
  static void clear();
};

}  // namespace lahar::platform
