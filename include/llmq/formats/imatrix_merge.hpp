// Adding the statistics of several importance matrices. Files of all formats mix; the order they are given in
// changes no byte of the result.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "llmq/formats/imatrix.hpp"

namespace llmq {

struct NamedImatrix {
  std::string name;  ///< for messages: a path, "this run"
  Imatrix imatrix;
};

struct MergedImatrix {
  Imatrix imatrix;
  std::vector<std::string> notes;  ///< what was left out or is uneven, for the user; of bounded length
};

/// Everything that merge_imatrices would refuse but overflow.
/// @throws Error(imatrix): other methods, models or tokenizers, other shapes of an entry; names the files.
void require_mergeable(std::span<const NamedImatrix> inputs);

/// Sums, counts and samples add, maxima are compared. A statistic that a file lacks is left out of that
/// entry; super weights are left out. Calls of a .dat become token rows where the other files agree on ctx.
/// @throws Error(imatrix) as above, and on overflow. `inputs` must not be empty.
MergedImatrix merge_imatrices(std::vector<NamedImatrix> inputs);

}  // namespace llmq
