#include "llmq/model/patched_source.hpp"

#include "llmq/core/hash.hpp"

namespace llmq {

void PatchedSource::read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count,
                              RowOrder order, std::span<float> out) const {
  source_.read_rows(tensor, row, count, order, out);
  for (const WeightPatch& patch : patches_) {
    if (patch.row < row || patch.row >= row + count || patch.tensor != tensor.name) continue;
    out[(patch.row - row) * tensor.row_elems() + patch.column] = patch.value;
  }
}

std::string PatchedSource::fingerprint() const {
  Sha256 hash;
  hash.field(source_.fingerprint());
  for (const WeightPatch& patch : patches_) {
    hash.field(patch.tensor).field(patch.row).field(patch.column);
    hash.update(std::as_bytes(std::span(&patch.value, 1)));
  }
  return hash.hex();
}

}  // namespace llmq
