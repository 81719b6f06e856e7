#include "weight_store.h"

#include <algorithm>

#include "numbers.h"

namespace lorikeet {

std::vector<StorageError> WeightStore::add(const std::vector<WeightSpec>& specs, const WeightProgress& progress) {
  for (const WeightSpec& spec : specs) {
    const auto found = weights_.find(spec.name);
    if (found == weights_.end()) continue;
    const Weight& old = found->second;
    const bool held =
        old.plain.use_count() > 1 ||
        std::any_of(old.packed.begin(), old.packed.end(), [](const auto& packed) { return packed.use_count() > 1; });
    if (held) require_same(old.spec, spec);
  }
  Block block;
  const auto place = [&](const WeightSpec& spec) {
    block = Block(spec.stored_bytes());
    return block.data();
  };
  return read_weights(specs, progress, place, [&](const WeightSpec& spec) {
    if (spec.storage != Storage::plain) {
      Block opened(spec.bytes());
      dequantise(block.data(), spec.storage, spec.shape, spec.dtype, opened.data());
      block = std::move(opened);
    }
    Weight& weight = weights_[spec.name];
    weight.spec = WeightSpec{spec.name, spec.dtype, spec.shape, {}, spec.storage, spec.on_host};
    // Kernels keep their handles: the bytes behind them are exchanged.
    for (auto it = weight.packed.begin(); it != weight.packed.end();) {
      if (it->use_count() == 1) {
        it = weight.packed.erase(it);
        continue;
      }
      if ((*it)->block) (*it)->layout->pack(block.data(), (*it)->block.data());
      ++it;
    }
    weight.plain->block.release();
    if (weight.packed.empty() || weight.plain.use_count() > 1) weight.plain->block = std::move(block);
  });
}

void WeightStore::remove(const std::string& name) {
  const auto found = weights_.find(name);
  if (found == weights_.end()) return;
  const Weight& weight = found->second;
  const bool held = weight.plain.use_count() > 1 || std::any_of(weight.packed.begin(), weight.packed.end(),
                                                                [](const auto& p) { return p.use_count() > 1; });
  require(!held, "weight '", name, "' is used by a compiled program and cannot be removed");
  weights_.erase(found);
}

WeightStore::Weight& WeightStore::find(const std::string& name) {
  const auto found = weights_.find(name);
  require(found != weights_.end(), "weight '", name, "' does not exist");
  return found->second;
}

const WeightSpec& WeightStore::spec(const std::string& name) const {
  return const_cast<WeightStore*>(this)->find(name).spec;
}

std::shared_ptr<const PlainWeight> WeightStore::plain(const std::string& name) { return find(name).plain; }

std::shared_ptr<const PackedWeight> WeightStore::packed(const std::string& name, const std::string& role,
                                                        std::shared_ptr<const WeightLayout> layout) {
  Weight& weight = find(name);
  for (const auto& packed : weight.packed) {
    // A copy that nobody uses any more is as good as a new one only in the layout that is wanted.
    if (packed->role == role && (packed.use_count() > 1 || packed->layout->key() == layout->key())) return packed;
  }
  auto packed = std::make_shared<PackedWeight>();
  packed->role = role;
  packed->layout = std::move(layout);
  weight.packed.push_back(packed);
  return packed;
}

void WeightStore::restore(Weight& weight) {
  if (weight.plain->block) return;
  Block plain(weight.bytes());
  for (const auto& packed : weight.packed) {
    if (!packed->block) continue;
    packed->layout->unpack(packed->block.data(), plain.data());
    weight.plain->block = std::move(plain);
    return;
  }
  fail("weight '", weight.spec.name, "' has lost its values");  // settle() keeps one copy, so this is our mistake
}

void WeightStore::settle() {
  for (auto& [name, weight] : weights_) {
    const bool wants_plain = weight.plain.use_count() > 1;
    const bool wants_packed = std::any_of(weight.packed.begin(), weight.packed.end(),
                                          [](const auto& packed) { return packed.use_count() > 1; });
    if (!wants_plain && !wants_packed) continue;  // nobody uses it at present: leave the one copy as it is
    const bool missing = std::any_of(weight.packed.begin(), weight.packed.end(),
                                     [](const auto& packed) { return packed.use_count() > 1 && !packed->block; });
    if (wants_plain || missing) restore(weight);
    for (auto it = weight.packed.begin(); it != weight.packed.end();) {
      if (it->use_count() == 1) {
        it = weight.packed.erase(it);
        continue;
      }
      if (!(*it)->block) {
        Block block((*it)->layout->bytes());
        (*it)->layout->pack(weight.plain->block.data(), block.data());
        (*it)->block = std::move(block);
      }
      ++it;
    }
    if (!wants_plain && !weight.packed.empty()) weight.plain->block.release();
  }
}

void WeightStore::read(const std::string& name, float* to) const {
  const Weight& weight = const_cast<WeightStore*>(this)->find(name);
  Block restored;
  const void* plain = weight.plain->block.data();
  if (plain == nullptr) {
    restored = Block(weight.bytes());
    for (const auto& packed : weight.packed) {
      if (packed->block && plain == nullptr) {
        packed->layout->unpack(packed->block.data(), restored.data());
        plain = restored.data();
      }
    }
  }
  require(plain != nullptr, "weight '", name, "' has lost its values");
  const int64_t n = elements_of(weight.spec.shape);
  if (weight.spec.dtype == DType::f32) {
    std::copy_n(static_cast<const float*>(plain), n, to);
  } else {
    for (int64_t i = 0; i < n; i++) to[i] = f32_from_bf16(static_cast<const uint16_t*>(plain)[i]);
  }
}

int64_t WeightStore::plain_bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, weight] : weights_) bytes += weight.plain->block.bytes();
  return bytes;
}

int64_t WeightStore::packed_bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, weight] : weights_) {
    for (const auto& packed : weight.packed) bytes += packed->block.bytes();
  }
  return bytes;
}

}  // namespace lorikeet
