#include "tune/cases.h"

#include <algorithm>

namespace lahar::tune {

const Candidate& taken_candidate(const Case& c, const ops::Tuning* tuning) {
  if (tuning == nullptr) return c.candidates.front();
  const std::string* chosen = tuning->chosen(c.name);
  const auto find = [&](const auto& fits) { return std::find_if(c.candidates.begin(), c.candidates.end(), fits); };
  auto found = find([&](const Candidate& candidate) { return chosen != nullptr && candidate.form == *chosen; });
  if (found == c.candidates.end())
    found = find([&](const Candidate& candidate) { return tuning->quarantined(candidate.form) == nullptr; });
  return found == c.candidates.end() ? c.candidates.front() : *found;
}

}  // namespace lahar::tune
