#include "scale/run_start.hpp"

#include <algorithm>
#include <cmath>

namespace llmq::scale {
namespace {

constexpr double kFingerprintReads = 3;  // small reads a tensor: begin, middle, end
constexpr double kModelFiles = 6;        // config, index, tokenizer and its companions

}  // namespace

Phase start_phase(const Scene& scene) {
  // Ranks that have a core each start side by side: what was measured for them holds for more, too.
  const int ranks = scene.layout.ranks_per_node;
  const bool crowded = ranks > scene.machine.cores;
  const double node = at_ranks(scene.costs.start, crowded ? ranks : std::min(ranks, scene.costs.cores),
                               scene.costs.cores, crowded);
  return plain_phase("start", Cause::start_up,
                     node + (scene.layout.nodes - 1) * scene.machine.launch_per_node);
}

double on_all_ranks(const Scene& scene, double cpu_seconds) {
  const double rounds = std::max(1.0, scene.layout.ranks_per_node / std::max(1.0, scene.machine.cores));
  return cpu_seconds / scene.machine.speed * rounds;
}

Phase plan_phase(const Scene& scene, double extra_cpu_seconds) {
  const double tensors = static_cast<double>(source_of(scene.shape)->tensors().size());
  const double cpu = scene.costs.open_model + tensors * scene.costs.open_tensor +
                     scene.shape.spec.vocab_size * scene.costs.vocabulary_token + extra_cpu_seconds;
  double seconds = on_all_ranks(scene, cpu);
  if (!scene.machine.cached) {
    // One rank's small reads come one after the other; all readers share what the file system answers.
    const double readers = scene.machine.node_cache ? scene.layout.nodes : scene.layout.ranks();
    const double reads = tensors * kFingerprintReads + scene.shape.files * 2 + kModelFiles;
    seconds += std::max(reads * scene.machine.fs_operation, reads * readers / scene.machine.fs_operations);
  }
  return plain_phase("plan", Cause::start_up, seconds);
}

double small_files(const Scene& scene, double operations, double syncs) {
  if (scene.machine.cached) return syncs * scene.costs.sync;
  return operations * scene.machine.fs_operation + syncs * scene.machine.fs_sync;
}

}  // namespace llmq::scale
