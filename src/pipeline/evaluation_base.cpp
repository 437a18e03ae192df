#include "pipeline/evaluation_base.hpp"

#include <atomic>
#include <numeric>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/core/text.hpp"
#include "llmq/model/forward.hpp"
#include "llmq/pipeline/interrupt.hpp"
#include "llmq/pipeline/output_place.hpp"
#include "llmq/quant/int8_product.hpp"

#include "pipeline/analyze_grid.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void throw_not_shared(const fs::path& path, int rank) {
  throw Error(ExitCode::invalid_arguments,
              fmt::format("--base {}: rank {} does not see the file that rank 0 sees", path.string(), rank),
              "Put it into a directory that all ranks share");
}

/// Of this process. Vector kernels give the same bits everywhere; the BLAS and the choice of products do not.
std::string describe_arithmetic(const ModelSpec& spec) {
  return fmt::format("{}; layers in blocks: {}", make_forward_pass(spec)->description(),
                     int8_products_are_quick() ? "8-bit digits" : "f32");
}

void require_one_arithmetic(const Communicator& comm, const std::string& mine) {
  std::string first = mine;
  comm.broadcast(first, 0, "share the arithmetic");
  comm.together("compare the arithmetic of ranks", [&] {
    if (mine == first) return;
    throw Error(
        ExitCode::invalid_arguments,
        fmt::format("--base: rank {} computes with \"{}\", rank 0 with \"{}\"", comm.rank(), mine, first),
        "Use nodes of one kind, or leave out --base");
  });
}

EvaluationBasePlan make_plan(const StageContext& context, const ModelSource& original,
                             const SampleSet& samples, std::string original_hash) {
  BaseIdentity identity;
  context.comm.together("plan the evaluation base", [&] {
    identity = {{}, hash_tokens(samples), describe_arithmetic(original.spec())};
  });
  require_one_arithmetic(context.comm, identity.arithmetic);
  context.comm.broadcast(original_hash, 0, "share the hash of the original");
  identity.original = std::move(original_hash);
  return plan_evaluation_base(original.spec(), samples, identity);
}

template <typename T>
std::uint64_t checksum_of(const std::vector<T>& values) {
  return checksum64(std::as_bytes(std::span(values)));
}

/// Values of T at an offset of a file.
template <typename T>
std::vector<T> read_values(const File& file, std::uint64_t count, std::uint64_t offset) {
  std::vector<T> values(count);
  file.read_at(std::as_writable_bytes(std::span(values)), offset);
  return values;
}

}  // namespace

EvaluationBase::EvaluationBase(const StageContext& context, fs::path path, const ModelSource& original,
                               const SampleSet& samples, std::string original_hash)
    : context_(context),
      path_(std::move(path)),
      plan_(make_plan(context, original, samples, std::move(original_hash))),
      checksums_(samples.samples.size(), 0),
      written_(samples.samples.size(), 0) {
  complete_ = look() && open_and_check();
  if (!complete_) begin();
}

/// Collective: whether a file stands there whose head and size are those of the plan.
bool EvaluationBase::look() const {
  std::uint64_t fits = 0;
  context_.comm.together("look for an evaluation base", [&] {
    if (!context_.comm.is_root()) return;
    const FoundBase found = inspect_evaluation_base(path_, plan_);
    fits = found.fit == BaseFit::same ? 1 : 0;
    if (found.fit == BaseFit::damaged) tell_damage();
    if (found.fit != BaseFit::other_contents) return;
    context_.log.status(
        fmt::format("{} is of other contents ({}): it is made again", path_.string(), found.differing));
  });
  context_.comm.broadcast(std::span(&fits, 1), 0, "share whether there is an evaluation base");
  return fits != 0;
}

void EvaluationBase::tell_damage() const {
  context_.log.warn(fmt::format("{} is damaged: it is made again", path_.string()));
}

/// Collective: whether all ranks find their samples undamaged.
bool EvaluationBase::open_and_check() {
  std::uint64_t intact = 0;
  context_.comm.together("check the evaluation base", [&] {
    file_ = open_shared(path_, File::Mode::read);
    intact = samples_are_intact() ? 1 : 0;
  });
  intact = context_.comm.all_reduce_value(intact, comm::ReduceOp::min, "agree on the evaluation base");
  if (intact != 0) {
    context_.log.status(fmt::format("The original's states are read from {}", path_.string()));
    return true;
  }
  tell_damage();
  return false;
}

bool EvaluationBase::samples_are_intact() const {
  const auto expected_columns = read_values<std::uint64_t>(file_, 1, plan_.columns_checksum_offset);
  if (checksum_of(read_columns()) != expected_columns.front()) return false;
  const auto expected = read_values<std::uint64_t>(file_, written_.size(), plan_.checksums_offset);
  const std::vector<std::uint64_t> mine =
      samples_of_group(static_cast<std::uint32_t>(context_.comm.rank()),
                       static_cast<std::uint32_t>(context_.comm.size()), written_.size());
  std::atomic<bool> intact = true;
  parallel_for(mine.size(), context_.threads, [&](std::size_t i, std::size_t) {
    stop_if_asked();
    if (!intact) return;
    const auto states = read_values<float>(file_, plan_.chunk_values, offset_of(mine[i]));
    if (checksum_of(states) != expected[mine[i]]) intact = false;
  });
  return intact;
}

/// Collective: reserves PATH.partial and opens it on all ranks.
void EvaluationBase::begin() {
  context_.log.status(fmt::format("The original's states are written to {} ({})", path_.string(),
                                  format_size(plan_.file_bytes)));
  const fs::path partial = UnfinishedFile::partial_name(path_);
  std::uint64_t mark = 0;  // tells rank 0's file from one that an earlier run has left on another node
  context_.comm.together("begin the evaluation base", [&] {
    if (!context_.comm.is_root()) return;
    require_output_place(path_, {}, "--base");
    unfinished_.emplace(path_, plan_.file_bytes);
    file_ = File(partial, File::Mode::read_write);
    mark = std::random_device()();
    file_.write_at(std::as_bytes(std::span(plan_.head)), 0);
    file_.write_at(std::as_bytes(std::span(&mark, 1)), plan_.checksums_offset);
    file_.sync();
  });
  context_.comm.broadcast(std::span(&mark, 1), 0, "share the mark of the evaluation base");
  context_.comm.together("open the evaluation base", [&] {
    if (context_.comm.is_root()) return;
    file_ = open_shared(partial, File::Mode::read_write);
    if (read_values<std::uint64_t>(file_, 1, plan_.checksums_offset).front() != mark)
      throw_not_shared(partial, context_.comm.rank());
  });
}

File EvaluationBase::open_shared(const fs::path& path, File::Mode mode) const {
  if (!fs::exists(path)) throw_not_shared(path, context_.comm.rank());
  File file(path, mode);
  if (!is_planned_file(file, plan_)) throw_not_shared(path, context_.comm.rank());
  return file;
}

std::uint64_t EvaluationBase::offset_of(std::uint64_t sample) const {
  return plan_.states_offset + sample * plan_.chunk_values * sizeof(float);
}

void EvaluationBase::write(std::uint64_t sample, std::span<const float> states) {
  const auto bytes = std::as_bytes(states);
  file_.write_at(bytes, offset_of(sample));
  checksums_.at(sample) = checksum64(bytes);
  written_.at(sample) = 1;
}

void EvaluationBase::read(std::uint64_t sample, std::span<float> states) const {
  file_.read_at(std::as_writable_bytes(states), offset_of(sample));
}

void EvaluationBase::finish(const ColumnImportance& importance) {
  // Every sample was written by one rank; the others have 0 there.
  context_.comm.all_reduce(std::span(checksums_), comm::ReduceOp::sum, "collect checksums of states");
  context_.comm.together("write the evaluation base", [&] {
    if (context_.comm.is_root()) {
      std::vector<double> values;
      for (const BaseColumns& columns : plan_.columns) {
        const std::vector<double>& found = importance.at(columns.weight);
        values.insert(values.end(), found.begin(), found.end());
      }
      const std::uint64_t checksum = checksum_of(values);
      file_.write_at(std::as_bytes(std::span(values)), plan_.columns_offset);
      file_.write_at(std::as_bytes(std::span(&checksum, 1)), plan_.columns_checksum_offset);
      file_.write_at(std::as_bytes(std::span(checksums_)), plan_.checksums_offset);
    }
    file_.sync();
  });
  context_.comm.together("publish the evaluation base", [&] {
    if (unfinished_) unfinished_->publish();
  });
  unfinished_.reset();
}

std::vector<double> EvaluationBase::read_columns() const {
  const std::uint64_t count =
      std::accumulate(plan_.columns.begin(), plan_.columns.end(), std::uint64_t{0},
                      [](std::uint64_t sum, const BaseColumns& columns) { return sum + columns.count; });
  return read_values<double>(file_, count, plan_.columns_offset);
}

ColumnImportance EvaluationBase::importance() const {
  const std::vector<double> values = read_columns();
  ColumnImportance importance;
  auto from = values.begin();
  for (const BaseColumns& columns : plan_.columns) {
    const auto to = from + static_cast<std::ptrdiff_t>(columns.count);
    importance[columns.weight].assign(from, to);
    from = to;
  }
  return importance;
}

}  // namespace llmq
