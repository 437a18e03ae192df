// What is gathered of one layer: statistics of its four matmul inputs and, by methods that need gradients,
// sensitivities of its weights. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "llmq/comm/communicator.hpp"
#include "llmq/formats/checkpoint_store.hpp"
#include "llmq/formats/imatrix.hpp"
#include "llmq/importance/accumulator.hpp"
#include "llmq/importance/sensitivity.hpp"
#include "llmq/model/forward.hpp"
#include "llmq/model/source.hpp"

namespace llmq {

/// A matmul weight of a layer, by its GGUF name below "blk.N.", and the input it reads.
struct LayerWeight {
  std::string_view name;
  MatmulInput input;
};
/// Inputs that all tokens go into.
inline constexpr std::size_t kLayerInputs = 4;

/// Weights of the layers of this model, in the order of their products.
std::span<const LayerWeight> layer_weights(const ModelSpec& spec) noexcept;
/// True for weights of all experts, one matrix each.
inline bool is_of_experts(const LayerWeight& weight) noexcept {
  return weight.input == MatmulInput::experts || weight.input == MatmulInput::experts_down;
}
/// in_features of an input; rows of a weight, or of one expert's matrix.
std::size_t input_width(const ModelSpec& spec, MatmulInput input);
std::size_t weight_rows(const ModelSpec& spec, const LayerWeight& weight);

class LayerStatistics {
 public:
  LayerStatistics() = default;  ///< of no layer yet
  LayerStatistics(const ModelSpec& spec, ImportanceMethod method);

  bool made() const noexcept { return !inputs_.empty(); }
  InputAccumulator& input(const MatmulRows& rows) { return inputs_.at(slot(rows.input, rows.expert)); }
  /// Mean squares of the columns that a weight reads; of experts over all tokens of all of them.
  std::vector<double> mean_squares(const LayerWeight& weight) const;
  // Sensitivities stand in the order of layer_weights, those of a weight of experts by expert.
  std::size_t sensitivities() const noexcept { return sensitivities_.size(); }
  SensitivityAccumulator& sensitivity(std::size_t slot) { return sensitivities_.at(slot).values; }
  /// @param weight  GGUF name below "blk.N."
  std::size_t sensitivity_slot(std::string_view weight, std::uint32_t expert) const;
  bool sensitivity_is_of_expert(std::size_t slot) const;
  /// "blk.0.ffn_up.weight", with the expert's number behind it.
  std::string sensitivity_name(std::uint32_t layer, std::size_t slot) const;

  void add(const LayerStatistics& other);
  void clear();
  /// Collective: the sum over ranks on rank 0; elsewhere the values are spent.
  void reduce_to_root(const Communicator& comm, std::uint32_t layer);

  /// As the checkpoint holds them; the layer is in their names.
  void save(std::uint32_t layer, AnalyzeCheckpoint& checkpoint) const;
  /// Takes what belongs to `layer` out of a checkpoint. @returns how many of its parts that were.
  /// @throws Error(checkpoint) if sizes do not fit.
  std::size_t load(std::uint32_t layer, const AnalyzeCheckpoint& checkpoint);

  /// One entry for each weight. Rows of rotated heads are put into GGUF's order.
  void write(std::uint32_t layer, const ModelSource& source, Imatrix& imatrix) const;

  static std::uint64_t bytes(const ModelSpec& spec, ImportanceMethod method);
  /// Of one sample's sensitivities before they are added; 0 without gradients.
  static std::uint64_t sample_bytes(const ModelSpec& spec, ImportanceMethod method);

 private:
  /// Where an input stands: those of all tokens, then two an expert.
  static std::size_t slot(MatmulInput which, std::uint32_t expert) noexcept;
  /// Its name in checkpoints.
  static std::string input_name(std::uint32_t layer, std::size_t slot);
  ImatrixEntry entry_of(const LayerWeight& weight) const;

  /// Of one matrix.
  struct MatrixSensitivity {
    std::size_t weight;  ///< index in layer_weights
    std::uint32_t expert;
    SensitivityAccumulator values;
  };

  std::vector<InputAccumulator> inputs_;  ///< by slot
  std::uint32_t experts_ = 0;
  std::span<const LayerWeight> weights_;
  std::vector<MatrixSensitivity> sensitivities_;  ///< empty: not measured
};

}  // namespace llmq
