// What a kernel did, counted per warp-wide request as the hardware would serve it, and compared with the least that
// would have done.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fault.h"

namespace lorikeet::sim {

struct GlobalTraffic {
  uint64_t requests = 0;       // warp-wide instructions
  uint64_t sectors = 0;        // of 32 bytes
  uint64_t ideal_sectors = 0;  // that the bytes asked for would fill
  uint64_t bytes = 0;          // asked for, each counted once a request
};

struct SharedTraffic {
  uint64_t requests = 0;
  uint64_t wavefronts = 0;        // passes over the 32 banks
  uint64_t ideal_wavefronts = 0;  // without bank conflicts
  uint64_t bytes = 0;
};

// Of one source line.
struct SiteTraffic {
  GlobalTraffic global;
  SharedTraffic shared;
};

struct Counters {
  uint64_t launches = 0, blocks = 0, threads = 0;  // threads: of a block
  uint64_t shared_bytes = 0;                       // of a block, the most of all launches
  uint64_t tensor_instructions = 0;
  uint64_t tensor_flops = 0;
  uint64_t matrix_loads = 0;       // ldmatrix
  uint64_t warp_operations = 0;    // shuffles and votes
  uint64_t block_barriers = 0, warp_barriers = 0;
  GlobalTraffic load, store;       // cp.async counts as a load
  SharedTraffic shared;
  uint64_t dram_read_bytes = 0, dram_written_bytes = 0;  // sectors touched, once a launch
  std::map<Site, SiteTraffic> sites;

  void scale(double factor);           // all but launches, blocks, threads and shared_bytes
  void add(const Counters& launches);

  double sector_factor() const;    // sectors over the ideal, loads and stores; 1 when there were none
  double conflict_factor() const;  // wavefronts over the ideal
};

// One access of one lane, kept until the warp's request can be put together.
struct AccessRecord {
  enum Kind : uint8_t { load, store, copy, shared, counted };  // copy: cp.async, of other bytes in each lane, or of none
  Site site;
  uint64_t address = 0;
  uint8_t bytes = 0;
  Kind kind = load;
};

// Puts the records of the lanes of a warp together into requests: the n-th access of a lane at one place belongs to
// the n-th of the others there. Empties them.
void count_requests(std::vector<AccessRecord>* const* lanes, int count, Counters& counters);

// One request that reads or writes `bytes` at each of `count` addresses in shared memory.
void count_shared_request(const uint64_t* addresses, int count, int bytes, Site site, Counters& counters);

}  // namespace lorikeet::sim
