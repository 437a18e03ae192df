#include "scale/simulate_quantize.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/block_types.hpp"
#include "llmq/core/error.hpp"
#include "llmq/pipeline/quantize_plan.hpp"
#include "llmq/quant/type_policy.hpp"

#include "pipeline/unit_scheduler.hpp"
#include "scale/simulate_units.hpp"

namespace llmq::scale {
namespace {

constexpr double kSourceBytes = 2;       // BF16
constexpr double kClaimBytes = 16;       // unit and checksum
constexpr double kTimelineBytes = 1560;  // 64 slices of 3 values, and a head

double encode_weight(const Costs& costs, const PlannedTensor& tensor) {
  const std::string type(type_name(tensor.type));
  const auto found = costs.encode_weight.find(type);
  if (found != costs.encode_weight.end()) return found->second;
  if (type == "F32") return 0;  // vectors; nothing beside the reading
  throw Error(ExitCode::invalid_arguments, fmt::format("costs have no encoder of {}", type),
              "Measure it with measure_costs");
}

std::vector<UnitWork> units_of(const Scene& scene, const QuantizePlan& plan, const QuantizeJob& job) {
  const Costs& costs = scene.costs;
  std::vector<UnitWork> units;
  for (const QuantizeUnit& unit : plan.units) {
    const PlannedTensor& tensor = plan.tensors[unit.tensor];
    const double weights = static_cast<double>(unit.rows * tensor.source->row_elems());
    UnitWork work;
    work.read_bytes = kSourceBytes * weights;
    work.write_bytes = static_cast<double>(unit.size_bytes);
    const double placing = work.write_bytes * (costs.write_byte + costs.checksum_byte) + costs.journal_record;
    work.cpu_seconds = costs.unit +
                       weights * (costs.read_weight + costs.check_weight + encode_weight(costs, tensor)) +
                       (job.gather ? 0.0 : placing);
    work.cpu_seconds /= scene.machine.speed;
    work.root_seconds = placing / scene.machine.speed;
    units.push_back(work);
  }
  return units;
}

Phase unit_phase(const Scene& scene, const QuantizePlan& plan, const QuantizeJob& job) {
  std::vector<double> costs;
  for (const QuantizeUnit& unit : plan.units) costs.push_back(unit.cost);
  const std::vector<std::uint32_t> ranks(static_cast<std::size_t>(scene.layout.nodes),
                                         static_cast<std::uint32_t>(scene.layout.ranks_per_node));
  UnitRules rules;
  rules.take_seconds = scene.layout.ranks_per_node > 1 ? scene.costs.counter_take : 0;
  rules.gather = job.gather && scene.layout.ranks() > 1;
  rules.send_seconds = 2 * scene.costs.message;
  rules.send_byte = scene.costs.message_byte;
  rules.send_by_net = scene.layout.nodes > 1;
  const UnitsOutcome outcome = simulate_units(units_of(scene, plan, job), split_between_nodes(costs, ranks),
                                              scene.machine, scene.layout, rules);
  return mixed_phase("units", outcome.seconds, scene.layout.workers(), outcome.busy);
}

/// Every thread of every reader reads its part back and compares.
Phase verify_phase(const Scene& scene, const QuantizePlan& plan, const QuantizeJob& job) {
  const double bytes = static_cast<double>(plan.file_bytes);
  const double node_threads = (job.gather ? 1.0 : scene.layout.ranks_per_node) * scene.layout.threads;
  const double readers = node_threads * (job.gather ? 1 : scene.layout.nodes);
  const double cpu = bytes * scene.costs.verify_byte / scene.machine.speed;
  const double compute = cpu / readers * std::max(1.0, node_threads / scene.machine.cores);
  double waiting = 0;
  // On one node the pages just written are still there.
  if (!scene.machine.cached && scene.layout.nodes > 1 && !job.gather) {
    const double alone = static_cast<double>(plan.units.size()) / readers * scene.machine.fs_operation +
                         bytes / readers / scene.machine.stream_fs_rate;
    waiting = std::max(
        {alone, bytes / scene.machine.fs_rate, bytes / scene.layout.nodes / scene.machine.node_fs_rate});
  }
  ByCause busy{};
  busy[static_cast<std::size_t>(Cause::compute)] = cpu;
  busy[static_cast<std::size_t>(Cause::file_system)] = waiting * readers;
  return mixed_phase("verify", compute + waiting, scene.layout.workers(), busy);
}

double sync_seconds(const Scene& scene, const QuantizePlan& plan) {
  if (!scene.machine.cached) return scene.machine.fs_sync;
  return scene.costs.sync + static_cast<double>(plan.file_bytes) * scene.costs.sync_byte;
}

}  // namespace

Prediction predict_quantize(const Scene& scene, const QuantizeJob& job) {
  const FileLevel* level = find_file_level(job.level);
  if (level == nullptr) throw Error(ExitCode::invalid_arguments, "no level " + job.level);
  const auto source = source_of(scene.shape);
  const QuantizePlan plan = plan_quantize(*source, {}, *level, nullptr, "");
  const Talk talk(scene.costs, scene.machine, scene.layout);
  const double units = static_cast<double>(plan.units.size());
  const double ranks = scene.layout.ranks();

  Prediction prediction;
  prediction.phases.push_back(start_phase(scene));
  prediction.phases.push_back(plan_phase(scene, 0));
  // job.json with its directory, the reserved file, and a journal a rank that all open at once.
  prediction.phases.push_back(plain_phase("reserve", Cause::root, small_files(scene, 8, 2)));
  const double opens = scene.machine.cached ? 0.0
                                            : std::max(4 * scene.machine.fs_operation,
                                                       4 * ranks / scene.machine.fs_operations);
  prediction.phases.push_back(plain_phase("open", Cause::file_system, opens));
  prediction.phases.push_back(plain_phase("agree", Cause::network, 12 * talk.agree()));
  prediction.phases.push_back(unit_phase(scene, plan, job));
  prediction.phases.push_back(
      plain_phase("checksums", Cause::network, talk.gather(units * kClaimBytes) + talk.broadcast(units * 8)));
  prediction.phases.push_back(verify_phase(scene, plan, job));
  prediction.phases.push_back(plain_phase("sync", Cause::file_system, sync_seconds(scene, plan)));
  // The finished file's head is parsed, the file renamed, the journals removed one by one.
  const double parse = static_cast<double>(plan.tensors.size()) * scene.costs.open_tensor;
  prediction.phases.push_back(
      plain_phase("publish", Cause::root, parse + small_files(scene, 4 + (job.gather ? 1 : ranks), 2)));
  prediction.phases.push_back(plain_phase("figures", Cause::network, talk.gather(ranks * kTimelineBytes)));
  return prediction;
}

}  // namespace llmq::scale
