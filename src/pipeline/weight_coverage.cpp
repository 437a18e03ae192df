#include "pipeline/weight_coverage.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/pipeline/interrupt.hpp"

#include "pipeline/tensor_importance.hpp"

namespace llmq {
namespace {

// Scores are f32 and not negative: their bits are in the same order. The upper 16 say which bin they fall
// into.
constexpr int kBinShift = 16;
constexpr std::size_t kBins = std::size_t{1} << 16;
constexpr std::uint64_t kChunkElems = std::uint64_t{1} << 20;

/// Some rows of one tensor.
struct Chunk {
  std::size_t tensor;
  std::uint64_t row, rows;
};

struct Scored {
  std::uint64_t tensor, index;
  std::uint32_t bits;
};

/// By score, then by place.
bool comes_first(const Scored& a, const Scored& b) {
  if (a.bits != b.bits) return a.bits > b.bits;
  return a.tensor != b.tensor ? a.tensor < b.tensor : a.index < b.index;
}

class Coverage {
 public:
  Coverage(const StageContext& context, const ModelSource& source, const Imatrix& imatrix)
      : context_(context), source_(source) {
    for (const ModelTensor& tensor : source.tensors()) {
      if (share_importance(imatrix, tensor)) tensors_.push_back(&tensor);
    }
    std::sort(tensors_.begin(), tensors_.end(), [](auto* a, auto* b) { return a->name < b->name; });
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      total_ += tensors_[i]->elements();
      const std::uint64_t step = std::max<std::uint64_t>(1, kChunkElems / tensors_[i]->row_elems());
      for (std::uint64_t row = 0; row < tensors_[i]->rows(); row += step) {
        if (number++ % static_cast<std::uint64_t>(context.comm.size()) !=
            static_cast<std::uint64_t>(context.comm.rank()))
          continue;
        mine_.push_back({i, row, std::min(step, tensors_[i]->rows() - row)});
      }
    }
  }

  std::map<std::string, std::vector<std::uint64_t>> find(double coverage) {
    if (total_ == 0) return {};
    const auto wanted = std::max<std::uint64_t>(
        1, static_cast<std::uint64_t>(std::llround(coverage * static_cast<double>(total_))));
    const std::uint32_t lowest_bin = find_bin(wanted);
    std::vector<Scored> found = collect(lowest_bin);
    const auto gathered = context_.comm.gather(std::span<const Scored>(found), "collect covered weights");
    std::map<std::string, std::vector<std::uint64_t>> covered;
    if (!context_.comm.is_root()) return covered;
    found.clear();
    for (const std::vector<Scored>& part : gathered) found.insert(found.end(), part.begin(), part.end());
    const std::size_t count = std::min<std::size_t>(wanted, found.size());
    std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count - 1), found.end(),
                     comes_first);
    for (std::size_t i = 0; i < count; ++i)
      covered[tensors_[found[i].tensor]->name].push_back(found[i].index);
    for (auto& [name, indices] : covered) std::sort(indices.begin(), indices.end());
    return covered;
  }

 private:
  /// Rank 0's importance of the tensor for every rank; false if it has none.
  bool share_importance(const Imatrix& imatrix, const ModelTensor& tensor) {
    std::vector<float> values;
    if (context_.comm.is_root()) {
      const auto entry = imatrix.entries.find(tensor.name);
      const std::uint64_t matrices = tensor.ne[2] * tensor.ne[3];
      if (entry != imatrix.entries.end() && entry->second.in_features == tensor.ne[0] &&
          entry->second.n_mat == matrices) {
        const TensorImportance importance = importance_of(imatrix, tensor).value();
        for (const std::vector<float>& part : importance.columns)
          values.insert(values.end(), part.begin(), part.end());
      }
    }
    std::uint64_t count = values.size();
    context_.comm.broadcast(std::span<std::uint64_t>(&count, 1), 0, "share importance");
    if (count == 0) return false;
    values.resize(count);
    context_.comm.broadcast(std::span(values), 0, "share importance");
    importance_[tensor.name] = std::move(values);
    return true;
  }

  /// Calls take(worker, tensor, flat index, bits of the score) for every weight of this rank.
  template <class Take>
  void over_weights(const Take& take) const {
    std::vector<std::vector<float>> rows(context_.threads);
    parallel_for(mine_.size(), context_.threads, [&](std::size_t i, std::size_t worker) {
      stop_if_asked();
      const Chunk& chunk = mine_[i];
      const ModelTensor& tensor = *tensors_[chunk.tensor];
      const std::vector<float>& importance = importance_.at(tensor.name);
      const std::uint64_t width = tensor.row_elems();
      rows[worker].resize(chunk.rows * width);
      source_.read_rows(tensor, chunk.row, chunk.rows, RowOrder::gguf, rows[worker]);
      for (std::uint64_t row = 0; row < chunk.rows; ++row) {
        const float* weights = rows[worker].data() + row * width;
        const float* of_columns = importance.data() + (chunk.row + row) / tensor.ne[1] * width;
        for (std::uint64_t j = 0; j < width; ++j) {
          const float score = weights[j] * weights[j] * of_columns[j];
          take(worker, chunk.tensor, (chunk.row + row) * width + j,
               std::isnan(score) ? 0U : std::bit_cast<std::uint32_t>(score));
        }
      }
    });
  }

  /// The highest bin for which it and those above hold enough weights.
  std::uint32_t find_bin(std::uint64_t wanted) const {
    std::vector<std::vector<std::uint64_t>> counts(context_.threads, std::vector<std::uint64_t>(kBins, 0));
    context_.comm.together("count weights by score", [&] {
      over_weights([&](std::size_t worker, std::size_t, std::uint64_t, std::uint32_t bits) {
        ++counts[worker][bits >> kBinShift];
      });
    });
    for (std::size_t worker = 1; worker < counts.size(); ++worker) {
      for (std::size_t bin = 0; bin < kBins; ++bin) counts[0][bin] += counts[worker][bin];
    }
    context_.comm.all_reduce(std::span(counts[0]), comm::ReduceOp::sum, "count weights by score");
    std::uint64_t above = 0;
    for (std::size_t bin = kBins; bin-- > 0;) {
      above += counts[0][bin];
      if (above >= wanted) return static_cast<std::uint32_t>(bin);
    }
    return 0;
  }

  std::vector<Scored> collect(std::uint32_t lowest_bin) const {
    std::vector<std::vector<Scored>> found(context_.threads);
    context_.comm.together("collect covered weights", [&] {
      over_weights([&](std::size_t worker, std::size_t tensor, std::uint64_t index, std::uint32_t bits) {
        if (bits >> kBinShift >= lowest_bin) found[worker].push_back({tensor, index, bits});
      });
    });
    for (std::size_t worker = 1; worker < found.size(); ++worker)
      found[0].insert(found[0].end(), found[worker].begin(), found[worker].end());
    return std::move(found[0]);
  }

  const StageContext& context_;
  const ModelSource& source_;
  std::vector<const ModelTensor*> tensors_;  ///< with importance, by name
  std::map<std::string, std::vector<float>> importance_;
  std::vector<Chunk> mine_;
  std::uint64_t total_ = 0;
};

}  // namespace

std::map<std::string, std::vector<std::uint64_t>> find_covered(const StageContext& context,
                                                               const ModelSource& source,
                                                               const Imatrix& imatrix, double coverage) {
  return Coverage(context, source, imatrix).find(coverage);
}

}  // namespace llmq
