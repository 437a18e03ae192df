// Bits for layers from an importance matrix alone, where no model says what types cost. docs/profiles.md
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llmq/allocate/profile.hpp"
#include "llmq/formats/imatrix.hpp"

namespace llmq {

struct LayerImportance {
  std::int32_t layer = 0;
  double importance = 0;  ///< mean importance of the columns of all its entries
  bool has_super_weights = false;
};

/// The layers that the matrix has entries of, ascending.
std::vector<LayerImportance> layer_importance(const Imatrix& imatrix);

/// One assignment a layer, "model.layers.N": c + 0.5 log2(importance / geometric mean) bits, within [2, 8]
/// (or up to the target, where that is outside), rounded to hundredths; c makes the average `target_bits`.
/// Half a bit a doubling is what equal distortion asks for where errors fall by four a bit. Layers with super
/// weights are protected. Example: importances 1 and 4, target 4 -> 3.5 and 4.5.
std::vector<LayerAssignment> assign_by_importance(std::span<const LayerImportance> layers,
                                                  double target_bits);

}  // namespace llmq
