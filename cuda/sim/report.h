// What the kernels of a machine did, for people's scripts: a JSON object a line and kernel.
#pragma once

#include <string>

#include "machine.h"

namespace lorikeet::sim {

std::string report(const std::map<std::string, Counters>& counters, const Card& card);

}  // namespace lorikeet::sim
