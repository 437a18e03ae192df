// Scales of one mapping, channel by channel, from a model of the rounding noise. A code is off by a twelfth
// of its step's square on average, a token's step is its largest |x_j / s_j| / 127, an output's is its
// largest |w_j s_j| / 127. So the squared error of the product is, times 127^2 x 12,
//   E(s) = sum_t max_j (x_tj / s_j)^2  sum_ij w_ij^2 s_j^2  +  sum_i max_j (w_ij s_j)^2  sum_tj x_tj^2 /
//   s_j^2,
// which is convex in log s: there is one best choice, and exponents of ranges are some guesses at it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "llmq/core/int128.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/stage_context.hpp"
#include "llmq/smoothquant/mapping.hpp"
#include "llmq/smoothquant/scales.hpp"

namespace llmq {

/// Scale of each column of the balance weights. Shapes: [channels] -> [in_features].
std::vector<float> scales_of_columns(const SmoothMapping& mapping, const ModelSpec& spec,
                                     std::span<const float> scales);

/// sum_j (w_j columns_j)^2 of a row of a weight: what an output's errors are measured against.
double scaled_norm_squared(std::span<const float> row, std::span<const float> columns);

class NoiseModel {
 public:
  /// Collective. Outputs count relative to their row, whose norm under the `start` scales becomes 1: an
  /// output that another fold makes a hundred times as large does not matter more.
  /// @param inputs  [tokens, in_features] of each sample of this rank
  /// @param ranges  the largest inputs of all tokens that were seen: a channel that is seldom active may have
  /// been at rest at all tokens of `inputs`, so each channel's largest counts like a token or some
  /// @param start   [channels], positive
  NoiseModel(const StageContext& context, const ModelSource& source, const SmoothMapping& mapping,
             const std::vector<std::vector<float>>& inputs, const ChannelRanges& ranges,
             const std::vector<float>& start);

  /// Collective. E of these scales; only its ratios mean something.
  double error(const std::vector<float>& scales) const;
  /// Collective. The scales [channels] with the least E, to what gradient descent from `from` finds. A
  /// channel without input or weights keeps its own.
  std::vector<float> minimize(const std::vector<float>& from) const;

 private:
  /// Rows of one of the two factors in units of the start: of each channel its largest column.
  struct Rows {
    std::vector<std::vector<float>> blocks;  ///< [rows, channels] each; this rank's
    std::vector<double> squares;             ///< [channels], sums over columns and all rows of all ranks
  };
  /// What E and its gradient are made of, sums over rows by the channel that is the largest.
  struct Steps {
    std::vector<double> inputs, weights;  ///< [channels]
  };

  void take_inputs(const std::vector<std::vector<float>>& inputs);
  void take_weights();
  void add_row(std::span<const float> values, std::vector<float>& block, std::vector<Int128>& squares) const;
  void join(Rows& rows, std::vector<std::vector<Int128>>& squares) const;
  Steps steps(const std::vector<double>& logs) const;
  double evaluate(const std::vector<double>& logs, std::vector<double>* gradient) const;
  std::vector<double> logs_of(const std::vector<float>& scales) const;

  const StageContext& context_;
  const ModelSource& source_;
  const SmoothMapping& mapping_;
  std::vector<float> start_;
  std::vector<float> columns_;  ///< the start's
  double unit_ = 1;             ///< of inputs: the largest under the start
  std::vector<double>
      peaks_;  ///< [channels], squares of the largest inputs, times the tokens they count like
  Rows inputs_, weights_;
};

}  // namespace llmq
