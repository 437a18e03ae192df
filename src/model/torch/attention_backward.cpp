#include "model/torch/attention_backward.hpp"

#include <algorithm>
#include <cstring>

#include "model/torch/elementwise.hpp"
#include "model/torch/elementwise_backward.hpp"
#include "model/torch/matmul.hpp"

namespace llmq::torch_pass {
namespace {

/// One block of tokens of one key head: where its rows stand.
struct Block {
  std::size_t kv_head;
  std::size_t begin;
  std::size_t rows;
};

class BlockBackward {
 public:
  BlockBackward(const AttentionShape& shape, const Block& block, AttentionBackwardScratch& scratch)
      : shape_(shape),
        block_(block),
        scratch_(scratch),
        stacked_rows_(shape.group() * block.rows),
        first_(shape.first_key(block.begin)),
        visible_(block.begin + block.rows - first_) {}

  /// Queries rotated, and the gradients of what attention gave, stacked by member of the group.
  void gather(const Rope& rope, const float* qkv, const float* attended, const float* d_attended) {
    const std::size_t dim = shape_.head_dim, out_stride = shape_.heads * dim;
    for (std::size_t member = 0; member < shape_.group(); ++member) {
      const std::size_t head = block_.kv_head * shape_.group() + member;
      rope.rotate(qkv + block_.begin * shape_.qkv_width() + head * dim, shape_.qkv_width(), block_.begin,
                  block_.rows, scratch_.queries.data() + member * block_.rows * dim, dim);
      for (std::size_t row = 0; row < block_.rows; ++row) {
        const std::size_t from = (block_.begin + row) * out_stride + head * dim;
        const std::size_t to = member * block_.rows + row;
        std::memcpy(scratch_.d_attended.data() + to * dim, d_attended + from, dim * sizeof(float));
        scratch_.dots[to] = static_cast<float>(dot(attended + from, d_attended + from, dim));
      }
    }
  }

  /// Shares and the gradient of the scores.
  void scores(const float* qkv) {
    multiply_transposed(queries(), keys(qkv), view(scratch_.shares), Product::replace);
    if (shape_.softcap > 0) keep_slopes();
    for (std::size_t member = 0; member < shape_.group(); ++member) {
      softmax_of_block(shape_, block_.begin, block_.rows,
                       scratch_.shares.data() + member * block_.rows * visible_,
                       scratch_.inverse_sums.data() + member * block_.rows);
    }
    multiply_transposed(d_attended(), values(qkv), view(scratch_.d_shares), Product::replace);
    softmax_backward(scratch_.shares.data(), scratch_.inverse_sums.data(), scratch_.dots.data(),
                     stacked_rows_, visible_, shape_.score_scale(), scratch_.d_shares.data());
    for (std::size_t i = 0; shape_.softcap > 0 && i < stacked_rows_ * visible_; ++i)
      scratch_.d_shares[i] *= scratch_.slopes[i];
  }

  /// Adds to the gradients of keys (rotated) and values, sets those of the queries.
  void spread(const Rope& rope, const float* qkv, float* d_qkv) {
    const std::size_t dim = shape_.head_dim, stride = shape_.qkv_width();
    float* d_keys = d_qkv + first_ * stride + (shape_.heads + block_.kv_head) * dim;
    float* d_values = d_keys + shape_.kv_heads * dim;
    multiply_first_transposed(constant(scratch_.shares), d_attended(), {d_values, visible_, dim, stride},
                              Product::add);
    multiply_first_transposed(constant(scratch_.d_shares), queries(), {d_keys, visible_, dim, stride},
                              Product::add);
    multiply(constant(scratch_.d_shares), keys(qkv), {scratch_.queries.data(), stacked_rows_, dim, dim});
    for (std::size_t member = 0; member < shape_.group(); ++member) {
      const std::size_t head = block_.kv_head * shape_.group() + member;
      float* from = scratch_.queries.data() + member * block_.rows * dim;
      rope.rotate_back(from, dim, block_.begin, block_.rows);
      for (std::size_t row = 0; row < block_.rows; ++row) {
        std::memcpy(d_qkv + (block_.begin + row) * stride + head * dim, from + row * dim,
                    dim * sizeof(float));
      }
    }
  }

 private:
  /// Slope of the soft cap at each product: 1 - tanh^2.
  void keep_slopes() {
    scratch_.slopes.assign(scratch_.shares.begin(),
                           scratch_.shares.begin() + static_cast<std::ptrdiff_t>(stacked_rows_ * visible_));
    softcap(scratch_.slopes.data(), scratch_.slopes.size(), shape_.score_scale(), shape_.softcap);
    for (float& value : scratch_.slopes) {
      const float tangent = value / shape_.softcap;
      value = 1.0F - tangent * tangent;
    }
  }

  MatrixView<const float> rows_of(const float* data) const {
    return {data, stacked_rows_, shape_.head_dim, shape_.head_dim};
  }
  MatrixView<const float> queries() const { return rows_of(scratch_.queries.data()); }
  MatrixView<const float> d_attended() const { return rows_of(scratch_.d_attended.data()); }
  MatrixView<float> view(std::vector<float>& scores) const {
    return {scores.data(), stacked_rows_, visible_, visible_};
  }
  MatrixView<const float> constant(const std::vector<float>& scores) const {
    return {scores.data(), stacked_rows_, visible_, visible_};
  }
  MatrixView<const float> keys(const float* qkv) const {
    return {qkv + first_ * shape_.qkv_width() + (shape_.heads + block_.kv_head) * shape_.head_dim, visible_,
            shape_.head_dim, shape_.qkv_width()};
  }
  MatrixView<const float> values(const float* qkv) const {
    return {qkv + first_ * shape_.qkv_width() +
                (shape_.heads + shape_.kv_heads + block_.kv_head) * shape_.head_dim,
            visible_, shape_.head_dim, shape_.qkv_width()};
  }

  const AttentionShape& shape_;
  const Block block_;
  AttentionBackwardScratch& scratch_;
  const std::size_t stacked_rows_;
  const std::size_t first_;    ///< key that the first row sees first
  const std::size_t visible_;  ///< keys from there to the last row's own
};

}  // namespace

std::size_t backward_scratch_values(const AttentionShape& shape) noexcept {
  return shape.group() * shape.block_tokens() *
         (2 * shape.head_dim + (shape.softcap > 0 ? 3 : 2) * shape.tokens + 2);
}

void attention_backward(const AttentionShape& shape, const Rope& rope, const float* qkv,
                        const float* attended, const float* d_attended, float* d_qkv,
                        AttentionBackwardScratch& scratch) {
  const std::size_t stacked_rows = shape.group() * shape.block_tokens();
  scratch.queries.resize(stacked_rows * shape.head_dim);
  scratch.d_attended.resize(stacked_rows * shape.head_dim);
  scratch.shares.resize(stacked_rows * shape.tokens);
  scratch.d_shares.resize(stacked_rows * shape.tokens);
  scratch.inverse_sums.resize(stacked_rows);
  scratch.dots.resize(stacked_rows);
  std::fill_n(d_qkv, shape.tokens * shape.qkv_width(), 0.0F);
  for (std::size_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
    for (std::size_t begin = 0; begin < shape.tokens; begin += shape.block_tokens()) {
      BlockBackward block(shape, {kv_head, begin, std::min(shape.block_tokens(), shape.tokens - begin)},
                          scratch);
      block.gather(rope, qkv, attended, d_attended);
      block.scores(qkv);
      block.spread(rope, qkv, d_qkv);
    }
    rope.rotate_back(d_qkv + (shape.heads + kv_head) * shape.head_dim, shape.qkv_width(), 0, shape.tokens);
  }
}

}  // namespace llmq::torch_pass
