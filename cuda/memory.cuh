// Memory as kernels see it: Global<T> and Shared<T> are pointers that know what they point into when the kernel runs in
// the emulator, and nothing but pointers on a card. All accesses go through load() and store(); indices are in
// elements, and accesses of Vector<T, N> start at element `i` and must be aligned to their whole size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "namespace.h"

#if defined(__CUDACC__)
#define LORIKEET_PRAGMA(words) _Pragma(#words)
#define LORIKEET_UNROLL _Pragma("unroll")
#define LORIKEET_UNROLL_BY(n) LORIKEET_PRAGMA(unroll n)
#else
#include <cstring>

#include "sim/device.h"
// Parameters that tell the emulator where a call stands in the sources.
#define LORIKEET_SITE_ONLY const char *site_file = __builtin_FILE(), int site_line = __builtin_LINE()
#define LORIKEET_SITE , LORIKEET_SITE_ONLY
#define LORIKEET_SITE_HERE ::lorikeet::sim::Site(site_file, site_line)
#define LORIKEET_UNROLL
#define LORIKEET_UNROLL_BY(n)
#endif

namespace LORIKEET_CUDA {

// One access of up to 16 bytes.
template <typename T, int N>
struct alignas(sizeof(T) * N) Vector {
  static_assert(sizeof(T) * N <= 16, "no instruction moves more than 16 bytes");
  T at[N];
  __device__ T& operator[](int i) { return at[i]; }
  __device__ const T& operator[](int i) const { return at[i]; }
};

template <typename T>
struct Global {
#if defined(__CUDACC__)
  __host__ __device__ Global(T* pointer = nullptr) : pointer(pointer) {}
  __device__ Global operator+(int64_t elements) const { return Global(pointer + elements); }
#else
  Global(T* pointer = nullptr) : Global(pointer, sim::Machine::current().buffer_of(pointer)) {}
  Global operator+(int64_t elements) const { return Global(pointer + elements, buffer); }
#if defined(LORIKEET_BARE_POINTERS)
  Global(T* pointer, const sim::Buffer*) : pointer(pointer) {}
#else
  Global(T* pointer, const sim::Buffer* buffer) : pointer(pointer), buffer(buffer) {}
#endif
#endif
  __device__ explicit operator bool() const { return pointer != nullptr; }

  T* pointer;
#if defined(LORIKEET_BARE_POINTERS)
  static constexpr const sim::Buffer* buffer = nullptr;  // parameters lie as on a card (test/cuda/ptx)
#elif !defined(__CUDACC__)
  const sim::Buffer* buffer;
#endif
};

template <typename T>
struct Shared {
#if defined(__CUDACC__)
  __device__ explicit Shared(T* pointer) : pointer(pointer) {}
  __device__ Shared operator+(int elements) const { return Shared(pointer + elements); }
  template <typename U>
  __device__ Shared<U> as() const {
    return Shared<U>(reinterpret_cast<U*>(pointer));
  }
#else
  Shared(T* pointer, const sim::Region* region) : pointer(pointer), region(region) {}
  Shared operator+(int elements) const { return Shared(pointer + elements, region); }
  template <typename U>
  Shared<U> as() const {
    return Shared<U>(reinterpret_cast<U*>(pointer), region);
  }
#endif
  static_assert(sizeof(T) >= 2, "bytes in shared memory are moved in pairs");

  T* pointer;
#if !defined(__CUDACC__)
  const sim::Region* region;
#endif
};

#if defined(__CUDACC__)

template <typename T>
__device__ __forceinline__ T load(Global<T> from, int64_t i) {
  return from.pointer[i];
}
template <typename T>
__device__ __forceinline__ T load(Global<const T> from, int64_t i) {
  return from.pointer[i];
}
template <typename T>
__device__ __forceinline__ void store(Global<T> to, int64_t i, T value) {
  to.pointer[i] = value;
}
template <int N, typename T>
__device__ __forceinline__ auto load_vector(Global<T> from, int64_t i) {
  using Element = std::remove_const_t<T>;
  return *reinterpret_cast<const Vector<Element, N>*>(from.pointer + i);
}
template <int N, typename T>
__device__ __forceinline__ void store_vector(Global<T> to, int64_t i, const Vector<T, N>& value) {
  *reinterpret_cast<Vector<T, N>*>(to.pointer + i) = value;
}
template <typename T>
__device__ __forceinline__ T load(Shared<T> from, int i) {
  return from.pointer[i];
}
template <typename T>
__device__ __forceinline__ void store(Shared<T> to, int i, T value) {
  to.pointer[i] = value;
}
template <int N, typename T>
__device__ __forceinline__ Vector<T, N> load_vector(Shared<T> from, int i) {
  return *reinterpret_cast<const Vector<T, N>*>(from.pointer + i);
}
template <int N, typename T>
__device__ __forceinline__ void store_vector(Shared<T> to, int i, const Vector<T, N>& value) {
  *reinterpret_cast<Vector<T, N>*>(to.pointer + i) = value;
}

#define LORIKEET_SHARED_ARRAY(T, name, count) \
  __shared__ T name##_storage[count];         \
  const ::LORIKEET_CUDA::Shared<T> name(name##_storage)

// `count` elements that start `byte` bytes into the dynamic shared memory of the launch, which is aligned to 128 bytes.
template <typename T>
__device__ __forceinline__ Shared<T> dynamic_shared(const char*, int byte, int) {
  extern __shared__ __align__(128) unsigned char dynamic_storage[];
  return Shared<T>(reinterpret_cast<T*>(dynamic_storage + byte));
}

#else

namespace detail {

// A checked pointer to `N` elements from element `i` on.
template <int N, typename T>
T* global_address(Global<T> memory, int64_t i, sim::Touch how, sim::Site site) {
  T* address = memory.pointer + i;
  if (memory.buffer) {
    sim::Block& block = *sim::current_block;
    block.touch_global(block.current(), *memory.buffer, address, sizeof(T) * N, how, site);
  }
  return address;
}

template <int N, typename T>
T* shared_address(Shared<T> memory, int i, sim::Touch how, sim::Site site) {
  T* address = memory.pointer + i;
  sim::Block& block = *sim::current_block;
  if (block.strict()) block.touch_shared(block.current(), *memory.region, address, sizeof(T) * N, how, site);
  return address;
}

}  // namespace detail

template <typename T>
std::remove_const_t<T> load(Global<T> from, int64_t i LORIKEET_SITE) {
  return *detail::global_address<1>(from, i, sim::Touch::read, LORIKEET_SITE_HERE);
}
template <typename T>
void store(Global<T> to, int64_t i, T value LORIKEET_SITE) {
  *detail::global_address<1>(to, i, sim::Touch::write, LORIKEET_SITE_HERE) = value;
}
template <int N, typename T>
auto load_vector(Global<T> from, int64_t i LORIKEET_SITE) {
  Vector<std::remove_const_t<T>, N> value;
  std::memcpy(&value, detail::global_address<N>(from, i, sim::Touch::read, LORIKEET_SITE_HERE), sizeof value);
  return value;
}
template <int N, typename T>
void store_vector(Global<T> to, int64_t i, const Vector<T, N>& value LORIKEET_SITE) {
  std::memcpy(detail::global_address<N>(to, i, sim::Touch::write, LORIKEET_SITE_HERE), &value, sizeof value);
}
template <typename T>
T load(Shared<T> from, int i LORIKEET_SITE) {
  return *detail::shared_address<1>(from, i, sim::Touch::read, LORIKEET_SITE_HERE);
}
template <typename T>
void store(Shared<T> to, int i, T value LORIKEET_SITE) {
  *detail::shared_address<1>(to, i, sim::Touch::write, LORIKEET_SITE_HERE) = value;
}
template <int N, typename T>
Vector<T, N> load_vector(Shared<T> from, int i LORIKEET_SITE) {
  Vector<T, N> value;
  std::memcpy(&value, detail::shared_address<N>(from, i, sim::Touch::read, LORIKEET_SITE_HERE), sizeof value);
  return value;
}
template <int N, typename T>
void store_vector(Shared<T> to, int i, const Vector<T, N>& value LORIKEET_SITE) {
  std::memcpy(detail::shared_address<N>(to, i, sim::Touch::write, LORIKEET_SITE_HERE), &value, sizeof value);
}

namespace detail {
template <typename T>
Shared<T> shared_array(const char* name, int count LORIKEET_SITE) {
  sim::Block& block = *sim::current_block;
  const sim::Region* region = block.shared_array(name, count * sizeof(T), LORIKEET_SITE_HERE);
  return Shared<T>(reinterpret_cast<T*>(block.shared_data() + region->offset), region);
}
}  // namespace detail

#define LORIKEET_SHARED_ARRAY(T, name, count) \
  const ::LORIKEET_CUDA::Shared<T> name = ::LORIKEET_CUDA::detail::shared_array<T>(#name, count)

template <typename T>
Shared<T> dynamic_shared(const char* name, int byte, int count LORIKEET_SITE) {
  sim::Block& block = *sim::current_block;
  const sim::Region* region = block.shared_range(name, byte, count * sizeof(T), LORIKEET_SITE_HERE);
  return Shared<T>(reinterpret_cast<T*>(block.shared_data() + byte), region);
}

#endif

}  // namespace LORIKEET_CUDA
