#include "tune/database.h"

#include <cstdlib>

#include "core/json.h"
#include "gpu/pipeline_cache.h"

namespace lahar::tune {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr int64_t kVersion = 1;
constexpr double kMostSeconds = 1e6;
constexpr std::string_view kSuffix = ".json";

std::string file_prefix(const DatabaseKey& key) { return "tuning-" + key.uuid + "-"; }

std::string text_of(const DatabaseKey& key) {
  return key.name + "/" + key.uuid + "/" + key.type + "/" + key.driver + "/" + key.driver_cache + "/" +
         std::to_string(key.driver_version) + "/" + std::to_string(key.features);
}

ordered_json to_json(const DatabaseKey& key) {
  return {{"name", key.name},
          {"uuid", key.uuid},
          {"type", key.type},
          {"driver", key.driver},
          {"driver_cache", key.driver_cache},
          {"driver_version", key.driver_version},
          {"features", key.features},
          {"shaders", gpu::hex16(key.shaders_hash)}};
}

Result<bool> is_key(const JsonReader& json, const DatabaseKey& key) {
  const ordered_json all = to_json(key);
  for (const auto& [name, wanted] : all.items()) {
    const nlohmann::json* found = json.find(name);
    if (found == nullptr) return Error{ErrorCode::kFormat, json.where() + " has no " + name};
    if (*found != nlohmann::json(wanted)) return false;
  }
  return true;
}

struct Contents {
  std::map<std::string, Choice, std::less<>> choices;
  std::map<std::string, std::string, std::less<>> quarantined;
  std::string suspected;
};

Result<Contents> parse(std::string_view text, const std::string& where, const DatabaseKey& key) {
  LAHAR_ASSIGN(const nlohmann::json json, parse_json(text, where));
  const JsonReader root(json, where);
  LAHAR_ASSIGN(const int64_t version, root.integer("version"));
  if (version != kVersion) return Error{ErrorCode::kUnsupported, where + " has version " + std::to_string(version)};
  LAHAR_ASSIGN(const JsonReader device, root.object("device"));
  LAHAR_ASSIGN(const bool ours, is_key(device, key));
  if (!ours) return Error{ErrorCode::kUnsupported, where + " is of another device, driver or build"};

  Contents contents;
  LAHAR_ASSIGN(const JsonReader choices, root.object("choices"));
  if (const nlohmann::json* all = root.find("choices"))
    for (const auto& item : all->items()) {
      LAHAR_ASSIGN(const JsonReader one, choices.object(item.key()));
      Choice choice;
      LAHAR_ASSIGN(choice.form, one.string("form"));
      LAHAR_ASSIGN(choice.default_form, one.string("default"));
      LAHAR_ASSIGN(choice.seconds, one.number("seconds", 0, kMostSeconds));
      LAHAR_ASSIGN(choice.default_seconds, one.number("default_seconds", 0, kMostSeconds));
      contents.choices[item.key()] = std::move(choice);
    }
  LAHAR_ASSIGN(const JsonReader quarantined, root.object("quarantined"));
  if (const nlohmann::json* all = root.find("quarantined"))
    for (const auto& item : all->items()) { LAHAR_ASSIGN(contents.quarantined[item.key()], quarantined.string(item.key())); }
  if (root.find("suspected") != nullptr) { LAHAR_ASSIGN(contents.suspected, root.string("suspected")); }
  return contents;
}

Result<Contents> load(const fs::path& file, const DatabaseKey& key) {
  LAHAR_ASSIGN(const platform::MappedFile mapped, platform::MappedFile::open(file));
  const std::span<const std::byte> bytes = mapped.bytes();
  return parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file.string(), key);
}

}  // namespace

DatabaseKey key_of(const gpu::Caps& caps) {
  return {.name = caps.info.name,
          .uuid = caps.info.uuid,
          .type = std::string(gpu::to_string(caps.info.type)),
          .driver = caps.info.driver_name + " " + caps.info.driver_info,
          .driver_cache = caps.pipeline_cache_uuid,
          .driver_version = caps.info.driver_version,
          .features = caps.features,
          .shaders_hash = gpu::hash_shader_bank()};
}

bool tuning_wanted() {
  const char* value = std::getenv("LAHAR_TUNING");
  return value == nullptr || std::string_view(value) != "off";
}

Database Database::open(DatabaseKey key, fs::path folder, Log log) {
  Database database;
  database.key_ = std::move(key);
  database.log_ = std::move(log);
  if (folder.empty()) folder = platform::cache_folder();
  if (!folder.empty()) {
    const std::string text = text_of(database.key_);
    const uint64_t hash = gpu::hash_bytes(std::as_bytes(std::span(text)), database.key_.shaders_hash);
    database.file_ = folder / (file_prefix(database.key_) + gpu::hex16(hash) + std::string(kSuffix));
    database.read();
    database.take_crash();
  }
  return database;
}

void Database::read() {
  Result<Contents> contents = load(file_, key_);
  if (!contents.ok()) {
    if (contents.error().code != ErrorCode::kNotFound)
      log_.warning("the tuning database is ignored: " + contents.error().message);
    return;
  }
  stored_ = true;
  choices_ = std::move(contents->choices);
  quarantined_ = std::move(contents->quarantined);
  suspected_ = std::move(contents->suspected);
}

fs::path Database::trials_file() const { return file_.string() + ".trying"; }

void Database::take_crash() {
  std::error_code error;
  if (!fs::exists(trials_file(), error) || error) return;
  Result<platform::LockedFile> file = platform::LockedFile::open(trials_file());
  if (!file.ok()) return;  // held by a tuner at work, or not ours to read
  const std::string form = file->read();
  if (form.empty()) return;
  const bool again = form == suspected_;
  log_.warning(
      "a program ended while it tried the kernel \"" + form +
      (again ? "\", for the second time: it is not used any more" : "\"; it will not be used if that happens again"));
  suspected_ = again ? "" : form;
  if (again) quarantined_[form] = "the program ended, or the device was lost, while it ran, twice in a row";
  const Status saved = save();
  const Status cleared = saved.ok() ? file->write("") : saved;
  if (!cleared.ok()) log_.warning("the tuning database was not saved: " + cleared.error().message);
}

std::shared_ptr<const ops::Tuning> Database::tuning() const {
  if (choices_.empty() && quarantined_.empty()) return nullptr;
  auto tuning = std::make_shared<ops::Tuning>();
  for (const auto& [name, choice] : choices_) tuning->choose(name, choice.form);
  for (const auto& [form, reason] : quarantined_) tuning->quarantine(form, reason);
  return tuning;
}

Status Database::quarantine(std::string form, std::string reason) {
  quarantined_[std::move(form)] = std::move(reason);
  return save();
}

Status Database::release(std::string_view form) {
  const auto found = quarantined_.find(form);
  if (found == quarantined_.end()) return {};
  quarantined_.erase(found);
  return save();
}

Status Database::save() {
  if (file_.empty()) return {};
  ordered_json choices = ordered_json::object(), quarantined = ordered_json::object();
  for (const auto& [name, c] : choices_)
    choices[name] = {
        {"form", c.form}, {"default", c.default_form}, {"seconds", c.seconds}, {"default_seconds", c.default_seconds}};
  for (const auto& [form, reason] : quarantined_) quarantined[form] = reason;
  ordered_json all = {{"version", kVersion}, {"device", to_json(key_)}, {"choices", choices}, {"quarantined", quarantined}};
  if (!suspected_.empty()) all["suspected"] = suspected_;
  const std::string text = all.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  LAHAR_TRY(platform::write_file_atomically(file_, std::as_bytes(std::span(text))));
  stored_ = true;
  gpu::delete_old_files(file_.parent_path(), file_prefix(key_), kSuffix);
  return {};
}

Status Database::begin_trials() {
  if (file_.empty()) return {};
  Result<platform::LockedFile> file = platform::LockedFile::open(trials_file());
  if (!file.ok() && file.error().code == ErrorCode::kLimit)
    return Error{ErrorCode::kLimit, "another program is tuning this device"};
  if (!file.ok()) return file.error();
  trials_ = std::make_unique<platform::LockedFile>(std::move(file).value());
  tried_suspected_ = false;
  return {};
}

Status Database::trying(std::string_view form) {
  tried_suspected_ = tried_suspected_ || (!form.empty() && form == suspected_);
  return trials_ ? trials_->write(form) : Status{};
}

void Database::end_trials() {
  trials_.reset();
  if (!tried_suspected_) return;
  tried_suspected_ = false, suspected_.clear();
  if (const Status saved = save(); !saved.ok()) log_.warning("the tuning database was not saved: " + saved.error().message);
}

}  // namespace lahar::tune
