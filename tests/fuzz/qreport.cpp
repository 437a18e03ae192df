// Quality reports: document to figures, to a document again.
#include <string_view>

#include <nlohmann/json.hpp>

#include "llmq/report/quality_report.hpp"

#include "fuzz/fuzz.hpp"

namespace {

std::string written(const llmq::QualityResult& report) {
  return llmq::quality_json(report, {}).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  return llmq::fuzz::expect_typed_errors([&] {
    const llmq::QualityResult report = llmq::parse_quality_report(text, "fuzz.qreport");
    const std::string once = written(report);
    if (written(llmq::parse_quality_report(once, "again.qreport")) != once) std::abort();
    if (llmq::quality_html(report).empty()) std::abort();
  });
}
