#include "cli/app.hpp"

#include <cstdlib>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"
#include "llmq/quant/type_policy.hpp"

namespace llmq::cli {
namespace {

/// Values as typed, checked after parsing.
struct RawOptions {
  std::string format = "human";
  std::string verbosity = "normal";
  std::string comm = "auto";
  std::string mem_per_rank;
  std::string output_format;
  std::string layer_groups = "auto";
  std::string method = "activation";
  std::string imatrix_format = "hdf5";
  std::string assemble = "shared";
  std::string checkpoint_dir;
  std::string resume;
  bool no_checkpoints = false;
  double checkpoint_interval = -1;
  std::string text;
  std::string calibration_data;
  std::optional<std::uint64_t> chunks;
  std::optional<std::uint64_t> calibration_samples;
};

constexpr std::uint64_t kMaxSamples = 1 << 20;
constexpr std::uint64_t kMaxCtx = 1 << 20;

std::string level_list() {
  std::vector<std::string_view> names;
  for (const FileLevel& level : file_levels()) {
    if (level.available) names.push_back(level.name);
  }
  return fmt::format("{}", fmt::join(names, " "));
}

void add_global_options(CLI::App& app, RawOptions& raw, GlobalOptions& global) {
  app.add_option("--format", raw.format, "human or json: form of results and errors")->capture_default_str();
  app.add_option("--verbosity", raw.verbosity, "quiet, normal, verbose or debug")->capture_default_str();
  app.add_option("--threads", global.threads,
                 "Compute threads of a rank; never changes a result (default: cores / ranks on the node)")
      ->check(CLI::Range(1, 4096));
  app.add_option("--comm", raw.comm, "auto, serial or mpi; auto starts MPI under mpirun and srun")
      ->capture_default_str();
  app.add_option("--mem-per-rank", raw.mem_per_rank,
                 "Memory a rank may use, e.g. 12GiB (default: 80 % of what is free)");
  app.add_option("--device", global.device, "auto, cpu or cuda: where the model runs")->capture_default_str();
  app.add_option("--log-file", global.log_file, "Also write the log to this file");
}

void add_checkpoint_options(CLI::App& command, RawOptions& raw) {
  command.add_flag("--no-checkpoints", raw.no_checkpoints, "Keep nothing for --resume");
  command.add_option(
      "--checkpoint-dir", raw.checkpoint_dir,
      "Where unfinished work is kept (default: $LLM_QUANTIZE_CHECKPOINT_DIR or ./.checkpoint)");
  command.add_option("--resume", raw.resume, "Continue an interrupted run from this checkpoint directory");
  command
      .add_option("--checkpoint-interval", raw.checkpoint_interval,
                  "Seconds between checkpoints; 0: after every unit (default: at most 5 % of the time)")
      ->check(CLI::NonNegativeNumber);
}

CLI::App* add_quantize(CLI::App& app, Invocation& invocation, RawOptions& raw) {
  CLI::App* command = app.add_subcommand("quantize", "Make a small model file from a checkpoint");
  QuantizeOptions& options = invocation.quantize;
  command->add_option("MODEL", options.model, "Hugging Face directory or GGUF file")->required();
  command->add_option("OUTPUT_FORMAT", raw.output_format, "gguf")->required();
  command->add_option("-q,--quant-level", options.level, "File type: " + level_list());
  command->add_option("-o,--output-dir", options.output_dir, "Directory of the output")
      ->capture_default_str();
  command->add_option("-n,--output-name", options.output_name, "File name (default: MODEL-LEVEL.gguf)");
  command->add_option("--imatrix", options.imatrix, "Importance matrix (HDF5, llama.cpp GGUF or .dat)");
  command->add_option("--calibration-data", options.calibration_data,
                      "Text for what a level measures by itself; a fixed level measures nothing");
  command->add_option("--calibration-samples", options.calibration_samples, "Samples of that text")
      ->check(CLI::Range(std::uint64_t{1}, kMaxSamples));
  add_checkpoint_options(*command, raw);
  command->add_flag("--dry-run", options.dry_run, "Print the plan with exact sizes; write nothing");
  command->add_flag("--allow-requantize", options.allow_requantize,
                    "Accept an already quantized GGUF as MODEL");
  command->add_flag("--force", options.force, "Overwrite an existing output");
  command->footer(
      "Examples:\n"
      "  llm-quantize quantize ./Llama-3.2-1B gguf -q Q4_K_M\n"
      "  llm-quantize quantize ./Llama-3.2-1B gguf -q Q4_K_M --imatrix Llama-3.2-1B.imatrix -o out\n"
      "  llm-quantize quantize ./Llama-3.2-1B gguf -q Q6_K --dry-run\n"
      "  mpirun -n 4 llm-quantize quantize ./Llama-3.2-1B gguf -q Q5_K_M");
  return command;
}

CLI::App* add_analyze(CLI::App& app, Invocation& invocation, RawOptions& raw) {
  CLI::App* command =
      app.add_subcommand("analyze", "Measure which weights matter: writes an importance matrix");
  AnalyzeOptions& options = invocation.analyze;
  command->add_option("MODEL", options.model, "Hugging Face directory or GGUF file")->required();
  command->add_option("-o,--output", options.output, "Output file (default: ./MODEL.imatrix)");
  command->add_option("--method", raw.method, "activation")->capture_default_str();
  command->add_option("--calibration-data", options.data,
                      "Text: .txt, .json or .jsonl (default: built-in corpus)");
  command->add_option("--calibration-samples", options.samples, "Samples of ctx tokens")
      ->capture_default_str()
      ->check(CLI::Range(std::uint64_t{1}, kMaxSamples));
  command->add_option("--ctx", options.ctx, "Tokens per sample")
      ->capture_default_str()
      ->check(CLI::Range(std::uint64_t{2}, kMaxCtx));
  command->add_option("--imatrix-format", raw.imatrix_format, "hdf5")->capture_default_str();
  command->add_option("--layer-groups", raw.layer_groups, "The L of the L x S grid of ranks, or auto")
      ->capture_default_str();
  add_checkpoint_options(*command, raw);
  command->footer(
      "Examples:\n"
      "  llm-quantize analyze ./Llama-3.2-1B\n"
      "  llm-quantize analyze ./Llama-3.2-1B --calibration-data my.txt --calibration-samples 256 -o "
      "my.imatrix\n"
      "  mpirun -n 8 llm-quantize analyze ./Llama-3.1-70B --layer-groups 4\n"
      "  mpirun -n 2 llm-quantize analyze ./Llama-3.1-70B --resume .checkpoint");
  return command;
}

CLI::App* add_quality(CLI::App& app, Invocation& invocation, RawOptions& raw) {
  CLI::App* quality = app.add_subcommand("quality", "Compare a quantized file with its original");
  quality->require_subcommand(1);
  quality->fallthrough();
  CLI::App* command = quality->add_subcommand("report", "Perplexity, KL divergence and errors of one file");
  QualityOptions& options = invocation.quality;
  command->add_option("ORIGINAL", options.original, "Hugging Face directory or GGUF file")->required();
  command->add_option("QUANTIZED", options.quantized, "GGUF file")->required();
  command->add_option("--calibration-data", raw.calibration_data,
                      "Text: .txt, .json or .jsonl (default: built-in evaluation text)");
  command->add_option("--text", raw.text, "Another name of --calibration-data");
  command->add_option("--calibration-samples", raw.calibration_samples, "Chunks of ctx tokens (default: 256)")
      ->check(CLI::Range(std::uint64_t{1}, kMaxSamples));
  command->add_option("--chunks", raw.chunks, "Another name of --calibration-samples")
      ->check(CLI::Range(std::uint64_t{1}, kMaxSamples));
  command->add_option("--ctx", options.ctx, "Tokens per chunk")
      ->capture_default_str()
      ->check(CLI::Range(std::uint64_t{4}, kMaxCtx));
  command->add_flag("--include-layers", options.include_layers,
                    "Also compare the weights, by layer and by tensor");
  command->add_option("-o,--output", invocation.quality_output,
                      "Also write the report to this .json or .qreport file");
  command->footer(
      "Examples:\n"
      "  llm-quantize quality report ./Llama-3.2-1B Llama-3.2-1B-Q4_K_M.gguf\n"
      "  llm-quantize quality report ./Llama-3.2-1B Llama-3.2-1B-Q4_K_M.gguf --text wiki.test.raw --chunks "
      "100\n"
      "  mpirun -n 4 llm-quantize quality report base-F16.gguf base-Q6_K.gguf --include-layers --format "
      "json");
  quality->footer("Example:\n  llm-quantize quality report ./Llama-3.2-1B Llama-3.2-1B-Q4_K_M.gguf");
  return command;
}

CLI::App* add_info(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("info", "What a model or an importance matrix is");
  command->add_option("MODEL", invocation.info_path, "Hugging Face directory, GGUF file or imatrix")
      ->required();
  command->footer(
      "Examples:\n"
      "  llm-quantize info ./Llama-3.2-1B\n"
      "  llm-quantize info Llama-3.2-1B-Q4_K_M.gguf --format json\n"
      "  llm-quantize info Llama-3.2-1B.imatrix");
  return command;
}

template <typename Value>
Value choose(const std::map<std::string, Value>& choices, const std::string& text, std::string_view option) {
  const auto found = choices.find(to_lower(text));
  if (found != choices.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [name, value] : choices) names.push_back(name);
  throw Error(ExitCode::invalid_arguments,
              fmt::format("{}: \"{}\" is not one of {}", option, text, fmt::join(names, ", ")), "See --help");
}

void check_global(const RawOptions& raw, GlobalOptions& global) {
  global.format = choose<OutputFormat>({{"human", OutputFormat::human}, {"json", OutputFormat::json}},
                                       raw.format, "--format");
  global.verbosity = choose<Verbosity>({{"quiet", Verbosity::quiet},
                                        {"normal", Verbosity::normal},
                                        {"verbose", Verbosity::verbose},
                                        {"debug", Verbosity::debug}},
                                       raw.verbosity, "--verbosity");
  global.comm =
      choose<CommMode>({{"auto", CommMode::automatic}, {"serial", CommMode::serial}, {"mpi", CommMode::mpi}},
                       raw.comm, "--comm");
  const std::string device =
      choose<std::string>({{"auto", "cpu"}, {"cpu", "cpu"}, {"cuda", "cuda"}}, global.device, "--device");
  if (device == "cuda") {
    throw Error(ExitCode::invalid_arguments, "--device cuda: this libtorch is built without CUDA",
                "Use --device cpu");
  }
  if (raw.mem_per_rank.empty()) return;
  global.mem_per_rank_bytes = parse_size(raw.mem_per_rank);
  if (!global.mem_per_rank_bytes || *global.mem_per_rank_bytes == 0) {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("--mem-per-rank: \"{}\" is not a size", raw.mem_per_rank),
                "Write for example 12GiB or 800MB");
  }
}

CheckpointOptions checkpoint_options(const RawOptions& raw) {
  CheckpointOptions options;
  options.enabled = !raw.no_checkpoints;
  if (const char* place = std::getenv("LLM_QUANTIZE_CHECKPOINT_DIR"); place != nullptr && *place != '\0') {
    options.directory = place;
  }
  if (!raw.checkpoint_dir.empty()) options.directory = raw.checkpoint_dir;
  if (!raw.resume.empty()) options.resume = raw.resume;
  options.interval_seconds = raw.checkpoint_interval;
  if (options.resume && !options.enabled) {
    throw Error(ExitCode::invalid_arguments, "--resume and --no-checkpoints exclude each other",
                "Give one of them");
  }
  return options;
}

void check_quantize(const RawOptions& raw, QuantizeOptions& options) {
  if (!equals_ignore_case(raw.output_format, "gguf")) {
    const bool later = equals_ignore_case(raw.output_format, "awq") ||
                       equals_ignore_case(raw.output_format, "gptq") ||
                       equals_ignore_case(raw.output_format, "smoothquant");
    throw Error(later ? ExitCode::unsupported_conversion : ExitCode::invalid_arguments,
                fmt::format("output format \"{}\" is not supported", raw.output_format), "Supported: gguf");
  }
  if (options.level.empty()) {
    throw Error(ExitCode::invalid_arguments, "--quant-level is required for gguf", "Levels: " + level_list());
  }
  if (equals_ignore_case(options.level, "dynamic") || equals_ignore_case(options.level, "TERNARY")) {
    throw Error(ExitCode::unsupported_conversion,
                fmt::format("level {} is not supported yet", to_upper(options.level)),
                "Levels: " + level_list());
  }
  options.checkpoints = checkpoint_options(raw);
}

void check_analyze(const RawOptions& raw, AnalyzeOptions& options) {
  const std::string method = to_lower(raw.method);
  if (method == "gradient" || method == "fisher") {
    throw Error(ExitCode::unsupported_conversion, fmt::format("method {} is not supported yet", method),
                "Use --method activation");
  }
  if (method != "activation") {
    throw Error(ExitCode::invalid_arguments, fmt::format("--method: \"{}\" is unknown", raw.method),
                "Use --method activation");
  }
  const std::string format = to_lower(raw.imatrix_format);
  if (format == "gguf" || format == "dat") {
    throw Error(ExitCode::unsupported_conversion,
                fmt::format("--imatrix-format {} is not supported yet", format), "Use --imatrix-format hdf5");
  }
  if (format != "hdf5") {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("--imatrix-format: \"{}\" is unknown", raw.imatrix_format), "Use hdf5");
  }
  if (!equals_ignore_case(raw.layer_groups, "auto")) {
    char* end = nullptr;
    const unsigned long groups = std::strtoul(raw.layer_groups.c_str(), &end, 10);
    if (*end != '\0' || groups == 0 || groups > 4096 || raw.layer_groups.front() == '-') {
      throw Error(ExitCode::invalid_arguments,
                  fmt::format("--layer-groups: \"{}\" is neither auto nor a number", raw.layer_groups), "");
    }
    options.layer_groups = static_cast<std::uint32_t>(groups);
  }
  options.checkpoints = checkpoint_options(raw);
}

void check_quality(const RawOptions& raw, Invocation& invocation) {
  if (!raw.text.empty() && !raw.calibration_data.empty()) {
    throw Error(ExitCode::invalid_arguments, "--text and --calibration-data are the same option",
                "Give one of them");
  }
  if (raw.chunks && raw.calibration_samples) {
    throw Error(ExitCode::invalid_arguments, "--chunks and --calibration-samples are the same option",
                "Give one of them");
  }
  if (!raw.text.empty()) invocation.quality.text = raw.text;
  if (!raw.calibration_data.empty()) invocation.quality.text = raw.calibration_data;
  if (raw.chunks) invocation.quality.chunks = *raw.chunks;
  if (raw.calibration_samples) invocation.quality.chunks = *raw.calibration_samples;
  const std::string& output = invocation.quality_output;
  if (!output.empty() && !output.ends_with(".json") && !output.ends_with(".qreport")) {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("--output {}: the extension must be .json or .qreport", output), "");
  }
}

/// Options whose issue is ahead: known names, answered with "not supported yet" instead of "unknown option".
void add_planned_flags(CLI::App& command, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    command
        .add_flag_callback(name,
                           [name] {
                             throw Error(ExitCode::unsupported_conversion,
                                         fmt::format("{} is not supported yet", name), "See --help");
                           })
        ->group("");
  }
}

}  // namespace

Invocation parse_command_line(int argc, const char* const* argv) {
  Invocation invocation;
  RawOptions raw;
  CLI::App app("Make large language models small without making them stupid.", "llm-quantize");
  app.fallthrough();
  app.require_subcommand(1);
  app.set_version_flag("--version", fmt::format("llm-quantize {}", LLMQ_VERSION));
  add_global_options(app, raw, invocation.global);
  CLI::App* quantize = add_quantize(app, invocation, raw);
  CLI::App* analyze = add_analyze(app, invocation, raw);
  CLI::App* report = add_quality(app, invocation, raw);
  CLI::App* info = add_info(app, invocation);
  for (CLI::App* command : {quantize, analyze, report, info}) command->fallthrough();
  add_planned_flags(*analyze, {"--identify-super-weights"});
  add_planned_flags(*quantize, {"--dynamic", "--smoothquant", "--protect-super-weights", "--quality-report",
                                "--coherence-check"});
  app.footer(
      "Examples:\n"
      "  llm-quantize analyze ./model                     importance matrix ./model.imatrix\n"
      "  llm-quantize quantize ./model gguf -q Q4_K_M --imatrix model.imatrix\n"
      "  llm-quantize quality report ./model model-Q4_K_M.gguf\n"
      "  mpirun -n 4 llm-quantize analyze ./model         the same bytes on any number of ranks");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success&) {
    // --help or --version: the text of the command that was asked
    const CLI::App* asked = &app;
    while (!asked->get_subcommands().empty()) asked = asked->get_subcommands().front();
    invocation.text =
        app.count("--version") > 0 ? fmt::format("llm-quantize {}\n", LLMQ_VERSION) : asked->help();
    return invocation;
  } catch (const CLI::ParseError& error) {
    throw Error(ExitCode::invalid_arguments, error.what(),
                "See llm-quantize --help, or llm-quantize COMMAND --help");
  }
  check_global(raw, invocation.global);
  if (quantize->parsed()) {
    invocation.command = Command::quantize;
    check_quantize(raw, invocation.quantize);
  } else if (analyze->parsed()) {
    invocation.command = Command::analyze;
    check_analyze(raw, invocation.analyze);
  } else if (report->parsed()) {
    invocation.command = Command::quality_report;
    check_quality(raw, invocation);
  } else {
    invocation.command = Command::info;
  }
  return invocation;
}

}  // namespace llmq::cli
