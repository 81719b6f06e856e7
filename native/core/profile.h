// Where the time goes: milliseconds and calls by op and label (the name of an instruction's first output).
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "device.h"

namespace lorikeet {

class Profile {
 public:
  // Where an instruction's time is added.
  size_t slot(const Program& program, const Instruction& instruction) {
    const bool labelled = !instruction.outputs.empty() && instruction.outputs[0] != kNoTensor;
    const std::string label = labelled ? program.tensors[instruction.outputs[0]].name : "";
    const auto [found, added] = slots_.emplace(std::make_pair(instruction.op, label), entries_.size());
    if (added) entries_.push_back({instruction.op, label, 0, 0});
    return found->second;
  }

  void add(size_t slot, double milliseconds) {
    entries_[slot].milliseconds += milliseconds;
    entries_[slot].calls++;
  }

  void clear() {
    for (ProfileEntry& entry : entries_) entry.calls = 0, entry.milliseconds = 0;
  }

  std::vector<ProfileEntry> report() const {  // the longest first
    std::vector<ProfileEntry> report;
    for (const ProfileEntry& entry : entries_) {
      if (entry.calls > 0) report.push_back(entry);
    }
    std::stable_sort(report.begin(), report.end(),
                     [](const ProfileEntry& a, const ProfileEntry& b) { return a.milliseconds > b.milliseconds; });
    return report;
  }

 private:
  std::vector<ProfileEntry> entries_;
  std::map<std::pair<std::string, std::string>, size_t> slots_;
};

}  // namespace lorikeet
