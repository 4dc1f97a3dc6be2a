// What was measured on a device, kept in the user's cache folder between runs of the program: which form of a kernel is the
// fastest in a case, and which forms must not be used. A file for each device, driver and build of the shaders.
//
// Before a form runs that has not proved itself, its name goes to a file beside the database, which is emptied when it has
// come through. A name that is still there at the next start may have ended a program or a machine, or somebody else ended
// it meanwhile: the form is suspected. When trials end like that a second time in a row while it runs, it goes into
// quarantine.
// Thread rule: one thread at a time; two objects, in one process or two, may share the files.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/log.h"
#include "core/platform.h"
#include "core/result.h"
#include "gpu/device.h"
#include "ops/tuning.h"

namespace lahar::tune {

// What measurements are good for.
struct DatabaseKey {
  std::string name, uuid, type;  // of the device
  std::string driver, driver_cache;
  uint32_t driver_version = 0;
  uint32_t features = 0;      // bits of gpu::Feature that are in use
  uint64_t shaders_hash = 0;  // of all SPIR-V of the build
  bool operator==(const DatabaseKey&) const = default;
};
DatabaseKey key_of(const gpu::Caps& caps);

struct Choice {
  std::string form, default_form;
  double seconds = 0, default_seconds = 0;  // of one call
  bool operator==(const Choice&) const = default;
};

// False where the environment says LAHAR_TUNING=off: then nothing that was stored is used, and nothing measured unasked.
bool tuning_wanted();

class Database {
 public:
  // Never fails: a file that is damaged, or of another device, driver or build, is a line in the log and counts as empty.
  // folder: empty for platform::cache_folder(); where there is none, the database lives in memory alone.
  static Database open(DatabaseKey key, std::filesystem::path folder = {}, Log log = {});
  static Database open(const gpu::Device& device, std::filesystem::path folder = {}) {
    return open(key_of(device.caps()), std::move(folder), device.log());
  }

  bool stored() const { return stored_; }  // there was a file that counts
  const std::filesystem::path& file() const { return file_; }
  const DatabaseKey& key() const { return key_; }
  const std::map<std::string, Choice, std::less<>>& choices() const { return choices_; }
  const std::map<std::string, std::string, std::less<>>& quarantined() const { return quarantined_; }
  // The reason; nullptr where the form may be used.
  const std::string* quarantined(std::string_view form) const {
    const auto found = quarantined_.find(form);
    return found == quarantined_.end() ? nullptr : &found->second;
  }
  // What ops read; null where there is nothing to say.
  std::shared_ptr<const ops::Tuning> tuning() const;

  void choose(std::string case_name, Choice choice) { choices_[std::move(case_name)] = std::move(choice); }
  // Saved at once, both.
  Status quarantine(std::string form, std::string reason);
  Status release(std::string_view form);
  void forget_choices() { choices_.clear(); }
  void forget_quarantined() { quarantined_.clear(), suspected_.clear(); }
  // The form that ran when the last trials did not end; else empty.
  const std::string& suspected() const { return suspected_; }
  // Atomic; the last one to save wins.
  Status save();

  // Holds the file of names, so that nobody takes a name in it for a crash. Errors: kLimit (another tuner is at work on this
  // device), kIo.
  Status begin_trials();
  // `form` is about to run; empty: it came through. Only between begin_trials() and end_trials().
  Status trying(std::string_view form);
  // A suspected form that was tried again is above suspicion then.
  void end_trials();

 private:
  Database() = default;
  void read();
  // Suspects the form whose name was left behind, or moves it to quarantine.
  void take_crash();
  std::filesystem::path trials_file() const;

  DatabaseKey key_;
  std::filesystem::path file_;  // empty: in memory alone
  Log log_;
  bool stored_ = false;
  std::map<std::string, Choice, std::less<>> choices_;
  std::map<std::string, std::string, std::less<>> quarantined_;
  std::string suspected_;
  bool tried_suspected_ = false;  // since begin_trials()
  std::unique_ptr<platform::LockedFile> trials_;
};

}  // namespace lahar::tune
