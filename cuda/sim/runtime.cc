#include "runtime.h"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <new>

#include "cards.h"
#include "schedule.h"

namespace lorikeet::sim {
namespace runtime {

struct SimStream {
  int lane;                        // in the host's schedule
  SimGraph* capture = nullptr;     // being recorded
  int capture_lane = -1;           // in the capture's schedule
};
struct SimGraph {
  Schedule schedule{0};
  int origin = 0;
  std::map<SimStream*, int> streams;  // that take part
};
struct SimEvent {
  SimGraph* capture = nullptr;  // recorded there, or in the host's schedule
  Schedule::Point point;
  std::shared_ptr<double> seconds = std::make_shared<double>(0);
};

}  // namespace runtime

// What the runtime knows of one card.
struct Host {
  explicit Host(uint32_t seed) : schedule(seed) {}
  Schedule schedule;
  std::vector<int> idle_lanes;
  std::map<const char*, size_t> device, pinned;  // allocations
  size_t device_bytes = 0;
  runtime::cudaError_t sticky = runtime::cudaSuccess;
  std::string fault;

  static bool contains(const std::map<const char*, size_t>& blocks, const void* pointer) {
    const char* at = static_cast<const char*>(pointer);
    const auto next = blocks.upper_bound(at);
    return next != blocks.begin() && at < std::prev(next)->first + std::prev(next)->second;
  }
};

std::shared_ptr<Host> make_host(uint32_t seed) { return std::make_shared<Host>(seed); }

namespace runtime {
namespace {

Host& host() { return Machine::current().host(); }

// Runs what may meet a fault; after one nothing works any more, as on a card.
template <typename Action>
cudaError_t guarded(const Action& action) {
  Host& h = host();
  if (h.sticky != cudaSuccess) return h.sticky;
  try {
    action(h);
  } catch (const Fault& fault) {
    h.fault = fault.what();
    h.sticky = cudaErrorLaunchFailure;
    h.schedule.drop_all();
  }
  return h.sticky;
}

// The card's own clock where it has one.
double now() {
  const Machine& machine = Machine::current();
  if (machine.mode() != Mode::fast) return machine.microseconds() * 1e-6;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void add(cudaStream_t stream, std::function<void()> work) {
  if (stream->capture) {
    stream->capture->schedule.add(stream->capture_lane, std::move(work));
  } else {
    host().schedule.add(stream->lane, std::move(work));
  }
}

// Never zeros: what was not written is not a number in any format.
void* allocate(size_t bytes, bool poison) {
  void* pointer = std::aligned_alloc(256, (bytes + 255) / 256 * 256 + 256);
  if (pointer && poison) std::memset(pointer, 0xff, bytes);
  return pointer;
}

}  // namespace

const char* cudaGetErrorString(cudaError_t status) {
  switch (status) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
    case cudaErrorStreamCaptureInvalidated: return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureUnjoined: return "capture was not joined to the origin stream";
  }
  return "unknown error";
}

cudaError_t cudaGetLastError() { return host().sticky; }

std::string last_fault() { return host().fault; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return cudaErrorInvalidDevice;
  const Card& card = Machine::current().card();
  std::snprintf(properties->name, sizeof properties->name, "emulated %s", card.name);
  properties->totalGlobalMem = static_cast<size_t>(card.memory_gib * 1024) << 20;
  properties->multiProcessorCount = card.multiprocessors;
  properties->major = card.major;
  properties->minor = card.minor;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = static_cast<size_t>(Machine::current().card().memory_gib * 1024) << 20;
  *free = *total - host().device_bytes;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  size_t free, total;
  cudaMemGetInfo(&free, &total);
  Machine& machine = Machine::current();
  if (bytes > free) return cudaErrorMemoryAllocation;
  *pointer = allocate(bytes, machine.mode() == Mode::strict);
  if (!*pointer) return cudaErrorMemoryAllocation;
  Host& h = host();
  h.device[static_cast<char*>(*pointer)] = bytes;
  h.device_bytes += bytes;
  if (machine.mode() != Mode::fast) machine.memory().add("device memory", *pointer, bytes, 4, Rights::read_write);
  return cudaSuccess;
}

cudaError_t cudaFree(void* pointer) {
  if (!pointer) return cudaSuccess;
  Host& h = host();
  const auto found = h.device.find(static_cast<char*>(pointer));
  if (found == h.device.end()) return cudaErrorInvalidValue;
  const cudaError_t status = guarded([](Host& h) { h.schedule.finish_all(); });  // cudaFree waits for the card
  h.device_bytes -= found->second;
  h.device.erase(found);
  Machine::current().memory().remove(pointer);
  std::free(pointer);
  return status;
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  *pointer = allocate(bytes, true);
  if (!*pointer) return cudaErrorMemoryAllocation;
  host().pinned[static_cast<char*>(*pointer)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* pointer) {
  if (!pointer) return cudaSuccess;
  if (host().pinned.erase(static_cast<char*>(pointer)) == 0) return cudaErrorInvalidValue;
  const cudaError_t status = guarded([](Host& h) { h.schedule.finish_all(); });
  std::free(pointer);
  return status;
}

// Pinned memory is read and written when the copy runs, other host memory before the call returns.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  Host& h = host();
  const bool to_device = kind != cudaMemcpyDeviceToHost, from_device = kind != cudaMemcpyHostToDevice;
  if (to_device != Host::contains(h.device, to) || from_device != Host::contains(h.device, from)) {
    return cudaErrorInvalidValue;
  }
  if (!from_device && !Host::contains(h.pinned, from)) {
    if (stream->capture) return cudaErrorStreamCaptureInvalidated;
    const std::string copy(static_cast<const char*>(from), bytes);
    add(stream, [=] { std::memcpy(to, copy.data(), bytes); });
    return cudaSuccess;
  }
  add(stream, [=] { std::memcpy(to, from, bytes); });
  if (to_device || Host::contains(h.pinned, to)) return cudaSuccess;
  if (stream->capture) return cudaErrorStreamCaptureInvalidated;
  return cudaStreamSynchronize(stream);
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!Host::contains(host().device, to)) return cudaErrorInvalidValue;
  add(stream, [=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  Host& h = host();
  if (h.idle_lanes.empty()) h.idle_lanes.push_back(h.schedule.add_lane());
  *stream = new SimStream{h.idle_lanes.back()};
  h.idle_lanes.pop_back();
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const cudaError_t status = cudaStreamSynchronize(stream);
  host().idle_lanes.push_back(stream->lane);
  delete stream;
  return status;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream->capture) return cudaErrorStreamCaptureInvalidated;
  return guarded([&](Host& h) { h.schedule.finish(h.schedule.end_of(stream->lane)); });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (event->point.lane < 0) return cudaSuccess;  // never recorded
  if (!event->capture) {
    if (stream->capture) return cudaErrorStreamCaptureInvalidated;
    host().schedule.wait(stream->lane, event->point);
    return cudaSuccess;
  }
  if (!stream->capture) {  // it joins the capture
    stream->capture = event->capture;
    const auto [place, added] = event->capture->streams.emplace(stream, event->capture->schedule.lanes());
    if (added) event->capture->schedule.add_lane();
    stream->capture_lane = place->second;
  }
  if (stream->capture != event->capture) return cudaErrorStreamCaptureInvalidated;
  stream->capture->schedule.wait(stream->capture_lane, event->point);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new SimEvent;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  add(stream, [seconds = event->seconds] { *seconds = now(); });
  event->capture = stream->capture;
  event->point = stream->capture ? stream->capture->schedule.end_of(stream->capture_lane)
                                 : host().schedule.end_of(stream->lane);
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->point.lane < 0) return cudaSuccess;
  if (event->capture) return cudaErrorStreamCaptureInvalidated;
  return guarded([&](Host& h) { h.schedule.finish(event->point); });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = static_cast<float>((*to->seconds - *from->seconds) * 1e3);
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream->capture) return cudaErrorStreamCaptureInvalidated;
  stream->capture = new SimGraph;
  stream->capture_lane = stream->capture->origin = stream->capture->schedule.add_lane();
  stream->capture->streams[stream] = stream->capture_lane;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  SimGraph* capture = stream->capture;
  if (!capture || stream->capture_lane != capture->origin) return cudaErrorStreamCaptureInvalidated;
  bool joined = true;
  for (const auto& [other, lane] : capture->streams) {
    joined &= capture->schedule.ordered_before_end(capture->schedule.end_of(lane), capture->origin);
    other->capture = nullptr;
  }
  *graph = joined ? capture : nullptr;
  if (joined) return cudaSuccess;
  delete capture;
  return cudaErrorStreamCaptureUnjoined;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new SimGraph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const auto schedule = std::make_shared<const Schedule>(executable->schedule);
  add(stream, [schedule] { Schedule(*schedule).finish_all(); });
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { return cudaGraphDestroy(executable); }

void enqueue(cudaStream_t stream, std::function<void()> work) {
  if (!stream) return work();
  add(stream, std::move(work));
}

}  // namespace runtime
}  // namespace lorikeet::sim
