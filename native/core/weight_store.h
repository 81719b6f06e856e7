// The frozen weights of an engine, each held once: in plain layout (row-major, as its shape says), or in the layouts
// that the kernels of the compiled programs asked for. The plain copy is dropped as soon as a layout exists and nothing
// reads the plain one; when something needs it later it is restored from a layout. Not thread-safe: used by the
// engine's thread only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "memory.h"
#include "weight_reader.h"

namespace lorikeet {

// A device's own arrangement of a weight's elements. pack and unpack are inverse; neither changes a value.
class WeightLayout {
 public:
  virtual ~WeightLayout() = default;
  virtual std::string key() const = 0;  // layouts with equal keys arrange a weight of the same shape and dtype alike
  virtual int64_t bytes() const = 0;
  virtual void pack(const void* plain, void* packed) const = 0;
  virtual void unpack(const void* packed, void* plain) const = 0;
};

// What a kernel keeps to reach its weight: the pointer is valid from WeightStore::settle() on.
struct PackedWeight {
  std::string role;
  std::shared_ptr<const WeightLayout> layout;
  Block block;
  const void* data() const { return block.data(); }
};
struct PlainWeight {
  Block block;
  const void* data() const { return block.data(); }
};

class WeightStore {
 public:
  // Progress counts bytes as they are read; `advance` returns false to cancel, which leaves the store unchanged for the
  // weights that were not finished. Quantised weights are opened at once, since layouts hold plain values: they have the
  // numbers that their storage gives and the size of plain ones. Returns their errors.
  std::vector<StorageError> add(const std::vector<WeightSpec>& specs, const WeightProgress& progress);

  // Frees a weight; throws Error while a compiled program uses it. A name that does not exist is no error.
  void remove(const std::string& name);

  bool has(const std::string& name) const { return weights_.count(name) != 0; }
  const WeightSpec& spec(const std::string& name) const;  // throws Error on an unknown name; sources are empty

  // Asks for a copy; it exists after settle(), for as long as somebody holds the handle. There is one packed copy of a
  // weight for each role ("forward", ..): when an earlier program asked for another layout in that role, its copy is
  // returned, and the kernel rearranges it in every run. So programs of many sizes do not add up to many copies.
  std::shared_ptr<const PlainWeight> plain(const std::string& name);
  std::shared_ptr<const PackedWeight> packed(const std::string& name, const std::string& role,
                                             std::shared_ptr<const WeightLayout> layout);

  // Makes what was asked for and drops what nobody holds, one weight after the other.
  void settle();

  void read(const std::string& name, float* to) const;  // plain order, widened
  int64_t plain_bytes() const;
  int64_t packed_bytes() const;

 private:
  struct Weight {
    WeightSpec spec;
    std::shared_ptr<PlainWeight> plain = std::make_shared<PlainWeight>();
    std::vector<std::shared_ptr<PackedWeight>> packed;
    int64_t bytes() const { return spec.bytes(); }
  };
  Weight& find(const std::string& name);
  static void restore(Weight& weight);
  std::map<std::string, Weight> weights_;
};

}  // namespace lorikeet
