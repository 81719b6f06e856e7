#include "module.h"

#include <algorithm>
#include <cctype>

namespace lorikeet::ptx {
namespace {

std::string trim(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> result;
  size_t at = 0;
  while ((at = text.find_first_not_of(" \t\r\n", at)) != std::string::npos) {
    const size_t end = std::min(text.find_first_of(" \t\r\n", at), text.size());
    result.push_back(text.substr(at, end - at));
    at = end;
  }
  return result;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> result;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); i++) {
    if (i < text.size() && text[i] != separator) continue;
    const std::string part = trim(text.substr(begin, i - begin));
    if (!part.empty()) result.push_back(part);
    begin = i + 1;
  }
  return result;
}

// Bits of `.f32`, `.b8`, `.pred` (1).
int bits_of(const std::string& type) {
  if (type == ".pred") return 1;
  const size_t digits = type.find_first_of("0123456789");
  if (digits == std::string::npos) throw Error("PTX: '" + type + "' is no type");
  return std::stoi(type.substr(digits));
}

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text) {}

  Module parse() {
    Module module;
    skip_header();
    for (;;) {
      const std::string head = until("({;=");
      if (head.empty() && at_ >= text_.size()) return module;
      if (head.find(".entry") != std::string::npos) {
        module.entries.push_back(entry(words(head).back()));
      } else if (head.find(".func") != std::string::npos) {
        skip_function();
      } else if (!head.empty()) {
        module.variables.push_back(variable(head));
      }
    }
  }

 private:
  // `.version 9.0 .target sm_80 .address_size 64`: three lines that no semicolon ends.
  void skip_header() {
    const std::string last = ".address_size 64";
    const size_t found = text_.find(last);
    if (found == std::string::npos) throw Error("PTX: no .address_size 64");
    at_ = found + last.size();
    line_ += static_cast<int>(std::count(text_.begin(), text_.begin() + at_, '\n'));
  }

  // Text up to one of the characters, which is left; comments and strings are passed over.
  std::string until(const char* stops) {
    std::string result;
    while (at_ < text_.size()) {
      if (text_.compare(at_, 2, "//") == 0) {
        while (at_ < text_.size() && text_[at_] != '\n') at_++;
        continue;
      }
      const char c = text_[at_];
      if (text_.compare(at_, 2, "::") == 0) {  // within an opcode, as in ld.global.L2::128B
        result += "::";
        at_ += 2;
        continue;
      }
      if (std::string(stops).find(c) != std::string::npos) break;
      if (c == '\n') line_++;
      result += c;
      at_++;
    }
    return trim(result);
  }

  char next() {
    if (at_ >= text_.size()) throw Error("PTX ends too early");
    return text_[at_++];
  }

  // Of functions that nvcc did not inline only the name is taken note of, by those who call them.
  void skip_function() {
    until("{;");
    int depth = next() == '{' ? 1 : 0;
    while (depth > 0) {
      until("{}");
      depth += next() == '{' ? 1 : -1;
    }
  }

  // `.shared .align 4 .b8 name[12]`, with what may follow: `= {1, 2, 3};`
  Variable variable(const std::string& head) {
    Variable result = declaration(head);
    const char stop = next();
    if (stop == ';') return result;
    if (stop != '=') throw Error("PTX: not understood: " + head);
    const size_t size = unit_;
    until("{;");
    if (next() != '{') throw Error("PTX: an initial value that is not understood: " + head);
    for (const std::string& item : split(until("}"), ',')) {
      const uint64_t value = std::stoull(item, nullptr, 0);
      for (size_t i = 0; i < size; i++) result.initial.push_back(static_cast<uint8_t>(value >> (8 * i)));
    }
    until(";");
    next();
    return result;
  }

  Variable declaration(const std::string& text) {
    Variable result;
    const std::vector<std::string> parts = words(text);
    for (size_t i = 0; i + 1 < parts.size(); i++) {
      const std::string& part = parts[i];
      if (part == ".align") {
        result.align = std::stoul(parts[++i]);
      } else if (part == ".param" || part == ".shared" || part == ".local" || part == ".global" || part == ".const") {
        result.space = part.substr(1);
      } else if (part != ".extern" && part != ".visible" && part != ".weak" && part != ".ptr") {
        unit_ = bits_of(part) / 8;
      }
    }
    const std::string& name = parts.back();
    const size_t bracket = name.find('[');
    result.name = name.substr(0, bracket);
    result.bytes = unit_;
    if (bracket != std::string::npos) {
      const std::string count = name.substr(bracket + 1, name.find(']') - bracket - 1);
      result.bytes = count.empty() ? 0 : unit_ * std::stoul(count);
    }
    result.align = std::max(result.align, unit_);
    if (result.space.empty()) throw Error("PTX: not understood: " + text);
    return result;
  }

  Entry entry(const std::string& name) {
    Entry result;
    result.name = name;
    if (text_[at_] == '(') {
      next();
      for (const std::string& item : split(until(")"), ',')) result.parameters.push_back(declaration(item));
      next();
    }
    until("{");  // .maxntid and its like
    next();
    int depth = 1;
    while (depth > 0) {
      const std::string text = until(";:{}");
      const int line = line_;
      const char stop = next();
      if (text.empty()) {
        depth += stop == '{' ? 1 : stop == '}' ? -1 : 0;
      } else if (stop == ':') {
        label(result, text);
      } else if (stop == '{') {  // a vector: the statement goes on
        finish(result, text + " {" + until(";"), line);
        next();
      } else if (stop == ';') {
        finish(result, text, line);
      } else {
        throw Error("PTX: line " + std::to_string(line) + " is not understood: " + text);
      }
    }
    return result;
  }

  void label(Entry& entry, const std::string& name) {
    entry.labels[name] = entry.statements.size();
    const size_t before = at_;
    const int line = line_;
    const std::string text = until(";:{}");
    if (text.rfind(".branchtargets", 0) == 0) {
      entry.targets[name] = split(text.substr(14), ',');
      next();
    } else {
      at_ = before, line_ = line;
    }
  }

  void finish(Entry& entry, const std::string& text, int line) {
    if (text[0] == '.') {
      directive(entry, text);
      return;
    }
    Statement statement;
    statement.line = line;
    statement.text = text;
    std::string rest = text;
    if (rest[0] == '@') {
      const size_t end = rest.find_first_of(" \t");
      statement.negated = rest[1] == '!';
      statement.predicate = rest.substr(statement.negated ? 2 : 1, end - (statement.negated ? 2 : 1));
      rest = trim(rest.substr(end));
    }
    const size_t end = std::min(rest.find_first_of(" \t\n"), rest.size());
    statement.opcode = rest.substr(0, end);
    std::string operands = rest.substr(end);
    for (char& c : operands) {
      if (c == '{' || c == '}') c = ' ';
      if (c == '|') c = ',';
    }
    statement.operands = split(operands, ',');
    entry.statements.push_back(std::move(statement));
  }

  void directive(Entry& entry, const std::string& text) {
    const std::vector<std::string> parts = words(text);
    if (parts[0] == ".pragma") return;
    if (parts[0] != ".reg") {
      entry.variables.push_back(declaration(text));
      return;
    }
    const int bits = bits_of(parts[1]);
    for (const std::string& name : split(text.substr(text.find(parts[1]) + parts[1].size()), ',')) {
      // Around calls the same name may be declared once more.
      if (entry.registers.emplace(name.substr(0, name.find('<')), bits).first->second != bits) {
        throw Error("PTX: " + entry.name + " declares " + name + " twice");
      }
    }
  }

  const std::string& text_;
  size_t at_ = 0;
  int line_ = 1;
  size_t unit_ = 0;  // bytes of an element of the variable declared last
};

}  // namespace

Module parse_module(const std::string& text) { return Parser(text).parse(); }

}  // namespace lorikeet::ptx
