// Unicode normalization forms C and D (UAX #15). Bytes that are not UTF-8 stay as they are and separate what is around them.
#pragma once

#include <string>

namespace lahar::utf8 {

void to_nfc(std::string& text);
void to_nfd(std::string& text);

}  // namespace lahar::utf8
