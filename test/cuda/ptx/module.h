// The text of a PTX module taken apart: entries with their parameters, registers, variables and statements, nothing of
// it understood yet.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace lorikeet::ptx {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A parameter, or a variable in shared, local, global or constant memory.
struct Variable {
  std::string name, space;
  size_t align = 1, bytes = 0;     // bytes: 0 for an array as large as the launch says
  std::vector<uint8_t> initial{};  // zeros when shorter than the variable
};

// One instruction. Vectors and pairs are taken apart: `{%r1, %r2}` and `%r1|%p1` are two operands.
struct Statement {
  std::string predicate;  // empty: none
  bool negated = false;
  std::string opcode;
  std::vector<std::string> operands;
  int line = 0;
  std::string text;
};

struct Entry {
  std::string name;
  std::vector<Variable> parameters, variables;
  std::unordered_map<std::string, int> registers;  // bits, 1 for predicates; of `%r<8>` the name is %r
  std::vector<Statement> statements;
  std::unordered_map<std::string, size_t> labels;                     // the statement that follows
  std::unordered_map<std::string, std::vector<std::string>> targets;  // of brx.idx
};

struct Module {
  std::vector<Variable> variables;
  std::vector<Entry> entries;
};

Module parse_module(const std::string& text);  // throws Error

}  // namespace lorikeet::ptx
