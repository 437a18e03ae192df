// Order of a conversion: pair of forms, quality warning, then the run that makes the output.
// SPDX-License-Identifier: Apache-2.0
#include "llmq/pipeline/convert.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "pipeline/convert_hf.hpp"
#include "pipeline/hf_plan.hpp"
#include "pipeline/quantize_checks.hpp"

namespace llmq {
namespace {

bool is_coded(const ModelSource& source, const ModelTensor& tensor) {
  return block_type(tensor.stored_type).block_elems > 1 || source.has_codes(tensor);
}

/// What the weights are quantized to, by their first; empty: they are numbers.
std::string coded_form(const ModelSource& source) {
  for (const ModelTensor& tensor : source.tensors()) {
    if (is_coded(source, tensor)) return std::string(type_name(tensor.stored_type));
  }
  return {};
}

const FileLevel& chosen_level(const ConvertOptions& options, const ModelSource& source) {
  if (equals_ignore_case(options.level, "dynamic")) {
    throw Error(ExitCode::invalid_arguments, "level dynamic is not a level of convert",
                "Write: llm-quantize quantize MODEL gguf -q dynamic");
  }
  return require_level(options.level.empty() ? std::string(dtype_name(main_dtype(source))) : options.level);
}

void require_pair(const ConvertOptions& options, const ModelSource& source) {
  if (options.format == ConvertFormat::gguf || source.is_gguf()) return;
  throw Error(ExitCode::unsupported_conversion,
              fmt::format("{}: a directory is not converted to another one", options.input.string()),
              "Supported: a Hugging Face or smoothquant directory to gguf, a GGUF file to gguf or hf");
}

/// Local: goes on, or throws.
void ask(const ConvertOptions& options, const std::string& from, const FileLevel& level) {
  const std::string warning =
      fmt::format("{}: {} weights would be quantized again, to {}: the errors of both add up",
                  options.input.string(), from, level.name);
  if (options.force || (options.confirm && options.confirm(warning))) return;
  throw Error(ExitCode::cancelled, options.confirm ? warning + "; cancelled" : warning,
              "Convert from the original weights, or use --force to go on");
}

/// "blk.0.attn_q.weight" as an expression that finds nothing else.
std::string whole_name(const std::string& name) {
  std::string pattern = "^";
  for (const char c : name) pattern += c == '.' ? "\\." : std::string(1, c);
  return pattern + "$";
}

/// Where no level is asked for, a matrix in another number format than most keeps its own: nothing is lost.
std::vector<TypeRule> own_formats(const ModelSource& source, const FileLevel& level) {
  std::vector<TypeRule> rules;
  for (const ModelTensor& tensor : source.tensors()) {
    const std::string_view type = type_name(tensor.stored_type);
    const bool plain = type == "F32" || type == "F16" || type == "BF16";
    if (!plain || type == level.name || tensor.n_dims < 2) continue;
    const std::string pattern = whole_name(tensor.name);
    rules.push_back({pattern, tensor.stored_type, std::regex(pattern)});
  }
  return rules;
}

QuantizeResult to_gguf(const StageContext& context, const ConvertOptions& options, const FileLevel& level,
                       std::vector<TypeRule> rules) {
  QuantizeOptions quantize;
  quantize.model = options.input;
  quantize.level = level.name;
  quantize.output_dir = options.output_dir;
  quantize.output_name = options.output_name;
  quantize.changes.types.by_name = std::move(rules);
  quantize.allow_requantize = true;  // asked already
  quantize.force = options.force;
  quantize.checkpoints = options.checkpoints;
  QuantizeResult result = run_quantize(context, quantize);
  result.converted = true;
  return result;
}

}  // namespace

QuantizeResult run_convert(const StageContext& context, const ConvertOptions& options) {
  const FileLevel* level = nullptr;
  std::vector<TypeRule> rules;
  context.comm.together("plan", [&] {
    const std::unique_ptr<ModelSource> source = open_model(options.input);
    require_pair(options, *source);
    level = &chosen_level(options, *source);
    if (options.level.empty()) rules = own_formats(*source, *level);
    const std::string from = coded_form(*source);
    const bool plain = level->name == "F32" || level->name == "F16" || level->name == "BF16";
    if (options.format == ConvertFormat::hf && !plain) {
      throw Error(ExitCode::invalid_arguments,
                  fmt::format("level {} is not a number format of directories", level->name),
                  "Give F32, F16 or BF16, or leave --quant-level out");
    }
    if (from.empty()) return;
    if (plain) {
      context.log.warn(fmt::format(
          "{} weights are decoded: the output holds what they stand for, not the original", from));
    } else if (context.comm.is_root()) {
      ask(options, from, *level);
    }
  });
  return options.format == ConvertFormat::gguf ? to_gguf(context, options, *level, std::move(rules))
                                               : convert_to_hf(context, options);
}

}  // namespace llmq
