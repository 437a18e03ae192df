#include "cli/render_coherence.hpp"

#include <fmt/format.h>

namespace llmq::cli {
namespace {

std::string mode_name(WritingMode mode) { return mode == WritingMode::greedy ? "greedy" : "sampled"; }

/// Line ends and other control characters become blanks; the rest is shown as it is.
std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return text;
}

}  // namespace

Json coherence_json(const CoherenceResult& result) {
  const CoherenceFigures& figures = result.figures;
  Json examples = Json::array();
  for (const Continuation& example : result.examples) {
    examples.push_back({{"prompt", example.prompt},
                        {"mode", mode_name(example.mode)},
                        {"original", example.original},
                        {"quantized", example.quantized}});
  }
  return {{"score", figures.score},
          {"likelihood", figures.likelihood},
          {"repetition", figures.repetition},
          {"agreement", figures.agreement},
          {"mean_log_p_quantized", figures.mean_log_p_quantized},
          {"mean_log_p_original", figures.mean_log_p_original},
          {"distinct_4grams_quantized", figures.distinct_quantized},
          {"distinct_4grams_original", figures.distinct_original},
          {"prompts", result.prompts},
          {"tokens_per_continuation", result.length},
          {"tokens", figures.tokens},
          {"examples", examples},
          {"duration_seconds", result.seconds}};
}

std::string coherence_text(const CoherenceResult& result) {
  return fmt::format("{:.4f} (likelihood {:.4f}, repetition {:.4f})", result.figures.score,
                     result.figures.likelihood, result.figures.repetition);
}

std::string coherence_examples(const CoherenceResult& result) {
  std::string text;
  for (const Continuation& example : result.examples) {
    text += fmt::format("\n{} ({})\n  original:  {}\n  quantized: {}\n", one_line(example.prompt),
                        mode_name(example.mode), one_line(example.original), one_line(example.quantized));
  }
  return text;
}

}  // namespace llmq::cli
