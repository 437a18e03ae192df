// From the scales that were chosen to what the weights are multiplied by, and to what is said of it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "llmq/formats/imatrix.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/smoothquant.hpp"
#include "llmq/smoothquant/mapping.hpp"
#include "llmq/smoothquant/scales.hpp"
#include "llmq/smoothquant/smoothed_source.hpp"

#include "pipeline/smooth_ranges.hpp"
#include "pipeline/smooth_search.hpp"

namespace llmq {

/// A product whose noise may be larger than this part of itself cannot be represented.
inline constexpr double kLargestSmoothError = 0.5;

/// Mappings whose weights become codes: all but those whose weights keep their numbers.
std::vector<SmoothMapping> coded_mappings(const ModelSource& source, const std::set<std::string>& kept);

/// True if folding the mapping is exact: neither is its source a weight that keeps its numbers, nor a bias,
/// which would be rounded, divided with it.
bool may_fold(const ModelSource& source, const SmoothMapping& mapping, const std::set<std::string>& kept);

/// What is known of one mapping's input and weights.
struct MappingFacts {
  const SmoothMapping& mapping;
  const ModelSource& source;
  const Imatrix& imatrix;
  const ColumnMap& columns;
};

/// The relative error of the mapping's int8 products is not above this, by moments and ranges: from the
/// fourth moments no mean square of a token's largest input is larger, and no row of weights is larger than
/// the largest. docs/smoothquant.md has the formula.
/// @param scales  [channels]; empty: all 1
/// @param fixed   one step for all tokens, from the largest input
double error_bound(const MappingFacts& facts, const std::vector<float>& scales, bool fixed);

/// The scales that the stored norm leaves: of mappings whose source is a norm.
/// @param stored  in which format the norm is written
std::vector<float> scales_as_stored(const ModelSource& source, const SmoothMapping& mapping,
                                    const std::vector<float>& scales);

/// All folded choices together.
Scalings fold_choices(const ModelSpec& spec, const std::vector<SmoothMapping>& mappings,
                      const std::vector<SmoothChoice>& choices);

/// Fixed scale of each coded weight's input: its largest value after the folding, over 127.
/// @throws Error(smoothquant) for inputs that were always 0.
std::map<std::string, float> fixed_input_scales(const ModelSource& source, const Imatrix& imatrix,
                                                const Scalings& scalings, const std::set<std::string>& kept);

MappingReport describe_mapping(const MappingFacts& facts, const ChannelRanges& ranges,
                               const SmoothChoice& choice, bool fixed);

/// What to say of channels that stay far above the others of their input, and what to do; empty: there are
/// none.
std::string advice_on_wide_channels(const std::vector<SmoothMapping>& mappings,
                                    const std::vector<MappingReport>& reports);

/// @throws Error(smoothquant) that lists every mapping that cannot be represented: nothing ever came in, a
/// range is not finite, or the error is above kLargestSmoothError.
void require_representable(const std::vector<SmoothMapping>& mappings,
                           const std::vector<MappingReport>& reports,
                           const std::vector<ChannelRanges>& ranges);

}  // namespace llmq
