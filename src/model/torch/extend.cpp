#include "model/torch/extend.hpp"

#include <algorithm>
#include <vector>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"

#include "model/torch/elementwise.hpp"
#include "model/torch/experts.hpp"
#include "model/torch/row_products.hpp"

namespace llmq::torch_pass {
namespace {

/// Threads are started anew for each piece of work: each should have this much of it (about 40 us).
constexpr double kThreadFlops = 4e6;

std::size_t worthwhile_threads(double flops, std::size_t threads) {
  return std::clamp(static_cast<std::size_t>(flops / kThreadFlops), std::size_t{1}, threads);
}

/// Some of the new tokens of one sequence: rows of the block that goes through the layer.
struct Piece {
  KvCache* cache;
  std::size_t first_row;
  std::size_t rows;
};

/// The tokens of all sequences in order, cut into blocks of at most kExtendRows.
std::vector<std::vector<Piece>> cut_into_blocks(std::span<const SequenceRows> sequences) {
  std::vector<std::vector<Piece>> blocks;
  std::size_t used = kExtendRows;
  for (const SequenceRows& sequence : sequences) {
    for (std::size_t done = 0; done < sequence.tokens;) {
      if (used == kExtendRows) blocks.emplace_back(), used = 0;
      const std::size_t rows = std::min(sequence.tokens - done, kExtendRows - used);
      blocks.back().push_back({sequence.cache, used, rows});
      done += rows;
      used += rows;
    }
  }
  return blocks;
}

/// Rotates the new keys into the cache and copies the new values behind the old ones.
void remember(const AttentionShape& shape, const Rope& rope, const Piece& piece, const float* qkv) {
  const std::size_t stride = shape.qkv_width(), dim = shape.head_dim;
  const std::size_t position = piece.cache->tokens();
  for (std::size_t head = 0; head < shape.kv_heads; ++head) {
    const float* keys = qkv + (shape.heads + head) * dim;
    const float* values = keys + shape.kv_heads * dim;
    rope.rotate(keys, stride, position, piece.rows, piece.cache->keys(head) + position * dim, dim);
    for (std::size_t row = 0; row < piece.rows; ++row)
      std::copy_n(values + row * stride, dim, piece.cache->values(head) + (position + row) * dim);
  }
}

/// One new token against all keys up to its own.
void attend(const AttentionShape& shape, const Rope& rope, KvCache& cache, std::size_t position,
            const float* qkv, float* out, AttentionScratch& scratch) {
  const std::size_t dim = shape.head_dim, group = shape.group();
  const std::size_t first = shape.first_key(position), visible = position + 1 - first;
  scratch.stacked.resize(group * dim);
  scratch.scores.resize(group * visible);
  scratch.inverse_sums.resize(group);
  for (std::size_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
    for (std::size_t member = 0; member < group; ++member)
      rope.rotate(qkv + (kv_head * group + member) * dim, dim, position, 1,
                  scratch.stacked.data() + member * dim, dim);
    multiply_rows({scratch.stacked.data(), group, dim, dim},
                  {cache.keys(kv_head) + first * dim, visible, dim, dim},
                  {scratch.scores.data(), group, visible, visible}, Product::replace);
    for (std::size_t member = 0; member < group; ++member) {
      float* scores = scratch.scores.data() + member * visible;
      float* to = out + (kv_head * group + member) * dim;
      softmax_of_block(shape, position, 1, scores, &scratch.inverse_sums[member]);
      sum_weighted_rows(scores, {cache.values(kv_head) + first * dim, visible, dim, dim}, to);
      for (std::size_t c = 0; c < dim; ++c) to[c] *= scratch.inverse_sums[member];
    }
  }
}

/// Keys and values of the whole block first, then its rows in any order.
void attend_all(const AttentionShape& shape, const Rope& rope, const std::vector<Piece>& pieces,
                std::size_t threads, Scratch& buffers, ScratchPool& pool) {
  struct Row {
    KvCache* cache;
    std::size_t position;
  };
  std::vector<Row> rows;
  double flops = 0;
  for (const Piece& piece : pieces) {
    remember(shape, rope, piece, buffers.qkv.data() + piece.first_row * shape.qkv_width());
    for (std::size_t row = 0; row < piece.rows; ++row) {
      rows.push_back({piece.cache, piece.cache->tokens() + row});
      flops += 4.0 * static_cast<double>((rows.back().position + 1) * shape.heads * shape.head_dim);
    }
    piece.cache->append(piece.rows);
  }
  parallel_for(rows.size(), worthwhile_threads(flops, threads), [&](std::size_t row, std::size_t) {
    const ScratchPool::Lease lease(pool);
    attend(shape, rope, *rows[row].cache, rows[row].position, buffers.qkv.data() + row * shape.qkv_width(),
           buffers.attended.data() + row * shape.heads * shape.head_dim, (*lease).attention);
  });
}

/// hidden += what the experts make of x, the shared one first.
void extend_experts(const LayerShape& shape, const Layer& layer, const float* x, std::size_t rows,
                    float* hidden, std::size_t threads, Scratch& buffers) {
  buffers.product.assign(rows * shape.hidden, 0.0F);
  if (shape.ffn > 0) {
    extend_product(layer.gate_up, x, rows, buffers.gate_up.data(), Product::replace, threads);
    activate(shape, buffers.gate_up.data(), rows, buffers.activated.data());
    extend_product(layer.down, buffers.activated.data(), rows, buffers.product.data(), Product::replace,
                   threads);
    gate_shared_expert(layer, x, rows, buffers.product.data());
  }
  add_experts(shape, layer, x, rows, buffers.product.data(), &multiply_rows, {{}, {}}, buffers.experts);
  add_bias(hidden, buffers.product.data(), 1, rows * shape.hidden);  // one long row
}

void extend_block(const LayerShape& shape, const Layer& layer, const Rope& rope,
                  const std::vector<Piece>& pieces, float* hidden, std::size_t threads, Scratch& buffers,
                  ScratchPool& pool) {
  const std::size_t rows = pieces.back().first_row + pieces.back().rows;
  const std::size_t ffn = shape.ffn;
  buffers.qkv.resize(rows * shape.attention.qkv_width());
  buffers.attended.resize(rows * shape.attended());
  buffers.gate_up.resize(rows * 2 * ffn);
  buffers.activated.resize(rows * ffn);
  const auto add_output = [&](const Linear& linear, const std::vector<float>& x,
                              const std::vector<float>& post_norm) {
    if (post_norm.empty()) return extend_product(linear, x.data(), rows, hidden, Product::add, threads);
    buffers.product.resize(rows * shape.hidden);
    extend_product(linear, x.data(), rows, buffers.product.data(), Product::replace, threads);
    add_post_normed(shape, post_norm, buffers.product.data(), rows, buffers.product.data(), hidden);
  };

  const float* input = pre_norm(shape, layer.attention_norm, hidden, rows, buffers.normed);
  extend_product(layer.qkv, input, rows, buffers.qkv.data(), Product::replace, threads);
  norm_queries_and_keys(shape, layer, buffers.qkv.data(), rows);
  attend_all(shape.attention, rope, pieces, threads, buffers, pool);
  add_output(layer.attention_output, buffers.attended, layer.attention_post_norm);

  input = pre_norm(shape, layer.ffn_norm, hidden, rows, buffers.normed);
  if (layer.experts) return extend_experts(shape, layer, input, rows, hidden, threads, buffers);
  extend_product(layer.gate_up, input, rows, buffers.gate_up.data(), Product::replace, threads);
  activate(shape, buffers.gate_up.data(), rows, buffers.activated.data());
  add_output(layer.down, buffers.activated, layer.ffn_post_norm);
}

}  // namespace

void extend_product(const Linear& linear, const float* x, std::size_t rows, float* y, Product product,
                    std::size_t threads) {
  const std::size_t in = linear.in_features, out = linear.out_features;
  if (linear.codes || linear.digits) {  // a row's bits do not depend on the others' here either
    return product == Product::add ? linear.add_to(x, rows, y) : linear.apply(x, rows, y);
  }
  const std::size_t workers = worthwhile_threads(2.0 * static_cast<double>(rows * in * out), threads);
  constexpr std::size_t kTogether = 8;  // whole blocks of the kernel
  constexpr std::size_t kShares = 4;    // a thread whose core is taken away holds up the others less
  const std::size_t shares = workers == 1 ? 1 : kShares * workers;
  const std::size_t share = ((out + shares - 1) / shares + kTogether - 1) / kTogether * kTogether;
  parallel_for((out + share - 1) / share, workers, [&](std::size_t i, std::size_t) {
    const std::size_t first = i * share, count = std::min(share, out - first);
    multiply_rows({x, rows, in, in}, {linear.weight.data() + first * in, count, in, in},
                  {y + first, rows, count, out}, product);
  });
  add_bias(y, linear.bias.empty() ? nullptr : linear.bias.data(), rows, out);
}

void extend_rows(const LayerShape& shape, const Layer& layer, const Rope& rope,
                 std::span<const SequenceRows> sequences, float* hidden, std::size_t threads,
                 ScratchPool& scratch) {
  for (const SequenceRows& sequence : sequences) {
    if (sequence.cache->tokens() + sequence.tokens > sequence.cache->capacity())
      throw InternalError("a sequence grows beyond its cache");
  }
  const ScratchPool::Lease lease(scratch);
  for (const std::vector<Piece>& block : cut_into_blocks(sequences)) {
    extend_block(shape, layer, rope, block, hidden, threads, *lease, scratch);
    hidden += (block.back().first_row + block.back().rows) * shape.hidden;
  }
}

std::uint64_t extend_scratch_values(const LayerShape& shape, std::size_t context,
                                    std::size_t threads) noexcept {
  const AttentionShape& attention = shape.attention;
  const std::uint64_t row =
      2 * shape.hidden + attention.qkv_width() + attention.heads * attention.head_dim + 3 * shape.ffn;
  return kExtendRows * row + scratch_values(shape, kExtendRows) +
         threads * attention.group() * (attention.head_dim + context + 1);
}

}  // namespace llmq::torch_pass
