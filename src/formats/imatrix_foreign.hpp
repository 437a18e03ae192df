// What llama.cpp's two files store of an entry, before it is rounded to f32. Where sensitivities were
// measured they stand in the place of squares and samples in that of token rows, so that the quotient is the
// importance. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llmq/formats/imatrix.hpp"

namespace llmq::foreign {

struct Figures {
  std::vector<double> values;  ///< [n_mat x in_features]
  std::vector<double> counts;  ///< [n_mat]
};

/// False where sensitivities take the place of squares.
bool holds_squares(const ImatrixEntry& entry) noexcept;

/// Sums and counts; zeros for a matrix without tokens.
Figures gguf_figures(const ImatrixEntry& entry);

/// The call count of an entry, 1 or more: samples of ctx tokens, as far as they are known.
std::uint64_t dat_calls(const Imatrix& imatrix, const ImatrixEntry& entry);
/// Means times calls; 1 times calls for a matrix without tokens.
std::vector<double> dat_values(const ImatrixEntry& entry, std::uint64_t calls);

/// @throws Error(imatrix) naming the entry when a value exceeds f32.
std::vector<float> round_to_f32(const std::vector<double>& values, const std::string& name);

}  // namespace llmq::foreign
