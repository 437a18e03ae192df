#include "pipeline/analyze_merge.hpp"

#include <chrono>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"
#include "llmq/hub/cache.hpp"

#include "pipeline/analyze_output.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOtherModel = "Merge importance matrices of this model only";

/// Experts that a legacy file holds as one row are told apart here.
void fit_to_model(NamedImatrix& file, const ModelSource& source) {
  std::vector<std::string> unknown;
  for (auto& [name, entry] : file.imatrix.entries) {
    const ModelTensor* tensor = source.find(name);
    if (tensor == nullptr) {
      unknown.push_back(name);
      continue;
    }
    auto fitted = fit_entry(entry, tensor->ne[0], tensor->ne[2]);
    if (!fitted) {
      throw Error(ExitCode::imatrix,
                  fmt::format("{}: entry {} has {} x {} columns, the model has {} x {}", file.name, name,
                              entry.n_mat, entry.in_features, tensor->ne[2], tensor->ne[0]),
                  kOtherModel);
    }
    entry = std::move(*fitted);
  }
  if (unknown.empty()) return;
  throw Error(ExitCode::imatrix,
              fmt::format("{}: the model has no tensor of the name {}", file.name, join_some(unknown)),
              kOtherModel);
}

}  // namespace

std::vector<NamedImatrix> read_merge_files(const std::vector<fs::path>& files, const ModelSource& source) {
  std::vector<NamedImatrix> read;
  for (const fs::path& path : files) {
    read.push_back({path.string(), read_imatrix(path)});
    fit_to_model(read.back(), source);
  }
  return read;
}

void require_mergeable_with(const std::vector<NamedImatrix>& files, const std::string& method,
                            const std::string& model_hash, const std::string& tokenizer_hash) {
  if (files.empty()) return;
  std::vector<NamedImatrix> all = files;
  NamedImatrix run{"this run", {}};
  run.imatrix.method = method;
  run.imatrix.model_hash = model_hash;
  run.imatrix.tokenizer_hash = tokenizer_hash;
  all.push_back(std::move(run));
  require_mergeable(all);
}

Imatrix merge_and_tell(std::vector<NamedImatrix> files, Log& log) {
  MergedImatrix merged = merge_imatrices(std::move(files));
  for (const std::string& note : merged.notes) log.warn(note);
  return std::move(merged.imatrix);
}

void run_merge(const StageContext& context, const AnalyzeOptions& options, AnalyzeResult& result) {
  const auto start = std::chrono::steady_clock::now();
  context.log.status(fmt::format("Loading model: {}", hub::model_title(options.model).string()));
  context.comm.together("merge importance matrices", [&] {
    if (!context.comm.is_root()) return;
    const std::unique_ptr<ModelSource> source = open_model(options.model);
    require_analyze_output(options, result.output_path);
    std::vector<NamedImatrix> files = read_merge_files(options.merge, *source);
    context.log.status(fmt::format("Merging importance matrices: {} files", files.size()));
    const Imatrix merged = merge_and_tell(std::move(files), context.log);
    result.method = merged.method;
    result.ctx = merged.ctx;
    result.num_layers = source->spec().n_layers;
    publish_imatrix(merged, options, context.log, result);
    publish_report(merged, source->spec(), options, result);
  });
  result.peak_memory_bytes = peak_memory_bytes();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  context.log.status(fmt::format("Complete: {}", result.output_path.string()));
}

}  // namespace llmq
