#include "decode.h"

#include <algorithm>
#include <map>

#include "operations.h"

namespace lorikeet::ptx {
namespace {

size_t align_up(size_t at, size_t align) { return (at + align - 1) / align * align; }

int bytes_of(char letter) { return letter == 'h' ? 2 : letter == 'w' ? 4 : letter == 'd' ? 8 : 0; }

class Decoder {
 public:
  Decoder(const Module& module, const Entry& entry) : module_(module), kernel_(new Kernel()) {
    kernel_->name = entry.name;
    kernel_->entry = entry;
  }

  std::unique_ptr<Kernel> decode() {
    lay_out();
    reserve(4);  // no operand lies at 0
    for (const Statement& statement : kernel_->entry.statements) kernel_->code.push_back(instruction(statement));
    // Kernels may end without ret.
    static const Statement end{"", false, "ret", {}, 0, "the end of the kernel"};
    kernel_->code.push_back(instruction(end));
    return std::move(kernel_);
  }

 private:
  void lay_out() {
    for (const Variable& parameter : kernel_->entry.parameters) {
      const size_t offset = align_up(kernel_->parameter_bytes, parameter.align);
      kernel_->parameters.push_back({offset, parameter.bytes});
      kernel_->parameter_bytes = offset + parameter.bytes;
      symbols_[parameter.name] = offset;
    }
    std::vector<const Variable*> variables;
    for (const Variable& variable : kernel_->entry.variables) variables.push_back(&variable);
    for (const Variable& variable : module_.variables) {
      if (uses(variable.name)) variables.push_back(&variable);
    }
    const Variable* dynamic = nullptr;
    for (const Variable* variable : variables) {
      if (variable->space == "param") {  // of a call
        symbols_[variable->name] = kernel_->parameter_bytes;
      } else if (variable->space == "shared" && variable->bytes == 0) {
        dynamic = variable;
      } else if (variable->space == "shared" || variable->space == "local") {
        size_t& bytes = variable->space == "shared" ? kernel_->static_shared : kernel_->local_bytes;
        symbols_[variable->name] = align_up(bytes, variable->align);
        bytes = align_up(bytes, variable->align) + variable->bytes;
      } else {
        if (variable->space == "global" && variable->initial.empty()) {
          throw Error("PTX: " + variable->name + " is a global variable, which kernels may not have here");
        }
        std::vector<uint8_t> value = variable->initial;
        value.resize(variable->bytes);
        kernel_->constants.push_back(std::move(value));
        symbols_[variable->name] = reinterpret_cast<uint64_t>(kernel_->constants.back().data());
      }
    }
    kernel_->local_bytes = align_up(kernel_->local_bytes, 16);
    if (dynamic != nullptr) {
      kernel_->static_shared = align_up(kernel_->static_shared, dynamic->align);
      symbols_[dynamic->name] = kernel_->static_shared;
    }
  }

  bool uses(const std::string& name) const {
    for (const Statement& statement : kernel_->entry.statements) {
      for (const std::string& operand : statement.operands) {
        if (operand.find(name) != std::string::npos) return true;
      }
    }
    return false;
  }

  Instruction instruction(const Statement& statement) {
    Instruction result;
    result.statement = &statement;
    if (statement.opcode.rfind("call", 0) == 0) {
      result.run = [](Warp& warp, const Instruction& call) {
        warp.fail(call, __builtin_ctz(warp.active), "calls a function that nvcc did not inline, which is not known");
      };
      return result;
    }
    const std::string opcode = plain_opcode(statement.opcode, result.space);
    const auto [first, last] = operations().equal_range(opcode);
    for (auto found = first; found != last; ++found) {
      const Overload& overload = found->second;
      if (!fits(statement, overload.operands)) continue;
      result.run = overload.run;
      result.flow = overload.flow;
      result.negated = statement.negated;
      if (!statement.predicate.empty()) result.predicate = slot_of(statement.predicate, 'p');
      for (size_t i = 0; i < overload.operands.size(); i++) {
        add_operand(result, statement.operands[i], overload.operands[i]);
      }
      return result;
    }
    const std::string what = first == last ? "opcode " + statement.opcode + " is not known"
                                           : "these operands of opcode " + statement.opcode + " are not known";
    throw Error("PTX: " + what + " (line " + std::to_string(statement.line) + " of " + kernel_->name + ": " +
                statement.text + ")");
  }

  // Without the space of memory, and without what only concerns caches and the order between threads.
  static std::string plain_opcode(const std::string& opcode, Space& space) {
    static const std::map<std::string, Space> spaces = {
        {"global", Space::global}, {"shared", Space::shared},  {"local", Space::local},
        {"param", Space::param},   {"const", Space::constant}, {"shared::cta", Space::shared}};
    static const std::vector<std::string> hints = {"volatile", "relaxed", "acquire", "release", "acq_rel", "weak",
                                                   "gpu",      "cta",     "sys",     "nc",      "ca",      "cg",
                                                   "cs",       "lu",      "cv",      "wb",      "wt"};
    const std::string kind = opcode.substr(0, opcode.find('.'));
    if (kind != "ld" && kind != "st" && kind != "atom" && kind != "red") return opcode;
    std::string result = kind;
    for (size_t at = kind.size(); at < opcode.size();) {
      const size_t end = std::min(opcode.find('.', at + 1), opcode.size());
      const std::string part = opcode.substr(at + 1, end - at - 1);
      at = end;
      const auto found = spaces.find(part);
      if (found != spaces.end()) {
        space = found->second;
      } else if (part.rfind("L1::", 0) != 0 && part.rfind("L2::", 0) != 0 &&
                 std::find(hints.begin(), hints.end(), part) == hints.end()) {
        result += "." + part;
      }
    }
    return result;
  }

  int register_bits(const std::string& name) const {
    const auto& registers = kernel_->entry.registers;
    auto found = registers.find(name);
    if (found == registers.end()) found = registers.find(name.substr(0, name.find_last_not_of("0123456789") + 1));
    return found == registers.end() ? 0 : found->second;
  }

  bool fits(const Statement& statement, const std::string& letters) const {
    if (statement.operands.size() != letters.size()) return false;
    for (size_t i = 0; i < letters.size(); i++) {
      const std::string& operand = statement.operands[i];
      const char letter = letters[i];
      const bool is_address = operand[0] == '[', is_register = operand[0] == '%' && register_bits(operand) != 0;
      if (is_address != (letter == 'a')) return false;
      if (letter == '0' && operand != "0") return false;
      if (is_register && letter != 'a' && register_bits(operand) != (letter == 'p' ? 1 : 8 * bytes_of(letter))) {
        return false;
      }
      if (operand[0] == '!') return false;
    }
    return true;
  }

  void add_operand(Instruction& instruction, const std::string& text, char letter) {
    if (letter == 't') {
      const auto table = kernel_->entry.targets.find(text);
      if (table == kernel_->entry.targets.end()) {
        instruction.targets.push_back(label(text));
      } else {
        for (const std::string& name : table->second) instruction.targets.push_back(label(name));
      }
    } else if (letter == 'a') {
      instruction.operands.push_back(address(text.substr(1, text.size() - 2)));
    } else if (letter != '0') {
      instruction.operands.push_back({slot_of(text, letter), bytes_of(letter), 0});
    }
  }

  uint32_t label(const std::string& name) const {
    const auto found = kernel_->entry.labels.find(name);
    if (found == kernel_->entry.labels.end()) throw Error("PTX: " + kernel_->name + " has no label " + name);
    return static_cast<uint32_t>(found->second);
  }

  // %rd1, %rd1+-16, name, name+8, 128
  Operand address(const std::string& text) {
    const size_t plus = text.find('+');
    const std::string base = text.substr(0, plus);
    const int64_t offset = plus == std::string::npos ? 0 : std::stoll(text.substr(plus + 1));
    if (base[0] == '%') {
      const int bits = register_bits(base);
      if (bits != 32 && bits != 64) throw Error("PTX: [" + text + "] is no address");
      return {slot_of(base, bits == 32 ? 'w' : 'd'), bits / 8, offset};
    }
    return {constant(value_of(base, 'd'), 'd'), 8, offset};
  }

  uint32_t slot_of(const std::string& text, char letter) {
    if (text == "_") {  // a result that nobody wants
      const auto [found, fresh] = slots_.emplace(std::string("_") + letter, 0);
      if (fresh) found->second = reserve(letter == 'p' ? 4 : 32 * bytes_of(letter));
      return found->second;
    }
    if (text[0] != '%') return constant(value_of(text, letter), letter);
    const auto [found, fresh] = slots_.emplace(text, 0);
    if (!fresh) return found->second;
    if (register_bits(text) == 0) {
      if (letter != 'w') throw Error("PTX: " + text + " is not known");
      found->second = reserve(32 * 4);
      kernel_->specials.push_back({text.substr(1), found->second});
    } else {
      found->second = reserve(letter == 'p' ? 4 : 32 * bytes_of(letter));
    }
    return found->second;
  }

  uint32_t constant(uint64_t value, char letter) {
    const auto [found, fresh] = constants_.emplace(std::make_pair(value, letter), 0);
    if (!fresh) return found->second;
    const int bytes = bytes_of(letter);
    found->second = reserve(letter == 'p' ? 4 : 32 * bytes);
    char* to = kernel_->registers.data() + found->second;
    if (letter == 'p') {
      const uint32_t mask = value != 0 ? kAllLanes : 0;
      std::memcpy(to, &mask, 4);
    }
    for (int lane = 0; lane < 32 && bytes > 0; lane++) std::memcpy(to + lane * bytes, &value, bytes);
    return found->second;
  }

  // Numbers as the PTX ISA writes them: 12, -1, 0x1F, 0f3F800000, 0d3FF0000000000000; or the address of a variable.
  uint64_t value_of(const std::string& text, char letter) const {
    const auto symbol = symbols_.find(text);
    if (symbol != symbols_.end()) return symbol->second;
    const bool is_float = text.size() == 10 && (text.rfind("0f", 0) == 0 || text.rfind("0F", 0) == 0);
    const bool is_double = text.size() == 18 && (text.rfind("0d", 0) == 0 || text.rfind("0D", 0) == 0);
    if ((is_float && letter == 'w') || (is_double && letter == 'd')) return std::stoull(text.substr(2), nullptr, 16);
    const bool negative = text[0] == '-';
    const std::string digits = text.substr(negative ? 1 : 0);
    const size_t odd = digits.find_first_not_of("0123456789abcdefABCDEFxXU");
    if (is_float || is_double || digits.empty() || odd != std::string::npos) {
      throw Error("PTX: the operand '" + text + "' in " + kernel_->name + " is not known");
    }
    const uint64_t value = std::stoull(digits, nullptr, 0);
    return negative ? ~value + 1 : value;
  }

  uint32_t reserve(size_t bytes) {
    const size_t at = align_up(kernel_->registers.size(), 4);
    kernel_->registers.resize(at + bytes, '\xff');  // what was never written is NaN, and true
    return static_cast<uint32_t>(at);
  }

  const Module& module_;
  std::unique_ptr<Kernel> kernel_;
  std::map<std::string, uint64_t> symbols_;
  std::unordered_map<std::string, uint32_t> slots_;
  std::map<std::pair<uint64_t, char>, uint32_t> constants_;
};

}  // namespace

std::unique_ptr<Kernel> decode(const Module& module, const Entry& entry) { return Decoder(module, entry).decode(); }

void run_kernel(const Kernel& kernel, const sim::LaunchShape& shape, const std::vector<uint8_t>& parameters,
                const std::vector<Range>& memory) {
  BlockContext block{kernel, shape.grid, shape.block, dim3(), parameters, memory, {}};
  for (unsigned index = 0; index < shape.grid.count(); index++) {
    const unsigned x = shape.grid.x, y = shape.grid.y;
    block.index = dim3(index % x, index / x % y, index / x / y);
    block.shared.assign(kernel.static_shared + shape.shared_bytes, '\xff');
    std::vector<std::unique_ptr<Warp>> warps;
    for (unsigned thread = 0; thread < shape.block.count(); thread += 32) {
      warps.push_back(std::make_unique<Warp>(block, thread));
    }
    for (size_t waiting = warps.size(); waiting > 0;) {
      waiting = 0;
      for (auto& warp : warps) waiting += warp->run() == Warp::at_barrier;
      if (waiting != 0 && waiting != warps.size()) {
        throw Error(std::to_string(warps.size() - waiting) + " warps of a block end while others wait at a barrier");
      }
    }
  }
}

}  // namespace lorikeet::ptx
