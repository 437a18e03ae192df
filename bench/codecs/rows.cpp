#include "codecs/rows.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <map>
#include <random>
#include <span>

#include <fmt/format.h>

#include "llmq/core/dtype.hpp"
#include "llmq/core/error.hpp"
#include "llmq/formats/safetensors.hpp"

namespace llmq::bench {
namespace {

constexpr std::uint64_t kWeights = 256 * 1024;  // of every kind
constexpr std::uint64_t kRow = 1024;            // of the made kinds
constexpr std::uint64_t kMultiple = 256;        // a block of every type fits
constexpr std::string_view kModel = "model:";

std::vector<float> make_importance(std::uint64_t columns) {
  std::mt19937_64 random(columns);
  std::lognormal_distribution<float> draw(0.0F, 1.2F);
  std::vector<float> importance(columns);
  for (float& value : importance) value = draw(random);
  for (std::uint64_t zero = 17; zero < columns; zero += 127) importance[zero] = 0.0F;
  return importance;
}

std::vector<float> gauss_weights() {
  std::mt19937_64 random(1);
  std::normal_distribution<float> draw(0.0F, 0.02F);
  std::vector<float> weights(kWeights);
  for (float& weight : weights) weight = draw(random);
  return weights;
}

std::vector<float> heavy_weights() {
  constexpr std::uint64_t kOutliersARow = 12;
  constexpr float kOutlier = 20.0F;
  std::mt19937_64 random(2);
  std::student_t_distribution<float> draw(3.0F);
  std::uniform_int_distribution<std::uint64_t> column(0, kRow - 1);
  std::vector<float> weights(kWeights);
  for (float& weight : weights) weight = 0.02F * draw(random);
  for (std::uint64_t row = 0; row < kWeights; row += kRow) {
    for (std::uint64_t i = 0; i < kOutliersARow; ++i) weights[row + column(random)] *= kOutlier;
  }
  return weights;
}

bool has_whole_blocks(const SafetensorsTensor& tensor) {
  return tensor.shape.size() == 2 && tensor.shape[1] > 0 && tensor.shape[1] % kMultiple == 0 &&
         is_weight_dtype(tensor.dtype);
}

void append_row(const SafetensorsCheckpoint& checkpoint, const SafetensorsTensor& tensor, std::uint64_t row,
                std::vector<float>& weights) {
  const std::uint64_t columns = tensor.shape[1];
  std::vector<std::byte> bytes(columns * dtype_bytes(tensor.dtype));
  checkpoint.read(tensor, row * bytes.size(), bytes);
  weights.resize(weights.size() + columns);
  widen_to_f32(tensor.dtype, bytes, std::span(weights).last(columns));
}

/// Takes a row whenever the share of the weights seen so far is due: evenly over tensors and within them.
std::vector<Batch> model_batches(const std::filesystem::path& path) {
  const SafetensorsCheckpoint checkpoint(path);
  std::uint64_t total = 0;
  for (const auto& tensor : checkpoint.tensors()) {
    if (has_whole_blocks(tensor)) total += tensor.shape[0] * tensor.shape[1];
  }
  const double share =
      total == 0 ? 0.0 : std::min(1.0, static_cast<double>(kWeights) / static_cast<double>(total));
  std::map<std::uint64_t, std::vector<float>> by_length;
  double due = 0.0;
  for (const auto& tensor : checkpoint.tensors()) {
    if (!has_whole_blocks(tensor)) continue;
    const auto columns = static_cast<double>(tensor.shape[1]);
    for (std::uint64_t row = 0; row < tensor.shape[0]; ++row) {
      due += share * columns;
      if (due < columns) continue;
      due -= columns;
      append_row(checkpoint, tensor, row, by_length[tensor.shape[1]]);
    }
  }
  std::vector<Batch> batches;
  for (auto& [length, weights] : by_length)
    batches.push_back({length, std::move(weights), make_importance(length)});
  return batches;
}

}  // namespace

Rows make_rows(std::string_view kind) {
  if (kind == "gauss") return {"gauss", {{kRow, gauss_weights(), make_importance(kRow)}}};
  if (kind == "heavy") return {"heavy", {{kRow, heavy_weights(), make_importance(kRow)}}};
  if (!kind.starts_with(kModel))
    throw Error(ExitCode::invalid_arguments, fmt::format("no such kind of rows: {}", kind));
  std::filesystem::path path(kind.substr(kModel.size()));
  std::vector<Batch> batches = model_batches(path);
  if (batches.empty())
    throw Error(ExitCode::invalid_arguments,
                fmt::format("no rows of a multiple of {} in {}", kMultiple, path.string()));
  if (!path.has_filename()) path = path.parent_path();
  return {path.filename().string(), std::move(batches)};
}

}  // namespace llmq::bench
