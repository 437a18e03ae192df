#include "pipeline/run_imatrix.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/embedded/texts.hpp"
#include "llmq/pipeline/analyze.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

void load(const StageContext& context, RunImatrix& made) {
  context.comm.together("read the importance matrix", [&] {
    context.log.status(fmt::format("Loading importance matrix: {}", made.path.string()));
    made.imatrix = read_imatrix(made.path);
  });
}

}  // namespace

RunImatrix given_imatrix(const StageContext& context, const fs::path& path) {
  RunImatrix made;
  made.path = path;
  made.reused = true;
  load(context, made);
  return made;
}

RunImatrix analyzed_imatrix(const StageContext& context, const QuantizeOptions& options,
                            std::uint64_t samples, const fs::path& cache,
                            const CheckpointOptions& checkpoints) {
  AnalyzeOptions analyze;
  analyze.model = options.model;
  if (!options.calibration_data.empty()) analyze.data = options.calibration_data;
  analyze.samples = samples;
  analyze.cache_directory = cache;
  analyze.checkpoints = checkpoints;
  const AnalyzeResult result = run_analyze(context, analyze);
  RunImatrix made;
  made.path = result.output_path;
  made.reused = result.from_cache;
  load(context, made);
  return made;
}

SampleSet calibration_samples(const StageContext& context, const ModelSource& source,
                              const QuantizeOptions& options, std::uint64_t ctx) {
  constexpr std::uint64_t kManySamples = std::uint64_t{1} << 20;
  std::optional<fs::path> data;
  if (!options.calibration_data.empty()) data = options.calibration_data;
  const std::uint64_t longest = source.spec().context_length;
  return make_samples({data, embedded_calibration_text(), "llm-quantize-calibration",
                       longest == 0 ? ctx : std::min(ctx, longest), kManySamples, longest},
                      *make_tokenizer(source.vocabulary()), context.log);
}

CheckpointOptions part_checkpoints(const CheckpointOptions& options) {
  if (!options.enabled || !options.resume) return options;
  if (!fs::is_directory(*options.resume)) {
    throw Error(ExitCode::checkpoint, fmt::format("--resume {}: no such directory", options.resume->string()),
                "Start without --resume, or give the directory that the interrupted run used");
  }
  CheckpointOptions parts = options;
  parts.directory = fs::exists(*options.resume / "job.json")
                        ? fs::absolute(*options.resume).lexically_normal().parent_path()
                        : *options.resume;
  parts.resume.reset();
  parts.continue_found = true;
  return parts;
}

}  // namespace llmq
