#include "llmq/formats/imatrix.hpp"

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"

namespace llmq {

std::vector<float> ImatrixEntry::importance(std::uint64_t mat) const {
  if (mat >= n_mat) throw InternalError("imatrix entry has no such matrix");
  const std::uint64_t count = counts.at(mat);
  std::vector<float> values(in_features, 1.0F);
  if (count == 0) return values;
  for (std::uint64_t j = 0; j < in_features; ++j) {
    values[j] = static_cast<float>(sum_sq[mat * in_features + j] / static_cast<double>(count));
  }
  return values;
}

std::string Imatrix::content_hash() const {
  Sha256 hash;
  hash.field(method)
      .field(dataset_name)
      .field(dataset_hash)
      .field(model_hash)
      .field(tokenizer_hash)
      .field(ctx)
      .field(samples);
  const auto add = [&](const auto& values) {
    hash.field(std::uint64_t{values.size()}).update(std::as_bytes(std::span(values)));
  };
  for (const auto& [name, entry] : entries) {
    hash.field(name).field(entry.in_features).field(entry.n_mat);
    add(entry.sum_sq);
    add(entry.sum);
    add(entry.sum_quad);
    add(entry.max_abs);
    add(entry.counts);
  }
  return hash.hex();
}

}  // namespace llmq
