#include "report.h"

#include <sstream>

namespace lorikeet::sim {

std::string report(const std::map<std::string, Counters>& counters, const Card& card) {
  std::ostringstream out;
  for (const auto& [name, c] : counters) {
    out << "{\"kernel\":\"" << name << "\",\"card\":\"" << card.name << "\",\"launches\":" << c.launches
        << ",\"blocks\":" << c.blocks << ",\"tensorFlops\":" << c.tensor_flops
        << ",\"dramBytes\":" << c.dram_read_bytes + c.dram_written_bytes
        << ",\"loadSectors\":" << c.load.sectors << ",\"storeSectors\":" << c.store.sectors
        << ",\"sectorFactor\":" << c.sector_factor() << ",\"sharedWavefronts\":" << c.shared.wavefronts
        << ",\"conflictFactor\":" << c.conflict_factor() << "}\n";
  }
  return out.str();
}

}  // namespace lorikeet::sim
