// The error table of a model ("atlas"): what every candidate type does to every tensor, and what single
// changes did to the model's predictions. Kept in HDF5 beside the importance matrix; docs/formats/atlas.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "llmq/core/block_types.hpp"

namespace llmq {

/// One type's effect on one tensor, over the sampled rows.
struct AtlasCell {
  GgmlType type = GgmlType::F32;
  double error = 0;         ///< sum of the squared error of the outputs, by the importance of the inputs
  double max_error = 0;     ///< largest |x - y| of a weight
  std::uint64_t bytes = 0;  ///< of the whole tensor
};

/// The model with this one tensor changed, measured against the original on the calibration text.
struct AtlasProbe {
  GgmlType type = GgmlType::F32;
  double kld = 0;        ///< mean KL divergence, nats
  double kld_error = 0;  ///< its standard error
};

struct AtlasTensor {
  std::uint64_t in_features = 0;
  std::uint64_t rows = 0;
  std::uint64_t sampled_rows = 0;
  double power = 0;                ///< what `error` would be if every weight became 0
  std::vector<AtlasCell> cells;    ///< ascending by type id, each type once
  std::vector<AtlasProbe> probes;  ///< likewise; empty: not measured

  const AtlasCell* find(GgmlType type) const noexcept;
  /// error / power; 0 where there is no power.
  double relative_error(const AtlasCell& cell) const noexcept { return power > 0 ? cell.error / power : 0; }
};

/// What a table is valid for.
struct AtlasKey {
  std::string model_hash;       ///< fingerprint of the weights
  std::string imatrix_hash;     ///< content hash, or "none"
  std::string protection;       ///< hash of the weights that are protected, or "none"
  std::string encoder;          ///< version of the program whose encoders were used
  std::uint64_t row_limit = 0;  ///< rows a tensor that were asked for; 0: all

  friend bool operator==(const AtlasKey&, const AtlasKey&) = default;
};

/// What the probes were measured on. Empty hash: there are none.
struct AtlasProbeText {
  std::string dataset_hash;
  std::uint64_t samples = 0;
  std::uint64_t ctx = 0;

  friend bool operator==(const AtlasProbeText&, const AtlasProbeText&) = default;
};

struct Atlas {
  AtlasKey key;
  AtlasProbeText probe_text;
  std::map<std::string, AtlasTensor> tensors;  ///< by GGUF name

  /// SHA-256 over all content, lower-case hex.
  std::string content_hash() const;
};

/// Equal content gives equal bytes. Written under a temporary name, synced, renamed. @throws Error(general).
void write_atlas(const Atlas& atlas, const std::filesystem::path& path);
/// @throws Error(imatrix) for what is no such file or damaged.
Atlas read_atlas(const std::filesystem::path& path);

}  // namespace llmq
