#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "core/platform.h"

namespace lahar::platform {
namespace {

std::string errno_text() { return std::strerror(errno); }

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::atomic<bool> interrupt_flag{false};  // a signal handler can reach nothing else
struct sigaction previous_action;

void on_interrupt(int) { interrupt_flag.store(true, std::memory_order_relaxed); }

}  // namespace

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0)
    return Error{errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, path.string() + ": " + errno_text()};
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return Error{ErrorCode::kIo, path.string() + ": " + errno_text()};
  if (!S_ISREG(info.st_mode)) return Error{ErrorCode::kIo, path.string() + ": not a regular file"};
  MappedFile file;
  file.size_ = static_cast<size_t>(info.st_size);
  if (file.size_ == 0) return file;
  void* p = ::mmap(nullptr, file.size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (p == MAP_FAILED) {
    file.size_ = 0;
    return Error{ErrorCode::kIo, path.string() + ": cannot be mapped: " + errno_text()};
  }
  file.data_ = static_cast<const std::byte*>(p);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release(std::span<const std::byte> range) const {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(range.data()) + page - 1) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(range.data() + range.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

Result<SharedLibrary> SharedLibrary::open(const char* file_name) {
  void* handle = ::dlopen(file_name, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return Error{ErrorCode::kNotFound, std::string(file_name) + " cannot be opened: " + ::dlerror()};
  return SharedLibrary(handle);
}

SharedLibrary::~SharedLibrary() {
  if (handle_ != nullptr) ::dlclose(handle_);
}

void* SharedLibrary::symbol(const char* name) const { return ::dlsym(handle_, name); }

std::filesystem::path cache_folder() {
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && xdg[0] == '/')
    return std::filesystem::path(xdg) / "lahar";
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/')
    return std::filesystem::path(home) / ".cache" / "lahar";
  return {};
}

Status write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  std::error_code ec;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), ec);
  if (ec) return Error{ErrorCode::kIo, path.parent_path().string() + ": " + ec.message()};
  const std::filesystem::path temporary = path.string() + "." + std::to_string(::getpid()) + ".tmp";
  {
    std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    out.flush();
    if (!out) {
      std::filesystem::remove(temporary, ec);
      return Error{ErrorCode::kIo, temporary.string() + ": cannot be written: " + errno_text()};
    }
  }
  std::filesystem::rename(temporary, path, ec);
  if (!ec) return {};
  const std::string reason = ec.message();
  std::filesystem::remove(temporary, ec);
  return Error{ErrorCode::kIo, path.string() + ": " + reason};
}

Result<LockedFile> LockedFile::open(const std::filesystem::path& path) {
  std::error_code ec;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), ec);
  if (ec) return Error{ErrorCode::kIo, path.parent_path().string() + ": " + ec.message()};
  LockedFile file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (file.file_ < 0) return Error{ErrorCode::kIo, path.string() + ": " + errno_text()};
  if (::flock(file.file_, LOCK_EX | LOCK_NB) == 0) return file;
  return Error{errno == EWOULDBLOCK ? ErrorCode::kLimit : ErrorCode::kIo, path.string() + ": " + errno_text()};
}

LockedFile::~LockedFile() {
  if (file_ >= 0) ::close(file_);
}

std::string LockedFile::read() const {
  constexpr size_t kMost = 1 << 16;
  std::string text(kMost, '\0');
  const ssize_t n = ::pread(file_, text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

Status LockedFile::write(std::string_view text) {
  if (::ftruncate(file_, 0) == 0 && ::pwrite(file_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) &&
      ::fsync(file_) == 0)
    return {};
  return Error{ErrorCode::kIo, "a file that is held open cannot be written: " + errno_text()};
}

void set_thread_name(const char* name) {
  char buffer[16] = {};
  std::strncpy(buffer, name, sizeof(buffer) - 1);
  ::pthread_setname_np(::pthread_self(), buffer);
}

std::tm local_time(std::time_t seconds) {
  std::tm out{};
  localtime_r(&seconds, &out);
  return out;
}

uint64_t available_memory() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  uint64_t kib = 0;
  std::string unit;
  while (meminfo >> key >> kib) {
    if (key == "MemAvailable:") return kib * 1024;
    std::getline(meminfo, unit);
  }
  return 0;
}

double process_cpu_seconds() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

bool stdin_is_terminal() { return ::isatty(STDIN_FILENO) != 0; }
bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) != 0; }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) != 0; }

int terminal_columns() {
  struct winsize size {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

InterruptGuard::InterruptGuard() {
  clear();
  struct sigaction action {};
  action.sa_handler = on_interrupt;  // no SA_RESTART: a blocked read returns, so that a prompt can react
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &previous_action);
}

InterruptGuard::~InterruptGuard() { ::sigaction(SIGINT, &previous_action, nullptr); }

bool InterruptGuard::interrupted() { return interrupt_flag.load(std::memory_order_relaxed); }
void InterruptGuard::clear() { interrupt_flag.store(false, std::memory_order_relaxed); }

}  // namespace lahar::platform
