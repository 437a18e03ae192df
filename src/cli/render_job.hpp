// What a job did, or would do: one table, or one JSON document. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "llmq/pipeline/job_run.hpp"

namespace llmq::cli {

std::string human(const JobRunResult& result);
std::string json(const JobRunResult& result, const std::vector<std::string>& warnings);

}  // namespace llmq::cli
