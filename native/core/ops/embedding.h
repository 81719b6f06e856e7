// What the embedding ops read from their instruction, on every device.
#pragma once

#include "../kernel.h"

namespace lorikeet {

// embedding: y [batch, length, columns] = token [vocabulary, columns] at ids [batch, length], + position of the column
// of ids. Inputs: ids, token, position. embedding_backward: the gradients of both. Inputs: dy, ids; outputs: dtoken?,
// dposition?
struct Embedding {
  int64_t batch = 0, length = 0, columns = 0;
  int64_t vocabulary = 0;  // 0 for a gradient that has no dtoken
  DType dtype = DType::f32;
};
Embedding read_embedding(const OpRequest& request);
Embedding read_embedding_backward(const OpRequest& request);

// Throws Error naming the first of the ids outside 0 .. vocabulary - 1. Ids come from outside, so they are checked
// before any work.
void expect_ids(const std::string& op, const Embedding& embedding, const int32_t* ids);

}  // namespace lorikeet
