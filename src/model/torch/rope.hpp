// Rotary positions of query and key heads. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace llmq::torch_pass {

/// Rotates a head: pairs (c, c + half) by position times inverse frequency c.
class Rope {
 public:
  /// @param rest    values of a head behind the rotated ones, which stay
  /// @param factor  of what is rotated
  Rope(const std::vector<float>& inverse_frequencies, std::size_t max_positions, std::size_t rest = 0,
       float factor = 1);
  /// `tokens` heads of 2 half values and the rest, from `first_position` on; in place if out == x with equal
  /// strides.
  void rotate(const float* x, std::size_t stride, std::size_t first_position, std::size_t tokens, float* out,
              std::size_t out_stride) const;
  /// The opposite rotation, in place: takes gradients of rotated heads back to those before.
  void rotate_back(float* x, std::size_t stride, std::size_t first_position, std::size_t tokens) const;

 private:
  std::size_t half_, rest_;
  std::vector<float> cos_;  // [positions, half]
  std::vector<float> sin_;
};

}  // namespace llmq::torch_pass
