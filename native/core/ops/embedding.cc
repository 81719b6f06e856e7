#include "embedding.h"

#include "../checks.h"

namespace lorikeet {

Embedding read_embedding(const OpRequest& request) {
  expect_operands(request, {"ids", "token", "position"}, {"y"});
  const TensorSpec& ids = request.inputs[0];
  const TensorSpec& token = request.inputs[1];
  const TensorSpec& position = request.inputs[2];
  expect_dtype(request, "ids", ids, {DType::i32});
  expect_compute_dtype(request, "token", token);
  expect_dtype(request, "position", position, {token.dtype});
  expect_dtype(request, "y", request.outputs[0], {token.dtype});
  require(ids.shape.size() == 2 && token.shape.size() == 2, "embedding: ids ", to_string(ids.shape), " and token ",
          to_string(token.shape), " must be [N, L] and [V, C]");
  const Embedding result{ids.shape[0], ids.shape[1], token.shape[1], token.shape[0], token.dtype};
  expect_shape(request, "position", position, {rows_of(position), result.columns}, "token", token);
  require(result.length <= rows_of(position), "embedding: ids ", to_string(ids.shape), " are longer than position ",
          to_string(position.shape));
  expect_shape(request, "y", request.outputs[0], {result.batch, result.length, result.columns}, "ids", ids);
  return result;
}

Embedding read_embedding_backward(const OpRequest& request) {
  expect_operands(request, {"dy", "ids"}, {"dtoken?", "dposition?"});
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& ids = request.inputs[1];
  expect_compute_dtype(request, "dy", dy);
  expect_dtype(request, "ids", ids, {DType::i32});
  require(ids.shape.size() == 2, "embedding_backward: ids ", to_string(ids.shape), " must be [N, L]");
  Embedding result{ids.shape[0], ids.shape[1], columns_of(dy), 0, dy.dtype};
  expect_shape(request, "dy", dy, {result.batch, result.length, result.columns}, "ids", ids);
  if (request.has_output(0)) {
    const TensorSpec& dtoken = request.outputs[0];
    result.vocabulary = rows_of(dtoken);
    expect_accumulator(request, "dtoken", dtoken);
    expect_shape(request, "dtoken", dtoken, {result.vocabulary, result.columns}, "dy", dy);
  }
  if (request.has_output(1)) {
    const TensorSpec& dposition = request.outputs[1];
    expect_accumulator(request, "dposition", dposition);
    expect_shape(request, "dposition", dposition, {rows_of(dposition), result.columns}, "dy", dy);
    require(result.length <= rows_of(dposition), "embedding_backward: ids ", to_string(ids.shape),
            " are longer than dposition ", to_string(dposition.shape));
  }
  return result;
}

void expect_ids(const std::string& op, const Embedding& embedding, const int32_t* ids) {
  for (int64_t i = 0; i < embedding.batch * embedding.length; i++) {
    require(ids[i] >= 0 && ids[i] < embedding.vocabulary, op, ": id ", ids[i], " at [", i / embedding.length, ", ",
            i % embedding.length, "] lies outside 0 .. ", embedding.vocabulary - 1);
  }
}

}  // namespace lorikeet
