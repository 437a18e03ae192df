#include "scale/simulate_analyze.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "pipeline/analyze_grid.hpp"
#include "scale/simulate_pipeline.hpp"

namespace llmq::scale {
namespace {

constexpr double kSourceBytes = 2;
constexpr double kTextBytesPerToken = 3.5;
constexpr int kSamplesPerThreadAndRound = 8;  // the walk's own figures: analyze_walks.cpp, analyze_run.cpp
constexpr int kBatchesPerRound = 32;
constexpr double kMaxCommitShare = 0.05;
constexpr double kFirstCommitSeconds = 10;
constexpr double kStatisticBytes = 52;  // three sums and a maximum a column

class Analyze {
 public:
  Analyze(const Scene& scene, const AnalyzeJob& job)
      : scene_(scene),
        job_(job),
        talk_(scene.costs, scene.machine, scene.layout),
        work_(layer_work(scene.shape.spec, job.ctx)),
        layers_(scene.shape.spec.n_layers),
        groups_(static_cast<std::uint32_t>(job.layer_groups)) {
    grid_ = place_in_grid(0, static_cast<std::uint32_t>(scene.layout.ranks()), groups_, layers_);
  }

  Prediction run() {
    add(start_phase(scene_));
    const double text = job_.text_bytes > 0
                            ? job_.text_bytes
                            : kTextBytesPerToken * job_.samples * static_cast<double>(job_.ctx);
    add(plan_phase(scene_, scene_.costs.load_pass + text * scene_.costs.text_byte));
    add(plain_phase("directory", Cause::root, small_files(scene_, 5, 2)));
    add(plain_phase("agree", Cause::network, 8 * talk_.agree()));
    if (groups_ == 1) {
      walk_layers();
    } else {
      walk_pipeline();
    }
    finish();
    return prediction_;
  }

 private:
  const Costs& costs() const { return scene_.costs; }
  const Machine& machine() const { return scene_.machine; }
  const Layout& layout() const { return scene_.layout; }
  void add(Phase phase) { prediction_.phases.push_back(std::move(phase)); }

  /// Samples of a rank's sample group.
  int samples_of(std::uint32_t sample_group) const {
    return static_cast<int>(
        samples_of_group(sample_group, grid_.sample_groups, static_cast<std::uint64_t>(job_.samples)).size());
  }

  /// Reading token rows of the embedding, one small read a token.
  double embed_wait() const { return machine().cached ? 0.0 : job_.ctx * machine().fs_operation; }

  /// Seconds until ranks that read `layers` layers each have them, without the CPU's part.
  /// @param node_layers  layers read by one node; with a node cache equal ones count once
  double read_wait(double layers, double node_layers, double all_layers) const {
    if (machine().cached) return 0;
    const double bytes = work_.weights * kSourceBytes;
    return std::max({layers * bytes / machine().stream_fs_rate, node_layers * bytes / machine().node_fs_rate,
                     all_layers * bytes / machine().fs_rate});
  }

  void walk_layers() {
    const int ranks = layout().ranks();
    const double readers = std::min(ranks, job_.samples);
    const double node_reads = machine().node_cache ? 1.0 : layout().ranks_per_node;
    const double nodes_reading = std::min<double>(layout().nodes, readers);
    const double wait = read_wait(1, node_reads, machine().node_cache ? nodes_reading : readers);
    const double load_cpu = work_.weights * costs().load_weight / machine().speed;
    const int round = layout().threads * kSamplesPerThreadAndRound;
    const int longest = samples_of(0);
    const int rounds = (longest + round - 1) / round;
    first_load(wait, load_cpu);
    for (std::uint32_t layer = 0; layer < layers_; ++layer) {
      double computing = 0;
      for (int number = 0; number < rounds; ++number) {
        const int many = std::min(round, longest - number * round);
        const bool reads_next = number == 0 && layer + 1 < layers_;
        computing += one_round(layer, many, reads_next ? load_cpu : 0.0);
        end_of_round(layer + 1, layer + 1 == layers_ && number + 1 == rounds);
      }
      // The next layer was asked for when this one's first round began.
      if (layer + 1 < layers_) exposed_load_ += std::max(0.0, wait + load_cpu - computing);
    }
    flush();
  }

  void first_load(double wait, double cpu) {
    const double all_cpu = on_all_ranks(scene_, cpu * machine().speed);
    load(wait + all_cpu, wait, cpu);
    clock_ += wait + all_cpu;
  }

  /// A load that nobody computes beside: one thread a rank works, all wait for the file system.
  void load(double seconds, double wait, double cpu) {
    ByCause busy{};
    busy[static_cast<std::size_t>(Cause::file_system)] = wait * layout().workers();
    busy[static_cast<std::size_t>(Cause::compute)] = cpu * layout().ranks();
    add(mixed_phase("load", seconds, layout().workers(), busy));
  }

  /// All ranks do `many` samples at most, round robin over ranks: the last of a group may have one fewer.
  double one_round(std::uint32_t layer, int many, double load_cpu) {
    const double each = sample_seconds(scene_, job_);
    const double embed = layer == 0 ? embed_wait() : 0.0;
    const double turns =
        std::ceil(static_cast<double>(many) / layout().threads) * std::max(1.0, 1 / machine().cores);
    const double all_samples = std::min<double>(job_.samples, static_cast<double>(many) * layout().ranks());
    const double node_samples = all_samples / layout().nodes;
    const double node_cpu = node_samples * each + load_cpu * layout().ranks_per_node;
    const double seconds = std::max(turns * (each + embed), node_cpu / machine().cores);
    compute_seconds_ += seconds;
    compute_busy_ += all_samples * each + load_cpu * std::min<double>(layout().ranks(), job_.samples);
    embed_busy_ += all_samples * embed;
    clock_ += seconds;
    return seconds;
  }

  void end_of_round(std::uint32_t layers_passed, bool last) {
    const double agreeing = talk_.agree() + talk_.all_reduce();
    round_seconds_ += agreeing;
    clock_ += agreeing;
    if (last) return;
    const double interval = commit_cost_ > 0 ? commit_cost_ / kMaxCommitShare : kFirstCommitSeconds;
    if (clock_ - last_commit_ < interval) return;
    commit_cost_ = commit(layers_passed);
    commit_seconds_ += commit_cost_;
    clock_ += commit_cost_;
    last_commit_ = clock_;
  }

  /// Statistics since the last commit are summed at rank 0, then all ranks write their states.
  double commit(std::uint32_t layers_passed) {
    const double sums = (layers_passed - reduced_layers_ + 1) * reduce_layer();
    reduced_layers_ = layers_passed - 1;  // the layer under way is reduced again later
    const double states = static_cast<double>(job_.samples) * job_.ctx * scene_.shape.spec.hidden_size * 4;
    const double totals = work_.columns * kStatisticBytes * layers_passed;
    const double writers = std::min(layout().ranks(), job_.samples);
    double seconds = sums + totals * costs().checkpoint_byte +
                     on_all_ranks(scene_, states / writers * costs().checkpoint_byte);
    if (machine().cached) return seconds + costs().sync + (states + totals) * costs().sync_byte;
    seconds += std::max(states / machine().fs_rate, states / layout().nodes / machine().node_fs_rate);
    return seconds + machine().fs_sync + small_files(scene_, 4, 1);
  }

  double reduce_layer() const {
    // Four inputs; three arrays of 128-bit sums, one of maxima, one count for each.
    return talk_.reduce_i128(3.25 * work_.columns) + 8 * talk_.all_reduce();
  }

  void walk_pipeline() {
    resident_load();
    PipelineRules rules;
    rules.groups = job_.layer_groups;
    rules.rows = static_cast<int>(grid_.sample_groups);
    const int width = layout().threads;
    const int round = width * kBatchesPerRound * job_.layer_groups;
    const double each = sample_seconds(scene_, job_);
    for (std::uint32_t group = 0; group < groups_; ++group) {
      const LayerRange range = layers_of_group(group, groups_, layers_);
      rules.seconds_per_sample.push_back((range.end - range.begin) * each +
                                         (group == 0 ? embed_wait() : 0.0));
    }
    const double state = 4.0 * job_.ctx * scene_.shape.spec.hidden_size;
    rules.message_seconds = [&](int rank, int samples) {
      const bool same = rank / layout().ranks_per_node == (rank + 1) / layout().ranks_per_node;
      return talk_.message(8, same) + samples * talk_.message(state, same);
    };
    const int longest = samples_of(0);
    for (int begin = 0; begin < longest; begin += round) {
      rules.samples = [&](int row, int batch) {
        const int left = std::min(samples_of(static_cast<std::uint32_t>(row)), begin + round) - begin;
        return std::clamp(left - batch * width, 0, width);
      };
      rules.batches = (std::min(longest - begin, round) + width - 1) / width;
      const PipelineOutcome outcome = simulate_pipeline(machine(), layout(), rules);
      compute_seconds_ += outcome.seconds;
      compute_busy_ += outcome.compute_seconds;
      network_busy_ += outcome.message_seconds;
      clock_ += outcome.seconds;
      round_seconds_ += talk_.agree() + talk_.all_reduce();
    }
    flush();
  }

  void resident_load() {
    const LayerRange first = layers_of_group(0, groups_, layers_);
    const double mine = first.end - first.begin;
    std::set<std::uint32_t> of_node;  // groups that one node holds
    for (int rank = 0; rank < layout().ranks_per_node; ++rank)
      of_node.insert(static_cast<std::uint32_t>(rank) % groups_);
    const double node_layers =
        machine().node_cache ? mine * static_cast<double>(of_node.size()) : mine * layout().ranks_per_node;
    const double wait = read_wait(mine, std::min<double>(node_layers, mine * layout().ranks_per_node),
                                  node_layers * layout().nodes);
    const double cpu = mine * work_.weights * costs().load_weight;
    load(wait + on_all_ranks(scene_, cpu), wait, cpu / machine().speed);
  }

  /// Turns what was summed over rounds into phases.
  void flush() {
    ByCause busy{};
    busy[static_cast<std::size_t>(Cause::compute)] = compute_busy_;
    busy[static_cast<std::size_t>(Cause::file_system)] = embed_busy_;
    busy[static_cast<std::size_t>(Cause::network)] = network_busy_;
    add(mixed_phase("compute", compute_seconds_, layout().workers(), busy));
    if (exposed_load_ > 0) add(plain_phase("load", Cause::file_system, exposed_load_));
    add(plain_phase("rounds", Cause::network,
                    round_seconds_ + layers_ * (talk_.agree() + talk_.all_reduce())));
    add(plain_phase("checkpoints", Cause::file_system, commit_seconds_));
  }

  void finish() {
    add(plain_phase("reduce", Cause::network, (layers_ - reduced_layers_) * reduce_layer()));
    const double values = work_.statistic_columns * layers_;
    add(plain_phase("imatrix", Cause::root,
                    values * costs().imatrix_value / machine().speed + small_files(scene_, 8, 2)));
    add(plain_phase("figures", Cause::network,
                    9 * talk_.all_reduce() + talk_.gather(layout().ranks() * 1560.0)));
  }

  const Scene& scene_;
  const AnalyzeJob& job_;
  Talk talk_;
  LayerWork work_;
  std::uint32_t layers_;
  std::uint32_t groups_;
  GridPlace grid_;
  Prediction prediction_;
  double clock_ = 0;  ///< of the walk, for the commits
  double last_commit_ = 0;
  double commit_cost_ = 0;
  std::uint32_t reduced_layers_ = 0;
  double compute_seconds_ = 0, exposed_load_ = 0, round_seconds_ = 0, commit_seconds_ = 0;
  double compute_busy_ = 0, embed_busy_ = 0, network_busy_ = 0;
};

}  // namespace

double sample_seconds(const Scene& scene, const AnalyzeJob& job) {
  const LayerWork work = layer_work(scene.shape.spec, job.ctx);
  const Costs& costs = scene.costs;
  return (work.matmul_flops * costs.matmul_flop + work.attention_flops * costs.attention_flop +
          work.elementwise_values * costs.elementwise_value +
          job.ctx * work.columns * costs.statistics_value) /
         scene.machine.speed;
}

Prediction predict_analyze(const Scene& scene, const AnalyzeJob& job) { return Analyze(scene, job).run(); }

}  // namespace llmq::scale
