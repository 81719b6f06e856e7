// Runs entries of a PTX file that were written by hand, each in one block:
//
//     run FILE.ptx THREADS WORD...
//
// An entry takes a pointer to the words, read-only, and one to as many results as there are threads, 4 bytes each.
// Prints a line of JSON for each entry.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "../decode.h"

int main(int count, char** arguments) {
  using namespace lorikeet;
  std::ifstream file(arguments[1], std::ios::binary);
  const ptx::Module module =
      ptx::parse_module({std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()});
  const unsigned threads = static_cast<unsigned>(std::atoi(arguments[2]));
  std::vector<uint32_t> words, results(threads);
  for (int i = 3; i < count; i++) words.push_back(static_cast<uint32_t>(std::strtoul(arguments[i], nullptr, 0)));
  const std::vector<ptx::Range> memory = {
      {"words", reinterpret_cast<char*>(words.data()), words.size() * 4, false},
      {"results", reinterpret_cast<char*>(results.data()), results.size() * 4, true}};
  const void* pointers[] = {words.data(), results.data()};
  std::vector<uint8_t> parameters(sizeof pointers);
  std::memcpy(parameters.data(), pointers, sizeof pointers);
  for (const ptx::Entry& entry : module.entries) {
    std::string line, error;
    results.assign(threads, 0);
    try {
      const auto kernel = ptx::decode(module, entry);
      ptx::run_kernel(*kernel, {dim3(1), dim3(threads), 1024}, parameters, memory);
    } catch (const ptx::Error& caught) {
      for (char c : std::string(caught.what())) error += c == '"' || c == '\\' || c < ' ' ? '\'' : c;
    }
    for (uint32_t value : results) line += (line.empty() ? "" : ",") + std::to_string(value);
    const char* format = "{\"entry\":\"%s\",\"error\":\"%s\",\"results\":[%s]}\n";
    std::printf(format, entry.name.c_str(), error.c_str(), line.c_str());
  }
}
