// Protected weights in a dynamic run: which, and what types that leaves. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "pipeline/dynamic.hpp"
#include "pipeline/protection.hpp"

namespace llmq {
namespace {

constexpr double kManyBits = 8;  // a type of so many that protection alone asks for is worth a word

}  // namespace

std::optional<Protection> dynamic_protection(const StageContext& context, const ModelSource& source,
                                             const DynamicRequest& request, const RunImatrix& imatrix) {
  if (request.options.protect_super_weights)
    return gather_protection(context, source, imatrix.imatrix, request.options.protection_coverage);
  const std::vector<std::int32_t>& layers = request.fit.protected_layers;
  if (layers.empty()) return std::nullopt;
  const SuperWeights& found = imatrix.imatrix.super_weights;
  if (!found.searched) {
    context.log.warn(
        fmt::format("profile {} protects layers, but nobody looked for super weights when the imatrix "
                    "was made; make one with: llm-quantize analyze MODEL --identify-super-weights",
                    request.profile.id));
    return std::nullopt;
  }
  Protection protection = gather_protection(context, source, imatrix.imatrix, found.coverage);
  std::erase_if(protection.weights, [&](const auto& item) {
    return !std::binary_search(layers.begin(), layers.end(), source.find(item.first)->layer);
  });
  protection.spikes = static_cast<std::uint64_t>(
      std::count_if(found.spikes.begin(), found.spikes.end(),
                    [&](const SuperWeight& spike) { return protection.weights.contains(spike.tensor); }));
  return protection;
}

void keep_types_that_hold(const StageContext& context, const ModelSource& source,
                          const ImportanceMap& importance, const Protection& protection,
                          std::vector<DynamicTensor>& tensors) {
  std::vector<HoldQuestion> questions;
  std::vector<std::size_t> asked;
  static const std::vector<std::vector<float>> kNone;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto weights = protection.weights.find(tensors[i].tensor->name);
    if (weights == protection.weights.end()) continue;
    const auto known = importance.find(tensors[i].tensor->name);
    questions.push_back({tensors[i].tensor, weights->second,
                         known == importance.end() ? kNone : known->second.columns, tensors[i].measured});
    asked.push_back(i);
  }
  const auto answers = types_that_hold(context, source, questions);
  std::vector<std::string> wide;
  for (std::size_t q = 0; q < asked.size(); ++q) {
    DynamicTensor& tensor = tensors[asked[q]];
    std::vector<GgmlType> holding;
    for (std::size_t t = 0; t < tensor.measured.size(); ++t) {
      if (answers[q][t] != 0) holding.push_back(tensor.measured[t]);
    }
    std::vector<GgmlType> left;
    std::set_intersection(tensor.allowed.begin(), tensor.allowed.end(), holding.begin(), holding.end(),
                          std::back_inserter(left));
    if (!left.empty()) {
      if (tensor.pinned_by.empty() && std::all_of(left.begin(), left.end(), [](GgmlType type) {
            return bits_per_weight(type) >= kManyBits;
          }))
        wide.push_back(tensor.tensor->name);
      tensor.allowed = std::move(left);
      continue;
    }
    if (holding.empty()) {
      throw Error(ExitCode::validation,
                  fmt::format("{}: no type holds its protected weights", tensor.tensor->name),
                  "Lower --protection-coverage, or quantize without --protect-super-weights");
    }
    const auto least = *std::min_element(holding.begin(), holding.end(), [](GgmlType a, GgmlType b) {
      return bits_per_weight(a) < bits_per_weight(b);
    });
    context.log.warn(fmt::format("{} as {} cannot hold its protected weights: it becomes {}",
                                 tensor.tensor->name, type_name(tensor.allowed.front()), type_name(least)));
    tensor.allowed = {least};
  }
  if (wide.empty()) return;
  context.log.warn(
      fmt::format("so many weights in one block are protected that {} need {:g} bits or more; a smaller "
                  "--protection-coverage leaves these bits to other tensors",
                  join_some(wide), kManyBits));
}

}  // namespace llmq
