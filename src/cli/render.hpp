// Results and errors as people read them, and as the contract's JSON.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "llmq/core/error.hpp"
#include "llmq/core/kernels.hpp"
#include "llmq/pipeline/analyze.hpp"
#include "llmq/pipeline/info.hpp"
#include "llmq/pipeline/quantize.hpp"

namespace llmq::cli {

using Warnings = std::vector<std::string>;

std::string human(const QuantizeResult& result);
std::string human(const AnalyzeResult& result);
std::string human(const Info& info);
std::string human(const KernelTargets& targets);

std::string json(const QuantizeResult& result, const Warnings& warnings);
std::string json(const AnalyzeResult& result, const Warnings& warnings);
std::string json(const Info& info, const Warnings& warnings);
std::string json(const KernelTargets& targets, const Warnings& warnings);
std::string json_error(ExitCode code, const std::string& message, const std::string& suggestion);

}  // namespace llmq::cli
