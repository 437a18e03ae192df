#include "pipeline/tensor_importance.hpp"

#include <fmt/format.h>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

std::vector<float> mean_inputs(const ImatrixEntry& entry, std::uint64_t mat) {
  std::vector<float> means(entry.in_features, 0.0F);
  const auto count = static_cast<double>(entry.counts[mat]);
  if (count == 0) return means;
  for (std::uint64_t j = 0; j < entry.in_features; ++j)
    means[j] = static_cast<float>(entry.sum[mat * entry.in_features + j] / count);
  return means;
}

/// Experts that no token was given to get the mean of the others.
void fill_experts_without_tokens(const ImatrixEntry& entry, std::vector<std::vector<float>>& columns) {
  if (entry.n_mat == 1) return;
  std::vector<double> mean(entry.in_features, 0);
  double seen = 0;
  for (std::uint64_t mat = 0; mat < entry.n_mat; ++mat) {
    if (entry.importance_count(mat) == 0) continue;
    ++seen;
    for (std::uint64_t j = 0; j < entry.in_features; ++j) mean[j] += static_cast<double>(columns[mat][j]);
  }
  if (seen == 0) return;
  for (std::uint64_t mat = 0; mat < entry.n_mat; ++mat) {
    for (std::uint64_t j = 0; j < entry.in_features && entry.importance_count(mat) == 0; ++j)
      columns[mat][j] = static_cast<float>(mean[j] / seen);
  }
}

}  // namespace

std::optional<TensorImportance> importance_of(const Imatrix& imatrix, const ModelTensor& tensor) {
  const auto found = imatrix.entries.find(tensor.name);
  if (found == imatrix.entries.end()) return std::nullopt;
  const ImatrixEntry& stored = found->second;
  const auto entry = fit_entry(stored, tensor.ne[0], tensor.ne[2]);
  if (!entry && tensor.name == "token_embd.weight") return std::nullopt;
  if (!entry) {
    throw Error(ExitCode::imatrix,
                fmt::format("imatrix entry {} has {} x {} columns, the model has {} x {}", found->first,
                            stored.n_mat, stored.in_features, tensor.ne[2], tensor.ne[0]),
                "This imatrix is of another model; make one with: llm-quantize analyze MODEL");
  }
  TensorImportance importance;
  const bool with_means = !entry->sum.empty() && entry->sensitivity.empty();
  for (std::uint64_t mat = 0; mat < entry->n_mat; ++mat) {
    importance.columns.push_back(entry->importance(mat));
    if (with_means) importance.means.push_back(mean_inputs(*entry, mat));
  }
  fill_experts_without_tokens(*entry, importance.columns);
  return importance;
}

ImportanceMap importance_map(const Imatrix& imatrix, const ModelSource& source) {
  ImportanceMap map;
  for (const ModelTensor& tensor : source.tensors()) {
    if (auto importance = importance_of(imatrix, tensor)) map.emplace(tensor.name, std::move(*importance));
  }
  if (map.empty()) {
    throw Error(ExitCode::imatrix, "no entry of the imatrix fits a tensor of this model",
                "This imatrix is of another model; make one with: llm-quantize analyze MODEL");
  }
  return map;
}

}  // namespace llmq
