// Job files: document to steps in order.
#include <string_view>

#include "llmq/pipeline/job.hpp"

#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  llmq::JobSurroundings surroundings;
  surroundings.environment = [](const std::string& name) {
    return name.size() % 2 == 0 ? std::optional(name) : std::nullopt;
  };
  return llmq::fuzz::expect_typed_errors([&] {
    for (const llmq::JobStep& step : llmq::parse_job(text, "job.json", surroundings).steps)
      (void)llmq::unsupported_part(step);
  });
}
