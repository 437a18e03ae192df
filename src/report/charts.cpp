#include "report/charts.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "report/axis.hpp"
#include "report/html.hpp"

namespace llmq {
namespace {

constexpr double kWidth = 380;
constexpr std::size_t kLineColours = 8;

/// From figures to places.
struct Axes {
  double left = 46, right = kWidth - 14, top = 10, bottom = 190;
  std::vector<double> ticks;

  double x(double part) const {
    return right + (right - left) * std::log(part) / -std::log(kSampleParts.front());
  }
  double y(double error) const {
    const double low = std::log(ticks.front()), high = std::log(ticks.back());
    return bottom - (bottom - top) * (std::log(error) - low) / (high - low);
  }
};

std::string draw_axes(const Axes& axes, std::uint64_t samples) {
  std::string out;
  for (const double tick : axes.ticks) {
    out += fmt::format(
        "<path class=\"g\" d=\"M{:g} {:.1f}H{:g}\"/><text class=\"t e\" x=\"{:g}\" y=\"{:.1f}\">{} "
        "%</text>\n",
        axes.left, axes.y(tick), axes.right, axes.left - 5, axes.y(tick) + 4, html::number(100 * tick));
  }
  for (const double part : kSampleParts) {
    const std::string count = html::number(part * static_cast<double>(samples));
    const char* side = part == kSampleParts.front() ? "" : part == kSampleParts.back() ? " e" : " m";
    out += fmt::format(
        "<path class=\"g\" d=\"M{0:.1f} {1:g}V{2:g}\"/><text class=\"t{3}\" x=\"{0:.1f}\" "
        "y=\"{4:g}\">{5}</text>\n",
        axes.x(part), axes.top, axes.bottom, side, axes.bottom + 16, count);
  }
  return out + fmt::format("<text class=\"t m\" x=\"{:g}\" y=\"{:g}\">samples</text>\n",
                           (axes.left + axes.right) / 2, axes.bottom + 32);
}

}  // namespace

std::vector<RoleGroup> group_roles(const std::vector<RoleError>& errors) {
  std::vector<RoleGroup> groups;
  for (const RoleError& one : errors) {
    const auto same = std::find_if(groups.begin(), groups.end(), [&](const RoleGroup& group) {
      return group.error.median == one.error.median && group.error.p95 == one.error.p95;
    });
    if (same == groups.end())
      groups.push_back({one.role, one.error});
    else
      same->roles += ", " + one.role;
  }
  return groups;
}

std::string draw_convergence(const std::vector<RoleGroup>& groups, std::uint64_t samples) {
  double min = INFINITY, max = 0;
  for (const RoleGroup& group : groups) {
    if (!(group.error.median > 0)) continue;  // has no place on a logarithmic axis
    min = std::min(min, group.error.median);
    max = std::max(max, predicted_error(group.error.median, kSampleParts.front()));
  }
  if (!(max > 0)) return "";
  Axes axes;
  axes.ticks = log_ticks(min, max);
  std::string out = html::open_svg("convergence-chart", "relative standard error by samples", kWidth, 226) +
                    draw_axes(axes, samples);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (!(groups[i].error.median > 0)) continue;
    std::string path;
    for (const double part : kSampleParts) {
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? 'M' : 'L', axes.x(part),
                          axes.y(predicted_error(groups[i].error.median, part)));
    }
    out += fmt::format("<path class=\"l s{}\" d=\"{}\"><title>{}</title></path>\n", i % kLineColours, path,
                       html::escape(groups[i].roles));
  }
  out += "</svg>\n<ul class=\"key\">\n";
  for (std::size_t i = 0; i < groups.size(); ++i) {
    out += fmt::format("<li><i class=\"b{}\"></i>{}: {} % (95 % of columns below {} %)</li>\n",
                       i % kLineColours, html::escape(groups[i].roles),
                       html::number(100 * groups[i].error.median), html::number(100 * groups[i].error.p95));
  }
  return out + "</ul>\n";
}

std::string draw_layer_map(const AnalyzeReport& report) {
  std::vector<std::size_t> spikes(report.n_layers, 0);
  for (const SuperWeight& spike : report.spikes) {
    const auto layer = layer_of(spike.tensor);
    if (layer && *layer < report.n_layers) ++spikes[*layer];
  }
  const double cell = std::min(24.0, (kWidth - 10) / std::max<std::uint32_t>(1, report.n_layers));
  const std::uint32_t step = cell >= 20 ? 1 : cell >= 5 ? 5 : 20;
  std::string out = html::open_svg("super-weight-map", "super weights by layer", kWidth, 58);
  for (std::uint32_t layer = 0; layer < report.n_layers; ++layer) {
    const double x = 5 + layer * cell;
    out += fmt::format(
        "<rect class=\"{}\" x=\"{:.1f}\" y=\"18\" width=\"{:.1f}\" height=\"20\"><title>layer {}: "
        "{}</title></rect>\n",
        spikes[layer] > 0 ? "hit" : "z", x, std::max(cell - 1, 1.0), layer, spikes[layer]);
    const double middle = x + (cell - 1) / 2;
    if (spikes[layer] > 0)
      out += fmt::format("<text class=\"t m\" x=\"{:.1f}\" y=\"13\">{}</text>\n", middle, spikes[layer]);
    if (layer % step == 0)
      out += fmt::format("<text class=\"t m\" x=\"{:.1f}\" y=\"53\">{}</text>\n", middle, layer);
  }
  return out + "</svg>\n";
}

std::string draw_experts(const TensorReport& tensor) {
  constexpr double height = 30, bottom = 32;
  const std::vector<std::uint64_t>& tokens = tensor.experts->tokens;
  const auto most =
      static_cast<double>(std::max<std::uint64_t>(1, *std::max_element(tokens.begin(), tokens.end())));
  const double step = kWidth / static_cast<double>(tokens.size());
  std::string bars, unused;
  for (std::size_t expert = 0; expert < tokens.size(); ++expert) {
    const double x = (static_cast<double>(expert) + 0.5) * step;
    if (tokens[expert] == 0)
      unused += fmt::format("M{:.1f} {:g}v6", x, bottom + 1);
    else
      bars +=
          fmt::format("M{:.1f} {:g}v-{:.1f}", x, bottom, height * static_cast<double>(tokens[expert]) / most);
  }
  const double stroke = std::max(0.6, 0.75 * step);
  return html::open_svg("experts-" + tensor.name, tensor.name + ": tokens by expert", kWidth, 40) +
         fmt::format(
             "<path class=\"bars\" stroke-width=\"{0:.1f}\" d=\"{1}\"/><path class=\"unused\" "
             "stroke-width=\"{0:.1f}\" d=\"{2}\"/><path class=\"g\" d=\"M0 {3:g}H{4:g}\"/></svg>\n",
             stroke, bars, unused, bottom, kWidth);
}

}  // namespace llmq
