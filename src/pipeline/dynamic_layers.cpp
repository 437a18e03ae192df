#include "pipeline/dynamic_layers.hpp"

#include <array>
#include <map>
#include <set>

#include <fmt/format.h>

#include "llmq/allocate/tensor_names.hpp"

namespace llmq {
namespace {

struct Sum {
  std::uint64_t bytes = 0, weights = 0;

  void add(GgmlType type, const ModelTensor& tensor) {
    bytes += tensor.bytes_as(type);
    weights += tensor.elements();
  }
  double bits() const {
    return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
  }
};

/// "model.layers.0", "lm_head".
std::string layer_name(const ModelTensor& tensor) {
  return tensor.layer >= 0 ? fmt::format("model.layers.{}", tensor.layer) : module_name(tensor.name);
}

}  // namespace

std::vector<LayerSummary> summarize_layers(const std::vector<DynamicTensor>& tensors, const Choices& choices,
                                           const Protection* protection) {
  std::vector<std::string> order;
  std::map<std::string, Sum> sums;
  std::set<std::string> held;  // with protected weights
  for (const bool inside : {true, false}) {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const ModelTensor& tensor = *tensors[i].tensor;
      if ((tensor.layer >= 0) != inside) continue;
      const std::string name = layer_name(tensor);
      if (!sums.contains(name)) order.push_back(name);
      sums[name].add(tensors[i].allowed[choices[i]], tensor);
      if (protection != nullptr && protection->weights.contains(tensor.name)) held.insert(name);
    }
  }
  std::vector<LayerSummary> layers;
  for (const std::string& name : order)
    layers.push_back({name, sums[name].bits(), sums[name].weights, held.contains(name)});
  return layers;
}

std::vector<std::string> kind_lines(const std::vector<DynamicTensor>& tensors, const Choices& choices) {
  struct Kind {
    const char* name;
    Sum sum;
    std::set<std::int32_t> layers;
  };
  std::array<Kind, 4> kinds{
      {{"Attention layers", {}, {}}, {"MLP layers", {}, {}}, {"Embeddings", {}, {}}, {"Output", {}, {}}}};
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const ModelTensor& tensor = *tensors[i].tensor;
    const bool attention = tensor_role(tensor.name).starts_with("attn");
    Kind& kind = kinds[tensor.layer >= 0 ? (attention ? 0 : 1) : tensor.name == "output.weight" ? 3 : 2];
    kind.sum.add(tensors[i].allowed[choices[i]], tensor);
    kind.layers.insert(tensor.layer);
  }
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (kinds[i].sum.weights == 0) continue;
    lines.push_back(fmt::format("  - {}{}: {:.2f}-bit", kinds[i].name,
                                i < 2 ? fmt::format(" ({})", kinds[i].layers.size()) : "",
                                kinds[i].sum.bits()));
  }
  return lines;
}

}  // namespace llmq
