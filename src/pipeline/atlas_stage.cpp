#include "pipeline/atlas_stage.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"

#include "pipeline/atlas_probes.hpp"
#include "pipeline/job_directory.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Rank 0: the table in the file, or an empty one with the request's key.
Atlas take_up(Log& log, const AtlasRequest& request) {
  Atlas fresh;
  fresh.key = request.key;
  if (request.path.empty() || !fs::exists(request.path)) return fresh;
  try {
    Atlas found = read_atlas(request.path);
    if (found.key == request.key) return found;
    log.detail(fmt::format("{} is of another model, matrix, version or number of rows: made anew",
                           request.path.string()));
  } catch (const Error& damaged) {
    log.warn(fmt::format("the error table is made anew: {}", damaged.what()));
  }
  return fresh;
}

AtlasProbeText text_of(const SampleSet& samples) {
  return {"sha256:" + samples.dataset_hash, samples.samples.size(), samples.ctx};
}

/// Rank 0: a bit for each type of each task that the table lacks.
std::vector<std::uint64_t> missing_types(const Atlas& atlas, const std::vector<AtlasTask>& tasks) {
  std::vector<std::uint64_t> missing;
  for (const AtlasTask& task : tasks) {
    std::uint64_t bits = 0;
    const auto tensor = atlas.tensors.find(task.tensor->name);
    for (std::size_t i = 0; i < task.types.size(); ++i) {
      if (tensor == atlas.tensors.end() || tensor->second.find(task.types[i]) == nullptr)
        bits |= std::uint64_t{1} << i;
    }
    missing.push_back(bits);
  }
  return missing;
}

/// The tasks with only the types whose bits are set.
std::vector<AtlasTask> reduced(const std::vector<AtlasTask>& tasks, const std::vector<std::uint64_t>& bits) {
  std::vector<AtlasTask> left;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    AtlasTask task{tasks[i].tensor, tasks[i].importance, tasks[i].protected_weights, {}};
    for (std::size_t t = 0; t < tasks[i].types.size(); ++t) {
      if ((bits[i] >> t & 1) != 0) task.types.push_back(tasks[i].types[t]);
    }
    if (!task.types.empty()) left.push_back(std::move(task));
  }
  return left;
}

bool has_probes(const Atlas& atlas, const AtlasRequest& request, std::uint32_t n_layers) {
  if (atlas.probe_text != text_of(*request.samples)) return false;
  const std::vector<Probe> probes = plan_probes(request.tasks, n_layers);
  return std::all_of(probes.begin(), probes.end(), [&](const Probe& probe) {
    const AtlasTensor& tensor = atlas.tensors.at(request.tasks[probe.task].tensor->name);
    return std::any_of(tensor.probes.begin(), tensor.probes.end(),
                       [&](const AtlasProbe& one) { return one.type == probe.type; });
  });
}

JobIdentity identify(const char* stage, const AtlasRequest& request, const std::vector<AtlasTask>& tasks) {
  JobIdentity identity(stage);
  identity.add("version", request.key.encoder);
  identity.add("model", request.key.model_hash);
  identity.add("imatrix", request.key.imatrix_hash);
  identity.add("protected weights", request.key.protection);
  identity.add("rows", std::to_string(request.key.row_limit));
  Sha256 hash;
  for (const AtlasTask& task : tasks) {
    hash.field(task.tensor->name);
    for (const GgmlType type : task.types) hash.field(type_name(type));
  }
  identity.add("types", "sha256:" + hash.hex());
  if (request.samples) {
    const AtlasProbeText text = text_of(*request.samples);
    identity.add("data", fmt::format("{}, {} samples of {}", text.dataset_hash, text.samples, text.ctx));
  }
  return identity;
}

/// The table is a help for later runs: not to have it kept is no reason to stop.
void keep(const StageContext& context, const AtlasRequest& request, const Atlas& atlas) {
  if (!context.comm.is_root() || request.path.empty() || request.read_only) return;
  try {
    write_atlas(atlas, request.path);
  } catch (const Error& error) {
    context.log.warn(fmt::format("the error table is not kept for later runs: {}", error.what()));
  }
}

}  // namespace

fs::path atlas_path(const fs::path& imatrix, bool with_protection) {
  fs::path path = imatrix;
  if (path.extension() == ".imatrix") path.replace_extension();
  return path += with_protection ? ".protected.atlas" : ".atlas";
}

AtlasStage prepare_atlas(const StageContext& context, const ModelSource& source,
                         const AtlasRequest& request) {
  AtlasStage stage;
  std::vector<std::uint64_t> bits(request.tasks.size(), 0);
  context.comm.together("look for an error table", [&] {
    if (!context.comm.is_root()) return;
    stage.atlas = take_up(context.log, request);
    bits = missing_types(stage.atlas, request.tasks);
  });
  context.comm.broadcast(std::span(bits), 0, "share what the error table lacks");
  const std::vector<AtlasTask> todo = reduced(request.tasks, bits);
  stage.errors_reused = todo.empty();
  if (!todo.empty()) {
    const auto start = Clock::now();
    JobDirectory job(context, request.checkpoints, identify("error table", request, todo),
                     request.directory_use);
    measure_errors(context, source, todo, request.key.row_limit, job, stage.atlas);
    keep(context, request, stage.atlas);
    job.remove();
    stage.error_seconds = seconds_since(start);
  }
  if (!request.samples) return stage;
  std::uint64_t probed = 0;
  context.comm.together("look for measured changes", [&] {
    if (context.comm.is_root()) probed = has_probes(stage.atlas, request, source.spec().n_layers) ? 1 : 0;
  });
  context.comm.broadcast(std::span<std::uint64_t>(&probed, 1), 0, "share what the error table lacks");
  stage.probes_reused = probed != 0;
  if (stage.probes_reused) return stage;
  const auto start = Clock::now();
  JobDirectory job(context, request.checkpoints, identify("single changes", request, request.tasks),
                   request.directory_use);
  measure_probes(context, source, request.tasks, *request.samples, job, stage.atlas);
  stage.atlas.probe_text = text_of(*request.samples);
  keep(context, request, stage.atlas);
  job.remove();
  stage.probe_seconds = seconds_since(start);
  return stage;
}

}  // namespace llmq
