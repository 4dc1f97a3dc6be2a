// The models that the picker offers: the built-in one and those opened before, kept in a file.
// Thread rule: one thread at a time.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lahar::demo {

class ModelList {
 public:
  static constexpr size_t kMost = 12;

  // `file`: where the list is kept; empty: nowhere. A file that cannot be read is an empty list.
  explicit ModelList(std::filesystem::path file = {});

  // Paths, the last opened first. The built-in model is not among them.
  const std::vector<std::string>& recent() const { return recent_; }
  // Puts it in front and saves the list.
  void opened(const std::string& path);
  void forget(const std::string& path);

 private:
  void save() const;
  std::filesystem::path file_;
  std::vector<std::string> recent_;
};

// What to show for a path: the file's or folder's name; "Pumice (built in)" for none.
std::string model_name(const std::string& path);

// Empty where it looks like a model (a GGUF file, or a folder with a config.json), else what is wrong with it.
std::string why_no_model(const std::string& path);

// Where the list is kept by default: in the user's configuration folder.
std::filesystem::path default_list_file();

}  // namespace lahar::demo
