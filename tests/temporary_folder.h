// A folder of a test's own: tests run side by side, and a name that another process could also choose is shared with it.
#pragma once

#include <filesystem>
#include <random>
#include <stdexcept>
#include <string>

namespace lahar::test {

// A new, empty folder that disappears with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::random_device random;
    // create_directory() is false where another one has the name already.
    for (int i = 0; i < 100; ++i) {
      path_ = std::filesystem::temp_directory_path() / ("lahar-test-" + std::to_string(random()) + std::to_string(random()));
      if (std::filesystem::create_directory(path_)) return;
    }
    throw std::runtime_error("no free name for a temporary folder");
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::filesystem::path& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace lahar::test
