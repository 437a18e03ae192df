// What a type costs a tensor in KL divergence, predicted from the error table and the single changes that
// were measured. docs/dynamic.md. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "llmq/formats/atlas.hpp"

namespace llmq {

/// Role and layer of a tensor by its GGUF name: "blk.3.ffn_down.weight" -> {"ffn_down.weight", 3};
/// {"output.weight", -1} for what stands outside the layers.
struct TensorRole {
  std::string role;
  int layer = -1;
};
TensorRole role_of(std::string_view name);

/// Pure; built once from a table. The KL divergences of single changes are taken to add up.
class LossModel {
 public:
  explicit LossModel(const Atlas& atlas);

  /// Predicted mean KL divergence in nats of the model with only this tensor changed. Where nothing of its
  /// role was measured, the relative error itself: it still puts types in order.
  /// @throws InternalError for a tensor or type that is not in the table.
  double loss(const std::string& tensor, GgmlType type) const;
  /// True if single changes were measured.
  bool measured() const noexcept { return !curves_.empty(); }

 private:
  /// Measured points of one tensor: logarithms of relative error and divergence, both ascending.
  struct Curve {
    int layer = -1;
    std::vector<double> error, kld;
    double at(double log_error) const;
  };

  const Atlas& atlas_;
  std::map<std::string, std::vector<Curve>, std::less<>> curves_;  ///< by role, ascending by layer
};

}  // namespace llmq
