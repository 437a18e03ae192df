#include "pipeline/layer_statistics.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

#include "model/row_permutation.hpp"

namespace llmq {
namespace {

/// Names of inputs in checkpoints, in the order of MatmulInput.
constexpr std::array<std::string_view, 6> kInputKeys = {"attention", "attention_output", "ffn",
                                                        "ffn_down",  "experts",          "experts_down"};

constexpr std::array kDenseWeights = {
    LayerWeight{"attn_q.weight", MatmulInput::attention},
    LayerWeight{"attn_k.weight", MatmulInput::attention},
    LayerWeight{"attn_v.weight", MatmulInput::attention},
    LayerWeight{"attn_output.weight", MatmulInput::attention_output},
    LayerWeight{"ffn_gate.weight", MatmulInput::ffn},
    LayerWeight{"ffn_up.weight", MatmulInput::ffn},
    LayerWeight{"ffn_down.weight", MatmulInput::ffn_down},
};
constexpr std::array kFusedWeights = {
    LayerWeight{"attn_qkv.weight", MatmulInput::attention},
    LayerWeight{"attn_output.weight", MatmulInput::attention_output},
    LayerWeight{"ffn_up.weight", MatmulInput::ffn},
    LayerWeight{"ffn_down.weight", MatmulInput::ffn_down},
};
constexpr std::array kExpertWeights = {
    LayerWeight{"attn_q.weight", MatmulInput::attention},
    LayerWeight{"attn_k.weight", MatmulInput::attention},
    LayerWeight{"attn_v.weight", MatmulInput::attention},
    LayerWeight{"attn_output.weight", MatmulInput::attention_output},
    LayerWeight{"ffn_gate_exps.weight", MatmulInput::experts},
    LayerWeight{"ffn_up_exps.weight", MatmulInput::experts},
    LayerWeight{"ffn_down_exps.weight", MatmulInput::experts_down},
    LayerWeight{"ffn_gate_shexp.weight", MatmulInput::ffn},
    LayerWeight{"ffn_up_shexp.weight", MatmulInput::ffn},
    LayerWeight{"ffn_down_shexp.weight", MatmulInput::ffn_down},
};
constexpr std::size_t kSharedExpertWeights = 3;  // the last ones

std::string weight_name(std::uint32_t layer, const LayerWeight& weight) {
  return fmt::format("blk.{}.{}", layer, weight.name);
}

/// Adds one matrix.
void append(const InputAccumulator& total, ImatrixEntry& entry) {
  for (std::size_t j = 0; j < total.in_features(); ++j) {
    entry.sum_sq.push_back(from_fixed(total.sum_sq[j], kSumFractionBits));
    entry.sum.push_back(from_fixed(total.sum[j], kSumFractionBits));
    entry.sum_quad.push_back(from_fixed(total.sum_quad[j], kQuadFractionBits));
  }
  entry.max_abs.insert(entry.max_abs.end(), total.max_abs.begin(), total.max_abs.end());
  entry.counts.push_back(total.count);
}

/// Adds one matrix.  @param heads  whose rows GGUF keeps in another order than they came; 0: none
void append(const SensitivityAccumulator& total, std::uint32_t heads, Sensitivity& into) {
  into.samples = total.samples;
  Int128 sum = 0;
  for (const Int128 column : total.columns) {
    into.columns.push_back(from_fixed(column, kSensitivityFractionBits));
    sum = add_fixed(sum, column);
  }
  into.scores.push_back(from_fixed(sum, kSensitivityFractionBits) /
                        static_cast<double>(total.columns.size()));
  const std::uint64_t head_rows = heads == 0 ? 0 : total.rows.size() / heads;
  for (std::uint64_t row = 0; row < total.rows.size(); ++row) {
    const std::uint64_t from =
        heads == 0 ? row : row / head_rows * head_rows + gguf_row_to_hf(row % head_rows, head_rows / 2);
    into.rows.push_back(from_fixed(total.rows[from], kSensitivityFractionBits));
  }
}

[[noreturn]] void sizes_differ() { throw Error(ExitCode::checkpoint, "sizes do not fit this run"); }

}  // namespace

std::span<const LayerWeight> layer_weights(const ModelSpec& spec) noexcept {
  if (spec.fused_qkv) return kFusedWeights;
  if (spec.n_experts == 0) return kDenseWeights;
  const std::span<const LayerWeight> all(kExpertWeights);
  return spec.shared_ffn > 0 ? all : all.first(all.size() - kSharedExpertWeights);
}

std::size_t input_width(const ModelSpec& spec, MatmulInput input) {
  switch (input) {
    case MatmulInput::attention:
    case MatmulInput::ffn:
    case MatmulInput::experts:
      return spec.hidden_size;
    case MatmulInput::attention_output:
      return std::size_t{spec.n_heads} * spec.head_dim;
    case MatmulInput::ffn_down:
      return spec.common_ffn();
    case MatmulInput::experts_down:
      return spec.expert_ffn;
  }
  throw InternalError("unknown matmul input");
}

std::size_t weight_rows(const ModelSpec& spec, const LayerWeight& weight) {
  const std::size_t q_rows = std::size_t{spec.n_heads} * spec.head_dim,
                    kv_rows = std::size_t{spec.n_kv_heads} * spec.head_dim;
  if (weight.name == "attn_q.weight") return q_rows;
  if (weight.name == "attn_qkv.weight") return q_rows + 2 * kv_rows;
  if (weight.input == MatmulInput::attention) return kv_rows;
  if (weight.input == MatmulInput::experts) return spec.expert_ffn;
  const std::size_t ffn = std::size_t{spec.common_ffn()} * (spec.fused_gate_up ? 2 : 1);
  return weight.input == MatmulInput::ffn ? ffn : spec.hidden_size;
}

LayerStatistics::LayerStatistics(const ModelSpec& spec, ImportanceMethod method)
    : experts_(spec.n_experts), weights_(layer_weights(spec)) {
  for (std::size_t i = 0; i < kLayerInputs; ++i)
    inputs_.emplace_back(input_width(spec, static_cast<MatmulInput>(i)));
  for (std::uint32_t expert = 0; expert < experts_; ++expert) {
    inputs_.emplace_back(input_width(spec, MatmulInput::experts));
    inputs_.emplace_back(input_width(spec, MatmulInput::experts_down));
  }
  if (!row_of(method).needs_gradient) return;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const SensitivityAccumulator none(input_width(spec, weights_[i].input), weight_rows(spec, weights_[i]));
    const std::uint32_t matrices = is_of_experts(weights_[i]) ? experts_ : 1;
    for (std::uint32_t expert = 0; expert < matrices; ++expert) sensitivities_.push_back({i, expert, none});
  }
}

std::size_t LayerStatistics::sensitivity_slot(std::string_view weight, std::uint32_t expert) const {
  const auto slot =
      std::find_if(sensitivities_.begin(), sensitivities_.end(), [&](const MatrixSensitivity& matrix) {
        return matrix.expert == expert && weights_[matrix.weight].name == weight;
      });
  if (slot == sensitivities_.end()) throw InternalError("gradient of an unknown weight");
  return static_cast<std::size_t>(slot - sensitivities_.begin());
}

bool LayerStatistics::sensitivity_is_of_expert(std::size_t slot) const {
  return is_of_experts(weights_[sensitivities_.at(slot).weight]);
}

std::string LayerStatistics::sensitivity_name(std::uint32_t layer, std::size_t slot) const {
  const std::string name = weight_name(layer, weights_[sensitivities_.at(slot).weight]);
  return sensitivity_is_of_expert(slot) ? fmt::format("{}.{}", name, sensitivities_[slot].expert) : name;
}

std::size_t LayerStatistics::slot(MatmulInput which, std::uint32_t expert) noexcept {
  const auto index = static_cast<std::size_t>(which);
  if (index < kLayerInputs) return index;
  return kLayerInputs + 2 * std::size_t{expert} + (which == MatmulInput::experts_down ? 1 : 0);
}

std::string LayerStatistics::input_name(std::uint32_t layer, std::size_t slot) {
  if (slot < kLayerInputs) return fmt::format("layer.{}.{}", layer, kInputKeys[slot]);
  const std::size_t of_experts = slot - kLayerInputs;
  return fmt::format("layer.{}.{}.{}", layer, kInputKeys[kLayerInputs + of_experts % 2], of_experts / 2);
}

ImatrixEntry LayerStatistics::entry_of(const LayerWeight& weight) const {
  ImatrixEntry entry;
  entry.n_mat = is_of_experts(weight) ? experts_ : 1;
  for (std::uint32_t expert = 0; expert < entry.n_mat; ++expert)
    append(inputs_[slot(weight.input, expert)], entry);
  entry.in_features = entry.sum_sq.size() / entry.n_mat;
  return entry;
}

std::vector<double> LayerStatistics::mean_squares(const LayerWeight& weight) const {
  const ImatrixEntry entry = entry_of(weight);
  std::vector<double> means(entry.in_features, 0);
  double tokens = 0;
  for (const std::uint64_t count : entry.counts) tokens += static_cast<double>(count);
  for (std::size_t i = 0; i < entry.sum_sq.size(); ++i) means[i % means.size()] += entry.sum_sq[i];
  for (double& mean : means) mean /= tokens;
  return means;
}

void LayerStatistics::add(const LayerStatistics& other) {
  for (std::size_t i = 0; i < inputs_.size(); ++i) inputs_[i].add(other.inputs_.at(i));
  for (std::size_t i = 0; i < sensitivities_.size(); ++i)
    sensitivities_[i].values.add(other.sensitivities_.at(i).values);
}

void LayerStatistics::clear() {
  for (InputAccumulator& input : inputs_) input.clear();
  for (MatrixSensitivity& matrix : sensitivities_) matrix.values.clear();
}

void LayerStatistics::reduce_to_root(const Communicator& comm, std::uint32_t layer) {
  const auto sum = [&](auto values, std::string_view part) {
    comm.reduce_to_root(values, comm::ReduceOp::sum,
                        fmt::format("sum importance of layer {} ({})", layer, part));
  };
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    InputAccumulator& input = inputs_[i];
    const std::string name = input_name(layer, i);
    sum(std::span(input.sum_sq), name);
    sum(std::span(input.sum), name);
    sum(std::span(input.sum_quad), name);
    sum(std::span<std::uint64_t>(&input.count, 1), name);
    comm.reduce_to_root(std::span(input.max_abs), comm::ReduceOp::max,
                        fmt::format("largest inputs of layer {} ({})", layer, name));
  }
  for (std::size_t i = 0; i < sensitivities_.size(); ++i) {
    SensitivityAccumulator& values = sensitivities_[i].values;
    const std::string name = sensitivity_name(layer, i);
    sum(std::span(values.columns), name);
    sum(std::span(values.rows), name);
    sum(std::span<std::uint64_t>(&values.samples, 1), name);
  }
}

void LayerStatistics::save(std::uint32_t layer, AnalyzeCheckpoint& checkpoint) const {
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const InputAccumulator& input = inputs_[i];
    if (input.count == 0) continue;
    checkpoint.stats.push_back({input_name(layer, i),
                                input.in_features(),
                                input.sum_sq,
                                input.sum,
                                input.sum_quad,
                                input.max_abs,
                                {input.count}});
  }
  for (std::size_t i = 0; i < sensitivities_.size(); ++i) {
    const SensitivityAccumulator& values = sensitivities_[i].values;
    if (values.samples == 0) continue;
    checkpoint.sensitivities.push_back(
        {sensitivity_name(layer, i), values.columns, values.rows, values.samples});
  }
}

std::size_t LayerStatistics::load(std::uint32_t layer, const AnalyzeCheckpoint& checkpoint) {
  std::size_t taken = 0;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < inputs_.size(); ++i) names.push_back(input_name(layer, i));
  for (const AnalyzeCheckpoint::Stat& stat : checkpoint.stats) {
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (stat.name != names[i]) continue;
      if (stat.in_features != inputs_[i].in_features()) sizes_differ();
      inputs_[i].sum_sq = stat.sum_sq, inputs_[i].sum = stat.sum, inputs_[i].sum_quad = stat.sum_quad;
      inputs_[i].max_abs = stat.max_abs, inputs_[i].count = stat.counts.at(0);
      ++taken;
    }
  }
  names.clear();
  for (std::size_t i = 0; i < sensitivities_.size(); ++i) names.push_back(sensitivity_name(layer, i));
  const std::string layer_name = fmt::format("blk.{}.", layer);
  for (const AnalyzeCheckpoint::SensitivityStat& stat : checkpoint.sensitivities) {
    if (!stat.name.starts_with(layer_name)) continue;
    for (std::size_t i = 0; i < sensitivities_.size(); ++i) {
      if (stat.name != names[i]) continue;
      SensitivityAccumulator& values = sensitivities_[i].values;
      if (stat.columns.size() != values.columns.size() || stat.rows.size() != values.rows.size())
        sizes_differ();
      values.columns = stat.columns, values.rows = stat.rows, values.samples = stat.samples;
      ++taken;
    }
  }
  return taken;
}

void LayerStatistics::write(std::uint32_t layer, const ModelSource& source, Imatrix& imatrix) const {
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const std::string name = weight_name(layer, weights_[i]);
    ImatrixEntry entry = entry_of(weights_[i]);
    const ModelTensor* tensor = source.find(name);
    for (const MatrixSensitivity& matrix : sensitivities_) {
      if (matrix.weight == i)
        append(matrix.values, tensor == nullptr ? 0 : tensor->permuted_heads, entry.sensitivity);
    }
    imatrix.entries[name] = std::move(entry);
  }
}

std::uint64_t LayerStatistics::bytes(const ModelSpec& spec, ImportanceMethod method) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < kLayerInputs; ++i) total += input_width(spec, static_cast<MatmulInput>(i));
  total += spec.n_experts *
           (input_width(spec, MatmulInput::experts) + input_width(spec, MatmulInput::experts_down));
  total *= 3 * sizeof(Int128) + sizeof(float);
  return total + sample_bytes(spec, method) / sizeof(double) * sizeof(Int128);
}

std::uint64_t LayerStatistics::sample_bytes(const ModelSpec& spec, ImportanceMethod method) {
  if (!row_of(method).needs_gradient) return 0;
  std::uint64_t values = 0;
  for (const LayerWeight& weight : layer_weights(spec)) {
    const std::uint64_t matrices = is_of_experts(weight) ? spec.n_experts : 1;
    values += matrices * (input_width(spec, weight.input) + weight_rows(spec, weight));
  }
  return values * sizeof(double);
}

}  // namespace llmq
