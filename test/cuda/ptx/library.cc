#include "library.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace lorikeet::ptx {

Library& Library::get() {
  static Library library;
  return library;
}

Library::Library() {
  const char* index = std::getenv("LORIKEET_PTX");
  if (index == nullptr) throw Error("LORIKEET_PTX names no file");
  std::ifstream lines(index);
  std::string key;
  Place place;
  while (lines >> key >> place.entry && std::getline(lines >> std::ws, place.file)) places_[key] = place;
}

const Kernel& Library::kernel(const std::string& key) {
  const auto known = kernels_.find(key);
  if (known != kernels_.end()) return *known->second;
  const auto found = places_.find(key);
  if (found == places_.end()) throw Error("nvcc made no kernel for the host's function " + key);
  const Place& place = found->second;
  if (modules_.count(place.file) == 0) {
    std::ifstream file(place.file, std::ios::binary);
    modules_[place.file] = parse_module({std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()});
  }
  const Module& module = modules_.at(place.file);
  for (const Entry& entry : module.entries) {
    if (entry.name == place.entry) return *(kernels_[key] = decode(module, entry));
  }
  throw Error(place.file + " has no entry " + place.entry);
}

}  // namespace lorikeet::ptx
