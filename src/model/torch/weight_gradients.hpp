// Gradients of matmul weights, a tile at a time. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "llmq/model/forward.hpp"

#include "model/torch/matmul.hpp"
#include "model/torch/stage_clock.hpp"

namespace llmq::torch_pass {

/// Rows of a weight whose gradients exist at once.
inline constexpr std::size_t kGradientRows = 128;

/// One matrix, as GradientTile names it.
struct NamedMatrix {
  std::string_view name;
  std::uint32_t expert = 0;
  const float* weights = nullptr;  ///< [rows, columns]
  std::size_t rows = 0, columns = 0;
};

/// Hands the tiles of one sample's gradients on; the buffer is the caller's.
class WeightGradients {
 public:
  WeightGradients(const GradientObserver& observer, std::vector<float>& tile, StageClock& clock)
      : observer_(observer), tile_(tile), clock_(clock) {}

  /// d_W [rows, columns] = d_y^T x.  @param x  [tokens, columns]  @param d_y  [tokens, rows]
  void pass(const NamedMatrix& matrix, MatrixView<const float> x, MatrixView<const float> d_y);

 private:
  const GradientObserver& observer_;
  std::vector<float>& tile_;
  StageClock& clock_;
};

}  // namespace llmq::torch_pass
