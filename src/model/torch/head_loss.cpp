#include "model/torch/head_loss.hpp"

#include <algorithm>
#include <cmath>

#include "model/torch/elementwise.hpp"
#include "model/torch/matmul.hpp"

namespace llmq::torch_pass {
namespace {

/// Columns [begin, begin + width) of the vocabulary.
struct Chunk {
  std::size_t begin;
  std::size_t width;
};

void chunk_logits(const Linear& output, const Chunk& chunk, const float* normed, std::size_t rows,
                  float* logits) {
  multiply_transposed({normed, rows, output.in_features, output.in_features},
                      {output.weight.data() + chunk.begin * output.in_features, chunk.width, output.in_features,
                       output.in_features},
                      {logits, rows, chunk.width, chunk.width}, Product::replace);
  add_bias(logits, output.bias.empty() ? nullptr : output.bias.data() + chunk.begin, rows, chunk.width);
}

/// Takes a chunk of one row into its running top and sum of exponentials.
void take_in(std::span<const float> logits, float& top, double& sum) {
  const float highest = std::max(top, *std::max_element(logits.begin(), logits.end()));
  sum *= std::exp(static_cast<double>(top) - static_cast<double>(highest));  // e^-inf = 0 at the first chunk
  top = highest;
  for (const float logit : logits) sum += static_cast<double>(std::exp(logit - highest));
}

template <class Step>
void for_chunks(std::size_t vocabulary, const Step& step) {
  for (std::size_t begin = 0; begin < vocabulary; begin += kVocabularyChunk) {
    step(Chunk{begin, std::min(kVocabularyChunk, vocabulary - begin)});
  }
}

/// Logits of a chunk become the gradient of the mean loss: (p - 1 for the true token) / rows.
void logits_to_gradient(const Chunk& chunk, std::span<const std::int32_t> next, HeadScratch& scratch) {
  const double share = 1.0 / static_cast<double>(next.size());
  for (std::size_t row = 0; row < next.size(); ++row) {
    float* logits = scratch.logits.data() + row * chunk.width;
    const float top = scratch.tops[row];
    const auto factor = static_cast<float>(share / scratch.sums[row]);
    for (std::size_t k = 0; k < chunk.width; ++k) logits[k] = std::exp(logits[k] - top) * factor;
    const auto token = static_cast<std::size_t>(next[row]);
    if (token < chunk.begin || token >= chunk.begin + chunk.width) continue;
    // 1 - p as it is, not as the difference of two rounded numbers: a sure prediction keeps its gradient.
    const double log_p = static_cast<double>(scratch.next_logits[row]) - static_cast<double>(top) -
                         std::log(scratch.sums[row]);
    logits[token - chunk.begin] = static_cast<float>(share * std::expm1(log_p));
  }
}

}  // namespace

double next_token_loss(const Linear& output, std::span<const std::int32_t> ids, const float* normed,
                       float* d_normed, HeadScratch& scratch) {
  const std::size_t rows = ids.size() - 1;
  const std::span<const std::int32_t> next = ids.subspan(1);
  scratch.logits.resize(rows * std::min(kVocabularyChunk, output.out_features));
  scratch.tops.assign(rows, -INFINITY);
  scratch.sums.assign(rows, 0.0);
  scratch.next_logits.resize(rows);
  for_chunks(output.out_features, [&](const Chunk& chunk) {
    chunk_logits(output, chunk, normed, rows, scratch.logits.data());
    for (std::size_t row = 0; row < rows; ++row) {
      const std::span<const float> logits(scratch.logits.data() + row * chunk.width, chunk.width);
      take_in(logits, scratch.tops[row], scratch.sums[row]);
      const auto token = static_cast<std::size_t>(next[row]);
      if (token >= chunk.begin && token < chunk.begin + chunk.width)
        scratch.next_logits[row] = logits[token - chunk.begin];
    }
  });
  double loss = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    loss += static_cast<double>(scratch.tops[row]) + std::log(scratch.sums[row]) -
            static_cast<double>(scratch.next_logits[row]);
  }
  std::fill_n(d_normed, ids.size() * output.in_features, 0.0F);
  for_chunks(output.out_features, [&](const Chunk& chunk) {
    chunk_logits(output, chunk, normed, rows, scratch.logits.data());
    logits_to_gradient(chunk, next, scratch);
    multiply({scratch.logits.data(), rows, chunk.width, chunk.width},
             {output.weight.data() + chunk.begin * output.in_features, chunk.width, output.in_features,
              output.in_features},
             {d_normed, rows, output.in_features, output.in_features}, Product::add);
  });
  return loss / static_cast<double>(rows);
}

}  // namespace llmq::torch_pass
