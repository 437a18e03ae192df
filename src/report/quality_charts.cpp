#include "report/quality_charts.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "report/axis.hpp"
#include "report/html.hpp"
#include "report/name_placer.hpp"
#include "report/quality_sections.hpp"

namespace llmq {
namespace {

constexpr double kWidth = 380, kLeft = 50, kRight = kWidth - 26, kTop = 12, kBottom = 230;
constexpr std::size_t kColours = 8;

/// Where colours come again, lines differ by their dashes.
struct Stroke {
  const char* attribute;
  const char* words;
};
Stroke stroke_of(std::size_t line) {
  constexpr Stroke strokes[] = {
      {"", ""}, {" stroke-dasharray=\"6 3\"", " (dashed)"}, {" stroke-dasharray=\"2 3\"", " (dotted)"}};
  return strokes[std::min(line / kColours, std::size(strokes) - 1)];
}

/// From figures to places in a drawing.
struct Frame {
  Axis across, up;

  double x(double figure) const { return kLeft + (kRight - kLeft) * across.place(figure); }
  double y(double figure) const { return kBottom - (kBottom - kTop) * up.place(figure); }
};

template <class Label>
std::string draw_frame(const Frame& frame, const std::string& across, const Label& label_across) {
  std::string out;
  for (const double tick : frame.up.ticks) {
    out += fmt::format(
        "<path class=\"g\" d=\"M{:g} {:.1f}H{:g}\"/><text class=\"t e\" x=\"{:g}\" y=\"{:.1f}\">{}</text>\n",
        kLeft, frame.y(tick), kRight, kLeft - 5, frame.y(tick) + 4,
        frame.up.zero_low && tick == frame.up.low ? "0" : html::number(tick));
  }
  for (const double tick : frame.across.ticks) {
    out += fmt::format(
        "<path class=\"g\" d=\"M{0:.1f} {1:g}V{2:g}\"/><text class=\"t m\" x=\"{0:.1f}\" "
        "y=\"{3:g}\">{4}</text>\n",
        frame.x(tick), kTop, kBottom, kBottom + 15, label_across(tick));
  }
  return out + fmt::format("<text class=\"t m\" x=\"{:g}\" y=\"{:g}\">{}</text>\n", (kLeft + kRight) / 2,
                           kBottom + 31, html::escape(across));
}

/// What nothing beats, by size.
std::vector<TradeoffPoint> best_points(const std::vector<TradeoffPoint>& points) {
  const std::vector<bool> dominated = find_dominated(points);
  std::vector<TradeoffPoint> best;
  for (std::size_t i = 0; i < points.size(); ++i)
    if (!dominated[i]) best.push_back(points[i]);
  std::sort(best.begin(), best.end(),
            [](const TradeoffPoint& a, const TradeoffPoint& b) { return a.size < b.size; });
  return best;
}

std::string draw_pareto(const Frame& frame, const std::vector<TradeoffPoint>& best) {
  std::string path;
  for (const TradeoffPoint& point : best)
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", frame.x(point.size),
                        frame.y(point.kld.mean));
  return fmt::format("<path class=\"l s0\" stroke-opacity=\".5\" d=\"{}\"/>\n", path);
}

std::string draw_point(const Frame& frame, const SizeScale& scale, const TradeoffPoint& point,
                       bool dominated) {
  const double x = frame.x(point.size);
  return fmt::format(
      "<path class=\"l {0}\" d=\"M{1:.1f} {2:.1f}V{3:.1f}\"/><circle class=\"{4}\" cx=\"{1:.1f}\" "
      "cy=\"{5:.1f}\" "
      "r=\"4\"><title>{6}: {7}, KL divergence {8}{9}</title></circle>\n",
      dominated ? "s7" : "s0", x, frame.y(point.kld.mean + point.kld.error),
      frame.y(point.kld.mean - point.kld.error), dominated ? "dot s7" : "f0", frame.y(point.kld.mean),
      html::escape(point.name), scale.words(point.size), with_error(point.kld.mean, point.kld.error),
      dominated ? ", beaten by another" : "");
}

/// First of the points that nothing beats: there may not be room for all.
std::string draw_names(const Frame& frame, const std::vector<TradeoffPoint>& points) {
  NamePlacer placer({kLeft + 2, 0, kWidth, kBottom - 1});
  for (const TradeoffPoint& point : points) {
    const double x = frame.x(point.size);
    placer.take_point(x, frame.y(point.kld.mean));
    placer.take_line(x, frame.y(point.kld.mean + point.kld.error), x,
                     frame.y(point.kld.mean - point.kld.error));
  }
  const std::vector<TradeoffPoint> best = best_points(points);
  for (std::size_t i = 1; i < best.size(); ++i)
    placer.take_line(frame.x(best[i - 1].size), frame.y(best[i - 1].kld.mean), frame.x(best[i].size),
                     frame.y(best[i].kld.mean));
  const std::vector<bool> dominated = find_dominated(points);
  std::string out;
  for (const bool beaten : {false, true}) {
    for (std::size_t i = 0; i < points.size(); ++i)
      if (dominated[i] == beaten)
        out += placer.place(points[i].name, frame.x(points[i].size), frame.y(points[i].kld.mean));
  }
  return out;
}

std::string draw_line(const Frame& frame, const DivergenceLine& line, std::size_t colour) {
  std::string path, above, below;
  for (const PositionDivergence& part : line.parts) {
    const double x = frame.x((part.begin + part.end) / 2);
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x, frame.y(part.kld.mean));
    above +=
        fmt::format("{}{:.1f} {:.1f}", above.empty() ? "M" : "L", x, frame.y(part.kld.mean + part.kld.error));
    below = fmt::format("L{:.1f} {:.1f}", x, frame.y(part.kld.mean - part.kld.error)) + below;
  }
  return fmt::format("<path class=\"band f{0}\" d=\"{1}{2}Z\"/><path class=\"l s{0}\"{4} d=\"{3}\"/>\n",
                     colour % kColours, above, below, path, stroke_of(colour).attribute);
}

}  // namespace

std::vector<bool> find_dominated(const std::vector<TradeoffPoint>& points) {
  std::vector<bool> dominated(points.size(), false);
  for (std::size_t i = 0; i < points.size(); ++i) {
    for (const TradeoffPoint& other : points) {
      const bool no_worse = other.size <= points[i].size && other.kld.mean <= points[i].kld.mean;
      const bool better = other.size < points[i].size || other.kld.mean < points[i].kld.mean;
      if (no_worse && better) dominated[i] = true;
    }
  }
  return dominated;
}

std::string draw_tradeoff(const std::vector<TradeoffPoint>& points, const SizeScale& scale) {
  std::vector<double> sizes, divergences;
  for (const TradeoffPoint& point : points) {
    sizes.push_back(point.size);
    divergences.push_back(point.kld.mean);
    if (point.kld.mean > point.kld.error) divergences.push_back(point.kld.mean - point.kld.error);
    divergences.push_back(point.kld.mean + point.kld.error);
  }
  const Frame frame{make_axis(sizes, false), make_axis(divergences, true)};
  const std::vector<bool> dominated = find_dominated(points);
  std::string marks;
  for (std::size_t i = 0; i < points.size(); ++i) marks += draw_point(frame, scale, points[i], dominated[i]);
  return html::open_svg("tradeoff", scale.label + " against mean KL divergence", kWidth, kBottom + 38) +
         draw_frame(frame, scale.label, scale.words) + draw_pareto(frame, best_points(points)) +
         draw_names(frame, points) + marks + "</svg>\n";
}

std::string draw_positions(const std::vector<DivergenceLine>& lines) {
  std::vector<double> places, divergences;
  for (const DivergenceLine& line : lines) {
    for (const PositionDivergence& part : line.parts) {
      places.push_back(part.begin);
      places.push_back(part.end);
      divergences.push_back(part.kld.mean);
      divergences.push_back(part.kld.mean + part.kld.error);
    }
  }
  if (places.empty()) return "";
  // One model is seen best from 0 on; several lie orders of magnitude apart.
  if (lines.size() == 1) divergences.push_back(0);
  const Frame frame{make_tight_axis(places), make_axis(divergences, lines.size() > 1)};
  std::string drawing, key;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    drawing += draw_line(frame, lines[i], i);
    key += fmt::format("<li><i class=\"b{}\"></i>{}{}</li>\n", i % kColours, html::escape(lines[i].name),
                       stroke_of(i).words);
  }
  return html::open_svg("positions", "mean KL divergence by position in a chunk", kWidth, kBottom + 38) +
         draw_frame(frame, "position in the chunk", [](double tick) { return html::number(tick); }) +
         drawing + "</svg>\n" + (lines.size() > 1 ? "<ul class=\"key cols\">\n" + key + "</ul>\n" : "");
}

}  // namespace llmq
