#include "pipeline/smooth_ranges.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/pipeline/interrupt.hpp"
#include "llmq/smoothquant/int8_source.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kElemsAtOnce = std::uint64_t{1} << 16;  // stays in L2 between reading and looking
constexpr const char* kOtherModel =
    "This imatrix is of another model; make one with: llm-quantize analyze MODEL";

/// Calls visit(first row, rows) for all rows of a weight, a piece at a time.
template <class Visit>
void for_each_piece(const ModelSource& source, const ModelTensor& tensor, const Visit& visit) {
  const std::uint64_t width = tensor.row_elems(), at_once = std::max<std::uint64_t>(1, kElemsAtOnce / width);
  std::vector<float> rows;
  for (std::uint64_t row = 0; row < tensor.rows(); row += at_once) {
    stop_if_asked();
    rows.resize(std::min(at_once, tensor.rows() - row) * width);
    source.read_rows(tensor, row, rows.size() / width, RowOrder::hugging_face, rows);
    visit(row, std::span<const float>(rows));
  }
}

/// A sum of squares overflowed: by a weight that is no number, which is named, or by large ones.
void require_finite(const ModelSource& source, const ModelTensor& tensor) {
  for_each_piece(source, tensor, [&](std::uint64_t row, std::span<const float> rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (std::isfinite(rows[i])) continue;
      throw Error(ExitCode::smoothquant,
                  fmt::format("{}: the weight at row {}, column {} is {}", tensor.name,
                              row + i / tensor.row_elems(), i % tensor.row_elems(), rows[i]),
                  "The checkpoint may be damaged; see llm-quantize info MODEL");
    }
  });
}

WeightColumns columns_of(const ModelSource& source, const std::string& name) {
  const ModelTensor* tensor = source.find(name);
  if (tensor == nullptr) throw Error(ExitCode::validation, fmt::format("tensor {} is missing", name));
  const std::uint64_t width = tensor->row_elems();
  WeightColumns columns{std::vector<float>(width, 0), std::vector<float>(width, 0)};
  source.will_need(*tensor);
  for_each_piece(source, *tensor,
                 [&](std::uint64_t, std::span<const float> rows) { add_rows(rows, columns); });
  for (float& sum : columns.squares) {
    if (std::isfinite(sum)) continue;
    require_finite(source, *tensor);
    sum = std::numeric_limits<float>::max();
  }
  return columns;
}

void raise(std::vector<float>& to, const std::vector<float>& by) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = std::max(to[i], by[i]);
}

}  // namespace

std::vector<std::string> without_input_ranges(const Imatrix& imatrix, const ModelSource& source,
                                              const std::set<std::string>& kept) {
  std::vector<std::string> missing;
  bool any = false;
  for (const ModelTensor& tensor : source.tensors()) {
    if (!is_linear_weight(tensor) || kept.contains(tensor.name)) continue;
    const auto entry = imatrix.entries.find(tensor.name);
    if (entry == imatrix.entries.end()) {
      missing.push_back(tensor.name);
      continue;
    }
    any = true;
    const std::uint64_t columns = entry->second.in_features * entry->second.n_mat;
    if (columns != tensor.row_elems()) {
      throw Error(ExitCode::imatrix,
                  fmt::format("imatrix entry {} has {} columns, the model has {}", tensor.name, columns,
                              tensor.row_elems()),
                  kOtherModel);
    }
    if (entry->second.max_abs.empty()) missing.push_back(tensor.name);
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
