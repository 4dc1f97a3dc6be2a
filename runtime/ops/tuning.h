// Which form of a kernel an op takes where that was measured. An op names its forms itself ("gemv rows 2, subgroup 32") and
// the cases it tells apart ("q4_k 4096x14336, 1 row"); to everyone else both are opaque strings.
// Thread rule: const calls may come from several threads.
#pragma once

#include <functional>
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
    const std::string* form = found == chosen_.end() || quarantined(found->second) != nullptr ? nullptr : &found->second;
    if (on_asked_) on_asked_(case_name, form);
    return form;
  }
  // Called with every case that an op asks for, and what it is told.
  void on_asked(std::function<void(std::string_view case_name, const std::string* form)> call) {
    on_asked_ = std::move(call);
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
  std::function<void(std::string_view, const std::string*)> on_asked_;
};

}  // namespace lahar::ops
