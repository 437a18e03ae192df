#include "pipeline/smooth_ranges.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/pipeline/interrupt.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kRowsAtOnce = 256;

/// Largest |w| of each column.
std::vector<float> largest_of_columns(const ModelSource& source, const std::string& name) {
  const ModelTensor* tensor = source.find(name);
  if (tensor == nullptr) throw Error(ExitCode::validation, fmt::format("tensor {} is missing", name));
  const std::uint64_t width = tensor->row_elems();
  std::vector<float> largest(width, 0), rows;
  for (std::uint64_t row = 0; row < tensor->rows(); row += kRowsAtOnce) {
    stop_if_asked();
    const std::uint64_t count = std::min(kRowsAtOnce, tensor->rows() - row);
    rows.resize(count * width);
    source.read_rows(*tensor, row, count, RowOrder::hugging_face, rows);
    for (std::uint64_t r = 0; r < count; ++r) {
      for (std::uint64_t c = 0; c < width; ++c) {
        const float weight = std::fabs(rows[r * width + c]);
        if (!std::isfinite(weight))
          throw Error(ExitCode::smoothquant,
                      fmt::format("{}: the weight at row {}, column {} is not finite", name, row + r, c),
                      "The checkpoint may be damaged; see llm-quantize info MODEL");
        largest[c] = std::max(largest[c], weight);
      }
    }
  }
  return largest;
}

/// A weight and the mapping it balances.
struct Part {
  std::size_t mapping;
  const std::string* weight;
};

void raise(std::vector<float>& to, const std::vector<float>& by) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = std::max(to[i], by[i]);
}

}  // namespace

bool has_input_ranges(const Imatrix& imatrix, const std::vector<SmoothMapping>& mappings) {
  return std::all_of(mappings.begin(), mappings.end(), [&](const SmoothMapping& mapping) {
    return std::all_of(mapping.balance.begin(), mapping.balance.end(), [&](const std::string& weight) {
      const auto entry = imatrix.entries.find(weight);
      return entry != imatrix.entries.end() && !entry->second.max_abs.empty();
    });
  });
}

std::vector<ChannelRanges> measure_ranges(const StageContext& context, const ModelSource& source,
                                          const Imatrix& imatrix,
                                          const std::vector<SmoothMapping>& mappings) {
  std::vector<ChannelRanges> ranges(mappings.size());
  std::vector<Part> parts;
  for (std::size_t m = 0; m < mappings.size(); ++m) {
    ranges[m].input.assign(mappings[m].channels, 0);
    ranges[m].weight.assign(mappings[m].channels, 0);
    for (const std::string& weight : mappings[m].balance) {
      parts.push_back({m, &weight});
      raise(ranges[m].input,
            largest_of_channels(mappings[m], source.spec(), imatrix.entries.at(weight).max_abs));
    }
  }
  const auto rank = static_cast<std::size_t>(context.comm.rank()),
             ranks = static_cast<std::size_t>(context.comm.size());
  const std::size_t share = parts.size() / ranks + (rank < parts.size() % ranks ? 1 : 0);
  std::vector<std::vector<float>> found(share);
  context.comm.together("measure the weights' ranges", [&] {
    parallel_for(share, context.threads, [&](std::size_t i, std::size_t) {
      const Part& part = parts[rank + i * ranks];
      found[i] = largest_of_channels(mappings[part.mapping], source.spec(),
                                     largest_of_columns(source, *part.weight));
    });
    for (std::size_t i = 0; i < share; ++i) raise(ranges[parts[rank + i * ranks].mapping].weight, found[i]);
  });
  for (ChannelRanges& one : ranges)
    context.comm.all_reduce(std::span(one.weight), comm::ReduceOp::max, "join the weights' ranges");
  return ranges;
}

}  // namespace llmq
