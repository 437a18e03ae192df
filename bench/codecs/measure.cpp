#include "codecs/measure.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "llmq/core/thread_clock.hpp"
#include "llmq/quant/codec.hpp"

#include "codecs/objective.hpp"

namespace llmq::bench {
namespace {

/// What a batch needs during a comparison.
struct Work {
  const Batch& batch;
  std::vector<float> importance;  ///< as handed to both encoders
  std::vector<std::byte> theirs;
  std::vector<std::byte> ours;
  std::vector<float> their_values;
  std::vector<float> our_values;
};

std::vector<Work> prepare(GgmlType type, const Rows& rows, const std::string& importance) {
  std::vector<Work> all;
  for (const Batch& batch : rows.batches) {
    const std::size_t bytes = batch.weights.size() / batch.row_elems * row_bytes(type, batch.row_elems);
    Work work{batch,
              {},
              std::vector<std::byte>(bytes),
              std::vector<std::byte>(bytes),
              std::vector<float>(batch.weights.size()),
              std::vector<float>(batch.weights.size())};
    if (importance == "given") work.importance = batch.importance;
    if (importance == "ones") work.importance.assign(batch.row_elems, 1.0F);
    all.push_back(std::move(work));
  }
  return all;
}

template <typename Call>
double cpu_seconds(std::vector<Work>& all, Call&& call) {
  const std::int64_t start = thread_cpu_nanoseconds();
  for (Work& work : all) call(work);
  return static_cast<double>(thread_cpu_nanoseconds() - start) * 1e-9;
}

/// Both sides in turn, so that what else the machine does falls on both; the fastest time of each, because it
/// only adds.
template <typename Theirs, typename Ours>
Pair speeds(std::vector<Work>& all, double seconds, Theirs&& theirs, Ours&& ours) {
  Pair best{std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  double spent = 0.0;
  do {
    const Pair times{cpu_seconds(all, theirs), cpu_seconds(all, ours)};
    best = {std::min(best.theirs, times.theirs), std::min(best.ours, times.ours)};
    spent += times.theirs + times.ours;
  } while (spent < 2.0 * seconds);
  double count = 0.0;
  for (const Work& work : all) count += static_cast<double>(work.batch.weights.size());
  return {count / best.theirs, count / best.ours};
}

/// sum w (x - y)^2 of both; `w` is empty (all 1), one a weight or one a column.
void add_error(const Work& work, std::span<const float> w, Pair& sum) {
  const std::vector<float>& x = work.batch.weights;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double weight = w.empty() ? 1.0 : w[i % w.size()];
    const double theirs = static_cast<double>(x[i]) - work.their_values[i];
    const double ours = static_cast<double>(x[i]) - work.our_values[i];
    sum.theirs += weight * theirs * theirs;
    sum.ours += weight * ours * ours;
  }
}

void measure_errors(GgmlType type, const std::vector<Work>& all, Cell& cell) {
  for (const Work& work : all) {
    const Batch& batch = work.batch;
    add_error(work, objective_weights(type, batch.weights, batch.row_elems, work.importance), cell.error);
    add_error(work, {}, cell.square_error);
    if (cell.importance == "given") add_error(work, work.importance, cell.importance_error);
  }
}

/// Speed of decoding, on the reference's bytes; leaves each side's values of them in `their_values`,
/// `our_values`.
void measure_decoding(const Peer& peer, GgmlType type, double seconds, std::vector<Work>& all, Cell& cell) {
  const auto theirs = [&](Work& work) { peer.decode(type, work.theirs, work.their_values); };
  if (!can_decode(type)) {
    cell.decode = {speeds(all, seconds, theirs, theirs).theirs, 0.0};
    return;
  }
  cell.decode = speeds(all, seconds, theirs, [&](Work& work) {
    decode_rows(type, work.theirs, work.batch.row_elems, work.our_values);
  });
  for (const Work& work : all)
    cell.same_decoding = cell.same_decoding && work.their_values == work.our_values;
}

}  // namespace

double Pair::ratio() const noexcept {
  if (theirs > 0.0) return ours / theirs;
  return ours > 0.0 ? std::numeric_limits<double>::infinity() : 1.0;
}

Cell measure(const Peer& peer, GgmlType type, const Rows& rows, Importance importance, double seconds) {
  Cell cell;
  cell.type = type;
  cell.rows = rows.kind;
  const bool needed = peer.requires_importance(type);
  cell.importance = importance == Importance::given ? "given" : needed ? "ones" : "none";
  std::vector<Work> all = prepare(type, rows, cell.importance);
  peer.prepare(type);
  cell.encode = speeds(
      all, seconds,
      [&](Work& work) {
        peer.encode(type, work.batch.weights, work.batch.row_elems, work.importance, work.theirs);
      },
      [&](Work& work) {
        encode_rows(type, work.batch.weights, work.batch.row_elems, work.importance, work.ours);
      });
  measure_decoding(peer, type, seconds, all, cell);
  for (Work& work : all) peer.decode(type, work.ours, work.our_values);
  measure_errors(type, all, cell);
  return cell;
}

}  // namespace llmq::bench
