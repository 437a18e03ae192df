#include "pipeline/quantize_checks.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/text.hpp"
#include "llmq/formats/gguf_split.hpp"
#include "llmq/pipeline/output_place.hpp"

#include "pipeline/quantize_files.hpp"

namespace llmq {

namespace fs = std::filesystem;

namespace {

void check_free(const fs::path& output, bool force, const char* option) {
  if (!fs::exists(output) || force) return;
  throw Error(ExitCode::invalid_arguments, fmt::format("{}: output exists already", output.string()),
              fmt::format("Use --force to overwrite it, or choose another {}", option));
}

std::uint64_t bytes_there(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path)) {
    const std::uint64_t bytes = fs::file_size(path, error);
    return error ? 0 : bytes;
  }
  std::uint64_t sum = 0;
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::uint64_t bytes = entry.file_size(error);
    if (!error) sum += bytes;
  }
  return sum;
}

}  // namespace

const FileLevel& require_level(const std::string& name) {
  const FileLevel* level = find_file_level(name);
  if (level == nullptr) {
    std::vector<std::string_view> known;
    for (const FileLevel& row : file_levels()) {
      if (row.available) known.push_back(row.name);
    }
    throw Error(ExitCode::invalid_arguments, fmt::format("unknown quantization level \"{}\"", name),
                fmt::format("Levels: {}", fmt::join(known, " ")));
  }
  if (!level->available) {
    throw Error(ExitCode::unsupported_conversion, fmt::format("level {} is not supported yet", level->name),
                "See llm-quantize quantize --help for the levels");
  }
  return *level;
}

std::string canonical_level(const std::string& level) {
  return equals_ignore_case(level, "dynamic") ? "dynamic" : std::string(require_level(level).name);
}

fs::path output_path(const QuantizeOptions& options, std::string_view level) {
  if (options.output_name.find('/') != std::string::npos) {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("output name \"{}\" must not contain a slash", options.output_name),
                "Put the directory into --output-dir");
  }
  return quantized_path(options.model, level, options.output_dir, options.output_name);
}

void check_output(const QuantizeOptions& options, const fs::path& output) {
  std::vector<fs::path> inputs = gguf_files(options.model);
  if (options.imatrix) inputs.push_back(*options.imatrix);
  if (options.layer_bits) inputs.push_back(*options.layer_bits);
  if (options.dynamic) inputs.emplace_back(options.dynamic->profile);
  std::vector<fs::path> outputs = {output};
  if (options.quality_report) outputs.push_back(quality_report_path(output));
  const bool split = options.changes.split_max_bytes != 0;
  if (split) require_free_stem(output, inputs, options.force, options.checkpoints.resume.has_value());
  for (const fs::path& one : outputs) {
    require_output_place(one, inputs, "--output-name or --output-dir");
    check_free(one, options.force, "--output-name");
  }
  if (!options.super_weight_lora) return;
  const fs::path& lora = *options.super_weight_lora;
  inputs.push_back(output);
  require_output_place(lora, inputs, "--super-weight-lora");
  const bool of_model = fs::exists(lora) && is_same_file(fs::absolute(lora).parent_path(), options.model);
  const auto plain = [&](const fs::path& path) {
    return fs::absolute(split ? gguf_stem(path) : path).lexically_normal();
  };
  if (of_model || plain(lora) == plain(output)) {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("{}: the adapter would overwrite the {}", lora.string(),
                            of_model ? "model it is for" : "quantized file"),
                "Choose another --super-weight-lora");
  }
  check_free(lora, options.force, "--super-weight-lora");
}

void check_protection(const QuantizeOptions& options) {
  if (options.super_weight_lora && !options.protect_super_weights) {
    throw Error(ExitCode::invalid_arguments, "--super-weight-lora requires --protect-super-weights",
                "Add --protect-super-weights --imatrix MODEL.imatrix");
  }
  if (!options.protect_super_weights) return;
  if (!(options.protection_coverage > 0) || options.protection_coverage > kMaxProtectionCoverage) {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("--protection-coverage {} is not in (0, {}]", options.protection_coverage,
                            kMaxProtectionCoverage),
                "The default 0.0001 protects one weight in 10,000");
  }
  if (!options.imatrix) {
    throw Error(ExitCode::invalid_arguments, "--protect-super-weights requires --imatrix",
                "Make one with: llm-quantize analyze MODEL --identify-super-weights, then pass --imatrix "
                "MODEL.imatrix");
  }
}

void check_requantize(const QuantizeOptions& options, const ModelSource& source) {
  for (const ModelTensor& tensor : source.tensors()) {
    const bool coded = block_type(tensor.stored_type).block_elems > 1 || source.has_codes(tensor);
    if (!coded || options.allow_requantize) continue;
    throw Error(ExitCode::invalid_arguments,
                fmt::format("{}: tensor {} is already quantized ({})", options.model.string(), tensor.name,
                            type_name(tensor.stored_type)),
                "Quantize from the original weights, or use --allow-requantize");
  }
}

void require_disk(const std::vector<fs::path>& partial, std::uint64_t needed) {
  const fs::path& first = partial.front();
  const fs::path directory = first.has_parent_path() ? first.parent_path() : fs::path(".");
  std::uint64_t kept = 0;
  for (const fs::path& path : partial) kept += bytes_there(path);
  const std::uint64_t available = free_disk_bytes(directory);
  if (needed <= kept || needed - kept <= available) return;
  throw Error(ExitCode::validation,
              fmt::format("not enough disk space in {}: {} needed, {} free", directory.string(),
                          format_size(needed), format_size(available)),
              "Free disk space or choose another --output-dir");
}

}  // namespace llmq
