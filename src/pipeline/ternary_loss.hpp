// How much of the weights' energy ternary types lose: they are made for weights that are ternary already, and
// people should hear whether theirs are. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "llmq/core/block_types.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

constexpr bool is_ternary(GgmlType type) noexcept {
  return type == GgmlType::TQ1_0 || type == GgmlType::TQ2_0;
}

class TernaryLoss {
 public:
  /// Counts encoded rows. Thread-safe. Whole numbers, so that the sum does not depend on who counts what.
  void add(GgmlType type, std::span<const float> weights, std::span<const std::byte> encoded,
           std::uint64_t row_elems);

  /// Collective: sum (x - y)^2 / sum x^2 of what was counted, averaged over pieces; nothing without ternary
  /// tensors.
  std::optional<double> share(const Communicator& comm) const;

  /// Collective: says on rank 0 that the weights were ternary, or warns that they were not.
  void report(const StageContext& context) const;

 private:
  std::atomic<std::uint64_t> weighted_loss_{0};  ///< loss in 2^-20, times weights / 32
  std::atomic<std::uint64_t> weights_{0};        ///< / 32
};

}  // namespace llmq
