#include "llmq/embedded/texts.hpp"

extern "C" {
extern const char llmq_calibration_begin[];
extern const char llmq_calibration_end[];
extern const char llmq_evaluation_begin[];
extern const char llmq_evaluation_end[];
extern const char llmq_prompts_begin[];
extern const char llmq_prompts_end[];
}

namespace llmq {

std::string_view embedded_calibration_text() noexcept {
  return {llmq_calibration_begin, llmq_calibration_end};
}
std::string_view embedded_evaluation_text() noexcept { return {llmq_evaluation_begin, llmq_evaluation_end}; }
std::string_view embedded_prompts() noexcept { return {llmq_prompts_begin, llmq_prompts_end}; }

}  // namespace llmq
