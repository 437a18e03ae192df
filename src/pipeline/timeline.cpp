#include "llmq/pipeline/timeline.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "llmq/core/log.hpp"

#include "pipeline/nodes.hpp"

namespace llmq {
namespace {

constexpr std::size_t kMaxSlices = 64;
constexpr double kFirstSliceSeconds = 1.0 / 64;

using Slices = std::vector<std::array<double, kActivities>>;

/// Joins pairs of slices: each covers twice the time.
void halve(Slices& slices) {
  Slices joined((slices.size() + 1) / 2);
  for (std::size_t i = 0; i < slices.size(); ++i) {
    for (std::size_t a = 0; a < kActivities; ++a) joined[i / 2][a] += slices[i][a];
  }
  slices = std::move(joined);
}

/// [threads, seconds, slice width, slices...] of one rank.
std::vector<double> encode(double threads, double seconds, double width, const Slices& slices) {
  std::vector<double> values = {threads, seconds, width};
  for (const auto& slice : slices) values.insert(values.end(), slice.begin(), slice.end());
  return values;
}

RankTimeline decode(std::uint32_t rank, std::uint32_t node, const std::vector<double>& values) {
  RankTimeline timeline;
  timeline.rank = rank;
  timeline.node = node;
  timeline.threads = static_cast<std::uint32_t>(values.at(0));
  timeline.seconds = values.at(1);
  timeline.slice_seconds = values.at(2);
  for (std::size_t at = 3; at + kActivities <= values.size(); at += kActivities) {
    timeline.slices.push_back({values[at], values[at + 1], values[at + 2]});
  }
  return timeline;
}

}  // namespace

double RankTimeline::total(Activity activity) const noexcept {
  double sum = 0;
  for (const auto& slice : slices) sum += slice[static_cast<std::size_t>(activity)];
  return sum;
}

double RankTimeline::wait() const noexcept {
  return std::max(
      0.0, threads * seconds - total(Activity::read) - total(Activity::compute) - total(Activity::write));
}

std::string RankTimeline::letters() const {
  std::string text;
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const double covered = std::min(slice_seconds, seconds - static_cast<double>(i) * slice_seconds);
    const auto top = std::max_element(slices[i].begin(), slices[i].end());
    const double idle = covered * threads - slices[i][0] - slices[i][1] - slices[i][2];
    text += *top < idle ? '.' : "rcw"[top - slices[i].begin()];
  }
  return text;
}

Timeline::Timeline(std::size_t threads)
    : threads_(threads), start_(Clock::now()), slice_seconds_(kFirstSliceSeconds) {}

void Timeline::add(Activity activity, Clock::time_point begin, Clock::time_point end) {
  const double from = std::max(0.0, std::chrono::duration<double>(begin - start_).count());
  const double to = std::chrono::duration<double>(end - start_).count();
  if (!(to > from)) return;
  const std::lock_guard lock(mutex_);
  while (to > slice_seconds_ * kMaxSlices) {
    halve(slices_);
    slice_seconds_ *= 2;
  }
  for (auto slice = static_cast<std::size_t>(from / slice_seconds_);
       static_cast<double>(slice) * slice_seconds_ < to; ++slice) {
    if (slices_.size() <= slice) slices_.resize(slice + 1);
    const double slice_begin = static_cast<double>(slice) * slice_seconds_;
    slices_[slice][static_cast<std::size_t>(activity)] +=
        std::max(0.0, std::min(to, slice_begin + slice_seconds_) - std::max(from, slice_begin));
  }
}

std::vector<RankTimeline> Timeline::gather(const Communicator& comm) const {
  const NodeMap nodes = map_nodes(comm, comm.split_node());
  std::vector<double> mine;
  {
    const std::lock_guard lock(mutex_);
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    Slices slices = slices_;
    double width = slice_seconds_;
    for (; seconds > width * kMaxSlices; width *= 2) halve(slices);
    mine = encode(static_cast<double>(threads_), seconds, width, slices);
  }
  const auto gathered = comm.gather(std::span<const double>(mine), "collect timelines");
  std::vector<RankTimeline> all;
  double widest = 0;
  for (std::uint32_t rank = 0; rank < gathered.size(); ++rank) {
    all.push_back(decode(rank, nodes.node_of_rank[rank], gathered[rank]));
    widest = std::max(widest, all.back().slice_seconds);
  }
  for (RankTimeline& one : all) {
    for (; one.slice_seconds < widest; one.slice_seconds *= 2) halve(one.slices);
    one.slices.resize(std::max(one.slices.size(), static_cast<std::size_t>(std::ceil(one.seconds / widest))));
  }
  return all;
}

void log_timelines(Log& log, const std::vector<RankTimeline>& timelines) {
  for (const RankTimeline& one : timelines) {
    const double whole = std::max(1e-9, one.threads * one.seconds);
    log.debug(
        fmt::format("timeline of rank {} (node {}, {} threads, {:.2f} s): read {:.0f} %, compute {:.0f} %, "
                    "write {:.0f} %, "
                    "wait {:.0f} %, {:.3g} s a letter |{}|",
                    one.rank, one.node, one.threads, one.seconds, 100 * one.total(Activity::read) / whole,
                    100 * one.total(Activity::compute) / whole, 100 * one.total(Activity::write) / whole,
                    100 * one.wait() / whole, one.slice_seconds, one.letters()));
  }
}

}  // namespace llmq
