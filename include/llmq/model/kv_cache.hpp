// Keys and values of one sequence in one layer, as far as the sequence has been extended.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "llmq/model/spec.hpp"

namespace llmq {

/// Per key head [capacity, head_dim]: rotated keys and values, `tokens` rows of them filled.
class KvCache {
 public:
  /// @param capacity  tokens it can hold, at most the model's context
  KvCache(const ModelSpec& spec, std::size_t capacity)
      : capacity_(capacity),
        head_values_(capacity * spec.head_dim),
        keys_(spec.n_kv_heads * head_values_),
        values_(keys_.size()) {}

  std::size_t capacity() const noexcept { return capacity_; }
  std::size_t tokens() const noexcept { return tokens_; }
  /// The next `count` rows of every head have been filled.
  void append(std::size_t count) noexcept { tokens_ += count; }
  void clear() noexcept { tokens_ = 0; }

  float* keys(std::size_t kv_head) noexcept { return keys_.data() + kv_head * head_values_; }
  float* values(std::size_t kv_head) noexcept { return values_.data() + kv_head * head_values_; }

  static std::uint64_t bytes(const ModelSpec& spec, std::size_t capacity) noexcept {
    return 2 * sizeof(float) * capacity * std::uint64_t{spec.n_kv_heads} * spec.head_dim;
  }

 private:
  std::size_t capacity_;
  std::size_t head_values_;
  std::size_t tokens_ = 0;
  std::vector<float> keys_, values_;
};

/// New tokens of one sequence on their way through a layer.
struct SequenceRows {
  KvCache* cache = nullptr;  ///< of this sequence and layer; the new tokens stand behind what it holds
  std::size_t tokens = 0;    ///< at most what is left of its capacity
};

}  // namespace llmq
