#include "buffers.h"

#include "../native/core/ports.h"

namespace LORIKEET_CUDA {

const DeviceBuffers::Buffer& DeviceBuffers::find(const std::string& name) const {
  const auto found = buffers_.find(name);
  require(found != buffers_.end(), "buffer '", name, "' does not exist");
  return found->second;
}

void DeviceBuffers::create(const std::string& name, int64_t bytes, std::optional<DType> dtype) {
  const auto found = buffers_.find(name);
  if (found != buffers_.end()) {
    return check_same_buffer(name, found->second.block.bytes(), found->second.dtype, bytes, dtype);
  }
  check_new_buffer(name, bytes, dtype);
  Buffer buffer{DeviceBlock(("the buffer '" + name + "'").c_str(), bytes), dtype};
  buffer.block.clear();
  buffers_[name] = std::move(buffer);
}

void DeviceBuffers::load(const std::string& name, const std::vector<BufferPiece>& pieces, const Advance& advance) {
  Buffer& buffer = find(name);
  const DType dtype = buffer.seen_as();
  SourceFiles files;
  check_pieces(name, buffer.block.bytes(), dtype, pieces, files);
  std::vector<char> values;
  for (const BufferPiece& piece : pieces) {
    values.resize(static_cast<size_t>(elements_of(piece.source.shape) * bytes_of(dtype)));
    read_source(piece.source, files, dtype, values.data(), advance);
    buffer.block.write(values.data(), piece.offset, static_cast<int64_t>(values.size()));
  }
}

std::vector<float> DeviceBuffers::read(const std::string& name, int64_t offset, int64_t count) const {
  const Buffer& buffer = find(name);
  const DType dtype = buffer.seen_as();
  check_range(name, buffer.block.bytes(), offset, count, dtype);
  std::vector<char> values(static_cast<size_t>(count * bytes_of(dtype)));
  buffer.block.read(values.data(), offset, static_cast<int64_t>(values.size()));
  return widened(values.data(), dtype, count);
}

void DeviceBuffers::write(const std::string& name, int64_t offset, const std::vector<float>& values) {
  Buffer& buffer = find(name);
  const DType dtype = buffer.seen_as();
  check_range(name, buffer.block.bytes(), offset, static_cast<int64_t>(values.size()), dtype);
  std::vector<char> narrowed(values.size() * static_cast<size_t>(bytes_of(dtype)));
  narrow(values, dtype, narrowed.data());
  buffer.block.write(narrowed.data(), offset, static_cast<int64_t>(narrowed.size()));
}

std::vector<uint8_t> DeviceBuffers::read_bytes(const std::string& name) const {
  const DeviceBlock& block = find(name).block;
  std::vector<uint8_t> bytes(static_cast<size_t>(block.bytes()));
  block.read(bytes.data(), 0, block.bytes());
  return bytes;
}

void DeviceBuffers::write_bytes(const std::string& name, const std::vector<uint8_t>& bytes) {
  DeviceBlock& block = find(name).block;
  check_whole(name, block.bytes(), bytes.size());
  block.write(bytes.data());
}

void DeviceBuffers::refer(const TensorSpec& tensor) {
  std::optional<DType>& dtype = find(tensor.name).dtype;
  if (!dtype && (tensor.dtype == DType::f32 || tensor.dtype == DType::bf16)) dtype = tensor.dtype;
}

std::map<std::string, int64_t> DeviceBuffers::sizes() const {
  std::map<std::string, int64_t> sizes;
  for (const auto& [name, buffer] : buffers_) sizes[name] = buffer.block.bytes();
  return sizes;
}

}  // namespace LORIKEET_CUDA
