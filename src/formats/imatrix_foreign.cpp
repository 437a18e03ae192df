#include "formats/imatrix_foreign.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

namespace llmq::foreign {

bool holds_squares(const ImatrixEntry& entry) noexcept { return &entry.importance_sums() == &entry.sum_sq; }

Figures gguf_figures(const ImatrixEntry& entry) {
  Figures figures;
  figures.values = entry.importance_sums();
  for (std::uint64_t mat = 0; mat < entry.n_mat; ++mat) {
    const std::uint64_t count = entry.importance_count(mat);
    figures.counts.push_back(static_cast<double>(count));
    const auto row = figures.values.begin() + static_cast<std::ptrdiff_t>(mat * entry.in_features);
    if (count == 0) std::fill_n(row, entry.in_features, 0.0);
  }
  return figures;
}

std::uint64_t dat_calls(const Imatrix& imatrix, const ImatrixEntry& entry) {
  std::uint64_t most = 0;
  for (std::uint64_t mat = 0; mat < entry.n_mat; ++mat) most = std::max(most, entry.importance_count(mat));
  std::uint64_t calls = imatrix.samples;
  if (!holds_squares(entry) || imatrix.counts_are_calls) {
    calls = most;
  } else if (imatrix.ctx > 0) {
    calls = most / imatrix.ctx + (most % imatrix.ctx == 0 ? 0 : 1);
  }
  return std::max<std::uint64_t>(1, calls);
}

std::vector<double> dat_values(const ImatrixEntry& entry, std::uint64_t calls) {
  std::vector<double> values = entry.importance_sums();
  for (std::uint64_t i = 0; i < values.size(); ++i) {
    const std::uint64_t count = entry.importance_count(i / entry.in_features);
    const double mean = count == 0 ? 1.0 : values[i] / static_cast<double>(count);
    values[i] = mean * static_cast<double>(calls);
  }
  return values;
}

std::vector<float> round_to_f32(const std::vector<double>& values, const std::string& name) {
  std::vector<float> rounded;
  rounded.reserve(values.size());
  for (const double value : values) {
    rounded.push_back(static_cast<float>(value));
    if (std::isfinite(rounded.back())) continue;
    throw Error(ExitCode::imatrix, fmt::format("entry {}: {} exceeds the range of f32", name, value),
                "Use --imatrix-format hdf5");
  }
  return rounded;
}

}  // namespace llmq::foreign
