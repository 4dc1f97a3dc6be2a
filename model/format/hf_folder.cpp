#include "format/hf_folder.h"

#include <algorithm>
#include <map>

#include "core/json.h"
#include "core/quote.h"
#include "format/safetensors.h"

namespace lahar {
namespace {

using nlohmann::json;

constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

std::string_view text_of(const platform::MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// Python writes numbers that JSON does not have; each becomes null, as what is not set.
std::string without_infinities(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool quoted = false;
  while (!text.empty()) {
    size_t skipped = 0;
    for (const std::string_view word : {"Infinity", "-Infinity", "NaN"})
      if (!quoted && text.starts_with(word)) skipped = word.size();
    if (skipped > 0) {
      out += "null";
      text.remove_prefix(skipped);
      continue;
    }
    if (text[0] == '"') quoted = !quoted;
    const size_t taken = quoted && text[0] == '\\' ? std::min<size_t>(2, text.size()) : 1;
    out += text.substr(0, taken);
    text.remove_prefix(taken);
  }
  return out;
}

// The object in a file; kNotFound where there is no file.
Result<json> read_object(const std::filesystem::path& path) {
  LAHAR_ASSIGN(const platform::MappedFile file, platform::MappedFile::open(path));
  const std::string_view text = text_of(file);
  const bool odd = text.find("Infinity") != text.npos || text.find("NaN") != text.npos;
  LAHAR_ASSIGN(json value, odd ? parse_json(without_infinities(text), path.string()) : parse_json(text, path.string()));
  if (!value.is_object()) return Error{ErrorCode::kFormat, path.string() + ": a JSON object expected"};
  return value;
}

Result<json> read_optional_object(const std::filesystem::path& path) {
  auto value = read_object(path);
  if (!value && value.error().code == ErrorCode::kNotFound) return json(json::object());
  return value;
}

// The names in an index come from the file: none of them may lead out of the folder.
bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find_first_of(std::string_view("/\\:\0", 4)) == name.npos;
}

std::optional<std::string> read_text(const std::filesystem::path& path) {
  const auto file = platform::MappedFile::open(path);
  if (!file) return std::nullopt;
  return std::string(text_of(*file));
}

bool by_name(const TensorView& a, const TensorView& b) { return a.name < b.name; }

const TensorView* find_in(std::span<const TensorView> tensors, std::string_view name) {
  const auto at = std::lower_bound(tensors.begin(), tensors.end(), name,
                                   [](const TensorView& tensor, std::string_view n) { return tensor.name < n; });
  return at != tensors.end() && at->name == name ? &*at : nullptr;
}

}  // namespace

HfFolder::HfFolder() = default;
HfFolder::HfFolder(HfFolder&&) noexcept = default;
HfFolder& HfFolder::operator=(HfFolder&&) noexcept = default;
HfFolder::~HfFolder() = default;

Result<HfFolder> HfFolder::open(const std::filesystem::path& folder) {
  HfFolder result;
  result.folder_ = folder;
  auto config = read_object(folder / "config.json");
  if (!config && config.error().code == ErrorCode::kNotFound)
    return Error{ErrorCode::kNotFound, folder.string() + ": no config.json in this folder, which a model folder has"};
  if (!config) return std::move(config).error();
  LAHAR_ASSIGN(json generation, read_optional_object(folder / "generation_config.json"));
  LAHAR_ASSIGN(json tokenizer, read_optional_object(folder / "tokenizer_config.json"));
  result.config_ = std::make_unique<json>(std::move(config).value());
  result.generation_config_ = std::make_unique<json>(std::move(generation));
  result.tokenizer_config_ = std::make_unique<json>(std::move(tokenizer));
  LAHAR_TRY(result.open_weights());
  return result;
}

Status HfFolder::open_weights() {
  const std::filesystem::path path = folder_ / kWeights;
  auto file = platform::MappedFile::open(path);
  if (file) {
    LAHAR_ASSIGN(tensors_, read_safetensors(file->bytes(), path.string()));
    files_.push_back(std::move(file).value());
    return {};
  }
  if (file.error().code != ErrorCode::kNotFound) return std::move(file).error();

  auto index = read_object(folder_ / kIndex);
  if (index) return open_shards(*index, (folder_ / kIndex).string());
  if (index.error().code != ErrorCode::kNotFound) return std::move(index).error();
  missing_files_.push_back(kWeights);
  return {};
}

Status HfFolder::open_shards(const json& index, const std::string& index_name) {
  const auto weight_map = index.find("weight_map");
  if (weight_map == index.end() || !weight_map->is_object())
    return Error{ErrorCode::kFormat, index_name + ": key 'weight_map': an object expected"};
  std::map<std::string_view, std::vector<std::string_view>> shards;  // file -> tensors
  for (const auto& [tensor, file] : weight_map->get_ref<const json::object_t&>()) {
    const auto* file_name = file.get_ptr<const json::string_t*>();
    if (file_name == nullptr || !is_plain_file_name(*file_name))
      return Error{ErrorCode::kFormat, index_name + ": tensor " + quote(tensor) +
                                           ": the name of a file in this folder expected" +
                                           (file_name != nullptr ? ", found " + quote(*file_name) : "")};
    shards[*file_name].push_back(tensor);
  }
  for (const auto& [file_name, names] : shards) {
    const std::filesystem::path path = folder_ / file_name;
    auto file = platform::MappedFile::open(path);
    if (!file && file.error().code == ErrorCode::kNotFound) {
      missing_files_.emplace_back(file_name);
      continue;
    }
    if (!file) return std::move(file).error();
    LAHAR_ASSIGN(std::vector<TensorView> tensors, read_safetensors(file->bytes(), path.string()));
    for (const std::string_view name : names)
      if (find_in(tensors, name) == nullptr)
        return Error{ErrorCode::kFormat,
                     path.string() + ": tensor " + quote(name) + " is missing, the index says it is here"};
    std::move(tensors.begin(), tensors.end(), std::back_inserter(tensors_));
    files_.push_back(std::move(file).value());
  }
  std::sort(tensors_.begin(), tensors_.end(), by_name);
  const auto twice = std::adjacent_find(tensors_.begin(), tensors_.end(),
                                        [](const TensorView& a, const TensorView& b) { return a.name == b.name; });
  if (twice != tensors_.end())
    return Error{ErrorCode::kFormat, folder_.string() + ": tensor " + quote(twice->name) + " is in two of the weight files"};
  return {};
}

const TensorView* HfFolder::find_tensor(std::string_view name) const { return find_in(tensors_, name); }

std::optional<std::string> HfFolder::tokenizer_json() const { return read_text(folder_ / "tokenizer.json"); }

std::optional<std::string> HfFolder::chat_template() const {
  if (auto text = read_text(folder_ / "chat_template.jinja")) return text;
  const auto found = tokenizer_config_->find("chat_template");
  if (found == tokenizer_config_->end()) return std::nullopt;
  if (const auto* text = found->get_ptr<const json::string_t*>()) return *text;
  if (!found->is_array()) return std::nullopt;
  for (const json& entry : *found) {
    if (!entry.is_object()) continue;
    const JsonReader reader(entry, "");
    const auto name = reader.string("name");
    auto text = reader.string("template");
    if (name && *name == "default" && text) return std::move(text).value();
  }
  return std::nullopt;
}

}  // namespace lahar
