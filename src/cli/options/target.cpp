#include "cli/options/target.hpp"

#include <cmath>

#include <fmt/format.h>

#include "llmq/allocate/profile.hpp"
#include "llmq/core/error.hpp"

#include "cli/options/value_types.hpp"

namespace llmq::cli {

void TargetParser::add_options(CLI::App& command, const std::string& otherwise) {
  command
      .add_option("--target-bpw", bpw_,
                  fmt::format("Most bits a quantized weight on average (default: {})", otherwise))
      ->check(CLI::Range(kMinBitWidth, kMaxBitWidth));
  command
      .add_option("--target-size", size_,
                  "The same as a size: a ratio to the original in (0, 1], or bytes such as 700MB or 1.5GiB")
      ->type_name(kSizeValue);
}

void TargetParser::apply(std::optional<double>& bpw, std::optional<TargetSize>& size) const {
  if (bpw_ && !size_.empty()) {
    throw Error(ExitCode::invalid_arguments, "--target-bpw and --target-size say the same thing twice",
                "Give one of them");
  }
  if (bpw_ && std::isnan(*bpw_)) {  // in no range, and outside of none
    throw Error(ExitCode::invalid_arguments, "--target-bpw: not a number",
                fmt::format("Give a number from {:g} to {:g}", kMinBitWidth, kMaxBitWidth));
  }
  bpw = bpw_;
  if (size_.empty()) return;
  size = parse_target_size(size_);
  if (!size) {
    throw Error(ExitCode::invalid_arguments, fmt::format("--target-size: \"{}\" is not a size", size_),
                "Give a ratio in (0, 1] such as 0.25, or bytes with a unit such as 700MB or 1.5GiB");
  }
}

}  // namespace llmq::cli
