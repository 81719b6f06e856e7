#include "weight_store.h"

#include <algorithm>
#include <atomic>

#include "numbers.h"

namespace lorikeet {

static int64_t work_of(const WeightSource& source) {
  return source.kind == WeightSource::Kind::file ? source.bytes : elements_of(source.shape) * 4;
}

static void check_spec(const WeightSpec& spec, SourceFiles& files) {
  require(spec.dtype == DType::f32 || spec.dtype == DType::bf16, "weight '", spec.name,
          "': dtype must be f32 or bf16, not ", name_of(spec.dtype));
  require(!spec.sources.empty(), "weight '", spec.name, "' has no source");
  int64_t elements = 0;
  for (const WeightSource& source : spec.sources) {
    files.check(source);
    elements += elements_of(source.shape);
  }
  require(elements == elements_of(spec.shape), "weight '", spec.name, "': its sources hold ", elements,
          " elements, its shape ", to_string(spec.shape), " has ", elements_of(spec.shape));
}

void WeightStore::add(const std::vector<WeightSpec>& specs, const std::function<bool(int64_t, int64_t)>& progress) {
  SourceFiles files;
  int64_t total = 0;
  for (const WeightSpec& spec : specs) {
    check_spec(spec, files);
    const auto found = weights_.find(spec.name);
    if (found != weights_.end()) {
      const Weight& old = found->second;
      const bool held =
          old.plain.use_count() > 1 ||
          std::any_of(old.packed.begin(), old.packed.end(), [](const auto& packed) { return packed.use_count() > 1; });
      require(!held || (old.spec.dtype == spec.dtype && old.spec.shape == spec.shape), "weight '", spec.name,
              "' is used by a compiled program as ", name_of(old.spec.dtype), " ", to_string(old.spec.shape),
              ": it cannot be replaced by ", name_of(spec.dtype), " ", to_string(spec.shape));
    }
    for (const WeightSource& source : spec.sources) total += work_of(source);
  }
  std::atomic<int64_t> done{0};
  const Advance advance = [&](int64_t bytes) {
    const int64_t now = done.fetch_add(bytes) + bytes;
    return !progress || progress(now, total);
  };
  for (const WeightSpec& spec : specs) {
    Block block(elements_of(spec.shape) * bytes_of(spec.dtype));
    int64_t offset = 0;
    for (const WeightSource& source : spec.sources) {
      read_source(source, files, spec.dtype, block.bytes_at(offset), advance);
      offset += elements_of(source.shape) * bytes_of(spec.dtype);
    }
    Weight& weight = weights_[spec.name];
    weight.spec = WeightSpec{spec.name, spec.dtype, spec.shape, {}};
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
  }
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
