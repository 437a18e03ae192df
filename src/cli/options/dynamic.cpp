#include "cli/options/dynamic.hpp"

#include <charconv>

#include <fmt/format.h>

#include "llmq/allocate/profile.hpp"
#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "cli/environment.hpp"
#include "cli/options/command_parser.hpp"
#include "cli/options/value_types.hpp"

namespace llmq::cli {
namespace {

constexpr const char* kLevel = "dynamic";

std::uint64_t parse_rows(const std::string& text) {
  if (equals_ignore_case(text, "all")) return 0;
  std::uint64_t rows = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rows);
  if (error == std::errc() && end == text.data() + text.size() && rows > 0) return rows;
  throw Error(ExitCode::invalid_arguments,
              fmt::format("--atlas-rows: \"{}\" is neither a number of rows above 0 nor \"all\"", text),
              "Example: --atlas-rows 512");
}

}  // namespace

void DynamicParser::add_options(CLI::App& command, QuantizeOptions& options) {
  command.add_flag("--dynamic", dynamic_,
                   "The same as -q dynamic: the best types for a size, tensor by tensor");
  command
      .add_option("--profile", profile_,
                  "What dynamic aims at: attention-high, balanced (default), compression-max, the name of a "
                  "profile of your own, or a .dqprofile file")
      ->type_name(kNameValue);
  target_.add_options(command, "the profile's; level dynamic only");
  command
      .add_option("--atlas-rows", atlas_rows_,
                  "dynamic: rows a tensor for the error table, or all (default: 256)")
      ->type_name("N|all");
  command
      .add_option("--calibration-data", options.calibration_data,
                  "Text for what dynamic measures by itself; a fixed level measures nothing")
      ->type_name(kFileValue);
  command
      .add_option("--calibration-samples", options.calibration_samples,
                  "Samples of that text for the importance matrix (default: 256)")
      ->check(CLI::Range(std::uint64_t{1}, kMaxSamples));
}

void DynamicParser::apply(QuantizeOptions& options) const {
  if (dynamic_ && !options.level.empty() && !equals_ignore_case(options.level, kLevel)) {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("--dynamic is -q dynamic: it does not go with -q {}", options.level),
                "Leave one of the two out");
  }
  if (dynamic_) options.level = kLevel;
  DynamicOptions dynamic;
  target_.apply(dynamic.target_bpw, dynamic.target_size);
  if (!equals_ignore_case(options.level, kLevel)) {
    const char* given = !profile_.empty()      ? "--profile"
                        : dynamic.target_bpw   ? "--target-bpw"
                        : dynamic.target_size  ? "--target-size"
                        : !atlas_rows_.empty() ? "--atlas-rows"
                                               : nullptr;
    if (given == nullptr || options.level.empty()) return;
    throw Error(ExitCode::invalid_arguments,
                fmt::format("{} goes with level dynamic, not with {}", given, options.level),
                "Use -q dynamic, or leave the option out");
  }
  options.level = kLevel;
  if (!profile_.empty()) dynamic.profile = profile_;
  dynamic.profile_directory = profile_directory();
  dynamic.imatrix_cache = imatrix_cache_directory();
  dynamic.quality_threshold_pct = quality_threshold_pct();
  if (!atlas_rows_.empty()) dynamic.atlas_rows = parse_rows(atlas_rows_);
  options.dynamic = std::move(dynamic);
}

}  // namespace llmq::cli
