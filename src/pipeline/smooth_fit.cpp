#include "pipeline/smooth_fit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/pipeline/interrupt.hpp"

#include "pipeline/layer_statistics.hpp"
#include "pipeline/smooth_descent.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kRowsAtOnce = 256;  // of a weight
constexpr int kFractionBits = 60;
constexpr double kScarceTokens = 2048;  // with as many, peaks count twice

/// Largest value x factor, at least 0.
float largest_of(const float* values, const float* factors, std::size_t count) {
  constexpr std::size_t kLanes = 16;
  float lanes[kLanes] = {};
  std::size_t j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    for (std::size_t k = 0; k < kLanes; ++k) {
      const float value = values[j + k] * factors[j + k];
      lanes[k] = lanes[k] < value ? value : lanes[k];
    }
  }
  float largest = *std::max_element(lanes, lanes + kLanes);
  for (; j < count; ++j) largest = std::max(largest, values[j] * factors[j]);
  return largest;
}

/// Index of the largest value x factor; the first of equal ones. Values are not below 0.
std::size_t largest_at(std::span<const float> values, std::span<const float> factors, float& largest) {
  constexpr std::size_t kChunk = 256;  // only the best chunk is gone through again
  std::size_t best = 0;
  largest = 0;
  for (std::size_t begin = 0; begin < values.size(); begin += kChunk) {
    const float found = largest_of(&values[begin], &factors[begin], std::min(kChunk, values.size() - begin));
    if (found <= largest) continue;
    largest = found;
    best = begin;
  }
  while (best + 1 < values.size() && values[best] * factors[best] != largest) ++best;
  return best;
}

/// Squares of the rows' largest values, by the channel that is the largest.
void add_steps(std::span<const float> block, std::span<const float> factors, std::vector<Int128>& sums) {
  const std::size_t channels = factors.size();
  for (std::size_t begin = 0; begin < block.size(); begin += channels) {
    float largest = 0;
    const std::size_t at = largest_at(block.subspan(begin, channels), factors, largest);
    const auto value = static_cast<double>(largest);
    sums[at] = add_fixed(sums[at], to_fixed(value * value, kFractionBits));
  }
}

double sum_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

std::vector<float> scales_of_columns(const SmoothMapping& mapping, const ModelSpec& spec,
                                     std::span<const float> scales) {
  std::vector<float> columns(input_width(spec, mapping.input));
  for (std::size_t c = 0; c < columns.size(); ++c) columns[c] = scales[channel_of_column(mapping, spec, c)];
  return columns;
}

double scaled_norm_squared(std::span<const float> row, std::span<const float> columns) {
  double sum = 0;
  for (std::size_t c = 0; c < row.size(); ++c) {
    const auto value = static_cast<double>(row[c] * columns[c]);
    sum += value * value;
  }
  return sum;
}

NoiseModel::NoiseModel(const StageContext& context, const ModelSource& source, const SmoothMapping& mapping,
                       const std::vector<std::vector<float>>& inputs, const ChannelRanges& ranges,
                       const std::vector<float>& start)
    : context_(context),
      source_(source),
      mapping_(mapping),
      start_(start),
      columns_(scales_of_columns(mapping, source.spec(), start)),
      peaks_(start.size()) {
  double largest = 0;
  for (std::size_t j = 0; j < start.size(); ++j) {
    peaks_[j] = static_cast<double>(ranges.input[j]) / static_cast<double>(start[j]);
    largest = std::max(largest, peaks_[j]);
  }
  if (largest > 0) unit_ = largest;
  take_inputs(inputs);
  take_weights();
  std::int64_t tokens = 0;
  for (const auto& block : inputs_.blocks) tokens += static_cast<std::int64_t>(block.size() / start.size());
  tokens = context.comm.all_reduce_value(tokens, comm::ReduceOp::sum, "count tokens");
  const double count_like = 1 + kScarceTokens / static_cast<double>(std::max<std::int64_t>(tokens, 1));
  for (double& peak : peaks_) peak = count_like * (peak / unit_) * (peak / unit_);
}

void NoiseModel::add_row(std::span<const float> values, std::vector<float>& block,
                         std::vector<Int128>& squares) const {
  const std::size_t begin = block.size();
  block.resize(begin + start_.size(), 0.0F);
  for (std::size_t c = 0; c < values.size(); ++c) {
    const std::uint64_t channel = channel_of_column(mapping_, source_.spec(), c);
    float& largest = block[begin + channel];
    largest = std::max(largest, std::fabs(values[c]));
    const auto value = static_cast<double>(values[c]);
    squares[channel] = add_fixed(squares[channel], to_fixed(value * value, kFractionBits));
  }
}

void NoiseModel::take_inputs(const std::vector<std::vector<float>>& inputs) {
  const std::size_t width = columns_.size();
  std::vector<std::vector<Int128>> squares(context_.threads, std::vector<Int128>(start_.size(), 0));
  inputs_.blocks.resize(inputs.size());
  context_.comm.together("take inputs of a mapping", [&] {
    parallel_for(inputs.size(), context_.threads, [&](std::size_t i, std::size_t worker) {
      std::vector<float> row(width);
      for (std::size_t begin = 0; begin < inputs[i].size(); begin += width) {
        for (std::size_t c = 0; c < width; ++c)
          row[c] = static_cast<float>(static_cast<double>(inputs[i][begin + c] / columns_[c]) / unit_);
        add_row(row, inputs_.blocks[i], squares[worker]);
      }
    });
  });
  join(inputs_, squares);
}

void NoiseModel::take_weights() {
  struct Part {
    const ModelTensor* tensor;
    std::uint64_t row;
  };
  std::vector<Part> parts;  // this rank's
  std::uint64_t dealt = 0;
  for (const std::string& name : mapping_.balance) {
    const ModelTensor& tensor = *source_.find(name);
    for (std::uint64_t row = 0; row < tensor.rows(); row += kRowsAtOnce) {
      if (dealt++ % static_cast<std::uint64_t>(context_.comm.size()) ==
          static_cast<std::uint64_t>(context_.comm.rank()))
        parts.push_back({&tensor, row});
    }
  }
  const std::size_t width = columns_.size();
  std::vector<std::vector<Int128>> squares(context_.threads, std::vector<Int128>(start_.size(), 0));
  weights_.blocks.resize(parts.size());
  context_.comm.together("take weights of a mapping", [&] {
    parallel_for(parts.size(), context_.threads, [&](std::size_t i, std::size_t worker) {
      stop_if_asked();
      const std::uint64_t count = std::min(kRowsAtOnce, parts[i].tensor->rows() - parts[i].row);
      std::vector<float> rows(count * width);
      source_.read_rows(*parts[i].tensor, parts[i].row, count, RowOrder::hugging_face, rows);
      for (std::uint64_t r = 0; r < count; ++r) {
        const auto row = std::span(rows).subspan(r * width, width);
        const double norm = std::sqrt(scaled_norm_squared(row, columns_));
        for (std::size_t c = 0; c < width && norm > 0; ++c)
          row[c] = static_cast<float>(static_cast<double>(row[c] * columns_[c]) / norm);
        add_row(row, weights_.blocks[i], squares[worker]);
      }
    });
  });
  join(weights_, squares);
}

void NoiseModel::join(Rows& rows, std::vector<std::vector<Int128>>& squares) const {
  for (std::size_t worker = 1; worker < squares.size(); ++worker) add_all_fixed(squares[0], squares[worker]);
  context_.comm.all_reduce(std::span(squares[0]), comm::ReduceOp::sum, "add up squares of channels");
  for (const Int128 sum : squares[0]) rows.squares.push_back(from_fixed(sum, kFractionBits));
}

NoiseModel::Steps NoiseModel::steps(const std::vector<double>& logs) const {
  const std::size_t channels = logs.size(), inputs = inputs_.blocks.size();
  std::vector<float> multiplied(channels), divided(channels);
  for (std::size_t j = 0; j < channels; ++j) {
    multiplied[j] = static_cast<float>(std::exp(logs[j]));
    divided[j] = static_cast<float>(std::exp(-logs[j]));
  }
  // [worker][inputs' channels, weights' channels]
  std::vector<std::array<std::vector<Int128>, 2>> sums(context_.threads);
  for (auto& both : sums) both.fill(std::vector<Int128>(channels, 0));
  context_.comm.together("find steps", [&] {
    stop_if_asked();
    parallel_for(inputs + weights_.blocks.size(), context_.threads, [&](std::size_t i, std::size_t worker) {
      if (i < inputs)
        add_steps(inputs_.blocks[i], divided, sums[worker][0]);
      else
        add_steps(weights_.blocks[i - inputs], multiplied, sums[worker][1]);
    });
  });
  std::array<std::vector<double>, 2> found;
  for (std::size_t side = 0; side < 2; ++side) {
    for (std::size_t worker = 1; worker < sums.size(); ++worker)
      add_all_fixed(sums[0][side], sums[worker][side]);
    context_.comm.all_reduce(std::span(sums[0][side]), comm::ReduceOp::sum, "add up steps");
    for (const Int128 sum : sums[0][side]) found[side].push_back(from_fixed(sum, kFractionBits));
  }
  for (std::size_t j = 0; j < channels; ++j) found[0][j] += peaks_[j] * std::exp(-2 * logs[j]);
  return {std::move(found[0]), std::move(found[1])};
}

double NoiseModel::evaluate(const std::vector<double>& logs, std::vector<double>* gradient) const {
  const Steps at = steps(logs);
  const std::size_t channels = logs.size();
  std::vector<double> weights(channels), inputs(channels);
  for (std::size_t j = 0; j < channels; ++j) {
    weights[j] = weights_.squares[j] * std::exp(2 * logs[j]);
    inputs[j] = inputs_.squares[j] * std::exp(-2 * logs[j]);
  }
  const double input_steps = sum_of(at.inputs), all_weights = sum_of(weights),
               weight_steps = sum_of(at.weights), all_inputs = sum_of(inputs);
  const double error = input_steps * all_weights + weight_steps * all_inputs;
  if (gradient == nullptr) return error;
  gradient->assign(channels, 0);
  for (std::size_t j = 0; j < channels; ++j) {
    if (weights_.squares[j] == 0 || inputs_.squares[j] == 0) continue;
    (*gradient)[j] = 2 * (input_steps * weights[j] - at.inputs[j] * all_weights + at.weights[j] * all_inputs -
                          weight_steps * inputs[j]);
  }
  return error;
}

std::vector<double> NoiseModel::logs_of(const std::vector<float>& scales) const {
  std::vector<double> logs(scales.size());
  for (std::size_t j = 0; j < logs.size(); ++j)
    logs[j] = std::log(static_cast<double>(scales[j]) / static_cast<double>(start_[j]));
  return logs;
}

double NoiseModel::error(const std::vector<float>& scales) const {
  return evaluate(logs_of(scales), nullptr);
}

std::vector<float> NoiseModel::minimize(const std::vector<float>& from) const {
  const std::vector<double> best =
      descend(logs_of(from), [&](const std::vector<double>& logs, std::vector<double>& gradient) {
        return evaluate(logs, &gradient);
      });
  std::vector<float> scales(best.size());
  for (std::size_t j = 0; j < scales.size(); ++j)
    scales[j] = static_cast<float>(static_cast<double>(start_[j]) * std::exp(best[j]));
  return scales;
}

}  // namespace llmq
