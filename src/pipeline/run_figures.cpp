#include "pipeline/run_figures.hpp"

namespace llmq {

void add_run_figures(const StageContext& context, const UnitOutput& output, QuantizeResult& result) {
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
}

}  // namespace llmq
