#include "pipeline/quantize_run.hpp"

#include <chrono>
#include <cmath>
#include <future>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/pipeline/interrupt.hpp"
#include "llmq/quant/codec.hpp"

#include "pipeline/protected_rows.hpp"
#include "pipeline/unit_scheduler.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr float kLargestHalf = 65504.0F;

// Rank 0 has its own units and those of the others to see to: it looks often.
constexpr auto kGatherTick = std::chrono::milliseconds(1);

}  // namespace

QuantizeRun::QuantizeRun(const StageContext& context, const ModelSource& source, const QuantizePlan& plan,
                         const JobDirectory& job, fs::path partial, Assembly assembly)
    : context_(context),
      source_(source),
      plan_(plan),
      job_(job),
      partial_(std::move(partial)),
      assembly_(assembly),
      timeline_(context.threads),
      done_(plan.units.size(), 0) {}

void QuantizeRun::execute() {
  reserve_file();
  if (job_.resuming()) find_finished_units();
  context_.comm.together("open the journal", [&] {
    journal_ = std::make_unique<QuantizeJournal>(
        job_.enabled() && writes() ? std::optional<fs::path>(job_.path()) : std::nullopt,
        context_.comm.rank());
  });
  if (assembly_ == Assembly::gather && context_.comm.size() > 1) {
    std::uint64_t largest = 0;
    for (const QuantizeUnit& unit : plan_.units) largest = std::max(largest, unit.size_bytes);
    courier_ =
        std::make_unique<UnitCourier>(context_.comm, context_.threads, largest,
                                      [&](const EncodedUnit& unit) { place_unit(unit.index, unit.bytes); });
  }

  std::vector<std::uint32_t> pending;
  std::vector<double> costs;
  for (std::uint32_t unit = 0; unit < plan_.units.size(); ++unit) {
    costs.push_back(plan_.units[unit].cost);
    if (done_[unit] == 0) pending.push_back(unit);
  }
  const std::uint32_t layers = source_.spec().n_layers;
  const double before = 1.0 - static_cast<double>(pending.size()) / static_cast<double>(plan_.units.size());
  ProgressBar bar(context_.log, "Quantizing", layers, "layers");
  std::vector<Scratch> scratch(context_.threads);
  bool stopped = false;
  SchedulerHooks hooks;
  hooks.work = [&](std::uint32_t unit, std::size_t worker) { do_unit(unit, scratch[worker]); };
  hooks.tick = [&](double fraction) {
    const double whole = before + (1 - before) * fraction;
    bar.update(static_cast<std::uint64_t>(whole * layers), whole);
    if (courier_) courier_->pump();
  };
  if (courier_) {
    hooks.finish = [&] { courier_->finish(); };
    hooks.tick_interval = kGatherTick;
  }
  hooks.stop = [&] { return stopped = stopped || interrupt_requested(); };
  context_.comm.together("quantize", [&] {
    run_units(context_, pending, costs, hooks);
    if (stopped) {
      throw Error(ExitCode::interrupted, "interrupted; finished units are kept",
                  job_.enabled() ? fmt::format("Continue with --resume {}", job_.path().string()) : "");
    }
  });
  bar.finish();
  ternary_loss_.report(context_);
  verify();
}

void QuantizeRun::reserve_file() {
  context_.comm.together("reserve the output file", [&] {
    if (!context_.comm.is_root()) return;
    const bool keep = job_.resuming() && fs::exists(partial_);
    if (job_.resuming() && !keep) context_.log.warn("no .partial file beside the output: starting over");
    file_ = File(partial_, File::Mode::create);  // nothing is truncated before the lock is ours
    partial_lock_ = std::make_unique<FileLock>(partial_);
    if (!partial_lock_->owns()) {
      throw Error(ExitCode::checkpoint, fmt::format("{} is being written by another run", partial_.string()),
                  "Wait for the other run, or choose another --output-name");
    }
    owns_partial_ = true;
    if (!keep) file_.truncate(0);
    if (file_.size() != plan_.file_bytes) file_.preallocate(plan_.file_bytes);
    file_.write_at(encode_gguf_head(plan_.header), 0);
  });
  context_.comm.together("open the output file", [&] {
    if (context_.comm.is_root() || !writes()) return;
    if (!fs::exists(partial_)) {
      throw Error(ExitCode::general,
                  fmt::format("{}: rank 0 made it, another rank does not see it", partial_.string()),
                  "Choose an output directory that all ranks share, or use --assemble gather");
    }
    file_ = File(partial_, File::Mode::read_write);
    if (file_.size() != plan_.file_bytes) {
      throw Error(ExitCode::general, fmt::format("{}: ranks do not see the same file", partial_.string()),
                  "Choose an output directory that all ranks share, or use --assemble gather");
    }
  });
}

bool QuantizeRun::checks(std::uint64_t unit) const noexcept {
  if (assembly_ == Assembly::gather) return context_.comm.is_root();
  return unit % static_cast<std::uint64_t>(context_.comm.size()) ==
         static_cast<std::uint64_t>(context_.comm.rank());
}

bool QuantizeRun::unit_matches(std::uint32_t index, std::uint64_t checksum) const {
  const QuantizeUnit& unit = plan_.units[index];
  thread_local std::vector<std::byte>
      bytes;  // a new one a unit would cost more in page faults than the checksum
  bytes.resize(unit.size_bytes);
  file_.read_at(bytes, unit.offset_bytes);
  return checksum64(bytes) == checksum;
}

void QuantizeRun::find_finished_units() {
  context_.comm.together("check finished units", [&] {
    if (!writes()) return;
    const auto claims = QuantizeJournal::read_all(job_.path());
    for (const auto& [unit, checksum] : claims) {
      if (unit >= plan_.units.size() || !checks(unit)) continue;
      if (!unit_matches(static_cast<std::uint32_t>(unit), checksum)) continue;
      done_[unit] = 1;
      resumed_[unit] = checksum;
    }
  });
  context_.comm.all_reduce(std::span(done_), comm::ReduceOp::max, "share finished units");
  for (const std::uint64_t flag : done_) units_resumed_ += flag;
  context_.log.status(fmt::format("Resuming: {} of {} units are done", units_resumed_, plan_.units.size()));
}

void QuantizeRun::check_values(const PlannedTensor& tensor, std::uint64_t first_row,
                               std::span<const float> weights) const {
  const float limit = tensor.type == GgmlType::F16 ? kLargestHalf : std::numeric_limits<float>::max();
  bool sound = true;  // no early exit: such a loop becomes vector code
  for (const float weight : weights) sound &= std::fabs(weight) <= limit;
  if (sound) return;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (std::fabs(weights[i]) <= limit) continue;  // false for NaN
    const std::uint64_t elems = tensor.source->row_elems();
    const bool finite = std::isfinite(weights[i]);
    throw Error(ExitCode::validation,
                fmt::format("tensor {} ({}), row {}, column {}: {} {}", tensor.source->name,
                            tensor.source->source_name, first_row + i / elems, i % elems, weights[i],
                            finite ? "does not fit F16" : "is not a finite weight"),
                finite ? "Use level BF16 or F32" : "The checkpoint is damaged; fetch it again");
  }
}

void QuantizeRun::do_unit(std::uint32_t index, Scratch& scratch) {
  const QuantizeUnit& unit = plan_.units[index];
  const PlannedTensor& tensor = plan_.tensors[unit.tensor];
  const std::uint64_t elems = tensor.source->row_elems();
  const std::uint64_t row_size = row_bytes(tensor.type, elems);
  scratch.encoded.resize(unit.size_bytes);
  std::span<const float> importance;
  if (!tensor.importance.empty()) importance = tensor.importance[unit.row / tensor.source->ne[1]];
  const std::uint64_t step = rows_at_once(*tensor.source);
  for (std::uint64_t done = 0; done < unit.rows; done += step) {
    const std::uint64_t rows = std::min(step, unit.rows - done);
    scratch.weights.resize(rows * elems);
    {
      const TimelineScope reading(timeline_, Activity::read);
      source_.read_rows(*tensor.source, unit.row + done, rows, RowOrder::gguf, scratch.weights);
    }
    const TimelineScope encoding(timeline_, Activity::compute);
    check_values(tensor, unit.row + done, scratch.weights);
    const auto encoded = std::span(scratch.encoded).subspan(done * row_size, rows * row_size);
    encode_rows(tensor.type, scratch.weights, elems, importance, encoded);
    protect_rows(tensor, unit.row + done, scratch.weights, importance, encoded);
    if (is_ternary(tensor.type)) ternary_loss_.add(tensor.type, scratch.weights, encoded, elems);
  }
  if (writes()) return place_unit(index, scratch.encoded);
  courier_->hand_over({index, std::move(scratch.encoded)});
}

void QuantizeRun::place_unit(std::uint32_t index, std::span<const std::byte> bytes) {
  const TimelineScope writing(timeline_, Activity::write);
  file_.write_at(bytes, plan_.units[index].offset_bytes);
  file_.start_writeback(plan_.units[index].offset_bytes, bytes.size());
  journal_->record(index, checksum64(bytes));
}

void QuantizeRun::verify() const {
  // Every unit is claimed by exactly one rank; claims are read back by all ranks that can.
  std::vector<std::uint64_t> claims;
  const auto add = [&](const std::map<std::uint64_t, std::uint64_t>& records) {
    for (const auto& [unit, checksum] : records) claims.insert(claims.end(), {unit, checksum});
  };
  add(journal_->records());
  add(resumed_);
  const auto gathered = context_.comm.gather(std::span<const std::uint64_t>(claims), "collect checksums");
  std::vector<std::uint64_t> checksums(plan_.units.size(), 0);
  context_.comm.together("verify the file", [&] {
    if (!context_.comm.is_root()) return;
    std::vector<int> owners(plan_.units.size(), 0);
    for (const auto& part : gathered) {
      for (std::size_t i = 0; i + 1 < part.size(); i += 2) {
        ++owners.at(part[i]);
        checksums[part[i]] = part[i + 1];
      }
    }
    for (std::size_t unit = 0; unit < owners.size(); ++unit) {
      if (owners[unit] != 1)
        throw InternalError(fmt::format("unit {} was done {} times", unit, owners[unit]));
    }
  });
  context_.comm.broadcast(std::span(checksums), 0, "share checksums");
  context_.comm.together("verify the file", [&] {
    if (!writes()) return;
    // Each rank syncs what it wrote through its own descriptor, while the file is read back.
    std::future<void> synced = std::async(std::launch::async, [&] { file_.sync(); });
    parallel_for(plan_.units.size(), context_.threads, [&](std::size_t index, std::size_t) {
      const auto unit = static_cast<std::uint32_t>(index);
      if (!checks(unit) || unit_matches(unit, checksums[unit])) return;
      throw Error(ExitCode::general,
                  fmt::format("{}: bytes at {} are not what was written", partial_.string(),
                              plan_.units[unit].offset_bytes),
                  "The file system lost data; run again on another one");
    });
    synced.get();
  });
}

void QuantizeRun::publish(const fs::path& output) {
  context_.comm.together("publish the file", [&] {
    if (!context_.comm.is_root()) return;
    const GgufFile written(partial_);
    if (written.header().tensors.size() != plan_.tensors.size())
      throw InternalError("written file lost tensors");
    publish_file(partial_, output);
  });
}

void QuantizeRun::discard() noexcept {
  if (!owns_partial_) return;
  std::error_code ignored;
  fs::remove(partial_, ignored);
}

}  // namespace llmq
