#include "pipeline/protection.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "pipeline/weight_coverage.hpp"

namespace llmq {
namespace {

constexpr const char* kOtherModel =
    "This imatrix is of another model; make one with: llm-quantize analyze MODEL --identify-super-weights";

const ModelTensor& require_tensor(const ModelSource& source, const std::string& name) {
  if (const ModelTensor* tensor = source.find(name)) return *tensor;
  throw Error(ExitCode::imatrix,
              fmt::format("the imatrix names super weights of {}, which the model does not have", name),
              kOtherModel);
}

/// Flat indices by tensor.
using Indices = std::map<std::string, std::vector<std::uint64_t>>;

void add_spikes(const ModelSource& source, const SuperWeights& found, Indices& indices) {
  for (const SuperWeight& spike : found.spikes) {
    const ModelTensor& tensor = require_tensor(source, spike.tensor);
    if (spike.row >= tensor.rows() || spike.column >= tensor.row_elems()) {
      throw Error(ExitCode::imatrix,
                  fmt::format("super weight {}[{}, {}] of the imatrix is outside the model's {} x {}",
                              spike.tensor, spike.row, spike.column, tensor.rows(), tensor.row_elems()),
                  kOtherModel);
    }
    indices[spike.tensor].push_back(spike.row * tensor.row_elems() + spike.column);
  }
}

void check_covered(const ModelSource& source, const Indices& covered) {
  for (const auto& [name, indices] : covered) {
    const ModelTensor& tensor = require_tensor(source, name);
    if (indices.empty() || *std::max_element(indices.begin(), indices.end()) < tensor.elements()) continue;
    throw Error(ExitCode::imatrix,
                fmt::format("covered weights of {} in the imatrix are outside the model's {} weights", name,
                            tensor.elements()),
                kOtherModel);
  }
}

/// Rank 0's indices on every rank.
Indices share(const StageContext& context, const ModelSource& source, const Indices& indices) {
  Indices shared;
  for (const ModelTensor& tensor : source.tensors()) {
    std::vector<std::uint64_t> values;
    if (const auto found = indices.find(tensor.name); found != indices.end()) values = found->second;
    std::uint64_t count = values.size();
    context.comm.broadcast(std::span<std::uint64_t>(&count, 1), 0, "share covered weights");
    if (count == 0) continue;
    values.resize(count);
    context.comm.broadcast(std::span(values), 0, "share covered weights");
    shared[tensor.name] = std::move(values);
  }
  return shared;
}

}  // namespace

Protection gather_protection(const StageContext& context, const ModelSource& source, const Imatrix& imatrix,
                             double coverage) {
  const SuperWeights& found = imatrix.super_weights;
  Protection protection;
  protection.coverage = coverage;
  protection.spikes = found.spikes.size();
  context.comm.together("check super weights", [&] {
    add_spikes(source, found, protection.weights);
    check_covered(source, found.covered);
  });
  const bool known = found.searched && found.coverage == coverage;
  const Indices covered =
      known ? found.covered : share(context, source, find_covered(context, source, imatrix, coverage));
  for (const auto& [name, indices] : covered) {
    std::vector<std::uint64_t>& all = protection.weights[name];
    all.insert(all.end(), indices.begin(), indices.end());
  }
  for (auto& [name, indices] : protection.weights) {
    std::sort(indices.begin(), indices.end());
    indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
  }
  std::erase_if(protection.weights, [](const auto& item) { return item.second.empty(); });
  if (!found.searched) {
    context.log.warn(
        "nobody looked for super weights when the imatrix was made: only the top weights by importance are "
        "protected; make one with: llm-quantize analyze MODEL --identify-super-weights");
  }
  context.log.status(
      fmt::format("Protected parameters: {} ({:g}%)", format_count(protection.count()), 100 * coverage));
  return protection;
}

}  // namespace llmq
