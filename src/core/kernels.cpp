#include "llmq/core/kernels.hpp"

#include <cstdint>

#include <fmt/format.h>
#include <hwy/highway.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

namespace llmq {
namespace {

void use_only(std::int64_t target) {  // 0: all
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace

KernelTargets kernel_targets() {
  KernelTargets found;
  const std::int64_t usable_now = hwy::SupportedTargets();
  found.active = hwy::TargetName(hwy::SupportedAndGeneratedTargets().front());
  use_only(0);  // a forced target hides the others: look at all of them, then go back
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    found.usable.emplace_back(hwy::TargetName(target));
  }
  use_only(usable_now);
  return found;
}

void force_kernels(std::string_view name) {
  use_only(0);
  if (equals_ignore_case(name, "best")) return;
  std::string known;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    if (equals_ignore_case(name, hwy::TargetName(target))) return use_only(target);
    known += fmt::format("{}{}", known.empty() ? "" : ", ", hwy::TargetName(target));
  }
  throw Error(
      ExitCode::invalid_arguments,
      fmt::format("LLM_QUANTIZE_KERNELS: {} is no instruction set of this build and CPU", name),
      fmt::format("Set it to one of {}, or unset it; `llm-quantize info --kernels` lists them.", known));
}

}  // namespace llmq
