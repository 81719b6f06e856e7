// A point in a stream, with one owner.
#pragma once

#include <utility>

#include "device_memory.h"

namespace LORIKEET_CUDA {

class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "making an event"); }
  ~Event() {
    if (event_) cudaEventDestroy(event_);
  }
  Event(Event&& other) noexcept { std::swap(event_, other.event_); }
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  void record(Stream stream) { check(cudaEventRecord(event_, stream), "recording an event"); }
  // What is put into `stream` from now on runs after what was recorded.
  void hold_back(Stream stream) const { check(cudaStreamWaitEvent(stream, event_, 0), "waiting for an event"); }

 private:
  cudaEvent_t event_ = {};
};

}  // namespace LORIKEET_CUDA
