#include "fault.h"

#include <cstring>

namespace lorikeet::sim {

std::string Site::text() const {
  if (file() == nullptr) return "an unknown place";
  const char* slash = std::strrchr(file(), '/');
  return std::string(slash ? slash + 1 : file()) + ":" + std::to_string(line());
}

const char* name_of(FaultKind kind) {
  switch (kind) {
    case FaultKind::launch: return "launch";
    case FaultKind::bounds: return "bounds";
    case FaultKind::read_only: return "read_only";
    case FaultKind::misaligned: return "misaligned";
    case FaultKind::uninitialised: return "uninitialised";
    case FaultKind::race: return "race";
    case FaultKind::async_copy: return "async_copy";
    case FaultKind::barrier_divergence: return "barrier_divergence";
    case FaultKind::collective_divergence: return "collective_divergence";
  }
  return "unknown";
}

}  // namespace lorikeet::sim
