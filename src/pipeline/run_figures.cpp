#include "pipeline/run_figures.hpp"

#include <fmt/format.h>

#include "llmq/core/text.hpp"

namespace llmq {

void finish_run(const StageContext& context, const UnitOutput& output,
                std::chrono::steady_clock::time_point start, QuantizeResult& result) {
  result.units_resumed = output.units_resumed();
  result.timelines = output.timelines();
  log_timelines(context.log, result.timelines);
  for (const RankTimeline& one : result.timelines) {
    result.phase_seconds["read"] += one.total(Activity::read);
    result.phase_seconds["encode"] += one.total(Activity::compute);
    result.phase_seconds["write"] += one.total(Activity::write);
  }
  result.peak_memory_bytes = context.comm.all_reduce_value<std::uint64_t>(
      peak_memory_bytes(), comm::ReduceOp::max, "collect memory figures");
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  context.log.status(
      fmt::format("Complete: {}{} ({}, {:.2f} bpw)", result.output_path.string(),
                  result.shards.empty() ? "" : fmt::format(" and {} more", result.shards.size() - 1),
                  format_size(result.file_bytes), result.effective_bpw));
}

}  // namespace llmq
