#include "model/torch/attention.hpp"

#include <algorithm>
#include <cmath>

#include "model/torch/elementwise.hpp"
#include "model/torch/matmul.hpp"
#include "model/torch/softmax.hpp"

namespace llmq::torch_pass {
namespace {

/// Rows of a stacked product. 256 rows against 512 keys are 512 KiB of scores, which stay in L2.
constexpr std::size_t kStackedRows = 256;
constexpr std::size_t kFewestTokens = 16;
constexpr std::size_t kMostTokens = 128;

/// One block of tokens of one key head.
struct Block {
  std::size_t kv_head;
  std::size_t begin;
  std::size_t rows;
};

void attend_block(const AttentionShape& shape, const Rope& rope, const Block& block, const float* qkv,
                  float* out, AttentionScratch& scratch) {
  const std::size_t stride = shape.qkv_width();
  const std::size_t out_stride = shape.heads * shape.head_dim;
  const std::size_t dim = shape.head_dim;
  const std::size_t first_head = block.kv_head * shape.group();
  const std::size_t rows = block.rows;
  const std::size_t stacked_rows = shape.group() * rows;
  const std::size_t first = shape.first_key(block.begin);
  const std::size_t width = block.begin + rows - first;
  const float* keys = qkv + first * stride + (shape.heads + block.kv_head) * dim;
  const float* values = keys + shape.kv_heads * dim;
  float* stacked = scratch.stacked.data();
  float* scores = scratch.scores.data();

  for (std::size_t member = 0; member < shape.group(); ++member) {
    rope.rotate(qkv + block.begin * stride + (first_head + member) * dim, stride, block.begin, rows,
                stacked + member * rows * dim, dim);
  }
  multiply_transposed({stacked, stacked_rows, dim, dim}, {keys, width, dim, stride},
                      {scores, stacked_rows, width, width}, Product::replace);
  for (std::size_t member = 0; member < shape.group(); ++member) {
    softmax_of_block(shape, block.begin, rows, scores + member * rows * width,
                     scratch.inverse_sums.data() + member * rows);
  }
  multiply({scores, stacked_rows, width, width}, {values, width, dim, stride},
           {stacked, stacked_rows, dim, dim});
  for (std::size_t member = 0; member < shape.group(); ++member) {
    for (std::size_t row = 0; row < rows; ++row) {
      const float inverse_sum = scratch.inverse_sums[member * rows + row];
      const float* from = stacked + (member * rows + row) * dim;
      float* to = out + (block.begin + row) * out_stride + (first_head + member) * dim;
      for (std::size_t c = 0; c < dim; ++c) to[c] = from[c] * inverse_sum;
    }
  }
}

}  // namespace

float AttentionShape::score_scale() const noexcept {
  return scale > 0 ? scale : 1.0F / std::sqrt(static_cast<float>(head_dim));
}

std::size_t AttentionShape::block_tokens() const noexcept {
  return std::min(tokens, std::clamp(kStackedRows / group(), kFewestTokens, kMostTokens));
}

std::size_t scratch_values(const AttentionShape& shape) noexcept {
  return shape.group() * shape.block_tokens() * (shape.head_dim + shape.tokens + 1);
}

void softmax_of_block(const AttentionShape& shape, std::size_t begin, std::size_t rows, float* scores,
                      float* inverse_sums) {
  const std::size_t first = shape.first_key(begin), width = begin + rows - first;
  float scale = shape.score_scale();
  if (shape.softcap > 0) {
    softcap(scores, rows * width, scale, shape.softcap);
    scale = 1;
  }
  if (shape.window == 0) return causal_softmax(scores, rows, begin + 1, width, width, scale, inverse_sums);
  for (std::size_t row = 0; row < rows; ++row, scores += width) {
    const std::size_t hidden = shape.first_key(begin + row) - first;
    std::fill_n(scores, hidden, 0.0F);
    causal_softmax(scores + hidden, 1, begin + row + 1 - first - hidden, width - hidden, width, scale,
                   inverse_sums + row);
  }
}

void attention(const AttentionShape& shape, const Rope& rope, float* qkv, float* out,
               AttentionScratch& scratch) {
  const std::size_t stacked_rows = shape.group() * shape.block_tokens();
  scratch.stacked.resize(stacked_rows * shape.head_dim);
  scratch.scores.resize(stacked_rows * shape.tokens);
  scratch.inverse_sums.resize(stacked_rows);
  for (std::size_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
    float* keys = qkv + (shape.heads + kv_head) * shape.head_dim;
    rope.rotate(keys, shape.qkv_width(), 0, shape.tokens, keys, shape.qkv_width());
    for (std::size_t begin = 0; begin < shape.tokens; begin += shape.block_tokens()) {
      attend_block(shape, rope, {kv_head, begin, std::min(shape.block_tokens(), shape.tokens - begin)}, qkv,
                   out, scratch);
    }
  }
}

}  // namespace llmq::torch_pass
