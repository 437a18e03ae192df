#include "pipeline/smooth_ranges.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/pipeline/interrupt.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kElemsAtOnce = std::uint64_t{1} << 16;  // stays in L2 between reading and looking
constexpr const char* kOtherModel =
    "This imatrix is of another model; make one with: llm-quantize analyze MODEL";

[[noreturn]] void throw_not_finite(const std::string& name, std::uint64_t first_row,
                                   std::span<const float> rows, std::uint64_t width) {
  std::size_t at = 0;
  while (std::isfinite(rows[at])) ++at;
  throw Error(ExitCode::smoothquant,
              fmt::format("{}: the weight at row {}, column {} is {}", name, first_row + at / width,
                          at % width, rows[at]),
              "The checkpoint may be damaged; see llm-quantize info MODEL");
}

/// Adds some rows. False if one of their values is not finite. No early exit: such loops become vector code.
bool add_rows(std::span<const float> rows, WeightColumns& columns) {
  const std::size_t width = columns.largest.size();
  float* largest = columns.largest.data();
  float* squares = columns.squares.data();
  int beyond = 0;
  for (std::size_t begin = 0; begin < rows.size(); begin += width) {
    const float* row = rows.data() + begin;
    for (std::size_t c = 0; c < width; ++c) {
      const float magnitude = std::fabs(row[c]);
      beyond |= static_cast<int>(!(magnitude <= std::numeric_limits<float>::max()));
      largest[c] = magnitude > largest[c] ? magnitude : largest[c];
      squares[c] += magnitude * magnitude;
    }
  }
  return beyond == 0;
}

WeightColumns columns_of(const ModelSource& source, const std::string& name) {
  const ModelTensor* tensor = source.find(name);
  if (tensor == nullptr) throw Error(ExitCode::validation, fmt::format("tensor {} is missing", name));
  const std::uint64_t width = tensor->row_elems(), at_once = std::max<std::uint64_t>(1, kElemsAtOnce / width);
  WeightColumns columns{std::vector<float>(width, 0), std::vector<float>(width, 0)};
  std::vector<float> rows;
  source.will_need(*tensor);
  for (std::uint64_t row = 0; row < tensor->rows(); row += at_once) {
    stop_if_asked();
    const std::uint64_t count = std::min(at_once, tensor->rows() - row);
    rows.resize(count * width);
    source.read_rows(*tensor, row, count, RowOrder::hugging_face, rows);
    if (!add_rows(rows, columns)) throw_not_finite(name, row, rows, width);
  }
  return columns;
}

void raise(std::vector<float>& to, const std::vector<float>& by) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = std::max(to[i], by[i]);
}

}  // namespace

std::vector<std::string> without_input_ranges(const Imatrix& imatrix, const ModelSource& source,
                                              const std::vector<SmoothMapping>& mappings) {
  std::vector<std::string> missing;
  bool any = false;
  for (const SmoothMapping& mapping : mappings) {
    for (const std::string& weight : mapping.balance) {
      const auto entry = imatrix.entries.find(weight);
      const ModelTensor* tensor = source.find(weight);
      if (entry == imatrix.entries.end() || tensor == nullptr) {
        missing.push_back(weight);
        continue;
      }
      any = true;
      const std::uint64_t columns = entry->second.in_features * entry->second.n_mat;
      if (columns != tensor->row_elems()) {
        throw Error(ExitCode::imatrix,
                    fmt::format("imatrix entry {} has {} columns, the model has {}", weight, columns,
                                tensor->row_elems()),
                    kOtherModel);
      }
      if (entry->second.max_abs.empty()) missing.push_back(weight);
    }
  }
  if (!any)
    throw Error(ExitCode::imatrix, "no entry of the imatrix fits a tensor of this model", kOtherModel);
  return missing;
}

ColumnMap measure_columns(const StageContext& context, const ModelSource& source,
                          const std::vector<SmoothMapping>& mappings) {
  std::vector<const std::string*> weights;
  for (const SmoothMapping& mapping : mappings) {
    for (const std::string& weight : mapping.balance) weights.push_back(&weight);
  }
  const auto rank = static_cast<std::size_t>(context.comm.rank()),
             ranks = static_cast<std::size_t>(context.comm.size());
  const std::size_t share = weights.size() / ranks + (rank < weights.size() % ranks ? 1 : 0);
  std::vector<WeightColumns> found(share);
  context.comm.together("measure the weights' ranges", [&] {
    parallel_for(share, context.threads, [&](std::size_t i, std::size_t) {
      found[i] = columns_of(source, *weights[rank + i * ranks]);
    });
  });
  // A weight is one rank's alone and nothing is negative: its largest over ranks, zeros elsewhere, is itself.
  ColumnMap columns;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    WeightColumns one;
    if (i % ranks == rank) one = std::move(found[i / ranks]);
    one.largest.resize(source.find(*weights[i])->row_elems());
    one.squares.resize(one.largest.size());
    context.comm.all_reduce(std::span(one.largest), comm::ReduceOp::max, "join the weights' ranges");
    context.comm.all_reduce(std::span(one.squares), comm::ReduceOp::max, "join the weights' ranges");
    columns.emplace(*weights[i], std::move(one));
  }
  return columns;
}

std::vector<ChannelRanges> channel_ranges(const ModelSpec& spec, const Imatrix& imatrix,
                                          const ColumnMap& columns,
                                          const std::vector<SmoothMapping>& mappings) {
  std::vector<ChannelRanges> ranges(mappings.size());
  for (std::size_t m = 0; m < mappings.size(); ++m) {
    ranges[m].input.assign(mappings[m].channels, 0);
    ranges[m].weight.assign(mappings[m].channels, 0);
    for (const std::string& weight : mappings[m].balance) {
      raise(ranges[m].input, largest_of_channels(mappings[m], spec, imatrix.entries.at(weight).max_abs));
      raise(ranges[m].weight, largest_of_channels(mappings[m], spec, columns.at(weight).largest));
    }
  }
  return ranges;
}

}  // namespace llmq
