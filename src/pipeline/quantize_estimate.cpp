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

/// Seconds a weight of reading and encoding the first rows of a tensor.
double seconds_per_weight(const ModelSource& source, const PlannedTensor& tensor) {
  const std::uint64_t elems = tensor.source->row_elems();
  const std::uint64_t most = std::clamp<std::uint64_t>(kMaxSampleElems / elems, 1, tensor.source->ne[1]);
  std::span<const float> importance;
  if (!tensor.importance.empty()) importance = tensor.importance.front();
  std::vector<float> weights;
  std::vector<std::byte> encoded;
  for (std::uint64_t rows = 1;; rows = std::min(4 * rows, most)) {
    weights.resize(rows * elems);
    encoded.resize(rows * row_bytes(tensor.type, elems));
    const Clock::time_point start = Clock::now();
    source.read_rows(*tensor.source, 0, rows, RowOrder::gguf, weights);
    for (float& weight : weights) {
      if (!std::isfinite(weight)) weight = 0;  // the run names it; here it is only in the way
    }
    encode_rows(tensor.type, weights, elems, importance, encoded);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (seconds >= kLongEnough || rows == most) return seconds / static_cast<double>(weights.size());
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
