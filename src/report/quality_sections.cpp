#include "report/quality_sections.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "report/heat_map.hpp"
#include "report/html.hpp"
#include "report/tensor_place.hpp"

namespace llmq {
namespace {

constexpr std::uint32_t kMostMapLayers = 1000;  // a name may claim any layer, and a map has a row for each
constexpr double kPaleDivergence = 0.02, kDarkDivergence = 3;  // nats: ends of the colours of words

/// Where a tensor stands in the maps; nothing for one that does not.
std::optional<TensorPlace> place_in_maps(const TensorError& tensor) {
  TensorPlace place = place_of(tensor.name);
  if (!place.layer || *place.layer >= kMostMapLayers) return std::nullopt;
  if (place.role.ends_with("_norm") || tensor.name.ends_with(".bias")) return std::nullopt;
  return place;
}

/// Empty when there is no value at all.
template <class Value>
std::string draw_map(const std::vector<TensorError>& tensors, std::string id, const char* label, bool linear,
                     const Value& value) {
  HeatMap map{std::move(id), label, 0, {}, {}, linear};
  bool any = false;
  for (const TensorError& tensor : tensors) {
    const std::optional<TensorPlace> place = place_in_maps(tensor);
    if (!place) continue;
    map.n_layers = std::max(map.n_layers, *place->layer + 1);
    map.roles.push_back(place->role);
    map.cells.push_back({*place->layer, place->role, tensor.name, value(tensor)});
    any = any || map.cells.back().value;
  }
  map.roles = in_order(std::move(map.roles));
  return any ? draw(map) : "";
}

/// White space that shows.
std::string shown_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n')
      out += "⏎";
    else if (c == '\t')
      out += "⇥";
    else if (c != '\r')
      out += c;
  }
  return out;
}

std::string draw_token(const SentenceToken& token) {
  const int step = token.kld < kPaleDivergence
                       ? -1
                       : heat_step(std::min(token.kld, kDarkDivergence), kPaleDivergence, kDarkDivergence);
  const std::string title = html::escape(
      fmt::format("KL divergence {}; probability {} in the original, {} here; expected \"{}\" / \"{}\"",
                  html::number(token.kld), html::number(token.p_original), html::number(token.p_quantized),
                  shown_text(token.top_original), shown_text(token.top_quantized)));
  const std::string colour = step < 0 ? "" : fmt::format(" class=\"k{}\"", step);
  return fmt::format("<b{} title=\"{}\">{}</b>", colour, title, html::escape(shown_text(token.text)));
}

std::string draw_sentence(const SentenceReport& sentence) {
  std::string words;
  for (const SentenceToken& token : sentence.tokens) words += draw_token(token);
  const auto worst =
      std::max_element(sentence.tokens.begin(), sentence.tokens.end(),
                       [](const SentenceToken& a, const SentenceToken& b) { return a.kld < b.kld; });
  std::string note = fmt::format("Mean {} nats, chunk {}, position {}.", html::number(sentence.kld),
                                 sentence.chunk, sentence.position);
  if (worst != sentence.tokens.end()) {
    note += fmt::format(" Worst at \"{}\" ({} nats): the original expected \"{}\", this file \"{}\".",
                        shown_text(worst->text), html::number(worst->kld), shown_text(worst->top_original),
                        shown_text(worst->top_quantized));
  }
  return fmt::format("<p class=\"says\"><s>{}</s>{}</p>\n<p class=\"note\">{}</p>\n",
                     html::escape(shown_text(sentence.before)), words, html::escape(note));
}

}  // namespace

std::string with_error(double value, double error) {
  if (!(error > 0)) return html::number(value);
  if (error < 1e-6) return fmt::format("{:.3g} ± {:.1g}", value, error);
  // Two digits of the error, and of the value what they leave certain.
  const int decimals = std::clamp(1 - static_cast<int>(std::floor(std::log10(error))), 0, 9);
  return fmt::format("{:.{}f} ± {:.{}f}", value, decimals, error, decimals);
}

std::string draw_error_maps(const std::vector<TensorError>& tensors, const std::string& id) {
  const auto titled = [](const char* title, const std::string& map) {
    return map.empty() ? "" : fmt::format("<div><h3>{}</h3>\n{}</div>\n", title, map);
  };
  return "<div class=\"maps\">\n" +
         titled("Bits a weight",
                draw_map(tensors, id + "-bits", "bits a weight", true,
                         [](const TensorError& tensor) { return std::optional(tensor.bit_width); })) +
         titled("Importance-weighted error",
                draw_map(tensors, id + "-weighted", "part of the product's energy lost", false,
                         [](const TensorError& tensor) { return tensor.weighted_error; })) +
         titled("Mean squared error of the weights",
                draw_map(tensors, id + "-mse", "mean squared error", false,
                         [](const TensorError& tensor) { return std::optional(tensor.mse); })) +
         "</div>\n";
}

std::size_t map_cells(const std::vector<TensorError>& tensors) {
  const auto shown = [](const TensorError& tensor) { return place_in_maps(tensor).has_value(); };
  return 3 * static_cast<std::size_t>(std::count_if(tensors.begin(), tensors.end(), shown));
}

std::string draw_sentences(const std::vector<SentenceReport>& sentences) {
  std::string out;
  for (const SentenceReport& sentence : sentences) out += draw_sentence(sentence);
  return out;
}

}  // namespace llmq
