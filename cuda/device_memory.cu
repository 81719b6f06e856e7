#include "device_memory.h"

#include <utility>

#include "../native/core/error.h"

namespace LORIKEET_CUDA {

void check(cudaError_t status, const char* doing) {
  if (status == cudaSuccess) return;
  std::string detail = cudaGetErrorString(status);
#if !defined(LORIKEET_CARD)
  if (!last_fault().empty()) detail += ": " + last_fault();
#endif
  fail(doing, ": ", detail);
}

static std::string mib(size_t bytes) { return std::to_string((bytes + (1 << 19)) >> 20) + " MiB"; }

DeviceBlock::DeviceBlock(const char* what, int64_t bytes) {
  if (bytes == 0) return;
  Budget* const budget = Budget::current();
  if (budget && bytes > budget->limit - budget->used) {
    fail("the card's memory does not suffice: ", mib(static_cast<size_t>(bytes)), " for ", what, ", ",
         mib(static_cast<size_t>(budget->used)), " of the ", mib(static_cast<size_t>(budget->limit)),
         " that may be used are taken");
  }
  const cudaError_t status = cudaMalloc(&data_, static_cast<size_t>(bytes));
  if (status != cudaSuccess) {
    data_ = nullptr;
    cudaGetLastError();  // not sticky: it must not show up at the next launch
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    fail("the card's memory does not suffice: ", mib(static_cast<size_t>(bytes)), " for ", what, ", ", mib(free), " of ",
         mib(total), " are free (", cudaGetErrorString(status), ")");
  }
  bytes_ = bytes;
  budget_ = budget;
  if (budget_) budget_->used += bytes;
}

DeviceBlock::~DeviceBlock() {
  if (!data_) return;
  cudaFree(data_);
  if (budget_) budget_->used -= bytes_;
}

void DeviceBlock::swap(DeviceBlock& other) {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(budget_, other.budget_);
}

// A stream for copies that are waited for.
namespace {
class OwnStream {
 public:
  OwnStream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"); }
  ~OwnStream() { cudaStreamDestroy(stream_); }
  void finish(const char* doing) { check(cudaStreamSynchronize(stream_), doing); }
  operator Stream() const { return stream_; }

 private:
  Stream stream_ = {};
};
}  // namespace

void DeviceBlock::clear() {
  if (bytes_ == 0) return;
  OwnStream stream;
  check(cudaMemsetAsync(data_, 0, static_cast<size_t>(bytes_), stream), "clearing memory of the card");
  stream.finish("clearing memory of the card");
}

void DeviceBlock::write(const void* from, int64_t offset, int64_t count) {
  if (count == 0) return;
  OwnStream stream;
  check(cudaMemcpyAsync(bytes_at(offset), from, static_cast<size_t>(count), cudaMemcpyHostToDevice, stream),
        "copying to the card");
  stream.finish("copying to the card");
}

void DeviceBlock::read(void* to, int64_t offset, int64_t count) const {
  if (count == 0) return;
  OwnStream stream;
  check(cudaMemcpyAsync(to, bytes_at(offset), static_cast<size_t>(count), cudaMemcpyDeviceToHost, stream),
        "copying from the card");
  stream.finish("copying from the card");
}

void DeviceBlock::open_to_all() {
#if !defined(LORIKEET_CARD)
  sim::Machine& machine = sim::Machine::current();
  if (data_ && machine.mode() != sim::Mode::fast) machine.memory().open(data_);
#endif
}

PinnedBlock::PinnedBlock(int64_t bytes) {
  if (bytes == 0) return;
  check(cudaMallocHost(&data_, static_cast<size_t>(bytes)), "allocating pinned memory of the host");
  bytes_ = bytes;
}

PinnedBlock::~PinnedBlock() {
  if (data_) cudaFreeHost(data_);
}

void PinnedBlock::swap(PinnedBlock& other) {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
}

}  // namespace LORIKEET_CUDA
