#include "pipeline/quantize_estimate.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <thread>

#include "llmq/quant/codec.hpp"

namespace llmq {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMaxSampleElems = std::uint64_t{1} << 17;
constexpr double kLongEnough = 0.005;  // seconds: well above what the clock and the caches do to it

struct Share {
  const PlannedTensor* largest = nullptr;
  double weights = 0;
};

/// Rows of one tensor as a unit of the run reads and encodes them.
class Sample {
 public:
  Sample(const ModelSource& source, const PlannedTensor& tensor) : source_(source), tensor_(tensor) {
    if (!tensor.importance.empty()) importance_ = tensor.importance.front();
  }

  /// Seconds of the first `rows` rows.
  double measure(std::uint64_t rows) {
    const std::uint64_t elems = tensor_.source->row_elems();
    weights_.resize(rows * elems);
    encoded_.resize(rows * row_bytes(tensor_.type, elems));
    const Clock::time_point start = Clock::now();
    source_.read_rows(*tensor_.source, 0, rows, RowOrder::gguf, weights_);
    for (float& weight : weights_) {
      if (!std::isfinite(weight)) weight = 0;  // the run names it; here it is only in the way
    }
    encode_rows(tensor_.type, weights_, elems, importance_, encoded_);
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

 private:
  const ModelSource& source_;
  const PlannedTensor& tensor_;
  std::span<const float> importance_;
  std::vector<float> weights_;
  std::vector<std::byte> encoded_;
};

double seconds_per_weight(const ModelSource& source, const PlannedTensor& tensor) {
  const std::uint64_t elems = tensor.source->row_elems();
  const std::uint64_t most = std::clamp<std::uint64_t>(kMaxSampleElems / elems, 1, tensor.source->ne[1]);
  Sample sample(source, tensor);
  for (std::uint64_t rows = 1;; rows = std::min(4 * rows, most)) {
    double seconds = sample.measure(rows);
    if (seconds < kLongEnough && rows < most) continue;
    seconds = std::min(seconds, sample.measure(rows));  // the other one may have been put off the core
    return seconds / static_cast<double>(rows * elems);
  }
}

/// Threads of all ranks, no more a node than it has cores.
double workers(const StageContext& context) {
  const auto ranks = static_cast<std::size_t>(context.comm.size());
  const auto on_node = static_cast<std::size_t>(context.comm.split_node().size());
  const std::size_t cores = std::max(1u, std::thread::hardware_concurrency());
  const std::size_t a_node = std::min(on_node * context.threads, cores);
  return static_cast<double>(a_node) * static_cast<double>(ranks) / static_cast<double>(on_node);
}

}  // namespace

double estimate_seconds(const StageContext& context, const ModelSource& source, const QuantizePlan& plan) {
  const double threads = workers(context);
  double seconds = 0;
  context.comm.together("estimate the time", [&] {
    if (!context.comm.is_root()) return;
    std::map<GgmlType, Share> shares;
    for (const PlannedTensor& tensor : plan.tensors) {
      Share& share = shares[tensor.type];
      share.weights += static_cast<double>(tensor.source->elements());
      if (share.largest == nullptr || tensor.source->elements() > share.largest->source->elements())
        share.largest = &tensor;
    }
    for (const auto& [type, share] : shares)
      seconds += share.weights * seconds_per_weight(source, *share.largest);
  });
  return seconds / threads;
}

}  // namespace llmq
