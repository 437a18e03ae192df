#include "pipeline/smooth_folding.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"
#include "llmq/smoothquant/int8_source.hpp"

namespace llmq {
namespace {

constexpr double kCodes = 127;
constexpr double kRoundingVariance = 1.0 / 12;  // of a step, where values are spread evenly over it

/// Mean squares of a mapping's input columns; and of the square of a token's largest input, from above.
struct InputMoments {
  std::vector<double> mean_square;
  double largest_square = 0;
};

InputMoments input_moments(const MappingFacts& facts, const std::vector<double>& scale_of, bool fixed) {
  const ImatrixEntry& entry = facts.imatrix.entries.at(facts.mapping.balance.front());
  const auto tokens = static_cast<double>(std::max<std::uint64_t>(1, entry.counts.at(0)));
  InputMoments moments;
  double range = 0, fourth = 0;
  for (std::size_t c = 0; c < scale_of.size(); ++c) {
    moments.mean_square.push_back(entry.sum_sq[c] / tokens);
    range = std::max(range, static_cast<double>(entry.max_abs[c]) / scale_of[c]);
    if (!entry.sum_quad.empty()) fourth += entry.sum_quad[c] / tokens / std::pow(scale_of[c], 4);
  }
  moments.largest_square = range * range;
  if (!fixed && !entry.sum_quad.empty())
    moments.largest_square = std::min(moments.largest_square, std::sqrt(fourth));
  return moments;
}

double median_of(std::vector<float> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return static_cast<double>(*middle);
}

RangeSummary summarize(const std::vector<float>& ranges) {
  return {static_cast<double>(*std::max_element(ranges.begin(), ranges.end())), median_of(ranges)};
}

void describe_scales(const std::vector<float>& scales, MappingReport& report) {
  const auto [least, most] = std::minmax_element(scales.begin(), scales.end());
  report.scale_smallest = static_cast<double>(*least);
  report.scale_largest = static_cast<double>(*most);
  report.scale_median = median_of(scales);
}

/// Channels far above the one in the middle, widest first.
void describe_wide_channels(const std::vector<float>& input, MappingReport& report) {
  constexpr double kWide = 10;
  constexpr std::size_t kShown = 3;
  if (report.input_after.median == 0) return;
  for (std::size_t j = 0; j < input.size(); ++j) {
    const double times = static_cast<double>(input[j]) / report.input_after.median;
    if (times > kWide) report.widest.push_back({j, times});
  }
  report.wide_channels = report.widest.size();
  std::stable_sort(
      report.widest.begin(), report.widest.end(),
      [](const WideChannel& a, const WideChannel& b) { return a.times_median > b.times_median; });
  if (report.widest.size() > kShown) report.widest.resize(kShown);
}

std::string complaint(const MappingReport& report, const ChannelRanges& ranges) {
  const auto infinite = std::find_if(ranges.input.begin(), ranges.input.end(),
                                     [](float value) { return !std::isfinite(value); });
  if (infinite != ranges.input.end())
    return fmt::format("{} (the range of channel {} is {})", report.name, infinite - ranges.input.begin(),
                       *infinite);
  if (report.input_before.largest == 0) return fmt::format("{} (its input was always 0)", report.name);
  if (report.error <= kLargestSmoothError) return {};
  std::string text = fmt::format("{} (error {:.2f}", report.name, report.error);
  if (!report.widest.empty()) {
    text += ", widest channels";
    for (const WideChannel& wide : report.widest)
      text += fmt::format(" {} ({:.0f}x the median)", wide.channel, wide.times_median);
  }
  return text + ")";
}

/// "blk\.3\.ffn_down" of a mapping's first weight: a pattern that finds it.
std::string pattern_for(const SmoothMapping& mapping) {
  std::string pattern;
  const std::string& weight = mapping.balance.front();
  for (const char letter : weight.substr(0, weight.rfind('.')))
    pattern += letter == '.' ? "\\." : std::string(1, letter);
  return pattern;
}

/// What helps a mapping that 8 bits do not suit.
std::string way_out(const SmoothMapping& mapping) {
  return fmt::format(
      "try --alpha auto, leave such a layer as it is (--tensor-type '{}=BF16'), or use a format "
      "whose scales are finer: gguf -q Q8_0",
      pattern_for(mapping));
}

}  // namespace

std::vector<SmoothMapping> coded_mappings(const ModelSource& source, const std::set<std::string>& kept) {
  std::vector<SmoothMapping> mappings = smooth_mappings(source.spec());
  std::erase_if(mappings, [&](const SmoothMapping& mapping) {
    return std::any_of(mapping.balance.begin(), mapping.balance.end(),
                       [&](const std::string& weight) { return kept.contains(weight); });
  });
  return mappings;
}

bool may_fold(const ModelSource& source, const SmoothMapping& mapping, const std::set<std::string>& kept) {
  if (kept.contains(mapping.source)) return false;
  return mapping.kind == FoldKind::norm || source.find(bias_of(mapping.source)) == nullptr;
}

double error_bound(const MappingFacts& facts, const std::vector<float>& scales, bool fixed) {
  const ImatrixEntry& entry = facts.imatrix.entries.at(facts.mapping.balance.front());
  std::vector<double> scale_of(entry.in_features, 1);
  for (std::size_t c = 0; c < scale_of.size() && !scales.empty(); ++c)
    scale_of[c] = static_cast<double>(scales[channel_of_column(facts.mapping, facts.source.spec(), c)]);
  const InputMoments input = input_moments(facts, scale_of, fixed);
  double smooth_input = 0;  // mean square of a token's scaled input
  for (std::size_t c = 0; c < scale_of.size(); ++c)
    smooth_input += input.mean_square[c] / (scale_of[c] * scale_of[c]);
  double noise = 0, signal = 0;
  for (const std::string& weight : facts.mapping.balance) {
    const WeightColumns& columns = facts.columns.at(weight);
    double squares = 0, largest = 0;
    for (std::size_t c = 0; c < scale_of.size(); ++c) {
      const double square = static_cast<double>(columns.squares[c]);
      squares += square * scale_of[c] * scale_of[c];
      largest = std::max(largest, static_cast<double>(columns.largest[c]) * scale_of[c]);
      signal += square * input.mean_square[c];
    }
    const auto rows = static_cast<double>(facts.source.find(weight)->rows());
    noise += input.largest_square * squares + rows * largest * largest * smooth_input;
  }
  noise *= kRoundingVariance / (kCodes * kCodes);
  return signal == 0 ? 0 : std::sqrt(noise / signal);
}

std::vector<float> scales_as_stored(const ModelSource& source, const SmoothMapping& mapping,
                                    const std::vector<float>& scales) {
  if (mapping.kind != FoldKind::norm) return scales;
  const ModelTensor& norm = *source.find(mapping.source);
  std::vector<float> values(norm.elements());
  source.read_rows(norm, 0, norm.rows(), RowOrder::hugging_face, values);
  return scales_of_stored_norm(values, scales, plain_dtype(norm.stored_type).value_or(DType::F32),
                               norm.offset);
}

Scalings fold_choices(const ModelSpec& spec, const std::vector<SmoothMapping>& mappings,
                      const std::vector<SmoothChoice>& choices) {
  Scalings scalings;
  for (std::size_t m = 0; m < mappings.size(); ++m) {
    if (choices[m].folded) fold(mappings[m], spec, choices[m].scales, scalings);
  }
  return scalings;
}

std::map<std::string, float> fixed_input_scales(const ModelSource& source, const Imatrix& imatrix,
                                                const Scalings& scalings, const std::set<std::string>& kept) {
  std::map<std::string, float> scales;
  for (const ModelTensor& tensor : source.tensors()) {
    if (!is_linear_weight(tensor) || kept.contains(tensor.name)) continue;
    const std::vector<float>& ranges = imatrix.entries.at(tensor.name).max_abs;
    const auto scaling = scalings.find(tensor.name);
    float largest = 0;
    for (std::size_t c = 0; c < ranges.size(); ++c) {
      const bool scaled = scaling != scalings.end() && !scaling->second.columns.empty();
      largest = std::max(largest, ranges[c] / (scaled ? scaling->second.columns[c] : 1.0F));
    }
    const float scale = largest / static_cast<float>(kCodes);
    if (!std::isfinite(scale) || !(scale > 0)) {
      throw Error(
          ExitCode::smoothquant,
          fmt::format("{}: its input has the range {}, which gives no fixed scale", tensor.name, largest),
          "Use --activation-scales dynamic, or another calibration text");
    }
    scales.emplace(tensor.name, scale);
  }
  return scales;
}

MappingReport describe_mapping(const MappingFacts& facts, const ChannelRanges& ranges,
                               const SmoothChoice& choice, bool fixed) {
  MappingReport report;
  report.name = facts.mapping.name();
  report.folded = choice.folded;
  report.alpha = choice.alpha;
  report.refined = choice.refined;
  report.input_before = summarize(ranges.input);
  report.weight_before = summarize(ranges.weight);
  ChannelRanges after = ranges;
  for (std::size_t j = 0; j < after.input.size() && choice.folded; ++j) {
    after.input[j] /= choice.scales[j];
    after.weight[j] *= choice.scales[j];
  }
  report.input_after = summarize(after.input);
  report.weight_after = summarize(after.weight);
  if (choice.folded) describe_scales(choice.scales, report);
  describe_wide_channels(after.input, report);
  report.measured = choice.measured;
  report.error = choice.measured ? choice.error : error_bound(facts, choice.scales, fixed);
  return report;
}

std::string advice_on_wide_channels(const std::vector<SmoothMapping>& mappings,
                                    const std::vector<MappingReport>& reports) {
  std::uint64_t channels = 0, inputs = 0;
  std::size_t worst = reports.size();
  for (std::size_t m = 0; m < reports.size(); ++m) {
    channels += reports[m].wide_channels;
    if (reports[m].widest.empty()) continue;
    ++inputs;
    const double widest = reports[m].widest.front().times_median;
    if (worst == reports.size() || widest > reports[worst].widest.front().times_median) worst = m;
  }
  if (inputs == 0) return {};
  const WideChannel& widest = reports[worst].widest.front();
  return fmt::format(
      "{} channels of {} inputs stay more than 10 times their input's median (most: {}, channel {}, {:.0f} "
      "times); "
      "if quality suffers, {}",
      channels, inputs, reports[worst].name, widest.channel, widest.times_median, way_out(mappings[worst]));
}

void require_representable(const std::vector<SmoothMapping>& mappings,
                           const std::vector<MappingReport>& reports,
                           const std::vector<ChannelRanges>& ranges) {
  std::vector<std::string> complaints;
  std::size_t worst = 0;
  for (std::size_t m = 0; m < reports.size(); ++m) {
    std::string text = complaint(reports[m], ranges[m]);
    if (text.empty()) continue;
    if (complaints.empty()) worst = m;
    complaints.push_back(std::move(text));
  }
  if (complaints.empty()) return;
  throw Error(ExitCode::smoothquant,
              fmt::format("{} mappings cannot be represented in 8 bits: {}", complaints.size(),
                          join_some(complaints)),
              way_out(mappings[worst]));
}

}  // namespace llmq
