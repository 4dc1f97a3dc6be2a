// Which form of a kernel an op takes where that was measured. An op names its forms itself ("gemv rows 2, subgroup 32") and
// the cases it tells apart ("q4_k 4096x14336, 1 row"); to everyone else both are opaque strings.
// Thread rule: const calls may come from several threads.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace lahar::ops {

class Tuning {
 public:
  // The form that is fastest in a case. Replaces an earlier one.
  void choose(std::string case_name, std::string form) { chosen_[std::move(case_name)] = std::move(form); }
  // The form is not to be used for any case: it computed something wrong, did not compile, or lost the device.
  void quarantine(std::string form, std::string reason) { quarantined_[std::move(form)] = std::move(reason); }

  // nullptr: not measured, the op takes its default. Never a form that is in quarantine.
  const std::string* chosen(std::string_view case_name) const {
    const auto found = chosen_.find(case_name);
    return found == chosen_.end() || quarantined(found->second) != nullptr ? nullptr : &found->second;
  }
  // The reason; nullptr where the form may be used.
  const std::string* quarantined(std::string_view form) const {
    const auto found = quarantined_.find(form);
    return found == quarantined_.end() ? nullptr : &found->second;
  }

  const std::map<std::string, std::string, std::less<>>& all_chosen() const { return chosen_; }
  const std::map<std::string, std::string, std::less<>>& all_quarantined() const { return quarantined_; }

 private:
  std::map<std::string, std::string, std::less<>> chosen_, quarantined_;
};

}  // namespace lahar::ops
