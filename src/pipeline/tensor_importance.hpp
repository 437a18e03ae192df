// What an importance matrix says of one tensor of a model. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "llmq/formats/imatrix.hpp"
#include "llmq/model/source.hpp"

namespace llmq {

struct TensorImportance {
  std::vector<std::vector<float>> columns;  ///< in_features values a matrix
  std::vector<std::vector<float>> means;    ///< mean input, likewise; empty where it was not measured
};

/// Empty: the matrix does not cover the tensor. @throws Error(imatrix) when its entry has another shape.
std::optional<TensorImportance> importance_of(const Imatrix& imatrix, const ModelTensor& tensor);

/// By GGUF name; tensors that the matrix does not cover are absent.
using ImportanceMap = std::map<std::string, TensorImportance>;
/// @throws Error(imatrix) as importance_of, or when nothing fits the model.
ImportanceMap importance_map(const Imatrix& imatrix, const ModelSource& source);

}  // namespace llmq
