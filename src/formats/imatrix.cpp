#include "llmq/formats/imatrix.hpp"

#include <algorithm>
#include <cmath>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"

namespace llmq {
namespace {

template <typename T>
void add(Sha256& hash, const std::vector<T>& values) {
  hash.field(std::uint64_t{values.size()}).update(std::as_bytes(std::span(values)));
}

void add_super_weights(Sha256& hash, const SuperWeights& weights) {
  hash.field("super weights");
  add(hash, std::vector<double>{weights.coverage});
  for (const SuperWeight& spike : weights.spikes) {
    hash.field(spike.tensor).field(spike.row).field(spike.column);
    add(hash, std::vector<double>{spike.value, spike.max_input, spike.max_output, spike.loss_change,
                                  spike.kl_divergence});
  }
  for (const auto& [name, indices] : weights.covered) {
    hash.field(name);
    add(hash, indices);
  }
}

constexpr ImatrixFormatName kFormatNames[] = {
    {ImatrixFileFormat::hdf5, "hdf5"}, {ImatrixFileFormat::gguf, "gguf"}, {ImatrixFileFormat::dat, "dat"}};

}  // namespace

std::span<const ImatrixFormatName> imatrix_formats() noexcept { return kFormatNames; }

std::string_view name_of(ImatrixFileFormat format) {
  for (const ImatrixFormatName& row : kFormatNames) {
    if (row.format == format) return row.name;
  }
  throw InternalError("an imatrix format has no name");
}

const std::vector<double>& ImatrixEntry::importance_sums() const noexcept {
  return !sensitivity.empty() && sensitivity.samples > 0 ? sensitivity.columns : sum_sq;
}

std::uint64_t ImatrixEntry::importance_count(std::uint64_t mat) const {
  if (sensitivity.empty() || sensitivity.samples == 0) return counts.at(mat);
  return n_mat > 1 && sensitivity.scores.at(mat) == 0 ? 0 : sensitivity.samples;
}

std::vector<float> ImatrixEntry::importance(std::uint64_t mat) const {
  if (mat >= n_mat) throw InternalError("imatrix entry has no such matrix");
  const std::uint64_t count = importance_count(mat);
  std::vector<float> values(in_features, 1.0F);
  if (count == 0) return values;
  const std::vector<double>& sums = importance_sums();
  for (std::uint64_t j = 0; j < in_features; ++j)
    values[j] = static_cast<float>(sums[mat * in_features + j] / static_cast<double>(count));
  return values;
}

std::uint64_t Imatrix::count_super_weights() const {
  std::uint64_t count = 0;
  for (const auto& [name, indices] : super_weights.covered) count += indices.size();
  for (const SuperWeight& spike : super_weights.spikes) {
    const auto entry = entries.find(spike.tensor);
    const auto covered = super_weights.covered.find(spike.tensor);
    const bool counted = entry != entries.end() && covered != super_weights.covered.end() &&
                         std::binary_search(covered->second.begin(), covered->second.end(),
                                            spike.row * entry->second.in_features + spike.column);
    if (!counted) ++count;
  }
  return count;
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
  for (const auto& [name, entry] : entries) {
    hash.field(name).field(entry.in_features).field(entry.n_mat);
    add(hash, entry.sum_sq);
    add(hash, entry.sum);
    add(hash, entry.sum_quad);
    add(hash, entry.max_abs);
    add(hash, entry.counts);
    if (entry.sensitivity.empty()) continue;
    hash.field(entry.sensitivity.samples);
    add(hash, entry.sensitivity.columns);
    add(hash, entry.sensitivity.rows);
    add(hash, entry.sensitivity.scores);
  }
  if (super_weights.searched) add_super_weights(hash, super_weights);
  return hash.hex();
}

ImportanceSummary summarize_importance(const Imatrix& imatrix) {
  ImportanceSummary summary{INFINITY, -INFINITY, 0, 0};
  double sum = 0, square = 0;
  std::uint64_t count = 0;
  for (const auto& [name, entry] : imatrix.entries) {
    for (std::uint64_t mat = 0; mat < entry.n_mat; ++mat) {
      if (entry.importance_count(mat) == 0) continue;
      for (const float value : entry.importance(mat)) {
        sum += value;
        square += static_cast<double>(value) * value;
        ++count;
        summary.min = std::min<double>(summary.min, value);
        summary.max = std::max<double>(summary.max, value);
      }
    }
  }
  if (count == 0) return {};
  summary.mean = sum / static_cast<double>(count);
  summary.std = std::sqrt(std::max(0.0, square / static_cast<double>(count) - summary.mean * summary.mean));
  return summary;
}

}  // namespace llmq
