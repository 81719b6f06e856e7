// Errors of the native side. Thrown anywhere outside parallel regions and turned into a JavaScript error at the border.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace lorikeet {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {
inline void append(std::ostringstream&) {}
template <typename T, typename... Rest>
void append(std::ostringstream& out, const T& value, const Rest&... rest) {
  out << value;
  append(out, rest...);
}
}  // namespace detail

// fail("linear: x has ", k, " columns, w has ", k2): one message from any printable parts.
template <typename... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream out;
  detail::append(out, parts...);
  throw Error(out.str());
}

template <typename... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) fail(parts...);
}

}  // namespace lorikeet
