#include "pipeline/quality_errors.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/quality/tensor_error.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kPieceElems = std::uint64_t{1} << 20;

struct Piece {
  std::size_t tensor = 0;
  std::uint64_t row = 0;
  std::uint64_t rows = 0;
};

std::vector<Piece> cut_pieces(const ModelSource& quantized) {
  std::vector<Piece> pieces;
  for (std::size_t index = 0; index < quantized.tensors().size(); ++index) {
    const ModelTensor& tensor = quantized.tensors()[index];
    const std::uint64_t step =
        std::max<std::uint64_t>(1, kPieceElems / std::max<std::uint64_t>(1, tensor.row_elems()));
    for (std::uint64_t row = 0; row < tensor.rows(); row += step) {
      pieces.push_back({index, row, std::min(step, tensor.rows() - row)});
    }
  }
  return pieces;
}

ErrorSums measure_piece(const ModelSource& original, const ModelSource& quantized,
                        const ColumnImportance& importance, const Piece& piece) {
  const ModelTensor& candidate = quantized.tensors()[piece.tensor];
  const ModelTensor* reference = original.find(candidate.name);
  // A file may spell out an output matrix that the original ties to the embedding.
  if (reference == nullptr && candidate.name == "output.weight")
    reference = original.find("token_embd.weight");
  if (reference == nullptr || reference->ne != candidate.ne) {
    throw Error(ExitCode::validation,
                fmt::format("tensor {} has no counterpart in the original", candidate.name));
  }
  std::vector<float> x(piece.rows * candidate.row_elems());
  std::vector<float> y(x.size());
  original.read_rows(*reference, piece.row, piece.rows, RowOrder::gguf, x);
  quantized.read_rows(candidate, piece.row, piece.rows, RowOrder::gguf, y);
  const auto columns = importance.find(candidate.name);
  return columns == importance.end() ? measure_error(x, y) : measure_error(x, y, columns->second);
}

/// "blk.3.attn_q.weight" -> "model.layers.3.self_attn"; empty for norms and tensors outside the layers.
std::string layer_name(const ModelTensor& tensor) {
  if (tensor.layer < 0 || tensor.name.ends_with("_norm.weight")) return {};
  const bool attention = tensor.name.find(".attn_") != std::string::npos;
  return fmt::format("model.layers.{}.{}", tensor.layer, attention ? "self_attn" : "mlp");
}

std::optional<double> weighted_error(const ErrorSums& sums) {
  return sums.weighted_original_sq > 0 ? std::optional(sums.weighted_error()) : std::nullopt;
}

struct LayerSums {
  std::string name;
  ErrorSums sums;
  std::uint64_t bytes = 0;
};

}  // namespace

ColumnImportance share_importance(const Communicator& comm, const ModelSpec& spec,
                                  std::vector<LayerStatistics>& statistics) {
  ColumnImportance importance;
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) {
    for (const LayerWeight& weight : layer_weights(spec)) {
      std::vector<double>& columns = importance[fmt::format("blk.{}.{}", layer, weight.name)];
      columns.resize(input_width(spec, weight.input));
      if (comm.is_root()) columns = statistics[layer].mean_squares(weight);
      comm.broadcast(std::span(columns), 0, "share importance");
    }
  }
  return importance;
}

void compare_weights(const StageContext& context, const ModelSource& original, const ModelSource& quantized,
                     const ColumnImportance& importance, std::vector<TensorError>& tensors,
                     std::vector<LayerError>& layers) {
  const std::vector<Piece> pieces = cut_pieces(quantized);
  const auto rank = static_cast<std::size_t>(context.comm.rank());
  const auto ranks = static_cast<std::size_t>(context.comm.size());
  const std::size_t share = pieces.size() / ranks + (rank < pieces.size() % ranks ? 1 : 0);
  std::vector<ErrorSums> mine(share);
  context.comm.together("compare weights", [&] {
    parallel_for(share, context.threads, [&](std::size_t i, std::size_t) {
      mine[i] = measure_piece(original, quantized, importance, pieces[rank + i * ranks]);
    });
  });
  const auto gathered = context.comm.gather(std::span<const ErrorSums>(mine), "collect weight errors");
  if (!context.comm.is_root()) return;

  std::vector<ErrorSums> sums(quantized.tensors().size());
  for (std::size_t i = 0; i < pieces.size(); ++i) sums[pieces[i].tensor].add(gathered[i % ranks][i / ranks]);
  std::vector<LayerSums> groups;
  for (std::size_t index = 0; index < sums.size(); ++index) {
    const ModelTensor& tensor = quantized.tensors()[index];
    const double bits = bits_per_weight(tensor.stored_type);
    tensors.push_back({tensor.name, std::string(type_name(tensor.stored_type)), tensor.elements(), bits,
                       sums[index].mse(), sums[index].max_error, sums[index].cosine(),
                       weighted_error(sums[index])});
    const std::string name = layer_name(tensor);
    if (name.empty()) continue;
    auto group =
        std::find_if(groups.begin(), groups.end(), [&](const LayerSums& one) { return one.name == name; });
    if (group == groups.end()) group = groups.insert(groups.end(), LayerSums{name, {}, 0});
    group->sums.add(sums[index]);
    group->bytes += tensor.bytes_as(tensor.stored_type);
  }
  for (const LayerSums& group : groups) {
    layers.push_back({group.name, group.sums.mse(), group.sums.max_error,
                      8.0 * static_cast<double>(group.bytes) / static_cast<double>(group.sums.count),
                      group.sums.cosine(), weighted_error(group.sums)});
  }
}

}  // namespace llmq
