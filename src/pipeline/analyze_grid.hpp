// Who does what in an analyze run: rank (l, s) of an L x S grid holds the layers of group l and the samples
// of group s. Pure arithmetic; every layer and every sample has exactly one owner group.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace llmq {

struct GridPlace {
  std::uint32_t layer_groups = 1;   ///< L
  std::uint32_t sample_groups = 1;  ///< S
  std::uint32_t layer_group = 0;    ///< l
  std::uint32_t sample_group = 0;   ///< s

  /// World rank of (l, s): the ranks of one pipeline stand side by side.
  std::uint32_t rank_of(std::uint32_t l, std::uint32_t s) const noexcept { return s * layer_groups + l; }
};

/// @throws Error(invalid_arguments) when L does not divide the number of ranks or exceeds the layers.
GridPlace place_in_grid(std::uint32_t rank, std::uint32_t ranks, std::uint32_t layer_groups,
                        std::uint32_t n_layers);

struct LayerRange {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};
/// Contiguous ranges whose sizes differ by at most one.
LayerRange layers_of_group(std::uint32_t group, std::uint32_t groups, std::uint32_t n_layers) noexcept;
/// Ascending sample indices of a group, dealt round robin.
std::vector<std::uint64_t> samples_of_group(std::uint32_t group, std::uint32_t groups,
                                            std::uint64_t n_samples);

/// Samples that a sample group takes forward and back together. Their states between all layers are held at
/// once: no more than one state of each of the group's samples would be, as far as the threads can be kept
/// busy.
std::uint64_t wave_samples(std::size_t threads, std::uint64_t samples_of_group, const GridPlace& grid,
                           std::uint32_t n_layers) noexcept;

}  // namespace llmq
