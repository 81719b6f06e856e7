// The PTX of a test program's kernels. The environment variable LORIKEET_PTX names a file with a line for each kernel:
// the address of the host's function in hexadecimal, or the name of a function of functions.h; the entry's name; the
// module's file.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "decode.h"

namespace lorikeet::ptx {

class Library {
 public:
  static Library& get();

  // By address ("4012a0") or name ("erff"). Throws Error: there is none, or it has an instruction that is not known.
  const Kernel& kernel(const std::string& key);

 private:
  Library();
  struct Place {
    std::string entry, file;
  };
  std::map<std::string, Place> places_;
  std::map<std::string, Module> modules_;  // by file
  std::map<std::string, std::unique_ptr<Kernel>> kernels_;
};

}  // namespace lorikeet::ptx
