// Encoders of blocks with held weights, by family of types. Each packs the best block it finds into `out` and
// says whether it found one. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "llmq/core/block_types.hpp"

#include "quant/protected/held_block.hpp"

namespace llmq::held {

struct HeldEncoder {
  Objective objective;
  std::size_t group;  ///< weights that are weighed together
  bool (*encode)(const HeldBlock& block, std::span<std::byte> out);
};

/// Null for types of other families.
const HeldEncoder* find_signed(GgmlType type) noexcept;
const HeldEncoder* find_affine(GgmlType type) noexcept;
const HeldEncoder* find_grid(GgmlType type) noexcept;

}  // namespace llmq::held
