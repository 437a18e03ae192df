#include "pipeline/unit_output.hpp"

#include <algorithm>
#include <chrono>
#include <future>
#include <string>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/pipeline/interrupt.hpp"

#include "pipeline/unit_scheduler.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

// Rank 0 has its own units and those of the others to see to: it looks often.
constexpr auto kGatherTick = std::chrono::milliseconds(1);

}  // namespace

std::uint64_t OutputUnit::bytes() const noexcept {
  std::uint64_t sum = 0;
  for (const OutputRange& range : ranges) sum += range.size_bytes;
  return sum;
}

UnitOutput::UnitOutput(const StageContext& context, std::vector<OutputFile> files,
                       std::vector<OutputUnit> units, const JobDirectory& job, Assembly assembly)
    : context_(context),
      plan_(std::move(files)),
      units_(std::move(units)),
      job_(job),
      assembly_(assembly),
      timeline_(context.threads),
      done_(units_.size(), 0) {}

void UnitOutput::execute(const Maker& make, std::string_view progress, std::uint32_t layers) {
  reserve_files();
  open_files();
  if (job_.resuming()) find_finished_units();
  context_.comm.together("open the journal", [&] {
    journal_ = std::make_unique<QuantizeJournal>(
        job_.enabled() && writes() ? std::optional<fs::path>(job_.path()) : std::nullopt,
        context_.comm.rank());
  });
  if (assembly_ == Assembly::gather && context_.comm.size() > 1) {
    std::uint64_t largest = 0;
    for (const OutputUnit& unit : units_) largest = std::max(largest, unit.bytes());
    courier_ =
        std::make_unique<UnitCourier>(context_.comm, context_.threads, largest,
                                      [&](const EncodedUnit& unit) { place_unit(unit.index, unit.bytes); });
  }
  make_units(make, progress, layers);
  verify();
}

void UnitOutput::reserve_files() {
  context_.comm.together("reserve the output file", [&] {
    if (!context_.comm.is_root()) return;
    const auto exists = [](const OutputFile& file) { return fs::exists(file.path); };
    const bool keep = job_.resuming() && std::all_of(plan_.begin(), plan_.end(), exists);
    if (job_.resuming() && !keep) context_.log.warn("no .partial file beside the output: starting over");
    for (const OutputFile& file : plan_) {
      files_.emplace_back(file.path, File::Mode::create);  // nothing is truncated before the lock is ours
      if (!lock_) lock_ = std::make_unique<FileLock>(file.path);
      if (!lock_->owns()) {
        throw Error(ExitCode::checkpoint,
                    fmt::format("{} is being written by another run", file.path.string()),
                    "Wait for the other run, or choose another --output-name");
      }
      owns_files_ = true;
      if (!keep) files_.back().truncate(0);
      if (files_.back().size() != file.bytes) files_.back().preallocate(file.bytes);
      files_.back().write_at(file.head, 0);
    }
  });
}

void UnitOutput::open_files() {
  context_.comm.together("open the output file", [&] {
    if (context_.comm.is_root() || !writes()) return;
    for (const OutputFile& file : plan_) {
      const std::string suggestion =
          "Choose an output directory that all ranks share, or use --assemble gather";
      if (!fs::exists(file.path)) {
        throw Error(ExitCode::general,
                    fmt::format("{}: rank 0 made it, another rank does not see it", file.path.string()),
                    suggestion);
      }
      files_.emplace_back(file.path, File::Mode::read_write);
      if (files_.back().size() == file.bytes) continue;
      throw Error(ExitCode::general, fmt::format("{}: ranks do not see the same file", file.path.string()),
                  suggestion);
    }
  });
}

bool UnitOutput::checks(std::uint64_t unit) const noexcept {
  if (assembly_ == Assembly::gather) return context_.comm.is_root();
  return unit % static_cast<std::uint64_t>(context_.comm.size()) ==
         static_cast<std::uint64_t>(context_.comm.rank());
}

bool UnitOutput::unit_matches(std::uint32_t index, std::uint64_t checksum) const {
  thread_local std::vector<std::byte>
      bytes;  // a new one a unit would cost more in page faults than the checksum
  bytes.resize(units_[index].bytes());
  std::span<std::byte> rest(bytes);
  for (const OutputRange& range : units_[index].ranges) {
    files_[range.file].read_at(rest.first(range.size_bytes), range.offset_bytes);
    rest = rest.subspan(range.size_bytes);
  }
  return checksum64(bytes) == checksum;
}

void UnitOutput::find_finished_units() {
  context_.comm.together("check finished units", [&] {
    if (!writes()) return;
    const auto claims = QuantizeJournal::read_all(job_.path());
    for (const auto& [unit, checksum] : claims) {
      if (unit >= units_.size() || !checks(unit)) continue;
      if (!unit_matches(static_cast<std::uint32_t>(unit), checksum)) continue;
      done_[unit] = 1;
      resumed_[unit] = checksum;
    }
  });
  context_.comm.all_reduce(std::span(done_), comm::ReduceOp::max, "share finished units");
  for (const std::uint64_t flag : done_) units_resumed_ += flag;
  context_.log.status(fmt::format("Resuming: {} of {} units are done", units_resumed_, units_.size()));
}

void UnitOutput::make_units(const Maker& make, std::string_view progress, std::uint32_t layers) {
  std::vector<std::uint32_t> pending;
  std::vector<double> costs;
  for (std::uint32_t unit = 0; unit < units_.size(); ++unit) {
    costs.push_back(units_[unit].cost);
    if (done_[unit] == 0) pending.push_back(unit);
  }
  const double before = 1.0 - static_cast<double>(pending.size()) / static_cast<double>(units_.size());
  ProgressBar bar(context_.log, std::string(progress), layers, "layers");
  std::vector<std::vector<std::byte>> scratch(context_.threads);
  bool stopped = false;
  SchedulerHooks hooks;
  hooks.work = [&](std::uint32_t unit, std::size_t worker) {
    scratch[worker].resize(units_[unit].bytes());
    make(unit, worker, scratch[worker]);
    if (writes()) return place_unit(unit, scratch[worker]);
    courier_->hand_over({unit, std::move(scratch[worker])});
  };
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
}

void UnitOutput::place_unit(std::uint32_t index, std::span<const std::byte> bytes) {
  const TimelineScope writing(timeline_, Activity::write);
  std::span<const std::byte> rest = bytes;
  for (const OutputRange& range : units_[index].ranges) {
    files_[range.file].write_at(rest.first(range.size_bytes), range.offset_bytes);
    files_[range.file].start_writeback(range.offset_bytes, range.size_bytes);
    rest = rest.subspan(range.size_bytes);
  }
  journal_->record(index, checksum64(bytes));
}

std::vector<std::uint64_t> UnitOutput::collect_checksums() const {
  // Every unit is claimed by exactly one rank.
  std::vector<std::uint64_t> claims;
  const auto add = [&](const std::map<std::uint64_t, std::uint64_t>& records) {
    for (const auto& [unit, checksum] : records) claims.insert(claims.end(), {unit, checksum});
  };
  add(journal_->records());
  add(resumed_);
  const auto gathered = context_.comm.gather(std::span<const std::uint64_t>(claims), "collect checksums");
  std::vector<std::uint64_t> checksums(units_.size(), 0);
  context_.comm.together("verify the file", [&] {
    if (!context_.comm.is_root()) return;
    std::vector<int> owners(units_.size(), 0);
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
  return checksums;
}

void UnitOutput::verify() const {
  const std::vector<std::uint64_t> checksums = collect_checksums();
  context_.comm.together("verify the file", [&] {
    if (!writes()) return;
    // Each rank syncs what it wrote through its own descriptors, while the files are read back.
    std::future<void> synced = std::async(std::launch::async, [&] {
      for (const File& file : files_) file.sync();
    });
    parallel_for(units_.size(), context_.threads, [&](std::size_t index, std::size_t) {
      const auto unit = static_cast<std::uint32_t>(index);
      if (!checks(unit) || unit_matches(unit, checksums[unit])) return;
      const OutputRange& range = units_[unit].ranges.front();
      throw Error(ExitCode::general,
                  fmt::format("{}: bytes at {} are not what was written", plan_[range.file].path.string(),
                              range.offset_bytes),
                  "The file system lost data; run again on another one");
    });
    synced.get();
  });
}

}  // namespace llmq
