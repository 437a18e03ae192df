// Gradient descent on a convex function that has corners: Adam (Kingma and Ba, 2014, arXiv 1412.6980) with
// steps that shrink to nothing. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

namespace llmq {

/// Value at `x`, which is positive; `gradient` becomes its (sub)gradient.
using DescentFunction = std::function<double(const std::vector<double>& x, std::vector<double>& gradient)>;

/// The best of the points seen from `x` on, itself included. Relative changes of the function are what
/// counts.
std::vector<double> descend(std::vector<double> x, const DescentFunction& function);

}  // namespace llmq
