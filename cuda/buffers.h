// The named buffers of a card's engine: what is trained and its gradients and states, which outlive programs.
#pragma once

#include <map>
#include <optional>

#include "../native/core/device.h"
#include "device_memory.h"

namespace LORIKEET_CUDA {

// As Engine describes them in native/core/device.h. All throw Error.
class DeviceBuffers {
 public:
  void create(const std::string& name, int64_t bytes, std::optional<DType> dtype);
  bool remove(const std::string& name) { return buffers_.erase(name) > 0; }
  void load(const std::string& name, const std::vector<BufferPiece>& pieces, const Advance& advance);
  std::vector<float> read(const std::string& name, int64_t offset, int64_t count) const;
  void write(const std::string& name, int64_t offset, const std::vector<float>& values);
  std::vector<uint8_t> read_bytes(const std::string& name) const;
  void write_bytes(const std::string& name, const std::vector<uint8_t>& bytes);

  // The first program that refers to a buffer decides how it is seen, when nobody has yet.
  void refer(const TensorSpec& tensor);

  char* address(const std::string& name, int64_t offset) const { return find(name).block.bytes_at(offset); }
  std::map<std::string, int64_t> sizes() const;  // bytes by name

 private:
  struct Buffer {
    DeviceBlock block;
    std::optional<DType> dtype;
    DType seen_as() const { return dtype.value_or(DType::f32); }
  };
  const Buffer& find(const std::string& name) const;
  Buffer& find(const std::string& name) {
    return const_cast<Buffer&>(static_cast<const DeviceBuffers*>(this)->find(name));
  }
  std::map<std::string, Buffer> buffers_;
};

}  // namespace LORIKEET_CUDA
