#include "counters.h"

#include <algorithm>

namespace lorikeet::sim {
namespace {

double ratio(uint64_t a, uint64_t b) { return b == 0 ? 1.0 : static_cast<double>(a) / static_cast<double>(b); }

void add(GlobalTraffic& total, const GlobalTraffic& request) {
  total.requests += request.requests;
  total.sectors += request.sectors;
  total.ideal_sectors += request.ideal_sectors;
  total.bytes += request.bytes;
}

void count_global_request(AccessRecord* lanes, int count, Counters& counters) {
  std::sort(lanes, lanes + count, [](const auto& a, const auto& b) { return a.address < b.address; });
  GlobalTraffic request;
  request.requests = 1;
  uint64_t counted_sectors = 0, counted_bytes = 0;  // up to these ends everything is counted
  for (int i = 0; i < count; i++) {
    const uint64_t begin = lanes[i].address, end = begin + lanes[i].bytes;
    const uint64_t first = std::max(begin / 32, counted_sectors), last = (end - 1) / 32 + 1;
    if (last > first) request.sectors += last - first;
    counted_sectors = std::max(counted_sectors, last);
    const uint64_t from = std::max(begin, counted_bytes);
    if (end > from) request.bytes += end - from;
    counted_bytes = std::max(counted_bytes, end);
  }
  request.ideal_sectors = (request.bytes + 31) / 32;
  add(lanes[0].kind == AccessRecord::store ? counters.store : counters.load, request);
  add(counters.sites[lanes[0].site].global, request);
}

}  // namespace

void Counters::scale(double factor) {
  if (factor == 1) return;
  const auto times = [factor](uint64_t& count) {
    count = static_cast<uint64_t>(static_cast<double>(count) * factor + 0.5);
  };
  const auto global = [&](GlobalTraffic& traffic) {
    for (uint64_t* count : {&traffic.requests, &traffic.sectors, &traffic.ideal_sectors, &traffic.bytes}) times(*count);
  };
  const auto banks = [&](SharedTraffic& traffic) {
    for (uint64_t* count : {&traffic.requests, &traffic.wavefronts, &traffic.ideal_wavefronts, &traffic.bytes}) {
      times(*count);
    }
  };
  for (uint64_t* count : {&tensor_instructions, &tensor_flops, &matrix_loads, &warp_operations, &block_barriers,
                          &warp_barriers, &dram_read_bytes, &dram_written_bytes}) {
    times(*count);
  }
  global(load), global(store), banks(shared);
  for (auto& [site, traffic] : sites) global(traffic.global), banks(traffic.shared);
}

void Counters::add(const Counters& other) {
  const auto banks = [](SharedTraffic& total, const SharedTraffic& more) {
    total.requests += more.requests;
    total.wavefronts += more.wavefronts;
    total.ideal_wavefronts += more.ideal_wavefronts;
    total.bytes += more.bytes;
  };
  launches += other.launches;
  blocks += other.blocks;
  threads = other.threads;
  shared_bytes = std::max(shared_bytes, other.shared_bytes);
  tensor_instructions += other.tensor_instructions;
  tensor_flops += other.tensor_flops;
  matrix_loads += other.matrix_loads;
  warp_operations += other.warp_operations;
  block_barriers += other.block_barriers;
  warp_barriers += other.warp_barriers;
  dram_read_bytes += other.dram_read_bytes;
  dram_written_bytes += other.dram_written_bytes;
  sim::add(load, other.load);
  sim::add(store, other.store);
  banks(shared, other.shared);
  for (const auto& [site, traffic] : other.sites) {
    sim::add(sites[site].global, traffic.global);
    banks(sites[site].shared, traffic.shared);
  }
}

double Counters::sector_factor() const {
  return ratio(load.sectors + store.sectors, load.ideal_sectors + store.ideal_sectors);
}

double Counters::conflict_factor() const { return ratio(shared.wavefronts, shared.ideal_wavefronts); }

// 32 banks of 4 bytes. A request of at most 4 bytes a lane is served in one pass when no two lanes want different words
// of one bank; 8 bytes a lane take a pass for each half of the warp, 16 bytes one for each quarter.
void count_shared_request(const uint64_t* addresses, int count, int bytes, Site site, Counters& counters) {
  const int lanes_per_pass = bytes <= 4 ? 32 : 128 / bytes;
  SharedTraffic request;
  request.requests = 1;
  for (int first = 0; first < count; first += lanes_per_pass) {
    uint64_t words[64];
    int n = 0;
    for (int i = first; i < std::min(count, first + lanes_per_pass); i++) {
      for (int word = 0; word < (bytes + 3) / 4; word++) words[n++] = addresses[i] / 4 + word;
    }
    std::sort(words, words + n);
    n = static_cast<int>(std::unique(words, words + n) - words);
    int of_bank[32] = {}, most = 0;
    for (int i = 0; i < n; i++) most = std::max(most, ++of_bank[words[i] % 32]);
    request.wavefronts += most;
    request.ideal_wavefronts += (n + 31) / 32;
    request.bytes += static_cast<uint64_t>(n) * 4;
  }
  for (SharedTraffic* total : {&counters.shared, &counters.sites[site].shared}) {
    total->requests += request.requests;
    total->wavefronts += request.wavefronts;
    total->ideal_wavefronts += request.ideal_wavefronts;
    total->bytes += request.bytes;
  }
}

void count_requests(std::vector<AccessRecord>* const* lanes, int count, Counters& counters) {
  size_t next[32] = {};  // everything before is counted
  for (int leader = 0; leader < count;) {
    while (next[leader] < lanes[leader]->size() && (*lanes[leader])[next[leader]].kind == AccessRecord::counted) {
      next[leader]++;
    }
    if (next[leader] == lanes[leader]->size()) {
      leader++;
      continue;
    }
    const AccessRecord pattern = (*lanes[leader])[next[leader]];
    AccessRecord members[32];
    int n = 0;
    for (int lane = leader; lane < count; lane++) {
      std::vector<AccessRecord>& records = *lanes[lane];
      while (next[lane] < records.size() && records[next[lane]].kind == AccessRecord::counted) next[lane]++;
      for (size_t i = next[lane]; i < records.size(); i++) {
        AccessRecord& record = records[i];
        if (record.site != pattern.site || record.kind != pattern.kind) continue;
        if (record.kind != AccessRecord::copy && record.bytes != pattern.bytes) continue;
        if (record.bytes > 0) members[n++] = record;
        record.kind = AccessRecord::counted;
        break;
      }
    }
    if (pattern.kind == AccessRecord::shared) {
      uint64_t addresses[32] = {};
      for (int i = 0; i < n; i++) addresses[i] = members[i].address;
      count_shared_request(addresses, n, pattern.bytes, pattern.site, counters);
    } else if (n > 0) {
      count_global_request(members, n, counters);
    }
  }
  for (int lane = 0; lane < count; lane++) lanes[lane]->clear();
}

}  // namespace lorikeet::sim
