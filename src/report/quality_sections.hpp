// Sections that the pages of a report and of a comparison share. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "llmq/report/quality_report.hpp"

namespace llmq {

/// Two digits of the error: "0.01234 ± 0.00041".
std::string with_error(double value, double error);

/// Bits, weighted error and mean squared error by layer and role. `id` tells several of a page apart.
std::string draw_error_maps(const std::vector<TensorError>& tensors, const std::string& id);
/// Cells the maps of so many tensors have: a page holds so many of them and stays small.
std::size_t map_cells(const std::vector<TensorError>& tensors);

/// Sentences with their words on the colour of their divergence.
std::string draw_sentences(const std::vector<SentenceReport>& sentences);

}  // namespace llmq
