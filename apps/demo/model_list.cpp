#include "demo/model_list.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>

namespace lahar::demo {
namespace fs = std::filesystem;

ModelList::ModelList(fs::path file) : file_(std::move(file)) {
  std::ifstream in(file_);
  for (std::string line; std::getline(in, line) && recent_.size() < kMost;)
    if (!line.empty()) recent_.push_back(line);
}

void ModelList::opened(const std::string& path) {
  if (path.empty()) return;
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  const std::string kept = error ? path : absolute.lexically_normal().string();
  std::erase(recent_, kept);
  recent_.insert(recent_.begin(), kept);
  if (recent_.size() > kMost) recent_.resize(kMost);
  save();
}

void ModelList::forget(const std::string& path) {
  std::erase(recent_, path);
  save();
}

void ModelList::save() const {
  if (file_.empty()) return;
  std::error_code error;
  fs::create_directories(file_.parent_path(), error);
  std::ofstream out(file_, std::ios::trunc);
  for (const std::string& path : recent_) out << path << '\n';
}

std::string model_name(const std::string& path) {
  if (path.empty()) return "Pumice (built in)";
  fs::path p = fs::path(path).lexically_normal();
  if (!p.has_filename()) p = p.parent_path();
  return p.filename().string();
}

std::string why_no_model(const std::string& path) {
  std::error_code error;
  const fs::path p(path);
  if (!fs::exists(p, error)) return "there is no " + path;
  if (fs::is_directory(p, error))
    return fs::exists(p / "config.json", error) ? "" : path + " is a folder without a config.json";
  std::ifstream in(p, std::ios::binary);
  char magic[4] = {};
  in.read(magic, 4);
  return in && std::string_view(magic, 4) == "GGUF" ? "" : model_name(path) + " is no GGUF file";
}

fs::path default_list_file() {
  if (const char* config = std::getenv("XDG_CONFIG_HOME"); config != nullptr && *config != '\0')
    return fs::path(config) / "lahar" / "recent-models";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return fs::path(home) / ".config" / "lahar" / "recent-models";
  return {};
}

}  // namespace lahar::demo
