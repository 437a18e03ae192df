#include "report/quality_charts.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "llmq/core/text.hpp"

#include "report/axis.hpp"
#include "report/html.hpp"

namespace llmq {
namespace {

constexpr double kWidth = 380, kLeft = 50, kRight = kWidth - 12, kTop = 12, kBottom = 230;
constexpr std::size_t kColours = 8;
constexpr double kLetter = 5.8, kLine = 12;  ///< what a letter of a name takes, and a line of them

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
        kLeft, frame.y(tick), kRight, kLeft - 5, frame.y(tick) + 4, html::number(tick));
  }
  const std::vector<double>& ticks = frame.across.ticks;
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    const char* side = frame.x(ticks[i]) > kRight - 10 ? " e" : " m";
    out += fmt::format(
        "<path class=\"g\" d=\"M{0:.1f} {1:g}V{2:g}\"/><text class=\"t{3}\" x=\"{0:.1f}\" "
        "y=\"{4:g}\">{5}</text>\n",
        frame.x(ticks[i]), kTop, kBottom, side, kBottom + 15, label_across(ticks[i]));
  }
  return out + fmt::format("<text class=\"t m\" x=\"{:g}\" y=\"{:g}\">{}</text>\n", (kLeft + kRight) / 2,
                           kBottom + 31, html::escape(across));
}

struct Box {
  double left, top, right, bottom;

  bool meets(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
};

/// Names beside their points: the first place of some that is free and inside of the drawing; else none, the
/// table has them all.
class NamePlacer {
 public:
  void take(double x, double y) { taken_.push_back({x - 5, y - 5, x + 5, y + 5}); }

  std::string place(const std::string& name, double x, double y) {
    const double width = kLetter * static_cast<double>(name.size());
    const struct {
      double left, base;
    } tries[] = {{x + 8, y + 4},          {x - 8 - width, y + 4},   {x - width / 2, y - 9},
                 {x - width / 2, y + 18}, {x + 6, y - 8},           {x + 6, y + 16},
                 {x - 6 - width, y - 8},  {x - 6 - width, y + 16},  {x + 14, y - 18},
                 {x + 14, y + 26},        {x - 14 - width, y - 18}, {x - 14 - width, y + 26}};
    for (const auto& at : tries) {
      const Box box{at.left, at.base - kLine + 2, at.left + width, at.base + 2};
      const bool inside = box.left >= kLeft && box.right <= kWidth && box.top >= 0 && box.bottom <= kBottom;
      if (!inside ||
          std::any_of(taken_.begin(), taken_.end(), [&](const Box& one) { return one.meets(box); }))
        continue;
      taken_.push_back(box);
      return fmt::format("<text class=\"name\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", at.left, at.base,
                         html::escape(name));
    }
    return "";
  }

 private:
  std::vector<Box> taken_;
};

std::string draw_pareto(const Frame& frame, std::vector<TradeoffPoint> best) {
  std::sort(best.begin(), best.end(),
            [](const TradeoffPoint& a, const TradeoffPoint& b) { return a.bytes < b.bytes; });
  std::string path;
  for (const TradeoffPoint& point : best)
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", frame.x(point.bytes),
                        frame.y(point.kld.mean));
  return fmt::format("<path class=\"l s0\" stroke-opacity=\".5\" d=\"{}\"/>\n", path);
}

std::string draw_point(const Frame& frame, const TradeoffPoint& point, bool dominated) {
  const double x = frame.x(point.bytes);
  return fmt::format(
      "<path class=\"l {0}\" d=\"M{1:.1f} {2:.1f}V{3:.1f}\"/><circle class=\"{4}\" cx=\"{1:.1f}\" "
      "cy=\"{5:.1f}\" "
      "r=\"4\"><title>{6}: {7}, KL divergence {8} ± {9}{10}</title></circle>\n",
      dominated ? "s7" : "s0", x, frame.y(point.kld.mean + point.kld.error),
      frame.y(point.kld.mean - point.kld.error), dominated ? "dot s7" : "f0", frame.y(point.kld.mean),
      html::escape(point.name), format_size(static_cast<std::uint64_t>(point.bytes)),
      html::number(point.kld.mean), html::number(point.kld.error), dominated ? ", beaten by another" : "");
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
                     colour % kColours, above, below, path,
                     colour < kColours ? "" : " stroke-dasharray=\"5 3\"");
}

}  // namespace

std::vector<bool> find_dominated(const std::vector<TradeoffPoint>& points) {
  std::vector<bool> dominated(points.size(), false);
  for (std::size_t i = 0; i < points.size(); ++i) {
    for (const TradeoffPoint& other : points) {
      const bool no_worse = other.bytes <= points[i].bytes && other.kld.mean <= points[i].kld.mean;
      const bool better = other.bytes < points[i].bytes || other.kld.mean < points[i].kld.mean;
      if (no_worse && better) dominated[i] = true;
    }
  }
  return dominated;
}

std::string draw_tradeoff(const std::vector<TradeoffPoint>& points) {
  std::vector<double> bytes, divergences;
  for (const TradeoffPoint& point : points) {
    bytes.push_back(point.bytes);
    divergences.push_back(point.kld.mean);
    if (point.kld.mean > point.kld.error) divergences.push_back(point.kld.mean - point.kld.error);
    divergences.push_back(point.kld.mean + point.kld.error);
  }
  const Frame frame{make_axis(bytes, false), make_axis(divergences, true)};
  const std::vector<bool> dominated = find_dominated(points);
  std::vector<TradeoffPoint> best;
  std::string marks, names;
  NamePlacer placer;
  for (const TradeoffPoint& point : points) placer.take(frame.x(point.bytes), frame.y(point.kld.mean));
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (!dominated[i]) best.push_back(points[i]);
    marks += draw_point(frame, points[i], dominated[i]);
    names += placer.place(points[i].name, frame.x(points[i].bytes), frame.y(points[i].kld.mean));
  }
  return html::open_svg("tradeoff", "size against mean KL divergence", kWidth, kBottom + 38) +
         draw_frame(
             frame, "size of the file",
             [](double tick) { return format_size(static_cast<std::uint64_t>(std::max(0.0, tick))); }) +
         draw_pareto(frame, best) + marks + names + "</svg>\n";
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
                       i < kColours ? "" : " (dashed)");
  }
  return html::open_svg("positions", "mean KL divergence by position in a chunk", kWidth, kBottom + 38) +
         draw_frame(frame, "position in the chunk", [](double tick) { return html::number(tick); }) +
         drawing + "</svg>\n" + (lines.size() > 1 ? "<ul class=\"key\">\n" + key + "</ul>\n" : "");
}

}  // namespace llmq
