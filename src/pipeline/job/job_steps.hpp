// The step types of a job: their options, and what each option is to the step. A new type is a row in
// job_steps.cpp, a definition in configs/schemas/job.schema.json, and its command line in
// cli/job_executor.cpp. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "llmq/pipeline/job.hpp"

namespace llmq::job {

/// What an option means for the identity of a step.
enum class OptionRole {
  plain,    ///< its value decides the result
  model,    ///< path of a model: its content decides
  text,     ///< path of a text: its bytes and its name decide
  imatrix,  ///< path of an importance matrix: its content decides
  profile,  ///< name or path of a profile: what it says decides
  rules,    ///< path of a file of rules: its bytes decide
  place,    ///< where the result goes, how the work is spread; never what it is
};

struct OptionRule {
  std::string_view name;
  OptionRole role = OptionRole::plain;
  bool required = false;
};

struct StepType {
  std::string_view name;
  std::span<const OptionRule> options;
};

std::span<const StepType> step_types() noexcept;
/// @throws InternalError for a type the schema does not let through.
const StepType& step_type(std::string_view name);
OptionRole role_of(const JobStep& step, std::string_view option);

/// True for quantize steps of the format smoothquant.
bool writes_directory(const JobStep& step);

/// What the step will write by its resolved options; empty: nothing.
/// @throws JobError for a quantize level that does not exist.
std::filesystem::path output_of(const JobStep& step, std::string_view file);

/// Where that is now: how many files a step with split-max-size makes is known when it has run. Then it is
/// the first of them, before that the name of a file alone.
std::filesystem::path written_output(const JobStep& step);

}  // namespace llmq::job
