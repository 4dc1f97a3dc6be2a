#include "text/jinja/strftime.h"

#include <algorithm>
#include <array>

namespace lahar::jinja {

namespace {

constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths = {"January", "February", "March",     "April",   "May",      "June",
                                                      "July",    "August",   "September", "October", "November", "December"};

std::string padded(long value, size_t width, char pad) {
  std::string text = std::to_string(value);
  if (pad != 0 && text.size() < width) text.insert(0, width - text.size(), pad);
  return text;
}

bool leap(int year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

// Days since 1970-01-01.
long days_since_epoch(int year, int month, int day) {
  const long y = month <= 2 ? year - 1 : year;
  const long era = (y >= 0 ? y : y - 399) / 400;
  const long year_of_era = y - era * 400;
  const long day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

// ISO 8601: weeks begin on Monday, the first has the year's first Thursday.
int iso_week(const std::tm& t, int& year) {
  year = t.tm_year + 1900;
  const int weekday = (t.tm_wday + 6) % 7;  // Monday 0
  int week = (t.tm_yday - weekday + 10) / 7;
  const auto weeks_in = [](int y) {
    const auto december_31 = [](int z) { return (z + z / 4 - z / 100 + z / 400) % 7; };
    return december_31(y) == 4 || december_31(y - 1) == 3 ? 53 : 52;
  };
  if (week < 1) return weeks_in(--year);
  if (week > weeks_in(year)) {
    ++year;
    week = 1;
  }
  return week;
}

std::string one(char what, char flag, const std::tm& t) {
  const auto number = [&](long value, size_t width, char pad) {
    return padded(value, width, flag == '-' ? '\0' : flag == '_' ? ' ' : flag == '0' ? '0' : pad);
  };
  const auto name = [](const auto& names, int index) {
    return index >= 0 && static_cast<size_t>(index) < names.size() ? names[static_cast<size_t>(index)]
                                                                   : std::string_view("?");
  };
  const int hour12 = t.tm_hour % 12 == 0 ? 12 : t.tm_hour % 12;
  int iso_year = 0;
  const int week = iso_week(t, iso_year);
  switch (what) {
    case 'a': return std::string(name(kDays, t.tm_wday).substr(0, 3));
    case 'A': return std::string(name(kDays, t.tm_wday));
    case 'b':
    case 'h': return std::string(name(kMonths, t.tm_mon).substr(0, 3));
    case 'B': return std::string(name(kMonths, t.tm_mon));
    case 'c': return format_time("%a %b %e %H:%M:%S %Y", t);
    case 'C': return number((t.tm_year + 1900) / 100, 2, '0');
    case 'd': return number(t.tm_mday, 2, '0');
    case 'D': return format_time("%m/%d/%y", t);
    case 'e': return number(t.tm_mday, 2, ' ');
    case 'f': return "000000";
    case 'F': return format_time("%Y-%m-%d", t);
    case 'g': return number(iso_year % 100, 2, '0');
    case 'G': return number(iso_year, 4, '0');
    case 'H': return number(t.tm_hour, 2, '0');
    case 'I': return number(hour12, 2, '0');
    case 'j': return number(t.tm_yday + 1, 3, '0');
    case 'k': return number(t.tm_hour, 2, ' ');
    case 'l': return number(hour12, 2, ' ');
    case 'm': return number(t.tm_mon + 1, 2, '0');
    case 'M': return number(t.tm_min, 2, '0');
    case 'n': return "\n";
    case 'p': return t.tm_hour < 12 ? "AM" : "PM";
    case 'P': return t.tm_hour < 12 ? "am" : "pm";
    case 'r': return format_time("%I:%M:%S %p", t);
    case 'R': return format_time("%H:%M", t);
    case 's':
      return std::to_string(days_since_epoch(t.tm_year + 1900, t.tm_mon + 1, t.tm_mday) * 86400L + t.tm_hour * 3600L +
                            t.tm_min * 60L + t.tm_sec);
    case 'S': return number(t.tm_sec, 2, '0');
    case 't': return "\t";
    case 'T':
    case 'X': return format_time("%H:%M:%S", t);
    case 'u': return number(t.tm_wday == 0 ? 7 : t.tm_wday, 1, '0');
    case 'U': return number((t.tm_yday + 7 - t.tm_wday) / 7, 2, '0');
    case 'V': return number(week, 2, '0');
    case 'w': return number(t.tm_wday, 1, '0');
    case 'W': return number((t.tm_yday + 7 - (t.tm_wday + 6) % 7) / 7, 2, '0');
    case 'x': return format_time("%m/%d/%y", t);
    case 'y': return number(t.tm_year % 100, 2, '0');
    case 'Y': return number(t.tm_year + 1900, 1, '0');
    case 'z':
    case 'Z': return "";  // Python's datetime.now() has no zone
    case '%': return "%";
    default: return std::string("%") + (flag != 0 ? std::string(1, flag) : "") + what;
  }
}

}  // namespace

std::string format_time(std::string_view format, const std::tm& time) {
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 >= format.size()) {
      out += format[i];
      continue;
    }
    char flag = 0;
    bool upper = false;
    size_t at = i + 1;
    while (at + 1 < format.size() && std::string_view("-_0^#").find(format[at]) != std::string_view::npos) {
      if (format[at] == '^') {
        upper = true;
      } else {
        flag = format[at];
      }
      ++at;
    }
    std::string text = one(format[at], flag, time);
    if (upper)
      std::transform(text.begin(), text.end(), text.begin(),
                     [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    out += text;
    i = at;
  }
  return out;
}

std::optional<std::tm> parse_time(std::string_view text) {
  int part[6] = {0, 1, 1, 0, 0, 0};
  constexpr int kWidth[6] = {4, 2, 2, 2, 2, 2};
  constexpr std::string_view kBefore = " --T::";
  size_t at = 0;
  for (size_t i = 0; i < 6; ++i) {
    if (i >= 3 && at == text.size()) break;
    if (i > 0) {
      const bool separated = at < text.size() && (text[at] == kBefore[i] || (i == 3 && text[at] == ' '));
      if (!separated) return std::nullopt;
      ++at;
    }
    part[i] = 0;
    for (int digit = 0; digit < kWidth[i]; ++digit, ++at) {
      if (at >= text.size() || text[at] < '0' || text[at] > '9') return std::nullopt;
      part[i] = part[i] * 10 + (text[at] - '0');
    }
  }
  if (at < text.size() && text[at] != '.' && text[at] != 'Z' && text[at] != '+') return std::nullopt;
  constexpr int kLengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (part[1] < 1 || part[1] > 12) return std::nullopt;
  const int length = kLengths[part[1] - 1] + (part[1] == 2 && leap(part[0]) ? 1 : 0);
  if (part[2] < 1 || part[2] > length || part[3] > 23 || part[4] > 59 || part[5] > 59) return std::nullopt;
  std::tm out{};
  out.tm_year = part[0] - 1900;
  out.tm_mon = part[1] - 1;
  out.tm_mday = part[2];
  out.tm_hour = part[3];
  out.tm_min = part[4];
  out.tm_sec = part[5];
  out.tm_isdst = -1;
  const long days = days_since_epoch(part[0], part[1], part[2]);
  out.tm_wday = static_cast<int>(((days + 4) % 7 + 7) % 7);
  out.tm_yday = static_cast<int>(days - days_since_epoch(part[0], 1, 1));
  return out;
}

}  // namespace lahar::jinja
