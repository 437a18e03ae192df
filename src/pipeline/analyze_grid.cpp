#include "pipeline/analyze_grid.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

namespace llmq {

GridPlace place_in_grid(std::uint32_t rank, std::uint32_t ranks, std::uint32_t layer_groups,
                        std::uint32_t n_layers) {
  if (layer_groups == 0 || ranks % layer_groups != 0 || layer_groups > n_layers) {
    throw Error(
        ExitCode::invalid_arguments,
        fmt::format("--layer-groups {} does not fit {} ranks and {} layers", layer_groups, ranks, n_layers),
        "It must divide the number of ranks and be at most the number of layers");
  }
  return {layer_groups, ranks / layer_groups, rank % layer_groups, rank / layer_groups};
}

LayerRange layers_of_group(std::uint32_t group, std::uint32_t groups, std::uint32_t n_layers) noexcept {
  const std::uint32_t base = n_layers / groups;
  const std::uint32_t extra = n_layers % groups;
  const std::uint32_t begin = group * base + std::min(group, extra);
  return {begin, begin + base + (group < extra ? 1 : 0)};
}

std::vector<std::uint64_t> samples_of_group(std::uint32_t group, std::uint32_t groups,
                                            std::uint64_t n_samples) {
  std::vector<std::uint64_t> samples;
  for (std::uint64_t sample = group; sample < n_samples; sample += groups) samples.push_back(sample);
  return samples;
}

std::uint64_t wave_samples(std::size_t threads, std::uint64_t samples_of_group, const GridPlace& grid,
                           std::uint32_t n_layers) noexcept {
  constexpr std::uint64_t kBatches = 8;  // loads of a layer and stages of a pipeline are shared by so many
  const std::uint64_t least = std::uint64_t{threads} * grid.layer_groups;
  const std::uint64_t layers = (n_layers + grid.layer_groups - 1) / grid.layer_groups;
  return std::max(least, std::min(kBatches * least, samples_of_group / layers));
}

}  // namespace llmq
