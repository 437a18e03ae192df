#include "cli/options/smoothquant.hpp"

#include <charconv>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "cli/environment.hpp"
#include "cli/options/choices.hpp"

namespace llmq::cli {
namespace {

constexpr const char* kLevel = "W8A8";
/// Options that say something of GGUF files only.
constexpr const char* kGgufOnly[] = {"--dynamic",
                                     "--profile",
                                     "--target-bpw",
                                     "--target-size",
                                     "--atlas-rows",
                                     "--protect-super-weights",
                                     "--protection-coverage",
                                     "--super-weight-lora",
                                     "--layer-bits",
                                     "--pure",
                                     "--leave-output-tensor",
                                     "--output-tensor-type",
                                     "--token-embedding-type",
                                     "--override-kv",
                                     "--split-max-size"};

const Choices<ActivationScales>& activation_scales() {
  static const Choices<ActivationScales> words = {{"dynamic", ActivationScales::dynamic},
                                                  {"static", ActivationScales::fixed}};
  return words;
}

/// None: by trial.
std::optional<double> parse_alpha(const std::string& text) {
  if (equals_ignore_case(text, "auto")) return std::nullopt;
  double alpha = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), alpha);
  if (error == std::errc() && end == text.data() + text.size() && alpha >= 0 && alpha <= 1) return alpha;
  throw Error(ExitCode::invalid_arguments, fmt::format("--alpha {} is not in [0, 1]", text),
              "Give a number from 0 to 1, or auto; the default is 0.5");
}

void check_level(const std::string& level) {
  if (level.empty() || equals_ignore_case(level, kLevel)) return;
  throw Error(ExitCode::invalid_arguments, fmt::format("--quant-level {} is only for gguf", level),
              "Leave --quant-level out: the format smoothquant is W8A8");
}

void check_gguf_options(const CLI::App& command) {
  for (const char* name : kGgufOnly) {
    if (command.get_option(name)->count() == 0) continue;
    throw Error(ExitCode::invalid_arguments, fmt::format("{} is only for gguf", name),
                "Leave it out with the format smoothquant");
  }
}

}  // namespace

void SmoothQuantParser::add_options(CLI::App& command) {
  command.add_flag("--smoothquant", smoothquant_,
                   "Smooth inputs before they become 8-bit; the format smoothquant implies it");
  command
      .add_option(
          "--alpha", alpha_,
          "smoothquant: how much of the inputs' range weights take over, from 0 to 1, or auto: by trial, "
          "input by input (default: 0.5)")
      ->type_name("FLOAT|auto");
  command
      .add_option("--activation-scales", activation_scales_,
                  "smoothquant: scales of the inputs per token while the model runs, or fixed ones that are "
                  "stored (default: dynamic)")
      ->type_name(type_name(activation_scales()));
}

void SmoothQuantParser::apply(const CLI::App& command, bool chosen, QuantizeOptions& options) const {
  if (!chosen) {
    const char* instead = "Write: llm-quantize quantize MODEL smoothquant";
    if (smoothquant_)
      throw Error(ExitCode::invalid_arguments, "--smoothquant only with a W8A8 format, not with gguf",
                  instead);
    if (!alpha_.empty()) throw Error(ExitCode::invalid_arguments, "--alpha requires --smoothquant", instead);
    if (!activation_scales_.empty())
      throw Error(ExitCode::invalid_arguments, "--activation-scales requires --smoothquant", instead);
    return;
  }
  check_level(options.level);
  check_gguf_options(command);
  options.level = kLevel;
  SmoothQuantOptions smooth;
  if (!alpha_.empty()) smooth.alpha = parse_alpha(alpha_);
  if (!activation_scales_.empty())
    smooth.activations = choose(activation_scales(), activation_scales_, "--activation-scales");
  smooth.imatrix_cache = imatrix_cache_directory();
  options.smoothquant = std::move(smooth);
}

}  // namespace llmq::cli
