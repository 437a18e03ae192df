#include "pipeline/atlas_errors.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "llmq/core/checked.hpp"
#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/pipeline/interrupt.hpp"
#include "llmq/quant/codec.hpp"
#include "llmq/quant/protected.hpp"

#include "pipeline/result_journal.hpp"
#include "pipeline/unit_scheduler.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kUnitElems = std::uint64_t{1} << 18;
constexpr std::uint64_t kPieceElems = std::uint64_t{1} << 15;  // rows that stay in L2 from type to type
constexpr const char* kJournal = "errors";
constexpr std::size_t kLanes = 8;

/// Some of the sampled rows of one task's tensor, with all its types.
struct Unit {
  std::size_t task = 0;
  std::size_t first = 0, count = 0;  ///< into the sampled rows
};

/// Sums over rows: power, then error and largest difference of each type.
using Sums = std::vector<double>;

void add(const Sums& part, Sums& whole) {
  whole.resize(std::max(whole.size(), part.size()), 0.0);
  for (std::size_t i = 0; i < part.size(); ++i) {
    const bool is_largest = i > 0 && i % 2 == 0;
    whole[i] = is_largest ? std::max(whole[i], part[i]) : whole[i] + part[i];
  }
}

class ErrorTable {
 public:
  ErrorTable(const StageContext& context, const ModelSource& source, std::span<const AtlasTask> tasks,
             std::uint64_t row_limit, const JobDirectory& job)
      : context_(context), source_(source), tasks_(tasks), job_(job) {
    for (std::size_t task = 0; task < tasks.size(); ++task) {
      const ModelTensor& tensor = *tasks[task].tensor;
      rows_.push_back(sample_rows(tensor, row_limit));
      const auto step = static_cast<std::size_t>(std::max<std::uint64_t>(1, kUnitElems / tensor.row_elems()));
      for (std::size_t first = 0; first < rows_.back().size(); first += step)
        units_.push_back({task, first, std::min(step, rows_.back().size() - first)});
    }
  }

  void run(Atlas& atlas) {
    UnitResults known = find_finished();
    std::vector<std::uint32_t> pending;
    std::vector<double> costs;
    for (std::uint32_t i = 0; i < units_.size(); ++i) {
      const AtlasTask& task = tasks_[units_[i].task];
      costs.push_back(static_cast<double>(units_[i].count * task.tensor->row_elems() * task.types.size()));
      if (!known.contains(i)) pending.push_back(i);
    }
    context_.comm.together("open the journal", [&] {
      journal_ = std::make_unique<ResultJournal>(job_.place_of(context_.comm.rank()), kJournal,
                                                 context_.comm.rank());
    });
    work(pending, costs);
    collect(known);
    if (context_.comm.is_root()) fill(known, atlas);
  }

 private:
  /// Rank 0 looks; every rank learns which units need not be done.
  UnitResults find_finished() const {
    std::vector<std::uint64_t> done(units_.size(), 0);
    UnitResults found;
    context_.comm.together("look for finished parts of the error table", [&] {
      if (!context_.comm.is_root() || !job_.enabled() || !job_.resuming()) return;
      for (auto& [unit, sums] : ResultJournal::read_all(job_.path(), kJournal)) {
        if (unit >= units_.size() || sums.size() != sums_of(static_cast<std::size_t>(unit))) continue;
        done[unit] = 1;
        found[unit] = std::move(sums);
      }
    });
    context_.comm.broadcast(std::span(done), 0, "share finished parts of the error table");
    for (std::uint64_t unit = 0; unit < done.size(); ++unit) {
      if (done[unit] != 0) found[unit];
    }
    return found;
  }

  std::size_t sums_of(std::size_t unit) const { return 1 + 2 * tasks_[units_[unit].task].types.size(); }

  void work(std::span<const std::uint32_t> pending, std::span<const double> costs) {
    ProgressBar bar(context_.log, "Measuring types", tasks_.size(), "tensors");
    const double before = 1.0 - static_cast<double>(pending.size()) / static_cast<double>(units_.size());
    bool stopped = false;
    SchedulerHooks hooks;
    hooks.work = [&](std::uint32_t unit, std::size_t) { do_unit(unit); };
    hooks.tick = [&](double fraction) {
      const double whole = before + (1 - before) * fraction;
      bar.update(static_cast<std::uint64_t>(whole * static_cast<double>(tasks_.size())), whole);
    };
    hooks.stop = [&] { return stopped = stopped || interrupt_requested(); };
    context_.comm.together("measure types", [&] {
      run_units(context_, pending, costs, hooks);
      if (stopped) {
        throw Error(ExitCode::interrupted, "interrupted; finished parts of the error table are kept",
                    job_.enabled() ? fmt::format("Continue with --resume {}", job_.path().string()) : "");
      }
    });
    bar.finish();
  }

  void do_unit(std::uint32_t index) {
    const Unit& unit = units_[index];
    const AtlasTask& task = tasks_[unit.task];
    const std::uint64_t elems = task.tensor->row_elems();
    const auto step = static_cast<std::size_t>(std::max<std::uint64_t>(1, kPieceElems / elems));
    Sums sums(sums_of(index), 0.0);
    std::vector<float> rows, decoded;
    std::vector<std::byte> encoded;
    for (std::size_t done = 0; done < unit.count; done += step) {
      const auto some = std::span<const std::uint64_t>(rows_[unit.task])
                            .subspan(unit.first + done, std::min(step, unit.count - done));
      rows.resize(some.size() * elems);
      read(task, some, rows);
      add(measure(task, some, rows, decoded, encoded), sums);
    }
    journal_->record(index, sums);
  }

  /// Any order of rows will do, unless protected weights name theirs.
  void read(const AtlasTask& task, std::span<const std::uint64_t> rows, std::span<float> out) const {
    const ModelTensor& tensor = *task.tensor;
    const std::uint64_t elems = tensor.row_elems();
    const RowOrder order = task.protected_weights == nullptr ? RowOrder::hugging_face : RowOrder::gguf;
    for (std::size_t i = 0; i < rows.size();) {
      std::size_t run = 1;
      while (i + run < rows.size() && rows[i + run] == rows[i] + run) ++run;
      source_.read_rows(tensor, rows[i], run, order, out.subspan(i * elems, run * elems));
      i += run;
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (std::isfinite(out[i])) continue;
      throw Error(ExitCode::validation,
                  fmt::format("tensor {} ({}), column {}: {} is not a finite weight", tensor.name,
                              tensor.source_name, i % elems, out[i]),
                  "The checkpoint is damaged; fetch it again");
    }
  }

  Sums measure(const AtlasTask& task, std::span<const std::uint64_t> indices, std::span<const float> rows,
               std::vector<float>& decoded, std::vector<std::byte>& encoded) const {
    const std::uint64_t elems = task.tensor->row_elems();
    const std::vector<float> zeros(elems, 0.0F);
    Sums sums(1 + 2 * task.types.size(), 0.0);
    decoded.resize(elems);
    for (std::size_t i = 0; i < indices.size(); ++i) {
      const std::uint64_t matrix = indices[i] / task.tensor->ne[1];
      const bool known = task.importance != nullptr;
      const auto importance =
          known ? std::span<const float>(task.importance->columns[matrix]) : std::span<const float>();
      const auto means = known && !task.importance->means.empty()
                             ? std::span<const float>(task.importance->means[matrix])
                             : std::span<const float>();
      const std::span<const float> row = rows.subspan(i * elems, elems);
      const std::vector<std::uint64_t> columns =
          task.protected_weights == nullptr ? std::vector<std::uint64_t>()
                                            : protected_columns(*task.protected_weights, indices[i], elems);
      sums[0] += output_error(row, zeros, importance, means);
      for (std::size_t t = 0; t < task.types.size(); ++t) {
        encoded.resize(row_bytes(task.types[t], elems));
        encode_rows(task.types[t], row, elems, importance, encoded);
        if (!columns.empty()) protect_row(task.types[t], row, importance, columns, encoded);
        decode_rows(task.types[t], encoded, elems, decoded);
        sums[1 + 2 * t] += output_error(row, decoded, importance, means);
        for (std::size_t j = 0; j < elems; ++j)
          sums[2 + 2 * t] = std::max(
              sums[2 + 2 * t], std::fabs(static_cast<double>(row[j]) - static_cast<double>(decoded[j])));
      }
    }
    return sums;
  }

  /// Every rank's results to rank 0.
  void collect(UnitResults& known) const {
    std::vector<double> flat;
    for (const auto& [unit, sums] : journal_->results()) {
      flat.push_back(static_cast<double>(unit));
      flat.insert(flat.end(), sums.begin(), sums.end());
    }
    const auto gathered = context_.comm.gather(std::span<const double>(flat), "collect errors");
    for (const std::vector<double>& part : gathered) {
      for (std::size_t at = 0; at < part.size();) {
        const auto unit = static_cast<std::size_t>(part[at]);
        known[unit].assign(part.begin() + static_cast<std::ptrdiff_t>(at + 1),
                           part.begin() + static_cast<std::ptrdiff_t>(at + 1 + sums_of(unit)));
        at += 1 + sums_of(unit);
      }
    }
  }

  /// Sums the units of each tensor in order, as if all rows had been looked at.
  void fill(const UnitResults& known, Atlas& atlas) const {
    std::vector<Sums> totals(tasks_.size());
    for (const auto& [unit, sums] : known) add(sums, totals[units_[unit].task]);
    for (std::size_t task = 0; task < tasks_.size(); ++task) {
      const ModelTensor& tensor = *tasks_[task].tensor;
      AtlasTensor& filled = atlas.tensors[tensor.name];
      const double scale = static_cast<double>(tensor.rows()) / static_cast<double>(rows_[task].size());
      filled.in_features = tensor.row_elems();
      filled.rows = tensor.rows();
      filled.sampled_rows = rows_[task].size();
      filled.power = totals[task][0] * scale;
      for (std::size_t t = 0; t < tasks_[task].types.size(); ++t) {
        const GgmlType type = tasks_[task].types[t];
        if (filled.find(type) != nullptr) throw InternalError("a type was measured twice");
        filled.cells.push_back(
            {type, totals[task][1 + 2 * t] * scale, totals[task][2 + 2 * t], tensor.bytes_as(type)});
      }
      std::sort(filled.cells.begin(), filled.cells.end(),
                [](const AtlasCell& a, const AtlasCell& b) { return a.type < b.type; });
    }
  }

  const StageContext& context_;
  const ModelSource& source_;
  std::span<const AtlasTask> tasks_;
  const JobDirectory& job_;
  std::vector<std::vector<std::uint64_t>> rows_;  ///< by task
  std::vector<Unit> units_;
  std::unique_ptr<ResultJournal> journal_;
};

}  // namespace

std::vector<std::uint64_t> sample_rows(const ModelTensor& tensor, std::uint64_t limit) {
  const std::uint64_t rows = tensor.rows();
  const std::uint64_t count = limit == 0 ? rows : std::min(limit, rows);
  std::vector<std::uint64_t> sampled;
  for (std::uint64_t i = 0; i < count; ++i) {
    // Inside the part by chance, so that no period of the rows (heads, rotated pairs) meets the stride.
    const std::uint64_t begin = rows / count * i + std::min(i, rows % count);
    const std::uint64_t length = rows / count + (i < rows % count ? 1 : 0);
    const std::string seed = fmt::format("{} {}", tensor.name, i);
    sampled.push_back(begin + checksum64(std::as_bytes(std::span(seed))) % length);
  }
  return sampled;
}

double output_error(std::span<const float> row, std::span<const float> decoded,
                    std::span<const float> importance, std::span<const float> means) noexcept {
  std::array<double, kLanes> squares{}, shifts{};
  for (std::size_t j = 0; j < row.size(); ++j) {
    const double error = static_cast<double>(row[j]) - static_cast<double>(decoded[j]);
    const double square = importance.empty() ? 1.0 : static_cast<double>(importance[j]);
    const double mean = means.empty() ? 0.0 : static_cast<double>(means[j]);
    squares[j % kLanes] += std::max(0.0, square - mean * mean) * error * error;
    shifts[j % kLanes] += mean * error;
  }
  double sum = 0, shift = 0;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    sum += squares[lane];
    shift += shifts[lane];
  }
  return sum + shift * shift;
}

void measure_errors(const StageContext& context, const ModelSource& source, std::span<const AtlasTask> tasks,
                    std::uint64_t row_limit, const JobDirectory& job, Atlas& atlas) {
  if (tasks.empty()) return;
  ErrorTable(context, source, tasks, row_limit, job).run(atlas);
}

}  // namespace llmq
