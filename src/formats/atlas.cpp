#include "llmq/formats/atlas.hpp"

#include <algorithm>
#include <bit>

#include "llmq/core/hash.hpp"

namespace llmq {

const AtlasCell* AtlasTensor::find(GgmlType type) const noexcept {
  const auto cell =
      std::find_if(cells.begin(), cells.end(), [&](const AtlasCell& one) { return one.type == type; });
  return cell == cells.end() ? nullptr : &*cell;
}

std::string Atlas::content_hash() const {
  Sha256 hash;
  const auto number = [&](double value) { hash.field(std::bit_cast<std::uint64_t>(value)); };
  hash.field(key.model_hash)
      .field(key.imatrix_hash)
      .field(key.protection)
      .field(key.encoder)
      .field(key.row_limit);
  hash.field(probe_text.dataset_hash).field(probe_text.samples).field(probe_text.ctx);
  for (const auto& [name, tensor] : tensors) {
    hash.field(name).field(tensor.in_features).field(tensor.rows).field(tensor.sampled_rows);
    number(tensor.power);
    hash.field(tensor.cells.size());
    for (const AtlasCell& cell : tensor.cells) {
      hash.field(static_cast<std::uint64_t>(cell.type)).field(cell.bytes);
      number(cell.error);
      number(cell.max_error);
    }
    hash.field(tensor.probes.size());
    for (const AtlasProbe& probe : tensor.probes) {
      hash.field(static_cast<std::uint64_t>(probe.type));
      number(probe.kld);
      number(probe.kld_error);
    }
  }
  return hash.hex();
}

}  // namespace llmq
