// How the instructions of a program reach weights that do not lie ready in the card's memory. Weights in the host's
// memory travel, in the order in which instructions want them, through a ring in the card's memory, as far ahead as it
// has room; a copy waits until the instruction that read its place before is done. The order is the program's, so where
// and when each one goes is settled when the program is compiled. A quantised weight is opened (dequantised) right
// before the instruction, into a block that all instructions share, unless the instruction takes it as it is stored.
#pragma once

#include <functional>
#include <vector>

#include "../native/core/program.h"
#include "event.h"
#include "weights.h"

namespace LORIKEET_CUDA {

class Residency {
 public:
  Residency() = default;
  // Whether an instruction takes an input as it is stored.
  using TakesStored = std::function<bool(size_t instruction, size_t operand)>;
  Residency(const Program& program, const DeviceWeights& weights, const TakesStored& takes_stored);

  // What the engine must have of each block for this program.
  int64_t ring_bytes() const { return ring_bytes_; }
  int64_t opened_bytes() const { return opened_bytes_; }

  // Called whenever an address may have changed.
  void bind(const DeviceWeights& weights, const DeviceBlock& ring, const DeviceBlock& opened);
  // Where an instruction finds a weight; null for one that lies ready.
  void* address(size_t instruction, const std::string& weight) const;

  // Around the launches of a step: at its start, and before and after each instruction.
  void begin(Stream compute, Stream copies);
  void before(size_t instruction, Stream compute);
  void after(size_t instruction, Stream compute, Stream copies);

 private:
  struct Part {  // one weight of an instruction
    std::string name;
    Storage storage = Storage::plain;
    DType dtype = DType::f32;
    Shape shape;
    bool opens = false, travels = false;
    int64_t bytes = 0;                   // as stored
    int64_t in_ring = 0, in_opened = 0;  // offsets: in the place of the instruction, and in the block
    const void* from = nullptr;          // in the host's memory, when it travels
    void* stored = nullptr;              // in the card's memory
    void* opened = nullptr;              // in the block, when it opens
  };
  // The weights of one instruction. Those that travel have one place in the ring.
  struct Use {
    size_t instruction = 0;
    std::vector<Part> parts;
    int64_t bytes = 0, at = 0;   // in the ring
    int last_reader = -1;        // the use whose weights lay there before; -1: nobody's
    std::vector<Event> arrived;  // one, when something travels
  };

  void place_in_ring();
  void fetch_next(int done, Stream copies);
  Use* find(size_t instruction);
  const Use* find(size_t instruction) const { return const_cast<Residency*>(this)->find(instruction); }

  std::vector<Use> uses_;        // by instruction
  std::vector<int> travelling_;  // uses that take part in the ring, in order
  size_t next_ = 0;              // of travelling_, to be fetched
  int64_t ring_bytes_ = 0, opened_bytes_ = 0;
  std::vector<Event> begun_, freed_;  // one each, when something travels
};

}  // namespace LORIKEET_CUDA
