#include "memory.h"

#include <algorithm>

namespace lorikeet::sim {

Buffer::Buffer(std::string name, void* data, size_t bytes, size_t element_bytes, Rights rights, bool watched)
    : name(std::move(name)),
      data(static_cast<char*>(data)),
      bytes(bytes),
      element_bytes(element_bytes),
      rights(rights),
      shadow(watched ? bytes : 0, std::min<size_t>(element_bytes, 4), false),
      read(bytes),
      written(bytes) {}

void Memory::add(const std::string& name, void* data, size_t bytes, size_t element_bytes, Rights rights) {
  for (const auto& other : buffers_) {
    const char* begin = static_cast<char*>(data);
    if (begin < other->data + other->bytes && other->data < begin + bytes) {
      throw std::invalid_argument("buffer '" + name + "' overlaps '" + other->name + "'");
    }
  }
  buffers_.push_back(std::make_unique<Buffer>(name, data, bytes, element_bytes, rights, watched_));
}

void Memory::remove(const void* data) {
  const auto same = [data](const auto& buffer) { return buffer->data == data; };
  buffers_.erase(std::remove_if(buffers_.begin(), buffers_.end(), same), buffers_.end());
}

void Memory::open(const void* data) {
  for (const auto& buffer : buffers_) {
    if (buffer->data == data) {
      buffer->open = true;
      return;
    }
  }
  throw std::invalid_argument("no buffer starts there");
}

const Buffer* Memory::find(const void* pointer) const {
  for (const auto& buffer : buffers_) {
    if (buffer->contains(pointer)) return buffer.get();
  }
  return nullptr;
}

}  // namespace lorikeet::sim
